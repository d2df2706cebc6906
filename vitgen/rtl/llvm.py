"""Reader of the textual LLVM IR that clang leaves of a process: integers, branches and memory.

Only this subset is read; anything else is refused with its text.
"""

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from vitgen.errors import VitgenError

BINARY = frozenset(
    ("add", "sub", "mul", "and", "or", "xor", "shl", "lshr", "ashr", "sdiv", "udiv", "srem", "urem")
)
CASTS = frozenset(("trunc", "zext", "sext"))

_FLAGS = frozenset(
    ("nsw", "nuw", "exact", "inbounds", "disjoint", "nneg", "samesign", "nusw", "tail", "musttail",
     "notail", "noundef", "nonnull", "volatile", "zeroext", "signext")
)  # fmt: skip
OWN_HEADERS = frozenset(("ap_int.h", "hls_stream.h", "vitgen_structs.h"))
"""Headers of the open road: a line of theirs tells a user nothing."""

WIDTHS = "vitgen_widths"
"""Begin of the name of the constant that says the widths of a function's parameters."""

_NAME = r'(?:[\w.$-]+|"[^"]+")'
_TOKEN = re.compile(rf"\[\s*\d+ x [^\[\]]+\]|[%@]{_NAME}|[\w.$-]+|[\[\](),=*{{}}]")


@dataclass(frozen=True)
class Value:
    """An operand: its type as text and a name (``%x``, ``@x``) or a literal."""

    type: str
    text: str


@dataclass
class Instruction:
    """One instruction.

    Parameters
    ----------
    op : its mnemonic.
    type : type of the result, "void" where there is none.
    name : of the result, "" where there is none.
    operands : in the order of the text; the incoming values of a phi, the case values of a switch
        behind its value, the pointer and the indices of a getelementptr.
    labels : blocks named: targets, or where incoming values come from.
    detail : predicate of an icmp, source type of a getelementptr, callee, type of an alloca.
    volatile : whether a load or store is one of a port.
    text : for messages.
    where : the metadata that says which line it is of, "" where nothing does.
    """

    op: str
    type: str = "void"
    name: str = ""
    operands: list[Value] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    detail: str = ""
    volatile: bool = False
    text: str = ""
    where: str = ""


@dataclass
class Block:
    """A basic block; the last instruction is its terminator."""

    name: str
    instructions: list[Instruction] = field(default_factory=list)


@dataclass(frozen=True)
class Table:
    """A constant array: values as unsigned numbers of ``width`` bits."""

    width: int
    values: tuple[int, ...]


@dataclass
class Function:
    """A function.

    Parameters
    ----------
    name : in C++.
    parameters : their names with the bits of a value (stream), word (bank) or number.
    numbers : the parameters that are numbers.
    arrays : the parameters that are arrays of at least two streams.
    steps : bytes from an element of a parameter to the next.
    blocks : from the entry on.
    tables : constant arrays by name.
    structs : bodies of named struct types.
    metadata : bodies of numbered metadata, among them the lines of the source.
    """

    name: str
    parameters: dict[str, int]
    numbers: frozenset[str]
    arrays: frozenset[str]
    steps: dict[str, int]
    blocks: list[Block]
    tables: dict[str, Table]
    structs: dict[str, str]
    metadata: dict[str, str]

    def line_of(self, made: Instruction) -> str:
        """``file:line`` of the emitted source that an instruction comes from, "" if unknown.

        What a class of ours does inline counts to the line that uses it.
        """
        found, location = "", made.where or self._where_used(made)
        while location:
            body = self.metadata[location]
            file = self._file_of(_reference(body, "scope"))
            line = re.search(r"\bline: (\d+)", body)
            found = f"{file}:{line[1] if line else 0}"
            if file not in OWN_HEADERS:
                return found
            location = _reference(body, "inlinedAt")
        return found

    def _where_used(self, made: Instruction) -> str:
        """Where the first instruction stands that a value without a line leads to."""
        names = {made.name}
        for block in self.blocks:
            for other in block.instructions:
                if made.name and any(value.text in names for value in other.operands):
                    if other.where:
                        return other.where
                    names.add(other.name)
        return ""

    def refusal(self, made: Instruction, what: str, instead: str) -> VitgenError:
        """An error about an instruction: line, function, construct, and what to write instead."""
        line = self.line_of(made)
        place = f"{line}: {self.name}" if line else f"{self.name} ({made.text})"
        return VitgenError(f"{place}: {what}.", instead)

    def _file_of(self, scope: str) -> str:
        file = self.metadata[_reference(self.metadata[scope], "file")]
        name = re.search(r'filename: "([^"]*)"', file)
        return name[1].replace("\\", "/").rpartition("/")[2] if name else "?"

    def bytes_of(self, kind: str) -> int:
        """Size in memory of a type, with padding."""
        return _layout(kind.strip(), self.structs)[0]

    def element(self, kind: str) -> tuple[str, int]:
        """The scalar that an array, possibly of arrays or of structs around one number, is made of.

        Returns
        -------
        Its type and how many of them there are.
        """
        kind, count = kind.strip(), 1
        while True:
            array = re.fullmatch(r"\[\s*(\d+) x (.+)\]", kind, re.DOTALL)
            members = _members(self.structs[kind]) if kind in self.structs else []
            if array and array[2].strip() != "i8":
                count, kind = count * int(array[1]), array[2].strip()
            elif len(members) == 1:
                kind = members[0]
            else:
                return kind, count


def _reference(body: str, key: str) -> str:
    found = re.search(rf"\b{key}: (!\d+)", body)
    return found[1] if found else ""


def width_of(kind: str) -> int:
    """Bits of an integer type."""
    found = re.fullmatch(r"i(\d+)", kind)
    if found is None:
        raise VitgenError(f"The type {kind} of LLVM IR is not an integer.")
    return int(found[1])


def _members(body: str) -> list[str]:
    inner = body.strip().strip("<>").strip()[1:-1]
    parts, depth, start = [], 0, 0
    for place, char in enumerate(inner):
        depth += (char in "[{<") - (char in "]}>")
        if char == "," and depth == 0:
            parts.append(inner[start:place].strip())
            start = place + 1
    last = inner[start:].strip()
    return [*parts, last] if last else parts


def _layout(kind: str, structs: dict[str, str]) -> tuple[int, int]:
    """Size and alignment in bytes, as the x86-64 data layout has them."""
    number = re.fullmatch(r"i(\d+)", kind)
    if number:
        size = -(-int(number[1]) // 8)
        align = 1
        while align < size and align < 16:
            align *= 2
        return -(-size // align) * align, align
    if kind == "ptr":
        return 8, 8
    array = re.fullmatch(r"\[\s*(\d+) x (.+)\]", kind, re.DOTALL)
    if array:
        size, align = _layout(array[2].strip(), structs)
        return int(array[1]) * size, align
    body = structs.get(kind, kind)
    if "{" not in body:
        raise VitgenError(f"The type {kind} of LLVM IR is not understood.")
    place, align = 0, 1
    for member in _members(body):
        size, need = _layout(member, structs)
        need = 1 if body.strip().startswith("<") else need
        place, align = -(-place // need) * need + size, max(align, need)
    return -(-place // align) * align, align


def parse_function(text: str, function: str) -> Function:
    """Reads the definition of the C++ function of this name.

    Raises
    ------
    VitgenError : it is not there, or holds an instruction outside the subset.
    """
    mangled = rf"_Z{len(function)}{function}\w*"
    head = re.search(
        rf"^define [^@\n]*@({mangled}|{function})\((.*)\)[^()\n]*\{{$", text, re.MULTILINE
    )
    if head is None:
        raise VitgenError(f"The LLVM IR does not define the function {function}.")
    end = text.index("\n}", head.end())
    structs = dict(re.findall(rf"^(%{_NAME}) = type (<?\{{.*\}}>?)$", text, re.MULTILINE))
    names = re.findall(rf"(%{_NAME})(?=,|$)", head[2])
    ports = _ports(text, function)
    if len(names) != len(ports):
        raise VitgenError(f"The LLVM IR of {function} lacks the widths of its parameters.")
    known = dict(zip(names, ports, strict=True))
    metadata = dict(re.findall(r"^(!\d+) = (.*)$", text, re.MULTILINE))
    found = Function(
        function,
        {name: port.width for name, port in known.items()},
        frozenset(name for name, port in known.items() if port.number),
        frozenset(name for name, port in known.items() if port.streams > 1),
        {name: port.step for name, port in known.items()},
        [], _tables(text), structs, metadata,
    )  # fmt: skip
    blocks = found.blocks
    unknown: list[Instruction] = []
    pending = ""
    for raw in text[head.end() : end].splitlines():
        line = raw.split(" ; ")[0].split(";  preds")[0].strip()
        if not line or line.startswith((";", "#dbg")):
            continue
        label = re.match(rf"^({_NAME}):", line)
        if label and not pending:
            blocks.append(Block("%" + label[1]))
            continue
        pending = f"{pending} {line}".strip()
        if pending.count("[") != pending.count("]"):
            continue
        if not blocks:
            blocks.append(Block("%0"))
        blocks[-1].instructions.append(_instruction(pending, unknown))
        pending = ""
    for made in unknown:
        raise found.refusal(
            made, f"this becomes the LLVM instruction '{made.op}', which is not understood",
            "Write it with numbers of ap_int.h, arrays, streams and branches.",
        )  # fmt: skip
    return found


class _Port(NamedTuple):
    """A parameter, as ``hls_stream.h`` describes it."""

    width: int
    number: int
    streams: int
    step: int


def _ports(text: str, function: str) -> list[_Port]:
    """The parameters, by the constant that ``compile_process`` adds."""
    line = re.search(rf"^@{WIDTHS}_{function} = .*$", text, re.MULTILINE)
    values = [int(value) for value in re.findall(r"\bi32 (\d+)", line[0])] if line else []
    return [_Port(*values[place : place + 4]) for place in range(0, len(values), 4)]


def _tables(text: str) -> dict[str, Table]:
    tables = {}
    pattern = rf'^(@{_NAME}) = .*?constant \[(\d+) x i(\d+)\] (\[.*?\]|c".*?"|zeroinitializer)'
    for name, count, width, body in re.findall(pattern, text, re.MULTILINE):
        bits = int(width)
        if body.startswith("c"):
            raw = re.sub(r"\\([0-9A-Fa-f]{2})", lambda m: chr(int(m[1], 16)), body[2:-1])
            values = [ord(char) for char in raw]
        elif body.startswith("["):
            values = [_literal(part.split()[-1]) for part in body[1:-1].split(",")]
        else:
            values = [0] * int(count)
        tables[name] = Table(bits, tuple(value & ((1 << bits) - 1) for value in values))
    return tables


def _literal(text: str) -> int:
    if text in ("false", "undef", "poison", "zeroinitializer"):
        return 0
    return 1 if text == "true" else int(text)


def literal(text: str) -> int | None:
    """Number of a literal operand, None for a name. What is undefined in C++ is 0 here."""
    if text[0] in "%@":
        return None
    return _literal(text)


def _instruction(text: str, unknown: list[Instruction]) -> Instruction:
    where = re.search(r"!dbg (!\d+)", text)
    clean = re.sub(r",? ![\w.]+ !\d+", "", text)
    text = re.sub(r",? !dbg !\d+", "", text)
    clean = re.sub(r", align \d+", "", clean)
    clean = re.sub(r" #\d+$", "", clean.strip())
    named = re.match(rf"^(%{_NAME}) = (.*)$", clean)
    name, body = (named[1], named[2]) if named else ("", clean)
    words = [
        word for word in _TOKEN.findall(re.sub(r"\brange\([^)]*\)", "", body)) if word not in _FLAGS
    ]
    made = Instruction(
        words[0],
        name=name,
        text=text,
        volatile=" volatile " in body,
        where=where[1] if where else "",
    )
    reader = _READERS.get(made.op) or (_READERS["binary"] if made.op in BINARY else None)
    if reader is None and made.op in CASTS:
        reader = _READERS["cast"]
    if reader is None:
        unknown.append(made)
        return made
    reader(made, words[1:], body)
    return made


def _pairs(words: list[str]) -> list[Value]:
    """Operands written as ``type value, type value``."""
    kept = [word for word in words if word != ","]
    return [Value(kind, value) for kind, value in zip(kept[::2], kept[1::2], strict=True)]


def _binary(made: Instruction, words: list[str], body: str) -> None:
    made.type = words[0]
    made.operands = [Value(words[0], words[1]), Value(words[0], words[3])]


def _icmp(made: Instruction, words: list[str], body: str) -> None:
    made.type, made.detail = "i1", words[0]
    made.operands = [Value(words[1], words[2]), Value(words[1], words[4])]


def _cast(made: Instruction, words: list[str], body: str) -> None:
    made.type, made.operands = words[3], [Value(words[0], words[1])]


def _select(made: Instruction, words: list[str], body: str) -> None:
    made.operands = _pairs(words)
    made.type = made.operands[1].type


def _freeze(made: Instruction, words: list[str], body: str) -> None:
    made.operands = _pairs(words)
    made.type = made.operands[0].type


def _phi(made: Instruction, words: list[str], body: str) -> None:
    made.type = words[0]
    for value, label in re.findall(rf"\[ ([^\s,]+), (%{_NAME}) \]", body):
        made.operands.append(Value(words[0], value))
        made.labels.append(label)


def _load(made: Instruction, words: list[str], body: str) -> None:
    made.type, made.operands = words[0], [Value("ptr", words[3])]


def _store(made: Instruction, words: list[str], body: str) -> None:
    made.operands = [Value(words[0], words[1]), Value("ptr", words[4])]


def _getelementptr(made: Instruction, words: list[str], body: str) -> None:
    made.type, made.detail = "ptr", words[0]
    made.operands = _pairs(words[2:])


def _alloca(made: Instruction, words: list[str], body: str) -> None:
    made.type, made.detail = "ptr", words[0]


def _br(made: Instruction, words: list[str], body: str) -> None:
    if words[0] != "label":
        made.operands = [Value(words[0], words[1])]
    made.labels = re.findall(rf"label (%{_NAME})", body)


def _switch(made: Instruction, words: list[str], body: str) -> None:
    made.operands = [Value(words[0], words[1])]
    cases = re.findall(rf"(i\d+) (-?\d+|true|false), label (%{_NAME})", body.split("[", 1)[1])
    made.operands += [Value(kind, value) for kind, value, _ in cases]
    made.labels = [words[4], *(label for _, _, label in cases)]


def _call(made: Instruction, words: list[str], body: str) -> None:
    made.type = words[0]
    place = next(index for index, word in enumerate(words) if word.startswith("@"))
    made.detail = words[place]
    inner = words[place + 2 : -1]
    if not made.detail.startswith(("@llvm.lifetime", "@llvm.assume", "@llvm.experimental")):
        inner = [
            word
            for index, word in enumerate(inner)
            if word not in ("align",) and (index == 0 or inner[index - 1] != "align")
        ]
        made.operands = _pairs(inner)


def _nothing(made: Instruction, words: list[str], body: str) -> None:
    pass


_READERS = {
    "binary": _binary, "cast": _cast, "icmp": _icmp, "select": _select, "freeze": _freeze,
    "phi": _phi, "load": _load, "store": _store, "getelementptr": _getelementptr,
    "alloca": _alloca, "br": _br, "switch": _switch, "call": _call,
    "ret": _nothing, "unreachable": _nothing,
}  # fmt: skip
