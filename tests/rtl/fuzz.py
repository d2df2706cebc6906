"""Random programs of the process form (``docs/open-rtl.md``), the same ones for the same seed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.rtl.cosim import random_words
from tests.rtl.fuzz_expressions import (
    Expressions,
    Scope,
    Shapes,
    Table,
    Variable,
    type_of,
)

COMMANDS = 3  # of a run, before the one that says stop
GROUP = 100  # programs that have their widths in common
_TRIPS = 4  # the most iterations of a loop


@dataclass
class Node:
    """A statement, or one with statements inside.

    Parameters
    ----------
    parts : a line, and the statements that it holds, for every branch.
    tail : the closing line of one that holds statements.
    declares : the name that others may use, "" for none.
    fixed : whether the form needs it.
    """

    parts: list[tuple[str, list["Node"]]]
    tail: str = ""
    declares: str = ""
    fixed: bool = False

    def lines(self, indent: str = "  ") -> list[str]:
        found = []
        for head, body in self.parts:
            found += [indent + line if not line.startswith("#") else line
                      for line in head.split("\n")]  # fmt: skip
            for node in body:
                found += node.lines(indent + "  ")
        return [*found, indent + self.tail] if self.tail else found

    def children(self) -> Iterator[list["Node"]]:
        for _, body in self.parts:
            yield body


def line(text: str, declares: str = "", fixed: bool = False) -> Node:
    """A statement without others inside."""
    return Node([(text, [])], declares=declares, fixed=fixed)


@dataclass(frozen=True)
class Stream:
    """A data stream: of numbers (``shape``), or of a struct (``members``)."""

    name: str
    type: str
    members: tuple[Variable, ...]
    sends: bool

    @property
    def width(self) -> int:
        return sum(member.width for member in self.members)

    @property
    def is_struct(self) -> bool:
        return self.members[0].name != ""


@dataclass
class Program:
    """A process and what it is fed with.

    Attributes
    ----------
    seed : that it was made of.
    structs : C++ of its command and of the structs in its streams.
    parameters : C++ of its parameters.
    body : its statements.
    streams : of data.
    fields : of the command; the first ``bounds`` of them are numbers of iterations.
    reads : the most values that a command takes from a stream, by name.
    """

    seed: int
    structs: list[str]
    parameters: list[str]
    body: list[Node]
    streams: list[Stream]
    fields: list[Variable]
    bounds: int
    reads: dict[str, int] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """The function, under another name than ``FUZZ``."""
        lines = [f"inline void FUZZ({', '.join(self.parameters)}) {{"]
        for node in self.body:
            lines += node.lines()
        return "\n".join([*lines, "}", ""]).replace("FUZZ", name)

    def struct_text(self, name: str) -> str:
        return "\n".join(self.structs).replace("FUZZ", name)

    def inputs(self) -> dict[str, list[int]]:
        """Values of all input streams for one run of the process."""
        rng = random.Random(self.seed)
        commands = []
        for _ in range(COMMANDS):
            value, place = 0, 1
            for number, member in enumerate(self.fields):
                if number < self.bounds:
                    part = rng.randrange(_TRIPS + 1)
                else:
                    part = random_words(rng, 1, member.width)[0]
                value |= part << place
                place += member.width
            commands.append(value)
        found = {"commands": [*commands, 1]}
        for stream in self.streams:
            if not stream.sends:
                count = self.reads.get(stream.name, 0) * COMMANDS
                found[stream.name] = random_words(rng, count, stream.width)
        return found


@dataclass
class _Path:
    """What the statements so far on a path of a pipelined iteration leave to access.

    Streams are read in the order of their numbers: reads that depend on each other both ways are
    outside the form.
    """

    next_read: int = 0
    written: set[str] = field(default_factory=set)
    pipelined: bool = True

    def copy(self) -> "_Path":
        return _Path(self.next_read, set(self.written), self.pipelined)

    def join(self, others: list["_Path"]) -> None:
        self.next_read = max(other.next_read for other in others)
        self.written = set().union(*(other.written for other in others))


class Generator:
    """Writes one program; use :func:`program`."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.shapes = Shapes(seed // GROUP)
        self.expressions = Expressions(self.rng, self.shapes)
        self.names = 0
        self.structs: list[str] = []
        self.repeats = 1  # the most runs of the statement that is being made, for a command
        self.reads: dict[str, int] = {}
        self.streams = self._streams()
        self.inputs = [stream for stream in self.streams if not stream.sends]
        self.outputs = [stream for stream in self.streams if stream.sends]
        self.bounds = self.rng.randint(1, 2)
        shapes = [(3, False)] * self.bounds
        shapes += [self.shapes.draw(self.rng) for _ in range(self.rng.randint(1, 3))]
        self.fields = [Variable(f"f{i}", *shape) for i, shape in enumerate(shapes)]
        self._struct("FUZZ_command", [Variable("stop", 1, False), *self.fields])

    def _name(self, kind: str) -> str:
        self.names += 1
        return f"{kind}{self.names}"

    def _struct(self, name: str, members: list[Variable]) -> None:
        lines = "".join(f"  {member.type} {member.name};\n" for member in members)
        self.structs.append(f"struct {name} {{\n{lines}}};")

    def _streams(self) -> list[Stream]:
        found = []
        counts = ((False, self.rng.randint(1, 3)), (True, self.rng.randint(1, 2)))
        for sends, count in counts:
            for number in range(count):
                name = f"{'out' if sends else 'in'}{number}"
                if self.rng.random() < 0.3:
                    members = [Variable(f"m{i}", *self.shapes.draw(self.rng))
                               for i in range(self.rng.randint(2, 3))]  # fmt: skip
                    kind = f"FUZZ_{name}_word"
                    self._struct(kind, members)
                    found.append(Stream(name, kind, tuple(members), sends))
                else:
                    shape = self.shapes.draw(self.rng)
                    found.append(Stream(name, type_of(*shape), (Variable("", *shape),), sends))
        return found

    # -- statements

    def _cast(self, scope: Scope, variable: Variable, depth: int) -> str:
        value = self.expressions.number(scope, depth)
        return self.expressions.cast(value, variable.width, variable.signed).text

    def _declare(self, scope: Scope, shape: tuple[int, bool] | None = None) -> Node:
        made = Variable(self._name("v"), *(shape or self.shapes.draw(self.rng)), writable=True)
        kind = self.rng.random()
        if kind < 0.4 or not scope.variables:
            value = str(self.rng.choice((0, 0, 1, 5)))
        else:
            value = self.expressions.number(scope, 2).text
        scope.variables.append(made)
        return line(f"{made.type} {made.name} = {value};", made.name)

    def _table(self, scope: Scope) -> Node:
        index_bits, writable = self.rng.randint(1, 3), self.rng.random() < 0.8
        element = Variable("", *self.shapes.draw(self.rng))
        table = Table(self._name("t"), element, index_bits, writable)
        count = 1 << index_bits
        scope.tables.append(table)
        if not writable:
            values = ", ".join(str(self.rng.randint(0, 999)) for _ in range(count))
            return line(f"const {element.type} {table.name}[{count}] = {{{values}}};", table.name)
        return line(
            f"{element.type} {table.name}[{count}];\n"
            f"for (int i = 0; i < {count}; ++i) {{\n#pragma HLS unroll\n"
            f"  {table.name}[i] = {self.rng.randint(0, 9)} * i;\n}}", table.name,
        )  # fmt: skip

    def _constant(self, scope: Scope, path: _Path) -> Node:
        made = Variable(self._name("c"), *self.shapes.draw(self.rng))
        value = self.expressions.number(scope, 3).text
        scope.variables.append(made)
        return line(f"const {made.type} {made.name} = {value};", made.name)

    def _writable(self, scope: Scope) -> Variable | None:
        found = [variable for variable in scope.variables if variable.writable]
        return self.rng.choice(found) if found else None

    def _assign(self, scope: Scope, path: _Path) -> Node:
        rng, target = self.rng, self._writable(scope)
        if target is None:
            return self._constant(scope, path)
        name, kind = target.name, rng.random()
        if kind < 0.1:
            return line(rng.choice((f"++{name};", f"--{name};", f"{name}++;")))
        if kind < 0.3:
            operator = rng.choice(("+", "-", "^", "|", "&", "*"))
            return line(f"{name} {operator}= {self.expressions.number(scope, 2).text};")
        if kind < 0.38:
            return line(f"{name} {rng.choice(('<<', '>>'))}= {rng.randrange(target.width)};")
        if kind < 0.48:
            high, low = self.expressions.part_of(target.width)
            width = high - low + 1
            part = self.expressions.cast(self.expressions.number(scope, 2), width, False)
            return line(f"{name}.range({high}, {low}) = {part.text};")
        if kind < 0.56:
            bit = rng.randrange(target.width)
            return line(f"{name}[{bit}] = {self.expressions.condition(scope, 2)};")
        if kind < 0.62 and not target.signed and target.width >= 6:
            bits = rng.choice([bits for bits in (1, 3, 9) if bits <= target.width // 2])
            lane = rng.randrange(target.width // bits)
            value = self.expressions.number(scope, 2).text
            return line(f"set_lane<{bits}>({name}, {lane}, {value});")
        return line(f"{name} = {self.expressions.number(scope, 4).text};")

    def _store(self, scope: Scope, path: _Path) -> Node:
        tables = [table for table in scope.tables if table.writable]
        if not tables:
            return self._assign(scope, path)
        table = self.rng.choice(tables)
        index = self.expressions.index(scope, table)
        value = self._cast(scope, table.element, 2)
        return line(f"{table.name}[{index}] = {value};")

    def _read(self, scope: Scope, path: _Path) -> Node:
        first = path.next_read if path.pipelined else 0
        if first >= len(self.inputs):
            return self._assign(scope, path)
        number = self.rng.randrange(first, len(self.inputs))
        stream = self.inputs[number]
        path.next_read = number + 1
        self.reads[stream.name] = self.reads.get(stream.name, 0) + self.repeats
        target = self._writable(scope)
        if not stream.is_struct and target is not None and self.rng.random() < 0.5:
            more = self.expressions.number(scope, 1).text
            what = self.rng.choice((f"{more} + ", f"{more} ^ ", ""))
            return line(f"{target.name} = {what}{stream.name}.read();")
        name = self._name("r")
        prefix = f"{name}." if stream.is_struct else name
        scope.variables += [
            Variable(prefix + member.name, member.width, member.signed) for member in stream.members
        ]
        return line(f"const {stream.type} {name} = {stream.name}.read();", name)

    def _write(self, scope: Scope, path: _Path) -> Node:
        left = [s for s in self.outputs if s.name not in path.written or not path.pipelined]
        if not left:
            return self._assign(scope, path)
        stream = self.rng.choice(left)
        path.written.add(stream.name)
        values = [self._cast(scope, member, 3) for member in stream.members]
        value = f"{stream.type}{{{', '.join(values)}}}" if stream.is_struct else values[0]
        return line(f"{stream.name}.write({value});")

    def _branch(self, scope: Scope, path: _Path, depth: int) -> Node:
        parts, paths = [], []
        kind = self.rng.random()
        heads, tail = ["if ({}) {{"], "}"
        condition = self.expressions.condition(scope, 2)
        if kind < 0.5:
            heads.append("}} else {{")
        elif kind < 0.7:
            heads += ["}} else if ({}) {{", "}} else {{"]
        elif kind < 0.9:
            bits = self.rng.randint(2, 3)
            selector = self.expressions.cast(self.expressions.number(scope, 2), bits, False).text
            values = self.rng.sample(range(1 << bits), 3)
            heads = [f"switch ({selector}) {{{{\n  case {values[0]}: {{{{",
                     f"  break; }}}}\n  case {values[1]}: case {values[2]}: {{{{",
                     "  break; }}\n  default: {{"]  # fmt: skip
            tail = "  }\n}"
        for head in heads:
            inner, own = scope.inner(), path.copy()
            parts.append((head.format(condition), self._block(inner, own, depth - 1)))
            condition = self.expressions.condition(scope, 2)
            paths.append(own)
        path.join(paths if len(heads) > 1 else [*paths, path])
        return Node(parts, tail)

    def _lanes(self, scope: Scope, path: _Path) -> Node:
        """An unrolled loop."""
        lanes, name = self.rng.randint(2, 4), self._name("lane")
        inner = scope.inner()
        none = _Path(len(self.inputs), {stream.name for stream in self.outputs})
        body = [self._assign(inner, none) for _ in range(self.rng.randint(1, 2))]
        wide = [v for v in inner.variables if not v.signed and v.width >= lanes]
        if wide:
            source = self.rng.choice(wide)
            bits = source.width // lanes
            made = Variable(self._name("c"), bits, False)
            body.insert(0, line(f"const {made.type} {made.name} = "
                                f"unsigned_lane<{bits}>({source.name}, {name});", made.name))  # fmt: skip
            inner.variables.append(made)
        targets = [v for v in wide if v.writable]
        if targets:
            target = self.rng.choice(targets)
            value = self.expressions.number(inner, 2).text
            body.append(line(f"set_lane<{target.width // lanes}>({target.name}, {name}, {value});"))
        tables = [t for t in inner.tables if t.writable and 1 << t.index_bits >= lanes]
        if tables:
            table = self.rng.choice(tables)
            value = self._cast(inner, table.element, 2)
            body.append(line(f"{table.name}[{name}] = {value};"))
        head = f"for (int {name} = 0; {name} < {lanes}; ++{name}) {{\n#pragma HLS unroll"
        return Node([(head, body)], "}")

    def _counter(self, scope: Scope, path: _Path) -> Node:
        """A counter that wraps, as flattened loops have them."""
        target = self._writable(scope)
        if target is None:
            return self._constant(scope, path)
        last, step = self.rng.randint(1, 5), self._assign(scope, path)
        return Node([(f"if ({target.name} == {last}) {{", [line(f"{target.name} = 0;"), step]),
                     ("} else {", [line(f"++{target.name};")])], "}")  # fmt: skip

    def _block(self, scope: Scope, path: _Path, depth: int) -> list[Node]:
        found = []
        for _ in range(self.rng.randint(1, 2 if depth < 2 else 4)):
            kind = self.rng.choices(
                ("assign", "constant", "store", "read", "write", "branch", "lanes", "counter"),
                (30, 10, 8, 16, 14, 14 if depth > 0 else 0, 4, 4),
            )[0]
            if kind == "branch":
                found.append(self._branch(scope, path, depth))
            else:
                found.append(getattr(self, f"_{kind}")(scope, path))
        return found

    # -- loops and the whole

    def _loop(self, scope: Scope, depth: int) -> Node:
        """A pipelined loop, or one around another."""
        bound = self.rng.choice([f"command.f{i}" for i in range(self.bounds)] + [str(_TRIPS - 1)])
        inner = scope.inner()
        name = self._name("i")
        inner.variables.append(Variable(name, 4, False))
        head = f"for (ap_uint<4> {name} = 0; {name} < {bound}; ++{name}) {{"
        self.repeats *= _TRIPS
        if depth > 0 and self.rng.random() < 0.3:
            plain = _Path(pipelined=False)
            body = [self._declare(inner), *self._plain(inner, plain), self._loop(inner, depth - 1),
                    *self._plain(inner, plain)]  # fmt: skip
        else:
            head += f"\n#pragma HLS pipeline II={self.rng.choice((1, 1, 1, 2))}"
            path = _Path()
            body = self._block(inner, path, 2)
            if not path.written:
                body.append(self._write(inner, path))
        self.repeats //= _TRIPS
        return Node([(head, body)], "}")

    def _plain(self, scope: Scope, path: _Path) -> list[Node]:
        """Statements outside of pipelined loops."""
        return self._block(scope, path, 1) if self.rng.random() < 0.5 else []

    def program(self) -> Program:
        rng, scope = self.rng, Scope()
        before = [self._declare(scope) for _ in range(rng.choice((0, 0, 1, 2)))]
        if rng.random() < 0.2:
            before.append(self._table(scope))
        inner = scope.inner()
        inner.variables += [Variable(f"command.{f.name}", f.width, f.signed) for f in self.fields]
        plain = _Path(pipelined=False)
        body = [line("const FUZZ_command command = commands.read();", fixed=True),
                line("if (command.stop) break;", fixed=True)]  # fmt: skip
        body += [self._declare(inner) for _ in range(rng.randint(1, 3))]
        if rng.random() < 0.4:
            body.append(self._table(inner))
        for _ in range(rng.choice((1, 1, 1, 2))):
            body += [*self._plain(inner, plain), self._loop(inner, 1)]
        body += [*self._plain(inner, plain), self._write(inner, plain)]
        nodes = [*before, Node([("while (true) {", body)], "}", fixed=True)]
        if rng.random() < 0.3 and scope.variables:
            nodes.append(self._write(scope, plain))
        parameters = ["hls::stream<FUZZ_command>& commands"]
        parameters += [f"hls::stream<{s.type}>& {s.name}" for s in self.streams]
        return Program(self.seed, self.structs, parameters, nodes, self.streams, self.fields,
                       self.bounds, self.reads)  # fmt: skip


def program(seed: int) -> Program:
    """The program of a seed."""
    return Generator(seed).program()
