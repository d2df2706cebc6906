"""How long the ways are in an optimized XLS process that lead from its state back to its state.

Such a way must be done within one interval, in however many stages the rest is cut: it bounds the
clock. Counted are operations, about one level of LUTs or a DSP slice each.
"""

import re
from dataclasses import dataclass

_NODE = re.compile(r"^\s+(?:ret )?([\w.]+): .*? = (\w+)\((.*)\)", re.MULTILINE)
_WORD = re.compile(r"[A-Za-z_][\w.]*")
_FREE = frozenset(
    ("state_read", "literal", "bit_slice", "concat", "sign_ext", "zero_ext", "tuple", "tuple_index",
     "after_all", "array", "receive", "send", "next_value")
)  # fmt: skip


_MOST = 64  # groups of state that are examined


@dataclass(frozen=True)
class Feedback:
    """The longest way from state to state that depends on each other both ways.

    Parameters
    ----------
    source, target : variables of the C++; "step" is the place in the program.
    levels : operations on the way.
    products : multiplications among them.
    """

    source: str
    target: str
    levels: int
    products: int

    def __str__(self) -> str:
        products = f", {self.products} of them multiplications" if self.products else ""
        return f"from {self.source} to {self.target}, {self.levels} operations{products}"


def longest_feedback(text: str) -> Feedback:
    """The longest feedback of an optimized process, in XLS's IR."""
    nodes = [(name, op, _WORD.findall(rest)) for name, op, rest in _NODE.findall(text)]
    worst = Feedback("", "", 0, 0)
    for group in sorted(_coupled(nodes), key=len, reverse=True)[:_MOST]:
        found = _longest(nodes, group)
        if found.levels > worst.levels:
            worst = found
    return worst


_NodeList = list[tuple[str, str, list[str]]]


def _coupled(nodes: _NodeList) -> list[frozenset[str]]:
    """Groups of state elements of which each depends on each."""
    elements = [name for name, op, _ in nodes if op == "state_read"]
    bit = {name: 1 << place for place, name in enumerate(elements)}
    reached = dict(bit)
    needs = dict.fromkeys(elements, 0)
    for name, op, operands in nodes:
        if op == "next_value":
            element = _element(operands)
            needs[element] |= _union(reached, operands[3:])
        elif op != "state_read":
            reached[name] = _union(reached, operands)
    changed = True
    while changed:
        changed = False
        for name in elements:
            more = needs[name]
            for other in elements:
                if needs[name] & bit[other]:
                    more |= needs[other]
            changed |= more != needs[name]
            needs[name] = more
    groups = {
        frozenset(
            other for other in elements if needs[name] & bit[other] and needs[other] & bit[name]
        )
        for name in elements
        if needs[name] & bit[name]
    }
    return sorted(groups, key=sorted)


def _union(reached: dict[str, int], operands: list[str]) -> int:
    found = 0
    for operand in operands:
        found |= reached.get(operand, 0)
    return found


def _element(operands: list[str]) -> str:
    """Of a ``next_value(param=x, value=...)``, as words."""
    return operands[1]


def _longest(nodes: _NodeList, group: frozenset[str]) -> Feedback:
    depth: dict[str, tuple[int, int, str]] = {name: (0, 0, name) for name in group}
    worst = (0, 0, "", "")
    for name, op, operands in nodes:
        if op == "state_read":
            continue
        before = [depth[operand] for operand in operands if operand in depth]
        if op == "next_value":
            element = _element(operands)
            ends = [depth[operand] for operand in operands[3:] if operand in depth]
            if element in group and ends:
                worst = max(worst, (*max(ends), element))
        elif before:
            levels, products, source = max(before)
            product = op in ("umul", "smul")
            depth[name] = (levels + (op not in _FREE), products + product, source)
    levels, products, source, target = worst
    return Feedback(_variable(source), _variable(target), levels, products)


def _variable(element: str) -> str:
    return re.sub(r"_s\d+$", "", element)
