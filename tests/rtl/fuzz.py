"""Random programs of the process form (``docs/open-rtl.md``), the same ones for the same seed."""

from tests.rtl.fuzz_expressions import Scope, Variable, type_of
from tests.rtl.fuzz_memories import Memories
from tests.rtl.fuzz_program import TRIPS, Memory, Node, Program, Stream, line
from tests.rtl.fuzz_statements import Path

GROUP = 200  # programs that have their widths and structs in common


class Generator(Memories):
    """Writes one program; use :func:`program`."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed, seed // GROUP)
        self.seed = seed
        self.repeats = 1  # the most runs of the statement that is being made, for a command
        self.reads: dict[str, int] = {}
        self.streams = self._streams()
        ends = [(stream, *end) for stream in self.streams for end in stream.elements()]
        self.inputs = [(stream, text, port) for stream, text, port in ends if not stream.sends]
        self.outputs = [(stream, text) for stream, text, _ in ends if stream.sends]
        self.command, self.bounds = self.rng.choice(self.shapes.commands)

    def _streams(self) -> list[Stream]:
        found = []
        for sends, most in ((False, 3), (True, 2)):
            for number in range(self.rng.randint(1, most)):
                name = f"{'out' if sends else 'in'}{number}"
                count = self.rng.choice((0, 0, 0, 0, 1, 2, 3))
                if self.rng.random() < 0.3:
                    word = self.rng.choice(self.shapes.words)
                    found.append(Stream(name, word.name, word.members, sends, count))
                else:
                    shape = self.shapes.draw(self.rng)
                    one = (Variable("", *shape),)
                    found.append(Stream(name, type_of(*shape), one, sends, count))
        return found

    # -- streams

    def _read_from(self, number: int, path: Path) -> str:
        """C++ of a read of an input, which is counted."""
        _, text, port = self.inputs[number]
        path.next_read = number + 1
        self.reads[port] = self.reads.get(port, 0) + self.repeats
        return f"{text}.read()"

    def _receive(self, scope: Scope, stream: Stream, text: str) -> Node:
        """A constant copy of what a stream brings, or a struct that can be assigned."""
        name = self.name("r")
        if not stream.is_struct:
            scope.variables.append(Variable(name, *stream.members[0].shape))
            return line(f"const {stream.type} {name} = {text};", name)
        word = next(word for word in self.shapes.words if word.name == stream.type)
        made = word.variable(name, self.rng.random() < 0.5)
        scope.declare(made)
        return line(f"{'' if made.writable else 'const '}{stream.type} {name} = {text};", name)

    def read(self, scope: Scope, path: Path) -> Node:
        """A read of a stream."""
        first = path.next_read if path.pipelined else 0
        if first >= len(self.inputs):
            return self.assign(scope, path)
        number = self.rng.randrange(first, len(self.inputs))
        stream = self.inputs[number][0]
        text = self._read_from(number, path)
        target = self.writable(scope)
        structs = [one for one in scope.structs if one.writable and one.type == stream.type]
        if structs and self.rng.random() < 0.8:
            return line(f"{self.rng.choice(structs).name} = {text};")
        if not stream.is_struct and target is not None and self.rng.random() < 0.5:
            more = self.expressions.number(scope.upto(target.level), 1).text
            what = self.rng.choice((f"{more} + ", f"{more} ^ ", ""))
            return line(f"{target.name} = {what}{text};")
        return self._receive(scope, stream, text)

    def _value(self, scope: Scope, stream: Stream, depth: int) -> str:
        if not stream.is_struct:
            return self.cast(scope, stream.members[0], depth)
        same = [one.name for one in scope.structs if one.type == stream.type]
        if same and self.rng.random() < 0.5:
            return self.rng.choice(same)
        values = [self.cast(scope, member, depth) for member in stream.members]
        return f"{stream.type}{{{', '.join(values)}}}"

    def write(self, scope: Scope, path: Path) -> Node:
        """A write of a stream."""
        left = [end for end in self.outputs if end[1] not in path.written or not path.pipelined]
        if not left:
            return self.assign(scope, path)
        stream, text = self.rng.choice(left)
        path.written.add(text)
        return line(f"{text}.write({self._value(scope, stream, 3)});")

    def each(self, scope: Scope, path: Path) -> Node:
        """An unrolled loop over the streams of an array; some may be left out."""
        first = path.next_read if path.pipelined else 0
        found = []
        for stream in self.streams:
            texts = [text for text, _ in stream.elements()]
            free = (path.written.isdisjoint(texts) if stream.sends
                    else all(self.inputs[n][1] not in texts for n in range(first)))  # fmt: skip
            if stream.count > 1 and (free or not path.pipelined):
                found.append(stream)
        if not found:
            return self.assign(scope, path)
        stream, name = self.rng.choice(found), self.name("lane")
        inner = scope.inner()
        text = f"{stream.name}[{name}]"
        if stream.sends:
            path.written.update(text for text, _ in stream.elements())
            lane = Variable(self.name("c"), 3, False)
            inner.variables.append(lane)
            body = [line(f"const {lane.type} {lane.name} = {name};", lane.name)]
            body.append(line(f"{text}.write({self._value(inner, stream, 2)});"))
        else:
            for number, end in enumerate(self.inputs):
                if end[0] is stream:
                    self._read_from(number, path)
            body = [self._receive(inner, stream, f"{text}.read()")]
        used = Path(
            len(self.inputs), {end[1] for end in self.outputs}, {m.name for m in self.memories}
        )
        body += [self.assign(inner, used) for _ in range(self.rng.randint(0, 2))]
        if self.rng.random() < 0.3:
            condition = self.expressions.condition(scope.upto(0), 1)
            operator = self.rng.choice(("==", "!=", ">="))
            lane_number = self.rng.randrange(stream.count)
            head = f"if ({name} {operator} {lane_number} || {condition}) {{"
            body = [Node([(head, body)], "}")]
        head = f"for (int {name} = 0; {name} < {stream.count}; ++{name}) {{\n#pragma HLS unroll"
        return Node([(head, body)], "}")

    # -- statements with others inside

    def _branch(self, scope: Scope, path: Path, depth: int) -> Node:
        parts, paths = [], []
        kind = self.rng.random()
        heads, tail = ["if ({}) {{"], "}"
        early = scope.upto(0)
        condition = self.expressions.condition(early, 2)
        if kind < 0.5:
            heads.append("}} else {{")
        elif kind < 0.7:
            heads += ["}} else if ({}) {{", "}} else {{"]
        elif kind < 0.9:
            bits = self.rng.randint(2, 3)
            selector = self.expressions.cast(self.expressions.number(early, 2), bits, False).text
            values = self.rng.sample(range(1 << bits), 3)
            heads = [f"switch ({selector}) {{{{\n  case {values[0]}: {{{{",
                     f"  break; }}}}\n  case {values[1]}: case {values[2]}: {{{{",
                     "  break; }}\n  default: {{"]  # fmt: skip
            tail = "  }\n}"
        for head in heads:
            inner, own = scope.inner(), path.copy()
            parts.append((head.format(condition), self._block(inner, own, depth - 1)))
            condition = self.expressions.condition(early, 2)
            paths.append(own)
        path.join(paths if len(heads) > 1 else [*paths, path])
        return Node(parts, tail)

    def _block(self, scope: Scope, path: Path, depth: int) -> list[Node]:
        found = []
        memory = 1 if self.memories else 0
        for _ in range(self.rng.randint(1, 2 if depth < 2 else 4)):
            kind = self.rng.choices(
                ("assign", "assign_struct", "constant", "store", "read", "write", "each", "branch",
                 "lanes", "counter", "look", "keep", "replay"),
                (30, 6, 10, 8, 16, 14, 6, 14 if depth > 0 else 0, 4, 4, 14 * memory, 14 * memory,
                 8 * memory),
            )[0]  # fmt: skip
            if kind == "branch":
                found.append(self._branch(scope, path, depth))
            else:
                found.append(getattr(self, kind)(scope, path))
        return found

    # -- loops and the whole

    def _loop(self, scope: Scope, depth: int, plain: Path) -> Node:
        """A pipelined loop, or one around another."""
        counts = [field.name for field in self.command.members[1 : self.bounds + 1]]
        bound = self.rng.choice([f"command.{name}" for name in counts] + [str(TRIPS - 1)])
        inner = scope.inner()
        name = self.name("i")
        inner.variables.append(Variable(name, 4, False))
        head = f"for (ap_uint<4> {name} = 0; {name} < {bound}; ++{name}) {{"
        self.repeats *= TRIPS
        if depth > 0 and self.rng.random() < 0.3:
            body = [self.declare(inner), *self._plain(inner, plain),
                    self._loop(inner, depth - 1, plain), *self._plain(inner, plain)]  # fmt: skip
        else:
            head += f"\n#pragma HLS pipeline II={self.rng.choice((1, 1, 1, 2))}"
            path = Path()
            body = self._block(inner, path, 2)
            for memory in self.memories:
                if memory.name not in path.used and self.rng.random() < 0.5:
                    body.append(self.access(memory, inner, path))
            if not path.written or self.memories:
                body.append(self.write(inner, path))
        self.repeats //= TRIPS
        return Node([(head, body)], "}")

    def _plain(self, scope: Scope, path: Path) -> list[Node]:
        """Statements outside of pipelined loops."""
        return self._block(scope, path, 1) if self.rng.random() < 0.5 else []

    def _fill(self, ram: Memory, scope: Scope) -> Node:
        """A RAM that a command fills, from a stream where there is one of numbers."""
        found = [n for n, (stream, _, _) in enumerate(self.inputs) if not stream.is_struct]
        if not found or self.rng.random() < 0.3:
            return self.fill(ram, scope)
        repeats, self.repeats = self.repeats, ram.depth
        text = self._read_from(self.rng.choice(found), Path())
        self.repeats = repeats
        return self.fill(ram, scope, text)

    def program(self) -> Program:
        rng, scope = self.rng, Scope()
        before = [self.declare(scope) for _ in range(rng.choice((0, 0, 1, 2)))]
        if rng.random() < 0.2:
            before.append(self.table(scope))
        filled = []
        for ram in self.memories:
            if ram.kind == "ram":
                before.append(self.local(ram))
                if rng.random() < 0.4:
                    before.append(self.fill(ram, scope))
                else:
                    filled.append(ram)
        inner = scope.inner()
        inner.variables += self.command.variable("command", False).variables()[1:]
        # Steps of plain code run into each other: a memory is accessed in one place.
        plain = Path(pipelined=False)
        body = [line(f"const {self.command.name} command = commands.read();", fixed=True),
                line("if (command.stop) break;", fixed=True)]  # fmt: skip
        body += [self._fill(ram, inner) for ram in filled]
        body += [self.declare(inner) for _ in range(rng.randint(1, 3))]
        if rng.random() < 0.4:
            body.append(self.table(inner))
        for _ in range(rng.choice((1, 1, 1, 2))):
            body += [*self._plain(inner, plain), self._loop(inner, 1, plain)]
        body += [*self._plain(inner, plain), self.write(inner, plain)]
        nodes = [*before, Node([("while (true) {", body)], "}", fixed=True)]
        if rng.random() < 0.3 and scope.variables:
            nodes.append(self.write(scope, plain))
        structs = [self.command, *self.shapes.words]
        return Program(self.seed, structs, nodes, self.streams, self.memories, self.command,
                       self.bounds, self.reads)  # fmt: skip


def program(seed: int) -> Program:
    """The program of a seed."""
    return Generator(seed).program()
