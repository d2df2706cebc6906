"""Random expressions of the process form: what ap_int defines, in C++, with width and sign."""

import random
from dataclasses import dataclass, field

LARGEST = 320  # bits of an intermediate value
_COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")


@dataclass(frozen=True)
class Expression:
    """C++ of a number.

    Parameters
    ----------
    text : C++, in parentheses where it needs them.
    width, signed : of its type in ap_int's rules.
    native : whether it is an int or bool of C++, whose operators are not ap_int's.
    """

    text: str
    width: int
    signed: bool
    native: bool = False


@dataclass(frozen=True)
class Variable:
    """A number that can be read, and assigned where ``writable``.

    Parameters
    ----------
    name, width, signed : in C++.
    writable : whether it can be assigned.
    level : 0 for what is there when an iteration begins. A memory of level n answers to numbers of
        lower levels and its answers have level n, as has what is computed of them; so nothing that an
        address, a condition or a number of iterations needs comes later than the schedule allows.
    """

    name: str
    width: int
    signed: bool
    writable: bool = False
    level: int = 0

    @property
    def type(self) -> str:
        return type_of(self.width, self.signed)

    @property
    def shape(self) -> tuple[int, bool]:
        return self.width, self.signed


@dataclass(frozen=True)
class Struct:
    """A struct of numbers, or a variable of the ``type`` (``writable``, ``level``: as of a number)."""

    name: str
    members: tuple[Variable, ...]
    type: str = ""
    writable: bool = False
    level: int = 0

    def variable(self, name: str, writable: bool, level: int = 0) -> "Struct":
        """A variable of this type."""
        return Struct(name, self.members, self.name, writable, level)

    @property
    def declaration(self) -> str:
        lines = "".join(f"  {member.type} {member.name};\n" for member in self.members)
        return f"struct {self.name} {{\n{lines}}};"

    def variables(self) -> list[Variable]:
        """The members of a variable."""
        return [
            Variable(f"{self.name}.{m.name}", m.width, m.signed, self.writable, self.level)
            for m in self.members
        ]


@dataclass(frozen=True)
class Table:
    """A local array of ``1 << index_bits`` numbers, or one ``member`` of an array of structs; a
    constant one is not ``writable``."""

    name: str
    element: Variable
    index_bits: int
    writable: bool
    member: str = ""
    level: int = 0

    def at(self, index: str) -> str:
        return f"{self.name}[{index}]{self.member}"


@dataclass
class Scope:
    """What a statement can name."""

    variables: list[Variable] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    structs: list[Struct] = field(default_factory=list)

    def inner(self) -> "Scope":
        return Scope(list(self.variables), list(self.tables), list(self.structs))

    def upto(self, level: int) -> "Scope":
        """What is of this level or a lower one."""
        return Scope(
            [one for one in self.variables if one.level <= level],
            [one for one in self.tables if one.level <= level],
            [one for one in self.structs if one.level <= level],
        )

    def declare(self, made: Struct) -> None:
        """Adds a struct and its members."""
        self.structs.append(made)
        self.variables += made.variables()


def type_of(width: int, signed: bool) -> str:
    """Name of ap_int's type."""
    return f"ap_{'int' if signed else 'uint'}<{width}>"


class Shapes:
    """The few widths, signs and structs that the numbers of a group of programs have.

    Every pair of types makes the compiler of the golden program instantiate the operators of ap_int
    once more, and every type of a stream all that belongs to a stream; that takes far longer than
    all else.

    Attributes
    ----------
    commands : structs of commands with the number of fields that say how often a loop runs.
    words : structs that travel through streams.
    """

    def __init__(self, group: int) -> None:
        rng = random.Random(f"shapes {group}")
        widths = [(2, 8), (1, 9), (9, 20), (10, 33), (34, 64)]
        widths.append((65, 90) if rng.random() < 0.7 else (91, 300))
        first = rng.randrange(2)  # which of them are signed
        self._shapes: list[tuple[int, bool]] = []
        self._instead: dict[tuple[int, bool], tuple[int, bool]] = {}
        for number, limits in enumerate(widths):
            width, signed = rng.randint(*limits), (number + first) % 2 == 0
            self._shapes.append((max(2, width) if signed else width, signed))
        self.commands: list[tuple[Struct, int]] = []
        for number in range(4):
            bounds = 1 + number % 2
            shapes = [(1, False), *[(3, False)] * bounds]
            shapes += [self.draw(rng) for _ in range(rng.randint(1, 3))]
            names = ["stop", *(f"f{i}" for i in range(len(shapes) - 1))]
            self.commands.append(
                (self._struct(f"fuzz{group}_command{number}", names, shapes), bounds)
            )
        self.words = []
        for number in range(3):
            shapes = [self.draw(rng) for _ in range(2 + number % 2)]
            names = [f"m{i}" for i in range(len(shapes))]
            self.words.append(self._struct(f"fuzz{group}_word{number}", names, shapes))

    @staticmethod
    def _struct(name: str, names: list[str], shapes: list[tuple[int, bool]]) -> Struct:
        members = zip(names, shapes, strict=True)
        return Struct(name, tuple(Variable(member, *shape) for member, shape in members))

    def draw(self, rng: random.Random) -> tuple[int, bool]:
        """Width and sign of a number; a signed one has at least two bits."""
        return rng.choice(self._shapes)

    def unsigned(self, rng: random.Random) -> tuple[int, bool]:
        """Of a number without a sign."""
        return rng.choice([shape for shape in self._shapes if not shape[1]])

    def narrow(self, rng: random.Random) -> tuple[int, bool]:
        """One of at most 20 bits."""
        found = [shape for shape in self._shapes if shape[0] <= 20]
        return rng.choice(found)

    def has(self, width: int, signed: bool) -> bool:
        """Whether it is one of them."""
        return (width, signed) in self._shapes

    def instead(self, width: int, signed: bool) -> tuple[int, bool]:
        """The one that a number of another width and sign is cast to: always the same."""
        if (width, signed) not in self._instead:
            rng = random.Random(f"{self._shapes} {width} {signed}")
            self._instead[width, signed] = rng.choice(self._shapes)
        return self._instead[width, signed]


class Expressions:
    """Makes expressions of the variables of a scope."""

    def __init__(self, rng: random.Random, shapes: Shapes) -> None:
        self.rng, self.shapes = rng, shapes

    def cast(self, value: Expression, width: int, signed: bool) -> Expression:
        return Expression(f"{type_of(width, signed)}({value.text})", width, signed)

    def number(self, scope: Scope, depth: int) -> Expression:
        """An expression of ap_int's types, of at most :data:`LARGEST` bits."""
        if depth <= 0 or self.rng.random() < 0.12:
            return self._leaf(scope)
        made = self.rng.choices(
            (self._sum, self._product, self._bitwise, self._unary, self._shift, self._part,
             self._conversion, self._choice, self._quotient, self._element, self._concatenation),
            (20, 8, 16, 8, 14, 10, 10, 14, 2, 8, 5),
        )[0](scope, depth - 1)  # fmt: skip
        if self.shapes.has(made.width, made.signed):
            return made
        if made.width > LARGEST or self.rng.random() < 0.9:
            return self.cast(made, *self.shapes.instead(made.width, made.signed))
        return made

    def condition(self, scope: Scope, depth: int) -> str:
        """A bool."""
        rng = self.rng
        kind = rng.random()
        if kind < 0.55 or depth <= 0:
            left, right = self.number(scope, depth - 1), self._operand(scope, depth - 1)
            if rng.random() < 0.2 and not left.native:
                left, right = right, left
            return f"({left.text} {rng.choice(_COMPARISONS)} {right.text})"
        if kind < 0.7:
            return f"({self._bit(scope)})"
        if kind < 0.8:
            return f"!{self.number(scope, depth - 1).text}"
        if kind < 0.9:
            return f"({self.number(scope, depth - 1).text} != 0)"
        # A branch at what a memory answers would make all behind it wait for the answer.
        early = all(one.level == 0 for one in scope.variables)
        operator = rng.choice(("&&", "||", "!=", "&", "^") if early else ("!=", "&", "^"))
        return f"({self.condition(scope, depth - 1)} {operator} {self.condition(scope, depth - 1)})"

    # -- kinds of expressions

    def _leaf(self, scope: Scope) -> Expression:
        if self.rng.random() < 0.9 and scope.variables:
            answers = [one for one in scope.variables if one.level]
            # What is read of a memory and not used is not read of it.
            wanted = answers if answers and self.rng.random() < 0.5 else scope.variables
            found = self.rng.choice(wanted)
            return Expression(found.name, found.width, found.signed)
        return self.cast(self._literal(), *self.shapes.draw(self.rng))

    def _literal(self) -> Expression:
        value = self.rng.choice((0, 1, -1, 2, 3, -2, 7, 255, 256, -128, self.rng.randint(-999, 9999),
                                 self.rng.getrandbits(31), 2**31 - 1))  # fmt: skip
        return Expression(str(value) if value >= 0 else f"({value})", 32, True, native=True)

    def _operand(self, scope: Scope, depth: int) -> Expression:
        """A number of ap_int's or of C++'s types."""
        kind = self.rng.random()
        if kind < 0.2:
            return self._literal()
        if kind < 0.25:
            return Expression(self.condition(scope, depth - 1), 1, False, native=True)
        if kind < 0.29:
            inner = self.cast(self.number(scope, depth - 1), *self.shapes.narrow(self.rng))
            factor, more = self.rng.randint(-9, 9), self.rng.randint(0, 99)
            return Expression(f"({inner.text}.to_int() * {factor} + {more})", 32, True, native=True)
        return self.number(scope, depth)

    def _pair(self, scope: Scope, depth: int) -> tuple[Expression, Expression]:
        left, right = self.number(scope, depth), self._operand(scope, depth)
        return (right, left) if self.rng.random() < 0.3 else (left, right)

    @staticmethod
    def _common(a: Expression, b: Expression) -> int:
        return max(a.width + (b.signed and not a.signed), b.width + (a.signed and not b.signed))

    def _sum(self, scope: Scope, depth: int) -> Expression:
        a, b = self._pair(scope, depth)
        operator = self.rng.choice("+-")
        signed = operator == "-" or a.signed or b.signed
        return Expression(f"({a.text} {operator} {b.text})", self._common(a, b) + 1, signed)

    def _product(self, scope: Scope, depth: int) -> Expression:
        a, b = self._pair(scope, depth)
        if a.width + b.width > 90 and self.rng.random() < 0.9:
            a, b = (self.cast(x, *self.shapes.narrow(self.rng)) for x in (a, b))
        return Expression(f"({a.text} * {b.text})", a.width + b.width, a.signed or b.signed)

    def _bitwise(self, scope: Scope, depth: int) -> Expression:
        a, b = self._pair(scope, depth)
        text = f"({a.text} {self.rng.choice('&|^')} {b.text})"
        return Expression(text, self._common(a, b), a.signed or b.signed)

    def _unary(self, scope: Scope, depth: int) -> Expression:
        a = self.number(scope, depth)
        if self.rng.random() < 0.5:
            return Expression(f"(~{a.text})", a.width, a.signed)
        return Expression(f"(-{a.text})", a.width + 1, True)

    def _shift(self, scope: Scope, depth: int) -> Expression:
        a = self.number(scope, depth)
        operator = self.rng.choice(("<<", ">>", ">>"))
        amount_bits = a.width.bit_length() - 1  # 2^n - 1 is below the width
        if amount_bits == 0 or self.rng.random() < 0.5:
            amount = str(self.rng.randrange(a.width))
        else:
            bits = self.rng.randint(1, amount_bits)
            amount = self.cast(self.number(scope, depth), bits, False).text
        return Expression(f"({a.text} {operator} {amount})", a.width, a.signed)

    def _bit(self, scope: Scope) -> str:
        found = self.rng.choice(scope.variables)
        bits = found.width.bit_length() - 1
        if bits and self.rng.random() < 0.4:
            index = self.cast(self._leaf(scope), bits, False).text + ".to_int()"
        else:
            index = str(self.rng.randrange(found.width))
        return f"bool({found.name}[{index}])"

    def part_of(self, width: int) -> tuple[int, int]:
        """High and low bit of a part."""
        size = self.rng.choice([size for size in (1, 2, 4, 7, 13, 34, 70) if size <= width])
        low = self.rng.randint(0, width - size)
        return low + size - 1, low

    def _part(self, scope: Scope, depth: int) -> Expression:
        found = self.rng.choice(scope.variables)
        if self.rng.random() < 0.4:
            return Expression(f"ap_uint<1>({self._bit(scope)})", 1, False)
        if not found.signed and found.width >= 8 and self.rng.random() < 0.4:
            bits = self.rng.choice([bits for bits in (2, 4, 9) if bits <= found.width // 2])
            lane = self.rng.randrange(found.width // bits)
            kind = self.rng.random() < 0.5
            name = "signed_lane" if kind else "unsigned_lane"
            return Expression(f"{name}<{bits}>({found.name}, {lane})", bits, kind)
        high, low = self.part_of(found.width)
        width = high - low + 1
        return Expression(f"ap_uint<{width}>({found.name}.range({high}, {low}))", width, False)

    def _conversion(self, scope: Scope, depth: int) -> Expression:
        a = self.number(scope, depth)
        if self.rng.random() < 0.3:  # the other sign
            return self.cast(a, max(2, a.width), not a.signed)
        width, signed = self.shapes.draw(self.rng)
        return self.cast(a, width, signed)

    def _choice(self, scope: Scope, depth: int) -> Expression:
        width, signed = self.shapes.draw(self.rng)
        a, b = (self.cast(self._operand(scope, depth), width, signed) for _ in range(2))
        condition = self.condition(scope.upto(0), depth)
        return Expression(f"({condition} ? {a.text} : {b.text})", width, signed)

    def _quotient(self, scope: Scope, depth: int) -> Expression:
        a = self.cast(self.number(scope, depth), *self.shapes.narrow(self.rng))
        operator, divisor = self.rng.choice("/%"), self.rng.choice((2, 3, 5, 8, 10, 77))
        return Expression(f"({a.text} {operator} {divisor})", a.width + (operator == "/"),
                          a.signed or operator == "/")  # fmt: skip

    def _element(self, scope: Scope, depth: int) -> Expression:
        if not scope.tables:
            return self._sum(scope, depth)
        table = self.rng.choice(scope.tables)
        text = table.at(self.index(scope, table.index_bits))
        return Expression(text, table.element.width, table.element.signed)

    def _concatenation(self, scope: Scope, depth: int) -> Expression:
        parts = [self.number(scope, depth) for _ in range(self.rng.choice((2, 2, 2, 3)))]
        while sum(part.width for part in parts) > LARGEST:
            parts = [self.cast(part, *self.shapes.narrow(self.rng)) for part in parts]
        width = sum(part.width for part in parts)
        if len(parts) == 2 and self.rng.random() < 0.3:
            text = f"{parts[0].text}.concat({parts[1].text})"
        else:
            text = f"({', '.join(part.text for part in parts)})"
        return Expression(f"ap_uint<{width}>({text})", width, False)

    def index(self, scope: Scope, bits: int) -> str:
        """Of an element, below ``1 << bits``."""
        if self.rng.random() < 0.4:
            return str(self.rng.randrange(1 << bits))
        return self.cast(self.number(scope, 1), bits, False).text
