"""The program that the accelerator executes: 512-bit instructions, four DRAM beats each.

The field table is the one definition: Python encodes by it and ``instruction.h`` is rendered from
it. ``docs/accelerator.md`` says what each field means to each instruction.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum

from vitgen.errors import VitgenError

INSTRUCTION_BITS = 512
INSTRUCTION_BEATS = 4


class Opcode(IntEnum):
    """What an instruction does."""

    STOP = 0
    SET_TOKENS = 1
    LOAD = 2
    NORM = 3
    GEMM = 4


class RowSource(IntEnum):
    """Where the row operand of a product comes from."""

    WEIGHTS = 0
    KEYS = 1
    VALUES = 2


class ActSource(IntEnum):
    """Which bank the token operand is read from."""

    ACT = 0
    PROB = 1


class Route(IntEnum):
    """Where requantized words go."""

    ACT = 0
    KEY = 1
    VALUE = 2
    GELU = 3
    SOFTMAX = 4
    RESIDUAL = 5
    STORE = 6


class LoadTarget(IntEnum):
    """Bank that a LOAD fills, and with it the DRAM region read."""

    ACT = 0
    RESIDUAL = 1


class Source(IntEnum):
    """Processes that report the end of a command; an instruction waits for counts of them."""

    FEED = 0
    KEYS = 1
    VALUE_TURN = 2
    ACT_WRITE = 3
    KEY_WRITE = 4
    VALUE_WRITE = 5
    PROB_WRITE = 6
    RESIDUAL = 7
    STORE = 8


DONE_DEPTH = 16
"""Completions of one process that can wait uncollected. The scheduler adds waits that keep the
number below it, so that no process can block on its own completion stream."""

FIELDS: tuple[tuple[str, int], ...] = (
    ("opcode", 3),
    ("tokens_register", 2),
    ("keys_register", 2),
    ("row_source", 2),
    ("act_source", 1),
    ("wide", 1),
    ("token_outer", 1),
    ("route", 3),
    ("k_from_keys", 1),
    ("rows_from_keys", 1),
    ("constant_params", 1),
    ("load_target", 1),
    ("fixed_rows", 10),
    ("pot_rows", 9),
    ("row_tiles", 12),
    ("k", 13),
    ("act_base", 16),
    ("act_stride", 13),
    ("operand_base", 16),
    ("operand_stride", 13),
    ("dest_base", 16),
    ("dest_stride", 13),
    ("weight_address", 28),
    ("param_address", 28),
    ("mult", 17),
    ("limit", 13),
    ("shift", 6),
    ("bits", 5),
    ("post_fraction", 4),
    ("post_delta", 9),
    ("post_mult", 17),
    ("post_shift", 6),
    ("post_bits", 5),
    ("epsilon", 50),
    ("relu", 1),
    ("act_run", 13),
    ("act_jump", 13),
    ("by_slot", 1),
    *((f"wait_{source.name.lower()}", 16) for source in Source),
)

WIDTHS = dict(FIELDS)

TOGETHER = ("by_slot", *(f"wait_{source.name.lower()}" for source in Source))
"""The last fields: how an instruction runs beside its neighbours. All 0 in one that runs alone."""


def offsets() -> dict[str, tuple[int, int]]:
    """``(low bit, width)`` of every field, packed from bit 0 up."""
    table, low = {}, 0
    for name, width in FIELDS:
        table[name] = (low, width)
        low += width
    if low > INSTRUCTION_BITS:
        raise AssertionError(f"the fields take {low} bits")
    return table


def alone_bits() -> int:
    """Bits of an instruction below those of :data:`TOGETHER`."""
    names = [name for name, _ in FIELDS]
    first = len(names) - len(TOGETHER)
    if set(names[first:]) != set(TOGETHER):
        raise AssertionError(f"the last fields are {names[first:]}")
    return offsets()[names[first]][0]


@dataclass
class Instruction:
    """One instruction; fields not named are 0.

    Parameters
    ----------
    op : name of the IR op it computes (for reports and comparisons; not encoded).
    fields : values by field name.
    waits : least number of completed commands of each process before the instruction may read.
    reports : processes that complete one command for it (not encoded).
    useful_macs : products that the model asks for, where they are not all tokens times ``limit``
        times ``k`` (not encoded).
    """

    op: str
    fields: dict[str, int]
    waits: dict[Source, int] = field(default_factory=dict)
    reports: frozenset[Source] = frozenset()
    useful_macs: int | None = None

    @property
    def opcode(self) -> Opcode:
        """The kind of instruction."""
        return Opcode(self.fields["opcode"])

    def encode(self) -> int:
        """The 512-bit word.

        Raises
        ------
        VitgenError : a value does not fit its field.
        """
        values = dict(self.fields)
        values.update({f"wait_{s.name.lower()}": n for s, n in self.waits.items()})
        table = offsets()
        word = 0
        for name, value in values.items():
            low, width = table[name]
            if not 0 <= value < 1 << width:
                raise VitgenError(
                    f"Instruction {self.op}: {name} is {value}, the field has {width} bits.",
                    "The model is larger than the program format allows.",
                )
            word |= int(value) << low
        return word


def decode(word: int) -> dict[str, int]:
    """Fields of an instruction word, the inverse of :meth:`Instruction.encode`."""
    return {name: (word >> low) & ((1 << width) - 1) for name, (low, width) in offsets().items()}


def encode_program(program: Iterable[Instruction]) -> bytes:
    """The program as little-endian bytes, 64 an instruction."""
    return b"".join(i.encode().to_bytes(INSTRUCTION_BITS // 8, "little") for i in program)


def decode_program(data: bytes, count: int) -> list[Instruction]:
    """The first ``count`` instructions of a program in memory; their ops are named by their place."""
    size = INSTRUCTION_BITS // 8
    found = []
    for index in range(count):
        fields = decode(int.from_bytes(data[index * size : (index + 1) * size], "little"))
        waits = {source: fields.pop(f"wait_{source.name.lower()}") for source in Source}
        found.append(Instruction(f"number {index}", fields, waits))
    return found
