"""From the LLVM IR of a process to a process of XLS.

An activation runs one step (:mod:`vitgen.rtl.flow`). Its blocks become predicates, its phis and the
merges of paths selections, its stream accesses predicated receives and sends. What one step leaves
to another is state: the step to run next, phis of loop headers, and values that a later step reads.
All state begins as 0: the first step is the start of the function, which sets what needs a value.
"""

import sys
from dataclasses import dataclass

from vitgen.errors import VitgenError
from vitgen.rtl.flow import Edge, Flow
from vitgen.rtl.interface import Channel, Ram
from vitgen.rtl.llvm import BINARY, Function, Instruction, Value, literal, width_of
from vitgen.rtl.nodes import Node, Nodes, bits
from vitgen.rtl.ports import Ports
from vitgen.rtl.split import split_steps

_RECURSION = 20_000  # chains of instructions are followed from their ends

_SAME = {"add": "add", "sub": "sub", "and": "and", "or": "or", "xor": "xor", "shl": "shll",
         "lshr": "shrl", "ashr": "shra", "sdiv": "sdiv", "udiv": "udiv", "srem": "smod",
         "urem": "umod"}  # fmt: skip


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
    """

    name: str
    text: str
    channels: tuple[Channel, ...]
    rams: tuple[Ram, ...]
    constraints: tuple[str, ...]
    state_bits: int
    bank_widths: dict[str, int]


class Translator:
    """Translates one function; use :func:`translate`."""

    def __init__(self, function: Function, rams: frozenset[str]) -> None:
        self.function = function
        self.flow = Flow(function, split_steps(function))
        self.nodes = Nodes()
        self.home: dict[str, str] = {}
        self.made: dict[str, Instruction] = {}
        for block in function.blocks:
            for instruction in block.instructions:
                if instruction.name:
                    self.home[instruction.name] = block.name
                    self.made[instruction.name] = instruction
        self._values: dict[str, Node] = {}
        self._active: set[str] = set()
        self._runs: dict[str, Node] = {}
        self._states: dict[str, Node] = {}
        self._reads: list[str] = []
        step_bits = max(1, (len(self.flow.cuts) - 1).bit_length())
        self.step = self.state("step", step_bits)
        self.ports = Ports(self, rams)

    # -- state

    def state(self, name: str, width: int) -> Node:
        """Reads the state element of a value, making it where it is new."""
        if name not in self._states:
            element = "step" if name == "step" else f"s{len(self._states)}"
            self._reads.append(
                f"  {element}: {bits(width)} = state_read(state_element={element}, "
                f"id={100_000 + len(self._states)})"
            )
            self._states[name] = Node(element, width)
        return self._states[name]

    def refuse(self, instruction: Instruction, what: str, instead: str) -> VitgenError:
        """An error about an instruction."""
        return VitgenError(f"{self.function.name}: {what}: {instruction.text}", instead)

    # -- control

    def runs(self, block: str) -> Node:
        """Whether this activation runs the block."""
        if block not in self._runs:
            if block in self.flow.crossing:
                number = self.flow.cuts.index(block)
                found = self.nodes.binary(
                    "eq", self.step, self.nodes.literal(number, self.step.width), 1
                )
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
        if self._is_carried(name):
            return self.state(name, width)
        if self.flow.always_before(home, block):
            return self.current(name)
        if not self.flow.leads_to(home, block):
            return self.state(name, width)
        return self.nodes.select(self.runs(home), self.current(name), self.state(name, width))

    def _is_carried(self, name: str) -> bool:
        """Whether it is a phi of a loop header, which gets its value at the end of a step."""
        return self.made[name].op == "phi" and self.home[name] in self.flow.crossing

    def current(self, name: str) -> Node:
        """The value that this activation computes for an instruction."""
        if name not in self._values:
            instruction = self.made[name]
            if name in self._active:
                raise self.refuse(
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
            return nodes.select(*values)
        if made.op == "freeze":
            return values[0]
        if made.op == "call":
            return self._intrinsic(made, values)
        raise self.refuse(made, f"the LLVM instruction '{made.op}' cannot be translated",
                          "Write it with arithmetic, selections and arrays.")  # fmt: skip

    def _binary(self, made: Instruction, values: list[Node]) -> Node:
        a, b = values
        if made.op == "mul":
            return self.nodes.binary("umul", a, b)
        if made.op in ("sdiv", "srem", "udiv", "urem") and literal(made.operands[1].text) is None:
            raise self.refuse(made, "a division by a variable would be one combinational circuit",
                              "Divide bit by bit in a loop.")  # fmt: skip
        return self.nodes.binary(_SAME[made.op], a, b)

    def _intrinsic(self, made: Instruction, values: list[Node]) -> Node:
        if not made.detail.startswith("@llvm."):
            self._check_call(made)
        nodes, kind = self.nodes, made.detail.split(".")[1]
        orders = {"smax": "sgt", "smin": "slt", "umax": "ugt", "umin": "ult"}
        if kind in orders:
            a, b = values
            return nodes.select(nodes.binary(orders[kind], a, b, 1), a, b)
        if kind == "abs":
            value = values[0]
            negative = nodes.binary("slt", value, nodes.literal(0, value.width), 1)
            return nodes.select(negative, nodes.unary("neg", value), value)
        if kind in ("fshl", "fshr"):
            return self._funnel(made, kind, values)
        raise self.refuse(made, f"the function {made.detail[1:]} is not understood",
                          "Write it with arithmetic and selections.")  # fmt: skip

    def _funnel(self, made: Instruction, kind: str, values: list[Node]) -> Node:
        high, low, _ = values
        amount = literal(made.operands[2].text)
        if amount is None:
            raise self.refuse(made, "a rotation by a variable is not understood",
                              "Write it as two shifts.")  # fmt: skip
        width = high.width
        amount %= width
        start = width - amount if kind == "fshl" else amount
        both = self.nodes.number(2 * width, f"concat({high.name}, {low.name})")
        return self.nodes.number(width, f"bit_slice({both.name}, start={start}, width={width})")

    def _merge(self, phi: Instruction, edges: list[Edge]) -> Node:
        """The incoming value of the edge that was taken."""
        incoming = dict(zip(phi.labels, phi.operands, strict=True))
        found: Node | None = None
        for edge in edges:
            value = self.value(incoming[edge.source], edge.source)
            found = value if found is None else self.nodes.select(self.takes(edge), value, found)
        assert found is not None
        return found

    # -- the whole

    def translate(self) -> Translation:
        """The translation; VitgenError for what is outside the form."""
        for block in self.flow.order:
            for made in self.flow.blocks[block].instructions:
                effect_only = made.type == "void" or made.type == "ptr"
                if not effect_only and not self._is_carried(made.name):
                    self.current(made.name)
                if made.op == "call" and made.type == "void":
                    self._check_call(made)
        self.ports.finish()
        self._next_step()
        self._next_values()
        return self._package()

    def _check_call(self, made: Instruction) -> None:
        harmless = ("@vitgen_pipeline", "@llvm.lifetime", "@llvm.assume", "@llvm.experimental")
        if not made.detail.startswith(harmless):
            raise self.refuse(made, f"the function {made.detail[1:]} is called, not inlined",
                              "Declare it inline; copy structs member by member.")  # fmt: skip

    def _next_step(self) -> None:
        nodes = self.nodes
        following = self.step
        for number, cut in enumerate(self.flow.cuts):
            literal_step = nodes.literal(number, self.step.width)
            taken = nodes.any([self.takes(edge) for edge in self.flow.crossing[cut]])
            if self.flow.crossing[cut]:
                following = nodes.select(taken, literal_step, following)
        nodes.effect("()", f"next_value(param=step, value={following.name})")

    def _next_values(self) -> None:
        """State for later steps; computing one can ask for more."""
        done = {"step"}
        while left := [name for name in self._states if name not in done]:
            for name in left:
                done.add(name)
                element = self._states[name]
                if self._is_carried(name):
                    edges = self.flow.crossing[self.home[name]]
                    value = self._merge(self.made[name], edges)
                    when = self.nodes.any([self.takes(edge) for edge in edges])
                else:
                    value, when = self.current(name), self.runs(self.home[name])
                self.nodes.effect(
                    "()",
                    f"next_value(param={element.name}, value={value.name}, predicate={when.name})",
                )

    def _package(self) -> Translation:
        elements = [f"{node.name}: {bits(node.width)}" for node in self._states.values()]
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
        lines += ["", head, *self._reads, *self.nodes.lines, "}", ""]
        state_bits = sum(node.width for node in self._states.values()) + sum(
            array.width * array.count for array in self.ports.registers()
        )
        return Translation(
            name, "\n".join(lines), tuple(channels), tuple(self.ports.rams()),
            tuple(self.ports.constraints()), state_bits,
            self.ports.bank_widths(),
        )  # fmt: skip


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
