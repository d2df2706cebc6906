"""From the LLVM IR of a process to a process of XLS.

An activation runs one step (:mod:`vitgen.rtl.flow`). Its blocks become predicates, its phis and the
merges of paths selections, its stream accesses predicated receives and sends. What one step leaves
to another is state: the step to run next, phis of loop headers, and values that a later step reads.
All state begins as 0: the first step is the start of the function, which sets what needs a value.
"""

import re
import sys
from dataclasses import dataclass

from vitgen.rtl.arithmetic import Arithmetic
from vitgen.rtl.flow import Edge, Flow
from vitgen.rtl.interface import Channel, Ram
from vitgen.rtl.llvm import BINARY, Function, Instruction, Value, literal, width_of
from vitgen.rtl.nodes import Node, bits
from vitgen.rtl.ports import Ports
from vitgen.rtl.simplify import UNDEFINED, simplify
from vitgen.rtl.split import interval_of, split_steps
from vitgen.rtl.state import Kept

_FIRST_ID = 1_000_000  # of the nodes that read the state, above all others
_RECURSION = 20_000  # chains of instructions are followed from their ends

_SHIFTS = {"shl": "shll", "lshr": "shrl", "ashr": "shra"}
_SAME = {"or": "or", "xor": "xor", "sdiv": "sdiv", "udiv": "udiv", "srem": "smod", "urem": "umod"}


@dataclass(frozen=True)
class Translation:
    """A process for XLS.

    Parameters
    ----------
    name : of the process.
    text : the package, in XLS's IR.
    channels : ready/valid ports of the process.
    rams : memories that belong beside it, between their channels.
    constraints : of the schedule, in XLS's notation.
    state_bits : registers that hold the state.
    bank_widths : bits of a word of every bank and RAM, by name.
    interval : clock cycles that an activation may take: the smallest II that a pragma asks for.
    loop : ``file:line`` of that pragma, "" where no loop is pipelined.
    """

    name: str
    text: str
    channels: tuple[Channel, ...]
    rams: tuple[Ram, ...]
    constraints: tuple[str, ...]
    state_bits: int
    bank_widths: dict[str, int]
    interval: int
    loop: str


class Translator:
    """Translates one function; use :func:`translate`."""

    def __init__(self, function: Function, rams: frozenset[str]) -> None:
        self.function = function
        simplify(function)
        self.flow = Flow(function, split_steps(function, rams))
        self.kept = Kept(function, self.flow)
        self.nodes = Arithmetic()
        self.home, self.made = self.kept.home, self.kept.made
        self._values: dict[str, Node] = {}
        self._active: set[str] = set()
        self._runs: dict[str, Node] = {}
        self._states: dict[str, Node] = {}
        step_bits = max(1, (len(self.flow.cuts) - 1).bit_length())
        self.step = self._element("step", "step", step_bits)
        self.ports = Ports(self, rams)

    # -- state

    def state(self, name: str, width: int) -> Node:
        """Reads the register of a kept value, making it where it is new."""
        register = self.kept.register[name]
        if register not in self._states:
            variable = re.sub(r"\W|^(?=\d)", "_", register[1:].split(".")[0])
            self._element(register, f"{variable}_s{len(self._states)}", width)
        return self._states[register]

    def _element(self, register: str, element: str, width: int) -> Node:
        self._states[register] = Node(element, width)
        return self._states[register]

    # -- control

    def runs(self, block: str) -> Node:
        """Whether this activation runs the block."""
        if block not in self._runs:
            if block in self.flow.crossing:
                number = self.flow.cuts.index(block)
                found = self.nodes.binary(
                    "eq", self.step, self.nodes.literal(number, self.step.width), 1
                )
            elif (head := self.flow.joined(block)) is not None:
                # A condition that comes late holds up only what depends on it.
                found = self.runs(head)
            else:
                found = self.nodes.any([self.takes(edge) for edge in self.flow.inward[block]])
            self._runs[block] = found
        return self._runs[block]

    def takes(self, edge: Edge) -> Node:
        """Whether this activation goes this way."""
        source = self.runs(edge.source)
        if edge.condition is None:
            return source
        return self.nodes.both(source, self._chosen(edge, edge.condition))

    def _chosen(self, edge: Edge, condition: Value) -> Node:
        value = self.value(condition, edge.source)
        if value.width == 1 and edge.cases == ("true",):
            return self.nodes.inverse(value) if edge.default else value
        hits = [
            self.nodes.binary("eq", value, self.nodes.literal(literal(case) or 0, value.width), 1)
            for case in edge.cases
        ]
        hit = self.nodes.any(hits)
        return self.nodes.inverse(hit) if edge.default else hit

    # -- values

    def value(self, operand: Value, block: str) -> Node:
        """An operand as a block sees it: computed in this activation, or left by an earlier one."""
        number = literal(operand.text)
        if number is not None:
            return self.nodes.literal(number, width_of(operand.type))
        name = operand.text
        home = self.home[name]
        width = width_of(operand.type)
        if self.kept.is_merged(name):
            return self.state(name, width)
        if self.flow.always_before(home, block):
            return self.current(name)
        made = self.made[name]
        if self.kept.is_rebuilt(name):
            part = self.value(made.operands[0], block)
            return self.nodes.resize(part, width, signed=made.op == "sext")
        if not self.flow.leads_to(home, block):
            return self.state(name, width)
        return self.nodes.choose(self.runs(home), self.current(name), self.state(name, width))

    def current(self, name: str) -> Node:
        """The value that this activation computes for an instruction."""
        if name not in self._values:
            instruction = self.made[name]
            if name in self._active:
                raise self.function.refusal(
                    instruction,
                    "accesses of two streams depend on each other both ways in one step",
                    "Read both streams in the same order on all paths.",
                )
            self._active.add(name)
            self._values[name] = self._compute(instruction, self.home[name])
            self._active.discard(name)
        return self._values[name]

    def _compute(self, made: Instruction, block: str) -> Node:
        if made.op == "phi":
            return self._merge(made, self.flow.inward[block])
        if made.op == "load":
            return self.ports.load(made, block)
        nodes = self.nodes
        values = [self.value(operand, block) for operand in made.operands]
        if made.op in BINARY:
            return self._binary(made, values)
        width = width_of(made.type)
        if made.op == "icmp":
            return nodes.binary(made.detail, values[0], values[1], 1)
        if made.op in ("trunc", "zext", "sext"):
            return nodes.resize(values[0], width, signed=made.op == "sext")
        if made.op == "select":
            return nodes.choose(*values)
        if made.op == "freeze":
            return values[0]
        if made.op == "call":
            return self._intrinsic(made, values)
        raise self.function.refusal(made, f"the LLVM instruction '{made.op}' cannot be translated",
                          "Write it with arithmetic, selections and arrays.")  # fmt: skip

    def _binary(self, made: Instruction, values: list[Node]) -> Node:
        a, b = values
        if made.op in ("sdiv", "srem", "udiv", "urem") and literal(made.operands[1].text) is None:
            raise self.function.refusal(
                made, "a division by a variable would be one combinational circuit",
                "Divide bit by bit in a loop.",
            )  # fmt: skip
        if made.op == "mul":
            return self.nodes.product(a, b)
        if made.op in ("add", "sub"):
            return self.nodes.sum(made.op, a, b)
        if made.op == "and":
            return self.nodes.conjunction(a, b)
        if made.op in _SHIFTS:
            return self.nodes.shift(_SHIFTS[made.op], a, b)
        return self.nodes.binary(_SAME[made.op], a, b)

    def _intrinsic(self, made: Instruction, values: list[Node]) -> Node:
        if not made.detail.startswith("@llvm."):
            self._check_call(made)
        nodes, kind = self.nodes, made.detail.split(".")[1]
        orders = {"smax": "sgt", "smin": "slt", "umax": "ugt", "umin": "ult"}
        if kind in orders:
            a, b = values
            return nodes.choose(nodes.binary(orders[kind], a, b, 1), a, b)
        if kind == "abs":
            value = values[0]
            negative = nodes.binary("slt", value, nodes.literal(0, value.width), 1)
            return nodes.choose(negative, nodes.unary("neg", value), value)
        if kind == "bitreverse":
            return nodes.unary("reverse", values[0])
        if kind in ("fshl", "fshr"):
            return self._funnel(made, kind, values)
        raise self.function.refusal(made, f"the function {made.detail[1:]} is not understood",
                          "Write it with arithmetic and selections.")  # fmt: skip

    def _funnel(self, made: Instruction, kind: str, values: list[Node]) -> Node:
        high, low, _ = values
        amount = literal(made.operands[2].text)
        if amount is None:
            raise self.function.refusal(made, "a rotation by a variable is not understood",
                              "Write it as two shifts.")  # fmt: skip
        width = high.width
        amount %= width
        start = width - amount if kind == "fshl" else amount
        both = self.nodes.number(2 * width, f"concat({high.name}, {low.name})")
        return self.nodes.slice(both, start, width)

    def _merge(self, phi: Instruction, edges: list[Edge]) -> Node:
        """The incoming value of the edge that was taken."""
        incoming = dict(zip(phi.labels, phi.operands, strict=True))
        ways = [
            (self.takes(edge), self.value(incoming[edge.source], edge.source))
            for edge in edges
            if incoming[edge.source].text not in UNDEFINED
        ]
        return self.nodes.merge(ways) if ways else self.nodes.literal(0, width_of(phi.type))

    # -- the whole

    def translate(self) -> Translation:
        """The translation; VitgenError for what is outside the form."""
        for block in self.flow.order:
            for made in self.flow.blocks[block].instructions:
                if made.op == "load":
                    self.current(made.name)
                # Whatever a call returns and whoever reads that: it may write memory.
                value = made.detail.startswith("@llvm.") and made.type != "void"
                if made.op == "call" and not value:
                    self._check_call(made)
        self.ports.finish()
        self._next_step()
        self._next_values()
        return self._package()

    def _check_call(self, made: Instruction) -> None:
        harmless = ("@vitgen_pipeline", "@llvm.lifetime", "@llvm.assume", "@llvm.experimental")
        if not made.detail.startswith(harmless):
            raise self.function.refusal(made, f"the function {made.detail[1:]} is called, not inlined",
                              "Declare it inline; copy structs member by member.")  # fmt: skip

    def _next_step(self) -> None:
        nodes, ways = self.nodes, []
        for number, cut in enumerate(self.flow.cuts):
            if self.flow.crossing[cut]:
                taken = nodes.any([self.takes(edge) for edge in self.flow.crossing[cut]])
                ways.append((taken, nodes.literal(number, self.step.width)))
        # Every activation ends a step.
        nodes.effect("()", f"next_value(param=step, value={nodes.merge(ways).name})")

    def _next_values(self) -> None:
        """State for later steps; computing one can ask for more."""
        members: dict[str, list[str]] = {}
        for name, register in self.kept.register.items():
            members.setdefault(register, []).append(name)
        done = {"step"}
        while left := [register for register in self._states if register not in done]:
            for register in left:
                done.add(register)
                self._next_value(self._states[register], members[register])

    def _next_value(self, element: Node, members: list[str]) -> None:
        """What is written to a register, and when: not on the ways on which it stays as it is."""
        arriving: dict[Node, list[Node]] = {}
        for name in members:
            for arrival in self.kept.arrivals(name):
                edge = arrival.edge
                for value, way in self._origins(arrival.value, edge.source, self.takes(edge)):
                    if value != element:
                        arriving.setdefault(value, []).append(way)
        if not arriving:
            return
        found = self.nodes.merge(
            [(self.nodes.any(ways), value) for value, ways in arriving.items()]
        )
        when = self.nodes.any([way for ways in arriving.values() for way in ways])
        self.nodes.effect(
            "()", f"next_value(param={element.name}, value={found.name}, predicate={when.name})"
        )

    def _origins(self, operand: Value, block: str, way: Node) -> list[tuple[Node, Node]]:
        """The values that phis of this step merge to an operand, each with its condition."""
        found: list[tuple[Node, Node]] = []
        merges: dict[str, list[Node]] = {}  # conditions under which a phi is wanted

        def take(value: Value, at: str, when: Node) -> None:
            made = self.made.get(value.text)
            if value.text in UNDEFINED:
                return
            if (made is not None and made.op == "phi" and not self.kept.is_merged(value.text)
                    and self.flow.always_before(self.home[value.text], at)):  # fmt: skip
                merges.setdefault(value.text, []).append(when)
            else:
                found.append((self.value(value, at), when))

        take(operand, block, way)
        while merges:
            name = max(merges, key=lambda phi: self.flow.place(self.home[phi]))
            when = self.nodes.any(merges.pop(name))
            incoming = dict(zip(self.made[name].labels, self.made[name].operands, strict=True))
            for edge in self.flow.inward[self.home[name]]:
                both = self.nodes.both(self.takes(edge), when)
                take(incoming[edge.source], edge.source, both)
        return found

    def _package(self) -> Translation:
        states = list(self._states.values())
        elements = [f"{node.name}: {bits(node.width)}" for node in states]
        reads = [
            f"  {node.name}: {bits(node.width)} = state_read(state_element={node.name}, id={number})"
            for number, node in enumerate(states, _FIRST_ID)
        ]
        initial = ["0"] * len(elements)
        for array in self.ports.registers():
            elements.append(f"{array.element}: {array.kind}")
            initial.append("[" + ", ".join(["0"] * array.count) + "]")
        name = f"{self.function.name}_process"
        channels = self.ports.channels()
        lines = [f"package {name}", ""]
        for number, channel in enumerate(channels):
            lines.append(channel.declaration(number))
        head = f"top proc {name}({', '.join(elements)}, init={{{', '.join(initial)}}}) {{"
        lines += ["", head, *reads, *self.nodes.lines, "}", ""]
        state_bits = sum(node.width for node in states) + sum(
            array.width * array.count for array in self.ports.registers()
        )
        return Translation(
            name, "\n".join(lines), tuple(channels), tuple(self.ports.rams()),
            tuple(self.ports.constraints()), state_bits,
            self.ports.bank_widths(), *self._interval(),
        )  # fmt: skip

    def _interval(self) -> tuple[int, str]:
        """All loops of a process share one pipeline, so the strictest pragma counts."""
        marks = [
            (interval_of(made), self.function.line_of(made))
            for block in self.flow.blocks.values() for made in block.instructions
            if interval_of(made)
        ]  # fmt: skip
        return min(marks, default=(1, ""))


def translate(function: Function, rams: frozenset[str] = frozenset()) -> Translation:
    """An XLS process that does what the function does.

    Parameters
    ----------
    function : of the process form (``docs/open-rtl.md``).
    rams : names of its local arrays that are memories; the others become registers.

    Raises
    ------
    VitgenError : for a construct outside the form, naming it and what to write instead.
    """
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _RECURSION))
    try:
        return Translator(function, rams).translate()
    finally:
        sys.setrecursionlimit(limit)
