"""Random statements of the process form that access no port: declarations, assignments, arrays."""

import random
from dataclasses import dataclass, field

from tests.rtl.fuzz_expressions import Expressions, Scope, Shapes, Struct, Table, Variable
from tests.rtl.fuzz_program import Node, line


@dataclass
class Path:
    """What the statements so far on a path of a pipelined iteration leave to access.

    Streams are read in the order of their numbers: reads that depend on each other both ways are
    outside the form.
    """

    next_read: int = 0
    written: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)  # memories
    pipelined: bool = True

    def copy(self) -> "Path":
        return Path(self.next_read, set(self.written), set(self.used), self.pipelined)

    def join(self, others: list["Path"]) -> None:
        self.next_read = max(other.next_read for other in others)
        self.written = set().union(*(other.written for other in others))
        self.used = set().union(*(other.used for other in others))


class Statements:
    """Makes statements of the variables of a scope."""

    def __init__(self, seed: int, group: int) -> None:
        self.rng = random.Random(seed)
        self.shapes = Shapes(group)
        self.expressions = Expressions(self.rng, self.shapes)
        self.levels = 1  # that numbers have
        self._names = 0

    def name(self, kind: str) -> str:
        """A new name."""
        self._names += 1
        return f"{kind}{self._names}"

    def cast(self, scope: Scope, variable: Variable, depth: int) -> str:
        """An expression of a variable's type."""
        value = self.expressions.number(scope, depth)
        return self.expressions.cast(value, variable.width, variable.signed).text

    def initial(self, scope: Scope, struct: Struct) -> str:
        """A value of a struct."""
        values = [self.cast(scope, member, 1) for member in struct.members]
        return f"{struct.type or struct.name}{{{', '.join(values)}}}"

    def _level(self) -> int:
        return self.rng.randrange(self.levels) if self.rng.random() < 0.6 else 0

    # -- declarations

    def declare(self, scope: Scope) -> Node:
        """A number, or a struct, that can be assigned."""
        if self.rng.random() < 0.2:
            return self._declare_struct(scope)
        made = Variable(self.name("v"), *self.shapes.draw(self.rng), True, self._level())
        inner = scope.upto(0)
        if self.rng.random() < 0.4 or not inner.variables:
            value = str(self.rng.choice((0, 0, 1, 5)))
        else:
            value = self.expressions.number(inner, 2).text
        scope.variables.append(made)
        return line(f"{made.type} {made.name} = {value};", made.name)

    def _declare_struct(self, scope: Scope) -> Node:
        made = self.rng.choice(self.shapes.words).variable(self.name("s"), True, self._level())
        inner = scope.upto(0)
        same = [one for one in inner.structs if one.type == made.type]
        if same and self.rng.random() < 0.3:
            text = f"{made.type} {made.name} = {self.rng.choice(same).name};"
        elif inner.variables and self.rng.random() < 0.5:
            text = f"{made.type} {made.name} = {self.initial(inner, made)};"
        else:
            values = [f"{made.name}.{m.name} = {self.rng.choice((0, 1, 5))};" for m in made.members]
            text = "\n".join([f"{made.type} {made.name};", *values])
        scope.declare(made)
        return line(text, made.name)

    def table(self, scope: Scope) -> Node:
        """An array of numbers or of structs."""
        kind = self.rng.random()
        if kind < 0.25:
            return self._struct_table(scope)
        index_bits, writable, level = self.rng.randint(1, 3), kind < 0.85, self._level()
        element = Variable("", *self.shapes.draw(self.rng))
        name, count = self.name("t"), 1 << index_bits
        scope.tables.append(Table(name, element, index_bits, writable, level=level * writable))
        if not writable:
            values = ", ".join(str(self.rng.randint(0, 999)) for _ in range(count))
            return line(f"const {element.type} {name}[{count}] = {{{values}}};", name)
        return line(
            f"{element.type} {name}[{count}];\n"
            f"for (int i = 0; i < {count}; ++i) {{\n#pragma HLS unroll\n"
            f"  {name}[i] = {self.rng.randint(0, 9)} * i;\n}}", name,
        )  # fmt: skip

    def _struct_table(self, scope: Scope) -> Node:
        struct = self.rng.choice(self.shapes.words)
        index_bits, level, name = self.rng.randint(1, 2), self._level(), self.name("t")
        lines = []
        for member in struct.members:
            scope.tables.append(Table(name, member, index_bits, True, f".{member.name}", level))
            lines.append(f"  {name}[i].{member.name} = {self.rng.randint(0, 9)} + i;")
        count = 1 << index_bits
        head = f"for (int i = 0; i < {count}; ++i) {{\n#pragma HLS unroll"
        return line("\n".join([f"{struct.name} {name}[{count}];", head, *lines, "}"]), name)

    def constant(self, scope: Scope, path: Path) -> Node:
        """A constant copy of an expression."""
        level = self.rng.randrange(self.levels)
        made = Variable(self.name("c"), *self.shapes.draw(self.rng), level=level)
        value = self.expressions.number(scope.upto(level), 3).text
        scope.variables.append(made)
        return line(f"const {made.type} {made.name} = {value};", made.name)

    # -- assignments

    def writable(self, scope: Scope, level: int = -1) -> Variable | None:
        """A variable to be assigned, of at least this level."""
        found = [one for one in scope.variables if one.writable and one.level >= level]
        return self.rng.choice(found) if found else None

    def assign(self, scope: Scope, path: Path) -> Node:
        """An assignment to a number or to parts of it."""
        rng, target = self.rng, self.writable(scope)
        if target is None:
            return self.constant(scope, path)
        name, kind, inner = target.name, rng.random(), scope.upto(target.level)
        if kind < 0.1:
            return line(rng.choice((f"++{name};", f"--{name};", f"{name}++;")))
        if kind < 0.3:
            operator = rng.choice(("+", "-", "^", "|", "&", "*"))
            return line(f"{name} {operator}= {self.expressions.number(inner, 2).text};")
        if kind < 0.38:
            return line(f"{name} {rng.choice(('<<', '>>'))}= {rng.randrange(target.width)};")
        if kind < 0.48:
            high, low = self.expressions.part_of(target.width)
            part = self.expressions.cast(self.expressions.number(inner, 2), high - low + 1, False)
            return line(f"{name}.range({high}, {low}) = {part.text};")
        if kind < 0.56:
            bit = rng.randrange(target.width)
            return line(f"{name}[{bit}] = {self.expressions.condition(inner, 2)};")
        if kind < 0.62 and not target.signed and target.width >= 6:
            bits = rng.choice([bits for bits in (1, 3, 9) if bits <= target.width // 2])
            lane = rng.randrange(target.width // bits)
            value = self.expressions.number(inner, 2).text
            return line(f"set_lane<{bits}>({name}, {lane}, {value});")
        if kind < 0.7:
            return self._assign_two(scope, target)
        return line(f"{name} = {self.expressions.number(inner, 4).text};")

    def _assign_two(self, scope: Scope, target: Variable) -> Node:
        """What goes to a concatenation goes to both."""
        others = [one for one in scope.variables if one.writable and one.name != target.name]
        inner = scope.upto(target.level)
        if not others:
            return line(f"{target.name} = {self.expressions.number(inner, 3).text};")
        other = self.rng.choice(others)
        if (target.level == other.level) and self.rng.random() < 0.3:
            return line(f"({target.name}, {other.name}) = ({other.name}, {target.name});")
        value = self.expressions.number(scope.upto(min(target.level, other.level)), 3)
        return line(f"({target.name}, {other.name}) = {value.text};")

    def assign_struct(self, scope: Scope, path: Path) -> Node:
        """An assignment to a whole struct."""
        found = [one for one in scope.structs if one.writable]
        if not found:
            return self.assign(scope, path)
        target = self.rng.choice(found)
        inner = scope.upto(target.level)
        same = [one for one in inner.structs if one.type == target.type and one.name != target.name]
        if same and self.rng.random() < 0.5:
            return line(f"{target.name} = {self.rng.choice(same).name};")
        return line(f"{target.name} = {self.initial(inner, target)};")

    def store(self, scope: Scope, path: Path) -> Node:
        """An assignment to an element of an array in registers."""
        tables = [table for table in scope.tables if table.writable]
        if not tables:
            return self.assign(scope, path)
        table = self.rng.choice(tables)
        inner = scope.upto(table.level)
        index = self.expressions.index(inner, table.index_bits)
        return line(f"{table.at(index)} = {self.cast(inner, table.element, 2)};")

    def counter(self, scope: Scope, path: Path) -> Node:
        """A counter that wraps, as flattened loops have them."""
        target = self.writable(scope.upto(0))
        if target is None:
            return self.constant(scope, path)
        last, step = self.rng.randint(1, 5), self.assign(scope, path)
        return Node([(f"if ({target.name} == {last}) {{", [line(f"{target.name} = 0;"), step]),
                     ("} else {", [line(f"++{target.name};")])], "}")  # fmt: skip

    def lanes(self, scope: Scope, path: Path) -> Node:
        """An unrolled loop over the lanes of words."""
        lanes, name = self.rng.randint(2, 4), self.name("lane")
        inner = scope.inner()
        body = [self.assign(inner, path) for _ in range(self.rng.randint(1, 2))]
        wide = [v for v in inner.variables if not v.signed and v.width >= lanes]
        if wide:
            source = self.rng.choice(wide)
            bits = source.width // lanes
            made = Variable(self.name("c"), bits, False, level=source.level)
            body.insert(0, line(f"const {made.type} {made.name} = "
                                f"unsigned_lane<{bits}>({source.name}, {name});", made.name))  # fmt: skip
            inner.variables.append(made)
        targets = [v for v in wide if v.writable]
        if targets:
            target = self.rng.choice(targets)
            value = self.expressions.number(inner.upto(target.level), 2).text
            body.append(line(f"set_lane<{target.width // lanes}>({target.name}, {name}, {value});"))
        tables = [t for t in inner.tables if t.writable and 1 << t.index_bits >= lanes]
        if tables:
            table = self.rng.choice(tables)
            value = self.cast(inner.upto(table.level), table.element, 2)
            body.append(line(f"{table.at(name)} = {value};"))
        head = f"for (int {name} = 0; {name} < {lanes}; ++{name}) {{\n#pragma HLS unroll"
        return Node([(head, body)], "}")
