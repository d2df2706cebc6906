"""A process in LLVM IR: its instructions, blocks, types and lines of the source."""

import re
from dataclasses import dataclass, field

from vitgen.errors import VitgenError

BINARY = frozenset(
    ("add", "sub", "mul", "and", "or", "xor", "shl", "lshr", "ashr", "sdiv", "udiv", "srem", "urem")
)
CASTS = frozenset(("trunc", "zext", "sext"))

OWN_HEADERS = frozenset(("ap_int.h", "hls_stream.h", "vitgen_structs.h"))
"""Headers of the open road: a line of theirs tells a user nothing."""

WIDTHS = "vitgen_widths"
"""Begin of the name of the constant that says the widths of a function's parameters."""


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


def number_of(text: str) -> int:
    """Number of a literal. What is undefined in C++ is 0 here."""
    if text in ("false", "undef", "poison", "zeroinitializer"):
        return 0
    return 1 if text == "true" else int(text)


def literal(text: str) -> int | None:
    """Number of a literal operand (:func:`number_of`), None for a name."""
    if text[0] in "%@":
        return None
    return number_of(text)


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
