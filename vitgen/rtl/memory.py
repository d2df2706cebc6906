"""Where the loads and stores of a process go: streams, banks, local RAMs, register arrays, tables."""

from dataclasses import dataclass, replace

from vitgen.rtl.llvm import Function, Instruction, Value, literal, width_of

STREAM_BYTES = 4096  # hls::stream<T>::SIZE


@dataclass(frozen=True)
class Place:
    """An address: a root with a constant distance and scaled indices, in bytes.

    Parameters
    ----------
    root : parameter, local array or constant table.
    offset : constant part.
    terms : pairs of an index and the bytes of a step of it.
    """

    root: str
    offset: int = 0
    terms: tuple[tuple[Value, int], ...] = ()


@dataclass(frozen=True)
class Choice:
    """A place that applies where all the conditions hold.

    Parameters
    ----------
    place : the place.
    conditions : of selections, ``(value, wanted)`` each.
    arrivals : of phis, ``(block, predecessor)`` each: this activation came that way.
    """

    place: Place
    conditions: tuple[tuple[Value, bool], ...] = ()
    arrivals: tuple[tuple[str, str], ...] = ()

    @property
    def always(self) -> bool:
        """Whether there is no other choice."""
        return not self.conditions and not self.arrivals


@dataclass(frozen=True)
class Access:
    """A load or store, and one of the places that it may go to."""

    block: str
    instruction: Instruction
    choice: Choice


@dataclass(frozen=True)
class Array:
    """A local array.

    Parameters
    ----------
    name : of the alloca.
    width, count : its elements; structs have no width.
    step : bytes from one to the next.
    """

    name: str
    width: int
    count: int
    step: int


class Pointers:
    """Resolves pointers of one function."""

    def __init__(self, function: Function) -> None:
        self.function = function
        self.defined = {
            made.name: made
            for block in function.blocks
            for made in block.instructions
            if made.name and made.type == "ptr"
        }
        self._numbers = {
            made.name: made
            for block in function.blocks
            for made in block.instructions
            if made.name and made.type.startswith("i")
        }
        # The compiler keeps the way to one of two elements as a selection of their bytes.
        self._distances = {
            made.name: made
            for block in function.blocks
            for made in block.instructions
            if made.op == "select" and all(literal(v.text) is not None for v in made.operands[1:])
        }
        self._home = {
            made.name: block.name for block in function.blocks for made in block.instructions
        }

    def choices(self, pointer: str) -> list[Choice]:
        """The places that a pointer may name.

        Raises
        ------
        VitgenError : it comes from something else than arithmetic and selection.
        """
        if pointer.startswith("@") or pointer in self.function.parameters:
            return [Choice(Place(pointer))]
        made = self.defined.get(pointer)
        if made is None or made.op not in ("alloca", "getelementptr", "select", "phi"):
            raise self.function.refusal(
                made or Instruction("?", text=pointer),
                "a pointer is not a plain element of an array", "Index arrays directly, by numbers.",
            )  # fmt: skip
        if made.op == "alloca":
            return [Choice(Place(pointer))]
        if made.op == "select":
            condition, yes, no = made.operands
            return [
                replace(choice, conditions=((condition, wanted), *choice.conditions))
                for value, wanted in ((yes, True), (no, False))
                for choice in self.choices(value.text)
            ]
        if made.op == "phi":
            block = self._home[pointer]
            return [
                replace(choice, arrivals=((block, label), *choice.arrivals))
                for label, value in zip(made.labels, made.operands, strict=True)
                for choice in self.choices(value.text)
            ]
        base, *indices = made.operands
        found = []
        for conditions, chosen in self._ways(made, indices):
            offset, terms = self._arithmetic(made, chosen)
            for choice in self.choices(base.text):
                before = choice.place
                place = Place(before.root, before.offset + offset, before.terms + terms)
                found.append(
                    replace(choice, place=place, conditions=(*conditions, *choice.conditions))
                )
        return found

    def _ways(
        self, made: Instruction, indices: list[Value]
    ) -> list[tuple[tuple[tuple[Value, bool], ...], list[Value]]]:
        """The indices of a getelementptr, for every way of a selection of two distances in bytes."""
        chosen = self._distances.get(indices[0].text) if made.detail == "i8" else None
        if chosen is None:
            return [((), indices)]
        condition, yes, no = chosen.operands
        return [(((condition, True),), [yes]), (((condition, False),), [no])]

    def _arithmetic(
        self, made: Instruction, indices: list[Value]
    ) -> tuple[int, tuple[tuple[Value, int], ...]]:
        kind, offset, terms = made.detail, 0, []
        for depth, index in enumerate(indices):
            if depth:
                if not kind.startswith("["):
                    raise self.function.refusal(
                        made, "an address within a struct that is not understood",
                        "Name the member; use structs of numbers and of arrays of numbers.",
                    )  # fmt: skip
                kind = kind[1:-1].split(" x ", 1)[1].strip()
            size = self.function.bytes_of(kind)
            number = literal(index.text)
            if number is None:
                terms.append((index, size))
            else:
                offset += number * size
        return offset, tuple(terms)

    def zeros(self, operand: Value) -> int:
        """Lowest bits of a number that are always 0, as far as constants and shifts tell.

        The compiler may compute an index in bytes: shifted to the left, in some other operation.
        """
        width, number = width_of(operand.type), literal(operand.text)
        if number is not None:
            return (number & -number).bit_length() - 1 if number else width
        made = self._numbers.get(operand.text)
        if made is None:
            return 0
        if made.op in ("zext", "sext", "trunc"):
            return min(width, self.zeros(made.operands[0]))
        if made.op in ("shl", "lshr", "ashr"):
            amount = literal(made.operands[1].text)
            if amount is None:
                return 0
            below = self.zeros(made.operands[0])
            return min(width, below + amount) if made.op == "shl" else max(0, below - amount)
        if made.op in ("add", "sub", "or", "xor", "and"):
            below, other = (self.zeros(value) for value in made.operands)
            return max(below, other) if made.op == "and" else min(below, other)
        return 0

    def array(self, made: Instruction) -> Array:
        """The local array of an alloca."""
        kind, count = self.function.element(made.detail)
        width = width_of(kind) if kind.startswith("i") else 0
        return Array(made.name, width, count, self.function.bytes_of(kind))
