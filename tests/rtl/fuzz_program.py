"""A random program as data: statements, parameters, and the values that it is fed with."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.rtl.cosim import random_words
from tests.rtl.fuzz_expressions import Struct, Variable

COMMANDS = 3  # of a run, before the one that says stop
TRIPS = 4  # the most iterations of a loop


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
    """A data stream, or ``count`` of them: of numbers, or of a struct.

    Parameters
    ----------
    name, type : in C++.
    members : the number, without a name, or those of the struct.
    sends : direction.
    count : of an array of streams, 0 for a single one.
    """

    name: str
    type: str
    members: tuple[Variable, ...]
    sends: bool
    count: int = 0

    @property
    def width(self) -> int:
        return sum(member.width for member in self.members)

    @property
    def is_struct(self) -> bool:
        return self.members[0].name != ""

    @property
    def parameter(self) -> str:
        """C++ of the parameter."""
        name = f"(&{self.name})[{self.count}]" if self.count else f"&{self.name}"
        return f"hls::stream<{self.type}> {name}".replace("> &", ">& ")

    def elements(self) -> list[tuple[str, str]]:
        """C++ and port of every stream."""
        if not self.count:
            return [(self.name, self.name)]
        numbered = self.count > 1
        return [
            (f"{self.name}[{i}]", f"{self.name}_{i}" if numbered else self.name)
            for i in range(self.count)
        ]


@dataclass(frozen=True)
class Memory:
    """A bank to read or to write, or a local RAM.

    Parameters
    ----------
    name : in C++.
    element : a word.
    depth : words, at least ``1 << index_bits``.
    index_bits : of the index of an access.
    kind : "read", "write" or "ram".
    level : of what is read (:class:`~tests.rtl.fuzz_expressions.Variable`).
    """

    name: str
    element: Variable
    depth: int
    index_bits: int
    kind: str
    level: int

    @property
    def parameter(self) -> str:
        """C++ of the parameter that a bank is."""
        const = "const " if self.kind == "read" else ""
        return f"{const}{self.element.type} {self.name}[{self.depth}]"


@dataclass
class Program:
    """A process and what it is fed with.

    Attributes
    ----------
    seed : that it was made of.
    structs : of its command and of its words.
    body : its statements.
    streams : of data.
    memories : banks and local RAMs.
    command : the struct of a command; of its fields behind ``stop``, the first ``bounds`` are numbers
        of iterations.
    reads : the most values that a command takes from a stream, by port.
    """

    seed: int
    structs: list[Struct]
    body: list[Node]
    streams: list[Stream]
    memories: list[Memory]
    command: Struct
    bounds: int
    reads: dict[str, int] = field(default_factory=dict)

    @property
    def banks(self) -> list[Memory]:
        return [memory for memory in self.memories if memory.kind != "ram"]

    @property
    def stages(self) -> int:
        """Of the pipeline: a memory answers a stage later, to addresses from others' answers, too."""
        return 1 + self.seed % 4 + sum(memory.kind != "write" for memory in self.memories)

    def text(self, name: str) -> str:
        """The function, under this name."""
        parameters = [f"hls::stream<{self.command.name}>& commands"]
        parameters += [part.parameter for part in (*self.streams, *self.banks)]
        lines = [f"inline void {name}({', '.join(parameters)}) {{"]
        for node in self.body:
            lines += node.lines()
        return "\n".join([*lines, "}", ""])

    def inputs(self) -> dict[str, list[int]]:
        """Values of all input streams for one run of the process, by port."""
        rng = random.Random(self.seed)
        commands = []
        for _ in range(COMMANDS):
            value, place = 0, 0
            for number, member in enumerate(self.command.members):
                if number == 0:
                    part = 0
                elif number <= self.bounds:
                    part = rng.randrange(TRIPS + 1)
                else:
                    part = random_words(rng, 1, member.width)[0]
                value |= part << place
                place += member.width
            commands.append(value)
        found = {"commands": [*commands, 1]}
        for stream in self.streams:
            for _, port in stream.elements() if not stream.sends else ():
                found[port] = random_words(rng, self.reads.get(port, 0) * COMMANDS, stream.width)
        return found

    def words(self) -> dict[str, list[int]]:
        """What is in the banks before a run, by name without the direction."""
        rng = random.Random(-1 - self.seed)
        return {
            bank.name.rpartition("_")[0]: random_words(rng, bank.depth, bank.element.width)
            for bank in self.banks
        }
