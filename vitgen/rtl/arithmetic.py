"""Arithmetic on the nodes of an XLS process, no wider than its values and no larger than a DSP slice.

C++ computes in the width of its types: a product of two 8-bit lanes may stand there as one of 64
bits. XLS narrows that, but the time it takes grows with what it must narrow, and it never cuts an
operation. Here extensions are followed to their sources, and a product that is wider than a DSP48E2
becomes partial products, which the pipeline can take apart.
"""

from dataclasses import dataclass

from vitgen.rtl.nodes import Node, Nodes

# Magnitudes of the signed 27 x 18 bits multiplier of a DSP48E2.
_LONG, _SHORT = 26, 17


@dataclass(frozen=True)
class _Source:
    """A value without its extension."""

    node: Node
    signed: bool

    @property
    def signed_width(self) -> int:
        """Bits that hold it as a signed number."""
        return self.node.width + (0 if self.signed else 1)


class Arithmetic(Nodes):
    """Nodes with the operations of C++ on numbers of one width."""

    def __init__(self) -> None:
        super().__init__()
        self._extended: dict[Node, _Source] = {}
        self._sliced: dict[Node, tuple[Node, int]] = {}
        self._shifted: dict[Node, tuple[Node, int]] = {}  # to the left, by a constant
        self._constant: dict[Node, int] = {}

    def literal(self, value: int, width: int) -> Node:
        node = super().literal(value, width)
        self._constant[node] = value & ((1 << width) - 1)
        return node

    # -- widths

    def resize(self, a: Node, width: int, signed: bool = False) -> Node:
        """The low bits, or an extension."""
        if width == a.width:
            return a
        if a in self._constant:
            value = self._constant[a]
            if signed and value >> (a.width - 1):
                value -= 1 << a.width
            return self.literal(value, width)
        if width < a.width:
            return self.slice(a, 0, width)
        source = self._extended.get(a)
        if source is not None and (source.signed == signed or not source.signed):
            # What was extended by zeros is no negative number.
            return self._extend(source, width)
        return self._extend(_Source(a, signed), width)

    def _extend(self, source: _Source, width: int) -> Node:
        node = source.node
        if width < node.width:
            return self.slice(node, 0, width)
        if width == node.width:
            return node
        found = super().resize(node, width, source.signed)
        self._extended[found] = source
        return found

    def slice(self, a: Node, start: int, width: int) -> Node:
        """``width`` bits from bit ``start`` on, which are all in ``a``."""
        if start == 0 and width == a.width:
            return a
        if a in self._constant:
            return self.literal(self._constant[a] >> start, width)
        source = self._extended.get(a)
        if source is not None:
            if start + width <= source.node.width:
                return self.slice(source.node, start, width)
            if start < source.node.width:
                kept = self.slice(source.node, start, source.node.width - start)
                return self._extend(_Source(kept, source.signed), width)
            if not source.signed:
                return self.literal(0, width)
        if a in self._sliced:
            whole, first = self._sliced[a]
            return self.slice(whole, first + start, width)
        found = self.number(width, f"bit_slice({a.name}, start={start}, width={width})")
        self._sliced[found] = (a, start)
        return found

    def unextended(self, a: Node) -> Node:
        """A value that is never negative without the zeros that fill it up."""
        source = self._extended.get(a)
        return a if source is None or source.signed else source.node

    def _source(self, a: Node) -> _Source:
        """A value without what only extends it."""
        if a in self._extended:
            return self._extended[a]
        if a in self._constant:
            value = self._constant[a]
            if value >> (a.width - 1):
                value -= 1 << a.width
                return _Source(self.literal(value, (~value).bit_length() + 1), True)
            return _Source(self.literal(value, max(1, value.bit_length())), False)
        return _Source(a, True)

    # -- operations; operands and result have one width

    def sum(self, operation: str, a: Node, b: Node) -> Node:
        """``add`` or ``sub``."""
        first, second = self._source(a), self._source(b)
        need = max(first.signed_width, second.signed_width) + 1
        if need >= a.width:
            return self.binary(operation, a, b)
        found = self.binary(operation, self._extend(first, need), self._extend(second, need))
        return self._extend(_Source(found, True), a.width)

    def choose(self, condition: Node, yes: Node, no: Node) -> Node:
        """``yes`` where the condition is 1."""
        if yes == no:
            return yes
        if condition in self._constant:
            return yes if self._constant[condition] else no
        first, second = self._source(yes), self._source(no)
        signed = first.signed or second.signed
        if signed:
            need = max(first.signed_width, second.signed_width)
        else:
            need = max(first.node.width, second.node.width)
        if need >= yes.width:
            return self.select(condition, yes, no)
        found = self.select(condition, self._extend(first, need), self._extend(second, need))
        return self._extend(_Source(found, signed), yes.width)

    def merge(self, ways: list[tuple[Node, Node]]) -> Node:
        """The value of the way whose condition holds, of ``(condition, value)``, by a tree.

        At most one condition holds; where none does, the result is any of the values.
        """
        while len(ways) > 1:
            pairs = []
            for (one, first), (other, second) in zip(ways[::2], ways[1::2], strict=False):
                pairs.append((self.any([one, other]), self.choose(other, second, first)))
            ways = [*pairs, ways[-1]] if len(ways) % 2 else pairs
        return ways[0][1]

    def conjunction(self, a: Node, b: Node) -> Node:
        """``and``; with a constant of low ones, the low bits."""
        for value, mask in ((a, b), (b, a)):
            constant = self._constant.get(mask)
            if constant is not None and constant & (constant + 1) == 0 and constant:
                low = self.slice(value, 0, constant.bit_length())
                return self._extend(_Source(low, False), a.width)
        return self.binary("and", a, b)

    def shift(self, operation: str, a: Node, amount: Node) -> Node:
        """``shll``, ``shrl`` or ``shra``; by a constant, it only picks bits."""
        count, width = self._constant.get(amount), a.width
        if count is None or count >= width:
            return self.binary(operation, a, amount)
        if count == 0:
            return a
        if operation == "shll":
            zeros, rest = self.literal(0, count), self.slice(a, 0, width - count)
            found = self.number(width, f"concat({rest.name}, {zeros.name})")
            self._shifted[found] = (a, count)
            return found
        if a in self._shifted and self._shifted[a][1] <= count:
            a, back = self._shifted[a]
            part = self.slice(a, count - back, width - count)
        else:
            part = self.slice(a, count, width - count)
        return self._extend(_Source(part, operation == "shra"), width)

    def product(self, a: Node, b: Node) -> Node:
        """``mul``, of partial products where a DSP slice is too small for it."""
        width = a.width
        first, second = self._source(a), self._source(b)
        if first.signed_width < second.signed_width:
            first, second = second, first
        signed = first.signed or second.signed
        size = first.node.width + second.node.width
        if signed:  # an unsigned operand as a signed one
            first, second = self._as_signed(first), self._as_signed(second)
            size = first.node.width + second.node.width
        ways = [self._cuts(first, second, *steps) for steps in ((_LONG, _SHORT), (_SHORT, _LONG))]
        longs, shorts = min(ways, key=lambda way: len(way[0]) * len(way[1]))
        size = min(size, width)
        terms = []
        for place, x in longs:
            for other, y in shorts:
                if place + other < size:
                    terms.append(self._term(x, y, place + other, size))
        return self._extend(_Source(self._total(terms), signed), width)

    def _as_signed(self, source: _Source) -> _Source:
        return _Source(self._extend(source, source.signed_width), True)

    def _cuts(
        self, first: _Source, second: _Source, one: int, two: int
    ) -> tuple[list[tuple[int, _Source]], list[tuple[int, _Source]]]:
        return self._cut(first, one), self._cut(second, two)

    def _cut(self, source: _Source, step: int) -> list[tuple[int, _Source]]:
        """Unsigned parts of ``step`` bits, and the rest, with the places of their lowest bits."""
        node, parts, place = source.node, [], 0
        while node.width - place > step + (1 if source.signed else 0):
            parts.append((place, _Source(self.slice(node, place, step), False)))
            place += step
        rest = self.slice(node, place, node.width - place)
        return [*parts, (place, _Source(rest, source.signed))]

    def _term(self, a: _Source, b: _Source, place: int, size: int) -> Node:
        signed = a.signed or b.signed
        if signed:
            a, b = self._as_signed(a), self._as_signed(b)
        width = a.node.width + b.node.width
        found = self.binary("smul" if signed else "umul", a.node, b.node, width)
        if place:
            zeros = self.literal(0, place)
            found = self.number(width + place, f"concat({found.name}, {zeros.name})")
        return self._extend(_Source(found, signed), size)

    def _total(self, terms: list[Node]) -> Node:
        """The sum, by a tree."""
        while len(terms) > 1:
            pairs = [
                self.binary("add", a, b) for a, b in zip(terms[::2], terms[1::2], strict=False)
            ]
            terms = [*pairs, terms[-1]] if len(terms) % 2 else pairs
        return terms[0]
