"""What a process keeps from one step to the next, and which of it shares a register.

A value is kept where a step begins that needs it. Two values share a register if one is a copy of
the other somewhere and no step needs both at its begin: the phis that loops inside each other make
of one variable are one register again.
"""

from dataclasses import dataclass

from vitgen.rtl.flow import Edge, Flow
from vitgen.rtl.llvm import Function, Instruction, Value, literal
from vitgen.rtl.memory import Pointers

EXTENSIONS = frozenset(("zext", "sext"))


@dataclass(frozen=True)
class Arrival:
    """A value that must be in its register when a step begins.

    Parameters
    ----------
    edge : that ends the step before.
    value : what arrives with it.
    """

    edge: Edge
    value: Value


class Kept:
    """The values that a function keeps.

    Attributes
    ----------
    live : by cut, the names that its step needs from earlier ones, phis of the cut among them.
    register : by name, the name that stands for all values in one register.
    """

    def __init__(self, function: Function, flow: Flow) -> None:
        self.flow = flow
        self._pointers = Pointers(function)
        self.made: dict[str, Instruction] = {}
        self.home: dict[str, str] = {}
        for block in function.blocks:
            for made in block.instructions:
                if made.name:
                    self.made[made.name] = made
                    self.home[made.name] = block.name
        self.rebuilt: set[str] = set()
        self.live = self._lives()
        if truncated := self._cheap_truncations():
            self.rebuilt = truncated
            self.live = self._lives()
        self.register = self._share()

    def is_rebuilt(self, name: str) -> bool:
        """Whether a later step computes it again, from the value that it is a part or extension of."""
        return self.made[name].op in EXTENSIONS or name in self.rebuilt

    def _root(self, operand: Value) -> str | None:
        """The value that is kept for an operand."""
        name = operand.text
        while name in self.made and self.is_rebuilt(name):
            name = self.made[name].operands[0].text
        return name if name in self.made and self.made[name].type != "ptr" else None

    def _uses(self, made: Instruction) -> list[Value]:
        if made.op in ("load", "store"):
            found = made.operands[:-1]
            for choice in self._pointers.choices(made.operands[-1].text):
                found = [*found, *(index for index, _ in choice.place.terms)]
                found += [value for value, _ in choice.conditions]
            return found
        if made.op == "phi" or made.type == "ptr":
            return []
        return made.operands

    def _lives(self) -> dict[str, frozenset[str]]:
        names = sorted(name for name, made in self.made.items() if made.type != "ptr")
        bit = {name: 1 << place for place, name in enumerate(names)}

        def mask(values: list[Value]) -> int:
            found = 0
            for value in values:
                root = self._root(value)
                if root is not None:
                    found |= bit[root]
            return found

        flow = self.flow
        used, defined, phis = {}, {}, {}
        ends: dict[tuple[str, str], int] = {}
        for name in flow.order:
            before = own = merged = 0
            for made in flow.blocks[name].instructions:
                before |= mask(self._uses(made)) & ~own
                if made.name in bit:
                    own |= bit[made.name]
                if made.op == "phi" and made.type != "ptr":
                    merged |= bit[made.name]
                    for label, value in zip(made.labels, made.operands, strict=True):
                        ends[label, name] = ends.get((label, name), 0) | mask([value])
            used[name], defined[name], phis[name] = before, own, merged
        entering = dict.fromkeys(flow.order, 0)
        entry, changed = flow.cuts[0], True
        needed = 0  # phis that anything uses
        while changed:
            changed = False
            for name in reversed(flow.order):
                leaving = 0
                for edge in flow.edges[name]:
                    if edge.target != entry:
                        leaving |= entering[edge.target] | ends.get((name, edge.target), 0)
                total = used[name] | (leaving & ~defined[name])
                needed |= total | leaving
                changed |= total != entering[name]
                entering[name] = total
        for name in flow.order:
            needed |= mask([v for made in flow.blocks[name].instructions for v in self._uses(made)])
        return {
            cut: frozenset(
                name for name in names if bit[name] & (entering[cut] | phis[cut] & needed)
            )
            for cut in flow.cuts
        }

    def _cheap_truncations(self) -> set[str]:
        """Kept truncations of values that are kept wherever they are."""
        found = set()
        for name in set().union(*self.live.values()):
            made = self.made[name]
            if made.op == "trunc":
                root = self._root(made.operands[0])
                if root and all(root in live for live in self.live.values() if name in live):
                    found.add(name)
        return found

    def is_merged(self, name: str) -> bool:
        """Whether it is a phi of the begin of a step, which gets its value at the end of one."""
        return self.made[name].op == "phi" and self.home[name] in self.flow.crossing

    def arrivals(self, name: str) -> list[Arrival]:
        """How a kept value comes into its register, for every way into a step that needs it."""
        made = self.made[name]
        found = []
        for cut, live in self.live.items():
            if name not in live:
                continue
            own = self.home[name] == cut and made.op == "phi"
            incoming = dict(zip(made.labels, made.operands, strict=True)) if own else {}
            for edge in self.flow.crossing[cut]:
                value = incoming[edge.source] if own else Value(made.type, name)
                found.append(Arrival(edge, value))
        return found

    def _share(self) -> dict[str, str]:
        cuts = {cut: 1 << place for place, cut in enumerate(self.flow.cuts)}
        when: dict[str, int] = {}
        for cut, live in self.live.items():
            for name in live:
                when[name] = when.get(name, 0) | cuts[cut]
        parent = {name: name for name in sorted(when)}

        def find(name: str) -> str:
            while parent[name] != name:
                parent[name] = parent[parent[name]]
                name = parent[name]
            return name

        for name in sorted(when):
            if not self.is_merged(name):
                continue
            for value in self.made[name].operands:
                if literal(value.text) is not None or value.text not in when:
                    continue
                a, b = find(name), find(value.text)
                if a != b and not when[a] & when[b]:
                    parent[b] = a
                    when[a] |= when[b]
        return {name: find(name) for name in parent}
