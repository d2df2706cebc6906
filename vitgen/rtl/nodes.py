"""Writer of the nodes of an XLS process."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Node:
    """A node: its name and, where it is a number, its bits (0 else)."""

    name: str
    width: int = 0


def bits(width: int) -> str:
    """XLS's name of a type of numbers."""
    return f"bits[{width}]"


class Nodes:
    """Nodes in the order in which they were made; equal ones are made once."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._made: dict[tuple[str, str], Node] = {}
        self._count = 0

    def _new(self, kind: str, operation: str, width: int, name: str = "") -> Node:
        self._count += 1
        node = Node(name or f"n{self._count}", width)
        arguments = operation[:-1]
        separator = "" if arguments.endswith("(") else ", "
        self.lines.append(f"  {node.name}: {kind} = {arguments}{separator}id={self._count})")
        return node

    def effect(self, kind: str, operation: str) -> Node:
        """A node that does something, so that each is one of its own."""
        return self._new(kind, operation, 0)

    def of_kind(self, kind: str, operation: str) -> Node:
        """A node of a type that is no number."""
        key = (kind, operation)
        if key not in self._made:
            self._made[key] = self._new(kind, operation, 0)
        return self._made[key]

    def number(self, width: int, operation: str) -> Node:
        """A node that is a number."""
        key = (bits(width), operation)
        if key not in self._made:
            self._made[key] = self._new(bits(width), operation, width)
        return self._made[key]

    def named(self, kind: str, operation: str, width: int, name: str) -> Node:
        """A node with a name, which must be its own."""
        return self._new(kind, operation, width, name)

    def literal(self, value: int, width: int) -> Node:
        """A constant, wrapped to its width."""
        return self.number(width, f"literal(value={value & ((1 << width) - 1)})")

    def unary(self, operation: str, a: Node) -> Node:
        return self.number(a.width, f"{operation}({a.name})")

    def binary(self, operation: str, a: Node, b: Node, width: int = 0) -> Node:
        """``operation(a, b)``, as wide as ``a`` unless said."""
        return self.number(width or a.width, f"{operation}({a.name}, {b.name})")

    def select(self, condition: Node, yes: Node, no: Node) -> Node:
        """``yes`` where the condition is 1."""
        if yes == no:
            return yes
        return self.number(yes.width, f"sel({condition.name}, cases=[{no.name}, {yes.name}])")

    def resize(self, a: Node, width: int, signed: bool = False) -> Node:
        """The low bits, or an extension."""
        if width == a.width:
            return a
        if width < a.width:
            return self.number(width, f"bit_slice({a.name}, start=0, width={width})")
        extend = "sign_ext" if signed else "zero_ext"
        return self.number(width, f"{extend}({a.name}, new_bit_count={width})")

    def any(self, conditions: list[Node]) -> Node:
        """Whether one of the conditions holds."""
        unique = list(dict.fromkeys(conditions))
        if not unique:
            return self.literal(0, 1)
        if len(unique) == 1:
            return unique[0]
        return self.number(1, f"or({', '.join(node.name for node in unique)})")

    def both(self, a: Node, b: Node) -> Node:
        return self.binary("and", a, b)

    def inverse(self, a: Node) -> Node:
        return self.unary("not", a)

    def after(self, tokens: list[Node]) -> Node:
        """A token behind all of these."""
        return self.of_kind("token", f"after_all({', '.join(token.name for token in tokens)})")
