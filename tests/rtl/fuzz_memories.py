"""Random accesses of banks and local RAMs, as the process form allows them."""

from tests.rtl.fuzz_expressions import Scope, Variable
from tests.rtl.fuzz_program import Memory, Node, line
from tests.rtl.fuzz_statements import Path, Statements


class Memories(Statements):
    """Statements with memories: at most one access of a port in an iteration, of a local RAM one."""

    def __init__(self, seed: int, group: int) -> None:
        super().__init__(seed, group)
        self.memories: list[Memory] = []
        rng = self.rng
        kinds = [kind for kind, share in (("read", 0.25), ("write", 0.25), ("ram", 0.3))
                 for _ in range((rng.random() < share) + (rng.random() < share / 4))]  # fmt: skip
        for number, kind in enumerate(kinds):
            bank = kind != "ram"
            element = Variable("", *(self.shapes.unsigned if bank else self.shapes.draw)(rng))
            # The way through two words becomes a choice between two arrays of one.
            index_bits = rng.randint(1 if bank else 2, 4)
            depth = (1 << index_bits) + rng.choice((0, 0, 1, 3))
            if kind != "write":
                self.levels += 1
            name = {"read": "look{}_rd", "write": "keep{}_wr", "ram": "ram{}"}[kind].format(number)
            self.memories.append(Memory(name, element, depth, index_bits, kind, self.levels - 1))

    def fill(self, ram: Memory, scope: Scope, value: str = "") -> Node:
        """A loop that writes all words: none is read that was never written.

        Parameters
        ----------
        value : what is written, instead of an expression.
        """
        name = self.name("i")
        inner = scope.upto(0).inner()
        inner.variables.append(Variable(name, 5, False))
        value = value or self.cast(inner, ram.element, 2)
        return line(
            f"for (ap_uint<5> {name} = 0; {name} < {ram.depth}; ++{name}) {{\n"
            f"#pragma HLS pipeline II=1\n  {ram.name}[{name}] = {value};\n}}", fixed=True,
        )  # fmt: skip

    @staticmethod
    def local(ram: Memory) -> Node:
        """The declaration of a RAM."""
        return line(
            f"{ram.element.type} {ram.name}[{ram.depth}];\n"
            f"#pragma HLS bind_storage variable={ram.name} type=ram_2p", fixed=True,
        )  # fmt: skip

    def _index(self, memory: Memory, scope: Scope) -> str:
        """Of an element; a number of lower levels, where its answer is awaited."""
        inner = scope if memory.kind == "write" else scope.upto(memory.level - 1)
        counters = [one.name for one in inner.variables if one.name.startswith("i")]
        if counters and memory.index_bits > 1 and self.rng.random() < 0.4:
            return self.rng.choice(counters)  # below four
        return self.expressions.index(inner, memory.index_bits)

    def _ready(self, path: Path, *kinds: str) -> list[Memory]:
        found = [one for one in self.memories if one.kind in kinds and one.name not in path.used]
        # A local RAM is read and written where an interval is promised: in pipelined loops.
        return [one for one in found if path.pipelined or one.kind != "ram"]

    def look(self, scope: Scope, path: Path) -> Node:
        """A read of a bank or RAM."""
        found = self._ready(path, "read", "ram")
        return (
            self._look(self.rng.choice(found), scope, path) if found else self.assign(scope, path)
        )

    def access(self, memory: Memory, scope: Scope, path: Path) -> Node:
        """An access of this one."""
        if memory.kind == "ram" and self.rng.random() < 0.4:
            return self._replay(memory, scope, path)
        return (self._keep if memory.kind == "write" else self._look)(memory, scope, path)

    def _look(self, memory: Memory, scope: Scope, path: Path) -> Node:
        path.used.add(memory.name)
        text = f"{memory.name}[{self._index(memory, scope)}]"
        element = memory.element
        target = self.writable(scope, memory.level)
        if target is not None and self.rng.random() < 0.4:
            more = self.expressions.number(scope.upto(target.level), 1).text
            return line(
                f"{target.name} = {self.rng.choice((f'{more} + ', f'{more} ^ ', ''))}{text};"
            )
        made = Variable(self.name("m"), element.width, element.signed, level=memory.level)
        scope.variables.append(made)
        return line(f"const {made.type} {made.name} = {text};", made.name)

    def keep(self, scope: Scope, path: Path) -> Node:
        """A write of a bank or RAM."""
        found = self._ready(path, "write", "ram")
        return (
            self._keep(self.rng.choice(found), scope, path) if found else self.assign(scope, path)
        )

    def _keep(self, memory: Memory, scope: Scope, path: Path) -> Node:
        path.used.add(memory.name)
        inner = scope if memory.kind == "write" else scope.upto(memory.level - 1)
        value = self.cast(inner, memory.element, 3)
        return line(f"{memory.name}[{self._index(memory, scope)}] = {value};")

    def replay(self, scope: Scope, path: Path) -> Node:
        """A RAM that is written on one way and read on the other."""
        found = self._ready(path, "ram")
        return (
            self._replay(self.rng.choice(found), scope, path) if found else self.keep(scope, path)
        )

    def _replay(self, ram: Memory, scope: Scope, path: Path) -> Node:
        path.used.add(ram.name)
        target = self.writable(scope, ram.level)
        inner = scope.upto(ram.level - 1)
        index = self._index(ram, scope)
        write = line(f"{ram.name}[{index}] = {self.cast(inner, ram.element, 2)};")
        if self.rng.random() < 0.3:
            index = self._index(ram, scope)
        read = line(f"{target.name if target else 'const auto unread'} = {ram.name}[{index}];")
        head = f"if ({self.expressions.condition(scope.upto(0), 2)}) {{"
        return Node([(head, [write]), ("} else {", [read])], "}")
