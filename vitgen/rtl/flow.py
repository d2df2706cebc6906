"""Control flow of a process, cut into steps.

Every loop is cut at its header, so what lies between two cuts is free of loops: a *step*. One
activation of the generated process runs one step, from a cut to the next; which one is its state.
"""

from dataclasses import dataclass

from vitgen.rtl.llvm import Block, Function, Value


@dataclass(frozen=True)
class Edge:
    """A way from a block to another, or to the start of the process where it returns.

    Parameters
    ----------
    source, target : names of blocks.
    condition : value that decides, None where there is no choice.
    cases : literals of ``condition`` that lead here, or away from here where ``default``.
    default : taken for all but the cases.
    """

    source: str
    target: str
    condition: Value | None = None
    cases: tuple[str, ...] = ()
    default: bool = False


def edges_of(block: Block, start: str) -> list[Edge]:
    """Ways out of a block."""
    last = block.instructions[-1]
    if last.op == "br" and not last.operands:
        return [Edge(block.name, last.labels[0])]
    if last.op == "br":
        condition = last.operands[0]
        if last.labels[0] == last.labels[1]:
            return [Edge(block.name, last.labels[0])]
        return [
            Edge(block.name, last.labels[0], condition, ("true",)),
            Edge(block.name, last.labels[1], condition, ("true",), default=True),
        ]
    if last.op == "switch":
        condition, *values = last.operands
        targets: dict[str, list[str]] = {}
        for value, label in zip(values, last.labels[1:], strict=True):
            if label != last.labels[0]:
                targets.setdefault(label, []).append(value.text)
        elsewhere = tuple(text for texts in targets.values() for text in texts)
        found = [
            Edge(block.name, label, condition, tuple(texts)) for label, texts in targets.items()
        ]
        return [*found, Edge(block.name, last.labels[0], condition, elsewhere, default=True)]
    if last.op == "ret":
        return [Edge(block.name, start)]
    if last.op == "unreachable":
        return []
    raise AssertionError(f"the reader lets no block end like this: {last.text}")


class Flow:
    """Blocks of a function with its cuts: the entry, loop headers, and ``extra`` ones.

    Attributes
    ----------
    blocks : by name.
    cuts : names of the blocks where a step begins; the entry is the first.
    order : all blocks, every one behind those that lead to it within a step.
    inward : edges of a step into a block; none into a cut.
    crossing : edges that end a step, by the cut that they lead to.
    """

    def __init__(self, function: Function, extra: frozenset[str] = frozenset()) -> None:
        self.blocks = {block.name: block for block in function.blocks}
        entry = function.blocks[0].name
        self.edges = {block.name: edges_of(block, entry) for block in function.blocks}
        back, order = self._search(entry)
        back |= extra
        self.cuts = [entry, *(name for name in order if name in back and name != entry)]
        self.order = order
        self.inward: dict[str, list[Edge]] = {name: [] for name in order}
        self.crossing: dict[str, list[Edge]] = {name: [] for name in self.cuts}
        for name in order:
            for edge in self.edges[name]:
                held = self.crossing if edge.target in self.crossing else self.inward
                held[edge.target].append(edge)
        self._index = {name: place for place, name in enumerate(order)}
        self._before: dict[str, int] = {}
        self._dominators: dict[str, int] = {}
        for name in order:
            sources = [edge.source for edge in self.inward[name]]
            own = 1 << self._index[name]
            before = 0
            shared = -1 if sources else 0
            for source in sources:
                before |= self._before[source] | (1 << self._index[source])
                shared &= self._dominators[source]
            self._before[name] = before
            self._dominators[name] = shared | own

    def _search(self, entry: str) -> tuple[set[str], list[str]]:
        """Targets of back edges of a depth-first search, and the blocks in reverse postorder."""
        back: set[str] = set()
        active, done = {entry}, []
        stack = [(entry, iter(self.edges[entry]))]
        seen = {entry}
        while stack:
            name, left = stack[-1]
            edge = next(left, None)
            if edge is None:
                stack.pop()
                active.discard(name)
                done.append(name)
            elif edge.target in active:
                back.add(edge.target)
            elif edge.target not in seen:
                seen.add(edge.target)
                active.add(edge.target)
                stack.append((edge.target, iter(self.edges[edge.target])))
        return back, done[::-1]

    def place(self, block: str) -> int:
        """Where in :attr:`order` a block is."""
        return self._index[block]

    def leads_to(self, first: str, second: str) -> bool:
        """Whether one step can run ``first`` and later ``second``."""
        return bool(self._before[second] >> self._index[first] & 1)

    def always_before(self, first: str, second: str) -> bool:
        """Whether every step that runs ``second`` has run ``first``, or they are the same."""
        return bool(self._dominators[second] >> self._index[first] & 1)

    def joined(self, block: str) -> str | None:
        """The block before a branch whose ways all come together in this one; None where not all do.

        A step that runs the one runs the other, whatever the branch decides.
        """
        before = self._dominators[block] & ~(1 << self._index[block])
        if not before:
            return None
        head = self.order[before.bit_length() - 1]
        for name in self.order[self._index[head] : self._index[block]]:
            if (name == head or self.leads_to(head, name)) and self.leads_to(name, block):
                for edge in self.edges[name]:
                    inside = edge.target not in self.crossing
                    if not inside or not (
                        edge.target == block or self.leads_to(edge.target, block)
                    ):
                        return None
        return head

    def exclusive(self, first: str, second: str) -> bool:
        """Whether no step runs both blocks."""
        return first != second and not (
            self.leads_to(first, second) or self.leads_to(second, first)
        )
