"""Ports and memories of a process: what its module offers, and what the translator gathers."""

from dataclasses import dataclass, field, replace

from vitgen.rtl.llvm import Instruction
from vitgen.rtl.memory import Access, Array, Choice
from vitgen.rtl.nodes import Node, bits


@dataclass(frozen=True)
class Channel:
    """A ready/valid port of the generated module.

    Parameters
    ----------
    name : prefix of its signals ``_data``, ``_vld`` and ``_rdy``.
    width : bits of ``_data``.
    sends : direction, seen from the process.
    memory : leads to a RAM; without buffers, so that the schedule knows its latency.
    """

    name: str
    width: int
    sends: bool
    memory: bool = False

    @property
    def type(self) -> str:
        """Of a value, in XLS's IR.

        Where nothing is received, XLS's value is 0 and the hardware's is whatever lies at the port
        (``gate_recvs``). XLS's optimizer counts on the 0 in one place: it takes a selection between
        the received value and 0 for that value. A tuple is no value that it does this with.
        """
        return bits(self.width) if self.sends else f"({bits(self.width)})"

    def declaration(self, number: int) -> str:
        """The channel in XLS's IR."""
        flops = ""
        if self.memory:
            flops = ", output_flop_kind=none" if self.sends else ", input_flop_kind=none"
        return (
            f"chan {self.name}({self.type}, id={number}, kind=streaming, "
            f"ops={'send' if self.sends else 'receive'}_only, flow_control=ready_valid, "
            f"strictness=proven_mutually_exclusive{flops})"
        )


@dataclass(frozen=True)
class Ram:
    """A memory that the process reads and writes alone.

    Parameters
    ----------
    name : prefix of its channels.
    width, depth : of its words.
    address_bits : of its requests.
    """

    name: str
    width: int
    depth: int
    address_bits: int


@dataclass
class Registers:
    """A local array of numbers, or one member of an array of structs, as state."""

    element: str
    width: int
    count: int
    array: Array
    member: int  # its first byte in an element
    first: Instruction  # that accesses it
    stores: list[Access] = field(default_factory=list)
    versions: list[Node] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return f"bits[{self.width}][{self.count}]"

    def element_of(self, choice: Choice) -> Choice:
        """Where the element begins that an access is to."""
        place = choice.place
        return replace(choice, place=replace(place, offset=place.offset - self.member))


@dataclass
class Memory:
    """A bank or local RAM: accesses by kind."""

    name: str
    width: int
    array: Array | None
    loads: list[Access] = field(default_factory=list)
    stores: list[Access] = field(default_factory=list)
    response: Node | None = None
    address_bits: int = 0
