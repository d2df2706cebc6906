"""Reader of the textual LLVM IR that clang leaves of a process: integers, branches and memory.

Only this subset is read; anything else is refused with its text.
"""

import re
from typing import NamedTuple

from vitgen.errors import VitgenError
from vitgen.rtl.llvm import (
    BINARY,
    CASTS,
    WIDTHS,
    Block,
    Function,
    Instruction,
    Table,
    Value,
    number_of,
)

_FLAGS = frozenset(
    ("nsw", "nuw", "exact", "inbounds", "disjoint", "nneg", "samesign", "nusw", "tail", "musttail",
     "notail", "noundef", "nonnull", "volatile", "zeroext", "signext")
)  # fmt: skip
_NAME = r'(?:[\w.$-]+|"[^"]+")'
_TOKEN = re.compile(rf"\[\s*\d+ x [^\[\]]+\]|[%@]{_NAME}|[\w.$-]+|[\[\](),=*{{}}]")


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
            values = [number_of(part.split()[-1]) for part in body[1:-1].split(",")]
        else:
            values = [0] * int(count)
        tables[name] = Table(bits, tuple(value & ((1 << bits) - 1) for value in values))
    return tables


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
