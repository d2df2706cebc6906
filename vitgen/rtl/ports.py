"""What a process reads and writes: streams, banks, local RAMs, register arrays, constant tables.

All accesses of one port in a step are merged into one, for which at most one of them may run: two
would take two clock cycles.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vitgen.rtl.accesses import Accesses
from vitgen.rtl.interface import Channel, Memory, Ram, Registers
from vitgen.rtl.llvm import Instruction, Value, width_of
from vitgen.rtl.memory import Access, Choice
from vitgen.rtl.nodes import Node

if TYPE_CHECKING:
    from vitgen.rtl.translate import Translator


class Ports:
    """The ports of one process."""

    def __init__(self, owner: Translator, rams: frozenset[str]) -> None:
        self.owner, self.nodes = owner, owner.nodes
        self._found = Accesses(owner.function, owner.flow, rams)
        self._received: dict[str, Node] = {}
        self._channels: list[Channel] = []
        self._tokens: list[Node] = []
        self._start = self.nodes.after([])
        for registers in self._found.registers.values():
            read = f"state_read(state_element={registers.element})"
            first = self.nodes.named(registers.kind, read, 0, registers.element)
            registers.versions.append(first)

    # -- loads

    def load(self, made: Instruction, block: str) -> Node:
        """The value of a load."""
        width = width_of(made.type)
        found: Node | None = None
        for choice in self._found.pointers.choices(made.operands[0].text):
            value = self.nodes.resize(self._load_from(made, block, choice), width)
            if found is None:
                found = value
            else:
                found = self.nodes.choose(self._applies(choice, block, made), value, found)
        assert found is not None
        return found

    def _load_from(self, made: Instruction, block: str, choice: Choice) -> Node:
        root = choice.place.root
        if made.volatile or root in self.owner.function.numbers:
            return self._receive(self._found.stream(made, choice))
        if root in self._found.arrays:
            return self._load_register(made, block, choice)
        if root in self._found.memories:
            return self._respond(self._found.memories[root])
        table = self.owner.function.tables[root]
        kind = f"bits[{table.width}][{len(table.values)}]"
        values = ", ".join(map(str, table.values))
        held = self.nodes.of_kind(kind, f"literal(value=[{values}])")
        index = self._index(made, block, choice, table.width // 8 or 1)
        return self.nodes.number(table.width, f"array_index({held.name}, indices=[{index.name}])")

    def _applies(self, choice: Choice, block: str, made: Instruction) -> Node:
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
                raise self.owner.function.refusal(
                    made, "an array or stream chosen in an earlier iteration",
                    "Choose it in the iteration that accesses it.",
                )  # fmt: skip
            edges = [edge for edge in flow.inward[target] if edge.source == source]
            held.append(self.nodes.any([self.owner.takes(edge) for edge in edges]))
        found = self.nodes.literal(1, 1)
        for node in held:
            found = self.nodes.both(found, node)
        return found

    def _index(self, made: Instruction, block: str, choice: Choice, step: int) -> Node:
        """Number of the element that is accessed, as narrow as its parts."""
        place, nodes = choice.place, self.nodes
        terms = [self._elements(*term, step, block) for term in place.terms]
        if place.offset % step or None in terms:
            raise self.owner.function.refusal(made, "an access to a part of an element",
                                    "Read and write whole elements of arrays.")  # fmt: skip
        number = place.offset // step
        found: Node | None = None
        for value in filter(None, terms):
            if found is not None:
                wide = max(found.width, value.width) + 1
                value = nodes.binary("add", nodes.resize(found, wide), nodes.resize(value, wide))
            found = value
        if found is None:
            return nodes.literal(number, max(1, number.bit_length()))
        if number:
            wide = max(found.width, number.bit_length()) + 1
            found = nodes.binary("add", nodes.resize(found, wide), nodes.literal(number, wide))
        return found

    def _elements(self, operand: Value, size: int, step: int, block: str) -> Node | None:
        """How many elements a term of an address leads on; None where that may be no whole number."""
        value, nodes = self._narrow(operand, block), self.nodes
        if size == step:
            return value
        if size % step == 0:
            scale = size // step
            wide = value.width + scale.bit_length()
            return nodes.binary("umul", nodes.resize(value, wide), nodes.literal(scale, wide))
        cut = (step // size).bit_length() - 1
        if size << cut != step or self._found.pointers.zeros(operand) < cut:
            return None
        return (
            nodes.slice(value, cut, value.width - cut) if value.width > cut else nodes.literal(0, 1)
        )

    def _narrow(self, operand: Value, block: str) -> Node:
        """An index without the zeros that fill it up to the width of pointers."""
        return self.nodes.unextended(self.owner.value(operand, block))

    # -- register arrays

    def _load_register(self, made: Instruction, block: str, choice: Choice) -> Node:
        registers = self._found.member(made, choice)
        order = self.owner.flow.order.index(block)
        instructions = self.owner.flow.blocks[block].instructions
        behind = 0
        for store in registers.stores:
            place = self.owner.flow.order.index(store.block)
            same = place == order and instructions.index(store.instruction) < instructions.index(
                made
            )
            if place < order or same:
                behind += 1
        version = self._version(registers, behind)
        index = self._index(made, block, registers.element_of(choice), registers.array.step)
        return self.nodes.number(
            registers.width, f"array_index({version.name}, indices=[{index.name}])"
        )

    def _version(self, registers: Registers, stores: int) -> Node:
        """The array behind its first ``stores`` stores, in the order of the blocks."""
        nodes = self.nodes
        while len(registers.versions) <= stores:
            before = registers.versions[-1]
            access = registers.stores[len(registers.versions) - 1]
            updated, runs = self._updated(registers, before, access), self._runs(access)
            registers.versions.append(
                nodes.of_kind(
                    registers.kind, f"sel({runs.name}, cases=[{before.name}, {updated.name}])"
                )
            )
        return registers.versions[stores]

    def _updated(self, registers: Registers, before: Node, access: Access) -> Node:
        """The array with the word of a store in its place."""
        made = access.instruction
        value = self.owner.value(made.operands[0], access.block)
        place = registers.element_of(access.choice)
        index = self._index(made, access.block, place, registers.array.step)
        return self.nodes.of_kind(
            registers.kind, f"array_update({before.name}, {value.name}, indices=[{index.name}])"
        )

    def _next_array(self, registers: Registers) -> None:
        """The array that is left to the next activation."""
        conditions = {self._runs(access) for access in registers.stores}
        if len(conditions) == 1:  # a condition of the registers, and no way back from them
            last = registers.versions[0]
            for access in registers.stores:
                last = self._updated(registers, last, access)
            when = f", predicate={conditions.pop().name}"
        else:
            last, when = self._version(registers, len(registers.stores)), ""
        self.nodes.effect("()", f"next_value(param={registers.element}, value={last.name}{when})")

    def _runs(self, access: Access) -> Node:
        runs = self.owner.runs(access.block)
        if not access.choice.always:
            runs = self.nodes.both(
                runs, self._applies(access.choice, access.block, access.instruction)
            )
        return runs

    # -- streams and memories

    def _port_name(self, port: str) -> str:
        root, _, index = port.partition("#")
        name = re.sub(r"\W", "_", root[1:])
        return f"{name}_{index}" if root in self.owner.function.arrays else name

    def _channel(self, name: str, width: int, sends: bool, memory: bool = False) -> Channel:
        self._channels.append(Channel(name, width, sends, memory))
        return self._channels[-1]

    def _receive(self, port: str) -> Node:
        if port not in self._received:
            width = self.owner.function.parameters[port.partition("#")[0]]
            name = self._port_name(port)
            runs = self.nodes.any([self._runs(access) for access in self._found.reads[port]])
            channel = self._channel(name, width, sends=False)
            self._received[port] = self._take(channel, runs, self._start)
        return self._received[port]

    def _take(self, channel: Channel, runs: Node, token: Node) -> Node:
        pair = self.nodes.effect(
            f"(token, {channel.type})",
            f"receive({token.name}, predicate={runs.name}, channel={channel.name})",
        )
        taken = self.nodes.of_kind("token", f"tuple_index({pair.name}, index=0)")
        self._tokens.append(taken)
        word = self.nodes.of_kind(channel.type, f"tuple_index({pair.name}, index=1)")
        return self.nodes.number(channel.width, f"tuple_index({word.name}, index=0)")

    def _merged(self, accesses: list[Access], values: list[Node]) -> Node:
        ways = zip(accesses, values, strict=True)
        return self.nodes.merge([(self._runs(access), value) for access, value in ways])

    def _addresses(self, memory: Memory, accesses: list[Access]) -> list[Node]:
        found = []
        for access in accesses:
            steps = self.owner.function.steps
            step = memory.array.step if memory.array else steps[access.choice.place.root]
            found.append(self._index(access.instruction, access.block, access.choice, step))
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
            answers = self._channel(
                f"{memory.name}_rd_resp", memory.width, sends=False, memory=True
            )
            asked = self.nodes.effect(
                "token",
                f"send({self._start.name}, {address.name}, predicate={runs.name}, "
                f"channel={memory.name}_rd_req)",
            )
            memory.response = self._take(answers, runs, asked)
        return memory.response

    def finish(self) -> None:
        """Makes the writes: memories first, so that a report of completion comes behind them."""
        for memory in self._found.memories.values():
            if memory.stores:
                self._write_memory(memory)
        token = self.nodes.after(self._tokens)
        for port, accesses in self._found.writes.items():
            width = self.owner.function.parameters[port.partition("#")[0]]
            name = self._port_name(port)
            self._channel(name, width, sends=True)
            self._send(name, width, accesses, None, token)
        for registers in self._found.registers.values():
            self._next_array(registers)

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
            self.nodes.resize(self.owner.value(access.instruction.operands[0], access.block), width)
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
        return list(self._found.registers.values())

    def channels(self) -> list[Channel]:
        return self._channels

    def rams(self) -> list[Ram]:
        return [
            Ram(memory.name, memory.width, memory.array.count, memory.address_bits)
            for memory in self._found.memories.values()
            if memory.array is not None
        ]

    def bank_widths(self) -> dict[str, int]:
        return {memory.name: memory.width for memory in self._found.memories.values()}

    def constraints(self) -> list[str]:
        """A memory answers one stage later; a local one is read and written in the same stage.

        Activations pass a stage in order, at most one in a clock cycle, so the write of one is
        offered before the read of the next, and the RAM takes it in the cycle in which it is
        offered, whatever stalls: a word is there one activation later. No activation does both
        (:class:`~vitgen.rtl.accesses.Accesses` refuses that).
        """
        found = []
        for memory in self._found.memories.values():
            if memory.loads:
                found.append(f"{memory.name}_rd_req:send:{memory.name}_rd_resp:recv:1:1")
            if memory.array is not None and memory.loads and memory.stores:
                found.append(f"{memory.name}_rd_req:send:{memory.name}_wr_req:send:0:0")
        return found
