"""What an instruction asks of the hardware, from its fields or from a step that has none yet.

Both roads end in the same :class:`Task`, so that the cycle model is one: the search costs a
candidate without packing a weight, and a program is costed instruction by instruction.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from vitgen.design.engine import Engine
from vitgen.design.isa import Instruction, LoadTarget, Opcode, Route, RowSource, Source
from vitgen.design.needs import PROB_BUFFERS
from vitgen.design.placement import plan_act
from vitgen.design.steps import AttentionStep, LinearStep, LoadStep, NormStep, Step
from vitgen.design.tiling import tile_rows
from vitgen.design.waits import Access, Waits


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
        return self.tokens * self.limit * self.k


@dataclass(frozen=True)
class Norm:
    """A LayerNorm of ``slots`` token tiles."""

    features: int
    slots: int


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


def work_of(engine: Engine, fields: Mapping[str, int], registers: Mapping[int, int]) -> Work:
    """The work of an instruction.

    Parameters
    ----------
    fields : values by name of :data:`vitgen.design.isa.FIELDS`; what is missing is 0.
    registers : tokens in each register that the instruction names.
    """
    get = fields.get
    opcode = Opcode(get("opcode", 0))
    if opcode in (Opcode.STOP, Opcode.SET_TOKENS):
        return Control()
    tokens = registers[get("tokens_register", 0)]
    slots = engine.slots(tokens)
    if opcode is Opcode.LOAD:
        return Load(get("k", 0), slots, get("load_target", 0) == LoadTarget.RESIDUAL)
    if opcode is Opcode.NORM:
        return Norm(get("k", 0), slots)
    keys = registers[get("keys_register", 0)]
    from_keys = get("rows_from_keys", 0)
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
    )


def tasks_of_program(engine: Engine, instructions: Iterable[Instruction]) -> list[Task]:
    """The tasks of a program; registers follow its SET_TOKENS instructions."""
    registers: dict[int, int] = {}
    tasks = []
    for instruction in instructions:
        fields = instruction.fields
        if instruction.opcode is Opcode.SET_TOKENS:
            registers[fields.get("tokens_register", 0)] = fields.get("limit", 0)
        work = work_of(engine, fields, registers)
        tasks.append(Task(instruction.op, work, dict(instruction.waits)))
    return tasks


@dataclass(frozen=True)
class LinearShape:
    """A linear layer without its weights: rows by kind, dot product, tokens."""

    w4: int
    w8: int
    pot: int
    k: int
    tokens: int
    route: Route

    @property
    def rows(self) -> int:
        """Rows of all kinds."""
        return self.w4 + self.w8 + self.pot

    def products(self, engine: Engine) -> tuple[Product, ...]:
        """The instructions that compute it, as :mod:`vitgen.design.program` orders them."""
        slots = engine.slots(self.tokens)
        return tuple(
            Product(
                RowSource.WEIGHTS, self.route, group.weight_bits == 8, self.k, group.row_tiles,
                slots, group.fixed_rows, group.pot_rows, group.fixed + group.pot, self.tokens,
            )
            for group in tile_rows(engine, self.w4, self.w8, self.pot).groups
        )  # fmt: skip


@dataclass(frozen=True)
class ScoreShape:
    """Scores of one head and their softmax."""

    tokens: int
    keys: int
    head_dim: int

    def products(self, engine: Engine) -> tuple[Product, ...]:
        """One instruction."""
        return (
            Product(
                RowSource.KEYS, Route.SOFTMAX, True, self.head_dim, engine.key_tiles(self.keys),
                engine.slots(self.tokens), engine.attention_rows, 0, self.keys, self.tokens,
            ),
        )  # fmt: skip


@dataclass(frozen=True)
class ValueShape:
    """Weighted values of one head."""

    tokens: int
    keys: int
    head_dim: int

    def products(self, engine: Engine) -> tuple[Product, ...]:
        """An instruction for every tile of the head's features."""
        most = min(self.head_dim, engine.fixed_rows(8))
        slots = engine.slots(self.tokens)
        return tuple(
            Product(
                RowSource.VALUES, Route.ACT, True, self.keys, 1, slots,
                rows, 0, rows, self.tokens,
            )
            for rows in (
                min(most, self.head_dim - start) for start in range(0, self.head_dim, most)
            )
        )  # fmt: skip


@dataclass(frozen=True)
class NormShape:
    """A LayerNorm."""

    features: int
    tokens: int

    def products(self, engine: Engine) -> tuple[Norm, ...]:
        """One instruction."""
        return (Norm(self.features, engine.slots(self.tokens)),)


@dataclass(frozen=True)
class LoadShape:
    """A load."""

    features: int
    tokens: int
    residual: bool

    def products(self, engine: Engine) -> tuple[Load, ...]:
        """One instruction."""
        return (Load(self.features, engine.slots(self.tokens), self.residual),)


Shape = LinearShape | ScoreShape | ValueShape | NormShape | LoadShape

_BANK = {Route.KEY: "key", Route.VALUE: "value", Route.RESIDUAL: "residual"}


@dataclass(frozen=True)
class Unit:
    """A shape of the model and the words that it touches, counted per slot."""

    name: str
    shape: Shape
    accesses: tuple[Access, ...]


class Workload:
    """A model as the cost model sees it: shapes and dependences, no weights.

    Parameters
    ----------
    steps : the graph's steps in order; the schedule is the one of ``program.py``.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._plan = plan_act(list(steps)).offsets
        self.units: list[Unit] = []
        for step in steps:
            if isinstance(step, LoadStep):
                self._load(step)
            elif isinstance(step, NormStep):
                self._norm(step)
            elif isinstance(step, LinearStep):
                self._linear(step)
            else:
                self._attention(step)
        self.shapes: Counter[Shape] = Counter(unit.shape for unit in self.units)
        self._waits: dict[tuple[int, ...], list[dict[Source, int]]] = {}

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        linear = sum(
            count * shape.rows * shape.k * shape.tokens
            for shape, count in self.shapes.items()
            if isinstance(shape, LinearShape)
        )
        return linear + self.attention_macs

    @property
    def attention_macs(self) -> int:
        """Those of the two products of attention."""
        return sum(
            count * shape.head_dim * shape.keys * shape.tokens
            for shape, count in self.shapes.items()
            if isinstance(shape, ScoreShape | ValueShape)
        )

    @property
    def narrow(self) -> bool:
        """Whether any layer has 4-bit fixed rows."""
        return any(isinstance(shape, LinearShape) and shape.w4 for shape in self.shapes)

    def tasks(self, engine: Engine) -> list[Task]:
        """The instructions that ``engine`` would run, with their waits."""
        works = {shape: shape.products(engine) for shape in self.shapes}
        split = tuple(len(works[unit.shape]) for unit in self.units)
        if split not in self._waits:
            self._waits[split] = self._derive_waits(split)
        names = [unit.name for unit, n in zip(self.units, split, strict=True) for _ in range(n)]
        flat: list[Work] = [work for unit in self.units for work in works[unit.shape]]
        waits = self._waits[split]
        tasks = [Task(f"set_tokens.{register}", Control()) for register in range(2)]
        tasks += [Task(n, w, c) for n, w, c in zip(names, flat, waits, strict=False)]
        return [*tasks, Task("stop", Control(), waits[-1])]

    def _derive_waits(self, split: tuple[int, ...]) -> list[dict[Source, int]]:
        waits = Waits()
        found = [
            waits.issue(list(unit.accesses))
            for unit, times in zip(self.units, split, strict=True)
            for _ in range(times)
        ]
        return [*found, waits.all()]

    def _act(self, tensor: str, features: int, writes: bool) -> Access:
        low = self._plan[tensor]
        return Access("act", low, low + features, writes)

    def _add(self, name: str, shape: Shape, *accesses: Access) -> None:
        self.units.append(Unit(name, shape, accesses))

    def _load(self, step: LoadStep) -> None:
        tensor, residual = step.tensor, step.target is LoadTarget.RESIDUAL
        if residual:
            access = Access("residual", 0, tensor.features, True)
        else:
            access = self._act(tensor.name, tensor.features, True)
        self._add(step.name, LoadShape(tensor.features, tensor.tokens, residual), access)

    def _norm(self, step: NormStep) -> None:
        features = step.x.features
        self._add(
            step.name,
            NormShape(features, step.y.tokens),
            Access("residual", 0, features, False),
            self._act(step.y.name, features, True),
        )

    def _linear(self, step: LinearStep) -> None:
        op, kinds = step.op, step.rows_by_kind
        shape = LinearShape(
            kinds["w4"], kinds["w8"], kinds["pot"], step.x.features, op.tokens or step.x.tokens,
            step.route,
        )  # fmt: skip
        if step.route in (Route.ACT, Route.GELU):
            write = self._act(step.y.name, op.rows, True)
        else:
            write = Access(_BANK.get(step.route, "output"), 0, op.rows, True)
        self._add(step.name, shape, self._act(step.x.name, step.x.features, False), write)

    def _attention(self, step: AttentionStep) -> None:
        heads = step.scores.heads
        for head in range(heads + 1):
            if head < heads:
                self._scores(step, head)
            if head > 0:
                self._values(step, head - 1)

    def _prob(self, step: AttentionStep, head: int, writes: bool) -> Access:
        keys = step.prob.features
        low = head % PROB_BUFFERS * keys
        return Access("prob", low, low + keys, writes)

    def _scores(self, step: AttentionStep, head: int) -> None:
        self._add(
            step.name,
            ScoreShape(step.q.tokens, step.prob.features, step.head_dim),
            self._act(step.q.name, step.q.features, False),
            Access("key", 0, step.k.features, False),
            self._prob(step, head, True),
        )

    def _values(self, step: AttentionStep, head: int) -> None:
        self._add(
            step.values.name,
            ValueShape(step.y.tokens, step.prob.features, step.head_dim),
            self._prob(step, head, False),
            Access("value", 0, step.v.features, False),
            self._act(step.y.name, step.v.features, True),
        )
