"""What a process reads and writes: streams, banks, local RAMs, register arrays, constant tables.

All accesses of one port in a step are merged into one, for which at most one of them may run: two
would take two clock cycles.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vitgen.errors import VitgenError
from vitgen.rtl.llvm import Instruction, Value, width_of
from vitgen.rtl.memory import STREAM_BYTES, Access, Array, Choice, Pointers
from vitgen.rtl.nodes import Node, bits

if TYPE_CHECKING:
    from vitgen.rtl.translate import Translator

_LARGEST_REGISTERS = 16_384  # bits of a register array


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

    def declaration(self, number: int) -> str:
        """The channel in XLS's IR."""
        flops = ""
        if self.memory:
            flops = ", output_flop_kind=none" if self.sends else ", input_flop_kind=none"
        return (
            f"chan {self.name}({bits(self.width)}, id={number}, kind=streaming, "
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
    """A local array as state."""

    element: str
    width: int
    count: int
    array: Array
    stores: list[Access] = field(default_factory=list)
    versions: list[Node] = field(default_factory=list)

    @property
    def kind(self) -> str:
        return f"bits[{self.width}][{self.count}]"


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


class Ports:
    """The ports of one process."""

    def __init__(self, owner: Translator, rams: frozenset[str]) -> None:
        self.owner, self.nodes = owner, owner.nodes
        self.pointers = Pointers(owner.function)
        self._reads: dict[str, list[Access]] = {}
        self._writes: dict[str, list[Access]] = {}
        self._received: dict[str, Node] = {}
        self._registers: dict[str, Registers] = {}
        self._memories: dict[str, Memory] = {}
        self._scalars: dict[str, Node] = {}
        self._channels: list[Channel] = []
        self._tokens: list[Node] = []
        self._start = self.nodes.after([])
        self._collect(rams)

    # -- what there is

    def _collect(self, rams: frozenset[str]) -> None:
        for block in self.owner.flow.order:
            for made in self.owner.flow.blocks[block].instructions:
                if made.op == "alloca":
                    self._declare(made, rams)
        for block in self.owner.flow.order:
            for made in self.owner.flow.blocks[block].instructions:
                if made.op in ("load", "store"):
                    self._sort(made, block)
        for accesses in (*self._reads.values(), *self._writes.values()):
            self._check_exclusive(accesses, "stream")
        for memory in self._memories.values():
            self._check_exclusive(memory.loads, "read port of a memory")
            self._check_exclusive(memory.stores, "write port of a memory")
            if memory.array is not None:
                self._check_exclusive([*memory.loads, *memory.stores], "local memory")

    def _declare(self, made: Instruction, rams: frozenset[str]) -> None:
        array = self.pointers.array(made)
        name = re.sub(r"\W", "_", made.name[1:])
        if made.name[1:] in rams:
            self._memories[made.name] = Memory(name, array.width, array)
            return
        if array.width * array.count > _LARGEST_REGISTERS:
            raise self.owner.refuse(
                made, f"the local array {made.name[1:]} would be {array.width * array.count} registers",
                "Make it a RAM: #pragma HLS bind_storage variable=... type=ram_2p.",
            )  # fmt: skip
        element = f"array_{name}"
        registers = Registers(element, array.width, array.count, array)
        first = self.nodes.named(
            registers.kind, f"state_read(state_element={element})", 0, element
        )
        registers.versions.append(first)
        self._registers[made.name] = registers

    def _sort(self, made: Instruction, block: str) -> None:
        for choice in self.pointers.choices(made.operands[-1].text):
            access = Access(block, made, choice)
            root = choice.place.root
            if made.volatile:
                port = self._stream(made, choice)
                (self._reads if made.op == "load" else self._writes).setdefault(port, []).append(
                    access
                )
            elif root in self._registers:
                if made.op == "store":
                    self._registers[root].stores.append(access)
            elif root in self.owner.function.parameters or root in self._memories:
                memory = self._memories.get(root)
                if memory is None:
                    width = self.owner.function.parameters[root]
                    memory = self._memories[root] = Memory(root[1:], width, None)
                (memory.loads if made.op == "load" else memory.stores).append(access)
            elif root not in self.owner.function.tables or made.op == "store":
                raise self.owner.refuse(made, "memory that is no stream, bank or local array",
                                        "Use parameters and local arrays only.")  # fmt: skip

    def _stream(self, made: Instruction, choice: Choice) -> str:
        place = choice.place
        if place.terms or place.offset % STREAM_BYTES or choice.conditions:
            raise self.owner.refuse(made, "a stream chosen at run time",
                                    "Unroll the loop over the streams, test inside.")  # fmt: skip
        return f"{place.root}#{place.offset // STREAM_BYTES}"

    def _check_exclusive(self, accesses: list[Access], what: str) -> None:
        flow = self.owner.flow
        for index, first in enumerate(accesses):
            for second in accesses[index + 1 :]:
                if first.instruction is second.instruction:
                    continue  # the two ways of one selection
                if not flow.exclusive(first.block, second.block):
                    raise self.owner.refuse(
                        second.instruction,
                        f"two accesses of one {what} ({first.choice.place.root[1:]}) in one step",
                        "Access it once per iteration of a pipelined loop.",
                    )

    # -- loads

    def scalar(self, name: str, width: int) -> Node:
        """A number among the parameters."""
        raise VitgenError(
            f"{self.owner.function.name}: the parameter {name[1:]} is a plain number.",
            "Pass it in a command.",
        )

    def load(self, made: Instruction, block: str) -> Node:
        """The value of a load."""
        width = width_of(made.type)
        found: Node | None = None
        for choice in self.pointers.choices(made.operands[0].text):
            value = self.nodes.resize(self._load_from(made, block, choice), width)
            if found is None:
                found = value
            else:
                found = self.nodes.select(self._applies(choice, block), value, found)
        assert found is not None
        return found

    def _load_from(self, made: Instruction, block: str, choice: Choice) -> Node:
        root = choice.place.root
        if made.volatile:
            return self._receive(self._stream(made, choice))
        if root in self._registers:
            return self._load_register(made, block, choice)
        if root in self._memories:
            return self._respond(self._memories[root])
        table = self.owner.function.tables[root]
        kind = f"bits[{table.width}][{len(table.values)}]"
        values = ", ".join(map(str, table.values))
        held = self.nodes.of_kind(kind, f"literal(value=[{values}])")
        index = self._index(made, block, choice, table.width // 8 or 1)
        return self.nodes.number(table.width, f"array_index({held.name}, indices=[{index.name}])")

    def _applies(self, choice: Choice, block: str) -> Node:
        held = [
            value if wanted else self.nodes.inverse(value)
            for operand, wanted in choice.conditions
            for value in [self.owner.value(operand, block)]
        ]
        flow = self.owner.flow
        for target, source in choice.arrivals:
            if target in flow.crossing or not (
                target == block or flow.always_before(target, block)
            ):
                raise VitgenError(
                    f"{self.owner.function.name}: an array or stream chosen in an earlier iteration.",
                    "Choose it in the iteration that accesses it.",
                )
            edges = [edge for edge in flow.inward[target] if edge.source == source]
            held.append(self.nodes.any([self.owner.takes(edge) for edge in edges]))
        found = self.nodes.literal(1, 1)
        for node in held:
            found = self.nodes.both(found, node)
        return found

    def _index(self, made: Instruction, block: str, choice: Choice, step: int) -> Node:
        """Number of the element that is accessed, as narrow as its parts."""
        place, nodes = choice.place, self.nodes
        if place.offset % step or any(size % step for _, size in place.terms):
            raise self.owner.refuse(made, "an access to a part of an element",
                                    "Read and write whole elements of arrays.")  # fmt: skip
        if not place.terms:
            number = place.offset // step
            return nodes.literal(number, max(1, number.bit_length()))
        found: Node | None = None
        for operand, size in place.terms:
            value = self._narrow(operand, block)
            if size != step:
                scale = size // step
                wide = value.width + scale.bit_length()
                value = nodes.binary("umul", nodes.resize(value, wide), nodes.literal(scale, wide))
            if found is not None:
                wide = max(found.width, value.width) + 1
                value = nodes.binary("add", nodes.resize(found, wide), nodes.resize(value, wide))
            found = value
        assert found is not None
        if place.offset:
            wide = max(found.width, (place.offset // step).bit_length()) + 1
            found = nodes.binary(
                "add", nodes.resize(found, wide), nodes.literal(place.offset // step, wide)
            )
        return found

    def _narrow(self, operand: Value, block: str) -> Node:
        """An index without the zeros that fill it up to the width of pointers."""
        made = self.owner.made.get(operand.text)
        if made is not None and made.op == "zext":
            return self.owner.value(made.operands[0], block)
        return self.owner.value(operand, block)

    # -- register arrays

    def _load_register(self, made: Instruction, block: str, choice: Choice) -> Node:
        registers = self._registers[choice.place.root]
        self._check_whole(made, registers.array, width_of(made.type))
        order = self.owner.flow.order.index(block)
        instructions = self.owner.flow.blocks[block].instructions
        behind = 0
        for store in registers.stores:
            place = self.owner.flow.order.index(store.block)
            same = place == order and instructions.index(store.instruction) < instructions.index(made)
            if place < order or same:
                behind += 1
        version = self._version(registers, behind)
        index = self._index(made, block, choice, registers.array.step)
        return self.nodes.number(
            registers.width, f"array_index({version.name}, indices=[{index.name}])"
        )

    def _check_whole(self, made: Instruction, array: Array, width: int) -> None:
        if width != array.width:
            raise self.owner.refuse(
                made, f"an access of {width} bits to the array {array.name[1:]} of {array.width} bits",
                "Read and write whole elements of arrays.",
            )  # fmt: skip

    def _version(self, registers: Registers, stores: int) -> Node:
        """The array behind its first ``stores`` stores, in the order of the blocks."""
        nodes = self.nodes
        while len(registers.versions) <= stores:
            before = registers.versions[-1]
            access = registers.stores[len(registers.versions) - 1]
            made = access.instruction
            self._check_whole(made, registers.array, width_of(made.operands[0].type))
            value = self.owner.value(made.operands[0], access.block)
            index = self._index(made, access.block, access.choice, registers.array.step)
            updated = nodes.of_kind(
                registers.kind,
                f"array_update({before.name}, {value.name}, indices=[{index.name}])",
            )
            runs = self._runs(access)
            registers.versions.append(
                nodes.of_kind(
                    registers.kind, f"sel({runs.name}, cases=[{before.name}, {updated.name}])"
                )
            )
        return registers.versions[stores]

    def _runs(self, access: Access) -> Node:
        runs = self.owner.runs(access.block)
        if not access.choice.always:
            runs = self.nodes.both(runs, self._applies(access.choice, access.block))
        return runs

    # -- streams and memories

    def _port_name(self, port: str) -> str:
        root, _, index = port.partition("#")
        many = {other for other in (*self._reads, *self._writes) if other.startswith(f"{root}#")}
        name = re.sub(r"\W", "_", root[1:])
        return f"{name}_{index}" if len(many) > 1 else name

    def _channel(self, name: str, width: int, sends: bool, memory: bool = False) -> None:
        self._channels.append(Channel(name, width, sends, memory))

    def _receive(self, port: str) -> Node:
        if port not in self._received:
            width = self.owner.function.parameters[port.partition("#")[0]]
            name = self._port_name(port)
            runs = self.nodes.any([self._runs(access) for access in self._reads[port]])
            self._channel(name, width, sends=False)
            self._received[port] = self._take(name, width, runs, self._start)
        return self._received[port]

    def _take(self, name: str, width: int, runs: Node, token: Node) -> Node:
        pair = self.nodes.effect(
            f"(token, {bits(width)})",
            f"receive({token.name}, predicate={runs.name}, channel={name})",
        )
        taken = self.nodes.of_kind("token", f"tuple_index({pair.name}, index=0)")
        self._tokens.append(taken)
        return self.nodes.number(width, f"tuple_index({pair.name}, index=1)")

    def _merged(self, accesses: list[Access], values: list[Node]) -> Node:
        found = values[0]
        for access, value in zip(accesses[1:], values[1:], strict=True):
            found = self.nodes.select(self._runs(access), value, found)
        return found

    def _addresses(self, memory: Memory, accesses: list[Access]) -> list[Node]:
        step = memory.array.step if memory.array else None
        found = []
        for access in accesses:
            place = access.choice.place
            size = step or min([size for _, size in place.terms] or [1])
            found.append(self._index(access.instruction, access.block, access.choice, size))
        if memory.array is not None:
            width = max(1, (memory.array.count - 1).bit_length())
        else:
            width = max([node.width for node in found])
        memory.address_bits = width
        return [self.nodes.resize(node, width) for node in found]

    def _respond(self, memory: Memory) -> Node:
        """What a memory answers to the read of this activation."""
        if memory.response is None:
            runs = self.nodes.any([self._runs(access) for access in memory.loads])
            address = self._merged(memory.loads, self._addresses(memory, memory.loads))
            self._channel(f"{memory.name}_rd_req", address.width, sends=True, memory=True)
            self._channel(f"{memory.name}_rd_resp", memory.width, sends=False, memory=True)
            asked = self.nodes.effect(
                "token",
                f"send({self._start.name}, {address.name}, predicate={runs.name}, "
                f"channel={memory.name}_rd_req)",
            )
            memory.response = self._take(f"{memory.name}_rd_resp", memory.width, runs, asked)
        return memory.response

    def finish(self) -> None:
        """Makes the writes: memories first, so that a report of completion comes behind them."""
        for memory in self._memories.values():
            if memory.stores:
                self._write_memory(memory)
        token = self.nodes.after(self._tokens)
        for port, accesses in self._writes.items():
            width = self.owner.function.parameters[port.partition("#")[0]]
            name = self._port_name(port)
            self._channel(name, width, sends=True)
            self._send(name, width, accesses, None, token)
        for registers in self._registers.values():
            last = self._version(registers, len(registers.stores))
            self.nodes.effect(
                "()", f"next_value(param={registers.element}, value={last.name})"
            )

    def _write_memory(self, memory: Memory) -> None:
        addresses = self._addresses(memory, memory.stores)
        address = self._merged(memory.stores, addresses)
        name = f"{memory.name}_wr_req"
        self._channel(name, address.width + memory.width, sends=True, memory=True)
        token = self.nodes.after(self._tokens) if memory.array is None else self._start
        self._tokens.append(self._send(name, memory.width, memory.stores, address, token))

    def _send(
        self, name: str, width: int, accesses: list[Access], address: Node | None, token: Node
    ) -> Node:
        runs = self.nodes.any([self._runs(access) for access in accesses])
        values = [
            self.nodes.resize(
                self.owner.value(access.instruction.operands[0], access.block), width
            )
            for access in accesses
        ]
        value = self._merged(accesses, values)
        if address is not None:
            both = f"concat({address.name}, {value.name})"
            value = self.nodes.number(address.width + width, both)
        return self.nodes.effect(
            "token",
            f"send({token.name}, {value.name}, predicate={runs.name}, channel={name})",
        )

    # -- results

    def registers(self) -> list[Registers]:
        return list(self._registers.values())

    def channels(self) -> list[Channel]:
        return self._channels

    def rams(self) -> list[Ram]:
        return [
            Ram(memory.name, memory.width, memory.array.count, memory.address_bits)
            for memory in self._memories.values()
            if memory.array is not None
        ]

    def bank_widths(self) -> dict[str, int]:
        return {memory.name: memory.width for memory in self._memories.values()}

    def constraints(self) -> list[str]:
        """A memory answers one stage later; a local one is read and written in the same stage.

        So a word that one activation writes is there for the next, in the order of the C++.
        """
        found = []
        for memory in self._memories.values():
            if memory.loads:
                found.append(f"{memory.name}_rd_req:send:{memory.name}_rd_resp:recv:1:1")
            if memory.array is not None and memory.loads and memory.stores:
                found.append(f"{memory.name}_rd_req:send:{memory.name}_wr_req:send:0:0")
        return found
