"""What an instruction asks of the hardware, from its fields or from a step that has none yet.

Both roads end in the same :class:`Task`, so that the cycle model is one: the search costs a
candidate without packing a weight, and a program is costed instruction by instruction.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from vitgen.design.engine import Engine
from vitgen.design.isa import Instruction, LoadTarget, Opcode, Route, RowSource, Source


@dataclass(frozen=True)
class Product:
    """A GEMM instruction.

    Parameters
    ----------
    source, route : where its rows come from and its results go.
    wide : whether its fixed rows have 8 bits.
    k : beats of a tile.
    row_tiles, slots : tiles along the rows and along the tokens.
    fixed_rows, pot_rows : rows that every tile drains.
    limit : rows of all tiles that are kept.
    tokens : tokens that exist (the last slot may hold fewer than it has lanes).
    useful : products that the model asks for; None where they are ``tokens * limit * k``.
    sent_rows, sent_features : rows of the last row tile, after which each slot goes to a LayerNorm of so
        many features; 0 if none does.
    by_slot : whether a LayerNorm brings the operand slot by slot.
    """

    source: RowSource
    route: Route
    wide: bool
    k: int
    row_tiles: int
    slots: int
    fixed_rows: int
    pot_rows: int
    limit: int
    tokens: int
    useful: int | None = None
    sent_rows: int = 0
    sent_features: int = 0
    by_slot: bool = False

    @property
    def tile_rows(self) -> int:
        """Rows that a tile drains."""
        return self.fixed_rows + self.pot_rows

    @property
    def tiles(self) -> int:
        """Tiles of the instruction."""
        return self.row_tiles * self.slots

    @property
    def ideal_beats(self) -> int:
        """Beats in which the array multiplies."""
        return self.tiles * self.k

    @property
    def macs(self) -> int:
        """Products that the model asks for: no padded row, no padded token."""
        return self.tokens * self.limit * self.k if self.useful is None else self.useful


@dataclass(frozen=True)
class Norm:
    """A LayerNorm of ``slots`` token tiles; ``by_slot``: a product brings them one by one."""

    features: int
    slots: int
    by_slot: bool = False


@dataclass(frozen=True)
class Load:
    """Words of ``slots`` token tiles from DRAM into the residual or the activation banks."""

    features: int
    slots: int
    residual: bool


@dataclass(frozen=True)
class Control:
    """An instruction that only ``dispatch`` sees (SET_TOKENS, STOP)."""


Work = Product | Norm | Load | Control

_WRITER = {
    Route.ACT: Source.ACT_WRITE,
    Route.GELU: Source.ACT_WRITE,
    Route.KEY: Source.KEY_WRITE,
    Route.VALUE: Source.VALUE_WRITE,
    Route.SOFTMAX: Source.PROB_WRITE,
    Route.RESIDUAL: Source.RESIDUAL,
    Route.STORE: Source.STORE,
}


def writer_of(product: Product) -> Source:
    """The process that reports the last result of ``product``."""
    return _WRITER[product.route]


@dataclass(frozen=True)
class Task:
    """Work, the name it has in reports, and the completions it waits for."""

    name: str
    work: Work
    waits: Mapping[Source, int] = field(default_factory=dict, hash=False)


class TokenCount(NamedTuple):
    """A register: tokens, and the token tiles that it makes a command run over."""

    tokens: int
    slots: int


def work_of(engine: Engine, fields: Mapping[str, int], registers: Mapping[int, TokenCount]) -> Work:
    """The work of an instruction.

    Parameters
    ----------
    fields : values by name of :data:`vitgen.design.isa.FIELDS`; what is missing is 0.
    registers : contents of each register that the instruction names.
    """
    get = fields.get
    opcode = Opcode(get("opcode", 0))
    if opcode in (Opcode.STOP, Opcode.SET_TOKENS):
        return Control()
    tokens, slots = registers[get("tokens_register", 0)]
    if opcode is Opcode.LOAD:
        return Load(get("k", 0), slots, get("load_target", 0) == LoadTarget.RESIDUAL)
    if opcode is Opcode.NORM:
        return Norm(get("k", 0), slots, bool(get("by_slot", 0)))
    keys = registers[get("keys_register", 0)].tokens
    from_keys = get("rows_from_keys", 0)
    sends = get("by_slot", 0) and get("route", 0) == Route.RESIDUAL
    sent_rows = get("post_mult", 0) if sends else 0
    return Product(
        source=RowSource(get("row_source", 0)),
        route=Route(get("route", 0)),
        wide=bool(get("wide", 0)),
        k=keys if get("k_from_keys", 0) else get("k", 0),
        row_tiles=engine.key_tiles(keys) if from_keys else get("row_tiles", 0),
        slots=slots,
        fixed_rows=get("fixed_rows", 0),
        pot_rows=get("pot_rows", 0),
        limit=keys if from_keys else get("limit", 0),
        tokens=tokens,
        sent_rows=sent_rows,
        sent_features=get("dest_stride", 0) if sent_rows else 0,
        by_slot=bool(get("by_slot", 0)) and not sends,
    )


def tasks_of_program(engine: Engine, instructions: Iterable[Instruction]) -> list[Task]:
    """The tasks of a program; registers follow its SET_TOKENS instructions."""
    registers: dict[int, TokenCount] = {}
    tasks = []
    for instruction in instructions:
        fields = instruction.fields
        if instruction.opcode is Opcode.SET_TOKENS:
            count = TokenCount(fields.get("limit", 0), fields["row_tiles"])
            registers[fields.get("tokens_register", 0)] = count
        work = work_of(engine, fields, registers)
        if isinstance(work, Product):
            work = replace(work, useful=instruction.useful_macs)
        tasks.append(Task(instruction.op, work, dict(instruction.waits)))
    return tasks
