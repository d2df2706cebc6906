"""Every load and store of a process, sorted by the stream, array or memory that it is of."""

import re

from vitgen.rtl.flow import Flow
from vitgen.rtl.interface import Memory, Registers
from vitgen.rtl.llvm import Function, Instruction, width_of
from vitgen.rtl.memory import STREAM_BYTES, Access, Array, Choice, Pointers

_LARGEST_REGISTERS = 16_384  # bits of a register array


class Accesses:
    """Accesses of one function.

    Attributes
    ----------
    reads, writes : of streams, by parameter and number (``"%rows#2"``).
    arrays : local arrays in registers, by name.
    registers : their members, by name and first byte in an element.
    memories : banks and local RAMs, by name.
    """

    def __init__(self, function: Function, flow: Flow, rams: frozenset[str]) -> None:
        self.function, self.flow = function, flow
        self.pointers = Pointers(function)
        self.reads: dict[str, list[Access]] = {}
        self.writes: dict[str, list[Access]] = {}
        self.arrays: dict[str, Array] = {}
        self.registers: dict[tuple[str, int], Registers] = {}
        self.memories: dict[str, Memory] = {}
        self._collect(rams)

    def _collect(self, rams: frozenset[str]) -> None:
        for block in self.flow.order:
            for made in self.flow.blocks[block].instructions:
                if made.op == "alloca":
                    self._declare(made, rams)
        for block in self.flow.order:
            for made in self.flow.blocks[block].instructions:
                if made.op in ("load", "store"):
                    self._sort(made, block)
        self._check_members()
        for accesses in (*self.reads.values(), *self.writes.values()):
            self._check_exclusive(accesses, "stream")
        for memory in self.memories.values():
            self._check_exclusive(memory.loads, "read port of a memory")
            self._check_exclusive(memory.stores, "write port of a memory")
            if memory.array is not None:
                self._check_exclusive([*memory.loads, *memory.stores], "local memory")

    def _declare(self, made: Instruction, rams: frozenset[str]) -> None:
        array = self.pointers.array(made)
        name = re.sub(r"\W", "_", made.name[1:])
        if made.name[1:] in rams:
            self.memories[made.name] = Memory(name, array.width, array)
            return
        bits_needed = 8 * array.step * array.count
        if bits_needed > _LARGEST_REGISTERS:
            raise self.function.refusal(
                made, f"the local array {made.name[1:]} would be {bits_needed} bits of registers",
                "Make it a RAM: #pragma HLS bind_storage variable=... type=ram_2p.",
            )  # fmt: skip
        self.arrays[made.name] = array

    def member(self, made: Instruction, choice: Choice) -> Registers:
        """The registers of the member, of all elements of an array, that an access goes to."""
        array = self.arrays[choice.place.root]
        member = choice.place.offset % array.step
        key = (array.name, member)
        width = width_of(made.type if made.op == "load" else made.operands[0].type)
        if key not in self.registers:
            name = re.sub(r"\W", "_", array.name[1:])
            element = f"array_{name}_{member}"
            self.registers[key] = Registers(element, width, array.count, array, member, made)
        registers = self.registers[key]
        if registers.width != width:
            raise self.function.refusal(
                made, f"accesses of {registers.width} and of {width} bits to one array",
                "Read and write whole elements of arrays.",
            )  # fmt: skip
        return registers

    def _check_members(self) -> None:
        """No access may be to a part of what another one reads or writes."""
        ends: dict[str, int] = {}
        for root, member in sorted(self.registers):
            if member < ends.get(root, 0):
                raise self.function.refusal(
                    self.registers[root, member].first, f"the array {root[1:]} is accessed in parts",
                    "Read and write whole elements of arrays.",
                )  # fmt: skip
            ends[root] = member + -(-self.registers[root, member].width // 8)

    def _sort(self, made: Instruction, block: str) -> None:
        for choice in self.pointers.choices(made.operands[-1].text):
            access = Access(block, made, choice)
            root = choice.place.root
            if made.volatile:
                port = self.stream(made, choice)
                (self.reads if made.op == "load" else self.writes).setdefault(port, []).append(
                    access
                )
            elif root in self.arrays:
                registers = self.member(made, choice)
                if made.op == "store":
                    registers.stores.append(access)
            elif root in self.function.numbers:
                if made.op == "store" or self.flow.order.index(block):
                    raise self.function.refusal(made, "a parameter that is a number is used in a loop",
                                            "Copy it to a constant first.")  # fmt: skip
                self.reads.setdefault(f"{root}#0", []).append(access)
            elif root in self.function.parameters or root in self.memories:
                memory = self.memories.get(root)
                if memory is None:
                    width = self.function.parameters[root]
                    memory = self.memories[root] = Memory(root[1:], width, None)
                if memory.width == 0:  # its elements are structs: whole ones are accessed
                    memory.width = width_of(
                        made.type if made.op == "load" else made.operands[0].type
                    )
                (memory.loads if made.op == "load" else memory.stores).append(access)
            elif root not in self.function.tables or made.op == "store":
                raise self.function.refusal(made, "memory that is no stream, bank or local array",
                                        "Use parameters and local arrays only.")  # fmt: skip

    def stream(self, made: Instruction, choice: Choice) -> str:
        place = choice.place
        if place.terms or place.offset % STREAM_BYTES or choice.conditions:
            raise self.function.refusal(made, "a stream chosen at run time",
                                    "Unroll the loop over the streams, test inside.")  # fmt: skip
        return f"{place.root}#{place.offset // STREAM_BYTES}"

    def _check_exclusive(self, accesses: list[Access], what: str) -> None:
        flow = self.flow
        for index, first in enumerate(accesses):
            for second in accesses[index + 1 :]:
                if first.instruction is second.instruction:
                    continue  # the two ways of one selection
                if not any(flow.exclusive(a, b) for a in _ways(first) for b in _ways(second)):
                    raise self.function.refusal(
                        second.instruction,
                        f"two accesses of one {what} ({first.choice.place.root[1:]}) in one step",
                        "Access it once per iteration of a pipelined loop.",
                    )


def _ways(access: Access) -> list[str]:
    """Blocks without which an access is not made: its own, and those that its place comes from."""
    return [access.block, *(label for _, label in access.choice.arrivals)]
