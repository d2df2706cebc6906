"""A model as the cost model sees it: shapes and dependences of its steps, without weights.

The schedule is the one of :mod:`vitgen.design.schedule`; a test holds the two together.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from vitgen.design.chains import chains
from vitgen.design.cost_stem import StemShape
from vitgen.design.cost_work import Control, Load, Norm, Product, Task, Work
from vitgen.design.engine import Engine
from vitgen.design.isa import LoadTarget, Route, RowSource, Source
from vitgen.design.needs import PROB_BUFFERS
from vitgen.design.placement import plan_act
from vitgen.design.steps import AttentionStep, LinearStep, LoadStep, NormStep, StemStep, Step
from vitgen.design.tiling import tile_rows
from vitgen.design.waits import Access, Waits


@dataclass(frozen=True)
class LinearShape:
    """A linear layer without its weights: rows by kind, dot product, tokens; the features of the
    LayerNorm that its slots go to (0 if there is none), and whether they come from one, as in
    :mod:`vitgen.design.chains`."""

    w4: int
    w8: int
    pot: int
    k: int
    tokens: int
    route: Route
    sends: int = 0
    by_slot: bool = False

    @property
    def rows(self) -> int:
        """Rows of all kinds."""
        return self.w4 + self.w8 + self.pot

    def products(self, engine: Engine) -> tuple[Product, ...]:
        """The instructions that compute it, as :mod:`vitgen.design.schedule` orders them."""
        slots = engine.slots(self.tokens)
        groups = tile_rows(engine, self.w4, self.w8, self.pot).groups
        return tuple(
            Product(
                RowSource.WEIGHTS, self.route, group.weight_bits == 8, self.k, group.row_tiles,
                slots, group.fixed_rows, group.pot_rows, group.fixed + group.pot, self.tokens,
                sent_rows=group.last_rows if self.sends and group is groups[-1] else 0,
                sent_features=self.sends if group is groups[-1] else 0,
                by_slot=self.by_slot and group is groups[0],
            )
            for group in groups
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
    """A LayerNorm; ``between``: the dot products of the products that bring its slots and take
    them, none where it runs alone."""

    features: int
    tokens: int
    between: tuple[int, ...] = ()

    def products(self, engine: Engine) -> tuple[Norm, ...]:
        """One instruction."""
        return (Norm(self.features, engine.slots(self.tokens), bool(self.between)),)


@dataclass(frozen=True)
class LoadShape:
    """A load."""

    features: int
    tokens: int
    residual: bool

    def products(self, engine: Engine) -> tuple[Load, ...]:
        """One instruction."""
        return (Load(self.features, engine.slots(self.tokens), self.residual),)


Shape = LinearShape | ScoreShape | ValueShape | NormShape | LoadShape | StemShape

Part = tuple[str, Work, tuple[Access, ...], frozenset[Source]]

_BANK = {Route.KEY: "key", Route.VALUE: "value", Route.RESIDUAL: "residual"}


@dataclass(frozen=True)
class Unit:
    """A shape of the model and the words that it touches, counted per slot."""

    name: str
    shape: Shape
    accesses: tuple[Access, ...]
    implied: frozenset[Source] = frozenset()

    def parts(self, engine: Engine, works: Sequence[Work], slots: int) -> Iterator[Part]:
        """Name, work and accesses of each instruction; accesses are scaled by ``slots``."""
        if isinstance(self.shape, StemShape):
            yield from ((*part, frozenset()) for part in self.shape.parts(engine))
            return
        accesses = self.accesses
        if slots > 1:
            accesses = tuple(
                replace(access, low=access.low * slots, high=access.high * slots)
                for access in accesses
            )
        for index, work in enumerate(works):
            yield self.name, work, accesses, self.implied if index == 0 else frozenset()


class Workload:
    """A model as the cost model sees it: shapes and dependences, no weights.

    Parameters
    ----------
    steps : the graph's steps in order; the order is that of :mod:`vitgen.design.schedule`.
    """

    def __init__(self, steps: Sequence[Step]) -> None:
        self._plan = plan_act(list(steps)).offsets
        self.units: list[Unit] = []
        found = chains(list(steps))
        sending, taking = {chain.adds for chain in found}, {chain.reads for chain in found}
        for place, step in enumerate(steps):
            if isinstance(step, LoadStep):
                self._load(step)
            elif isinstance(step, NormStep):
                ends = (steps[place - 1], steps[place + 1]) if place - 1 in sending else ()
                self._norm(step, tuple(s.x.features for s in ends if isinstance(s, LinearStep)))
            elif isinstance(step, LinearStep):
                self._linear(step, place in sending, place in taking)
            elif isinstance(step, StemStep):
                shape = StemShape(step.stem, step.project, step.project.y.tokens)
                self._add(step.name, shape)
            else:
                self._attention(step)
        self.shapes: Counter[Shape] = Counter(unit.shape for unit in self.units)
        self.stems = [shape for shape in self.shapes if isinstance(shape, StemShape)]
        self._waits: dict[tuple[int, ...], list[dict[Source, int]]] = {}

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        linear = sum(
            count * shape.rows * shape.k * shape.tokens
            for shape, count in self.shapes.items()
            if isinstance(shape, LinearShape)
        )
        return linear + self.attention_macs + sum(stem.macs for stem in self.stems)

    @cached_property
    def attention_macs(self) -> int:
        """Those of the two products of attention."""
        return sum(
            count * shape.head_dim * shape.keys * shape.tokens
            for shape, count in self.shapes.items()
            if isinstance(shape, ScoreShape | ValueShape)
        )

    @cached_property
    def narrow(self) -> bool:
        """Whether any layer has 4-bit fixed rows."""
        linear = any(isinstance(shape, LinearShape) and shape.w4 for shape in self.shapes)
        return linear or any(stem.narrow for stem in self.stems)

    def tasks(self, engine: Engine) -> list[Task]:
        """The instructions that ``engine`` would run, with their waits."""
        works = {shape: shape.products(engine) for shape in self.shapes}
        # Only a stem counts words of the bank itself; else the waits are the same for all slots.
        slots = engine.slots(self.stems[0].tokens) if self.stems else 1
        parts = [
            part for unit in self.units for part in unit.parts(engine, works[unit.shape], slots)
        ]
        key = (slots, *(len(works[unit.shape]) for unit in self.units))
        if key not in self._waits:
            waits = Waits()
            found = [waits.issue(accesses, implied) for _, _, accesses, implied in parts]
            self._waits[key] = [*found, waits.all()]
        counts = self._waits[key]
        tasks = [Task(f"set_tokens.{register}", Control()) for register in range(2 + len(self.stems))]
        tasks += [
            Task(name, work, count)
            for (name, work, _, _), count in zip(parts, counts[:-1], strict=True)
        ]
        return [*tasks, Task("stop", Control(), counts[-1])]

    def _act(self, tensor: str, features: int, writes: bool) -> Access:
        low = self._plan[tensor]
        return Access("act", low, low + features, writes)

    def _add(
        self, name: str, shape: Shape, *accesses: Access, implied: frozenset[Source] = frozenset()
    ) -> None:
        self.units.append(Unit(name, shape, accesses, implied))

    def _load(self, step: LoadStep) -> None:
        tensor, residual = step.tensor, step.target is LoadTarget.RESIDUAL
        if residual:
            access = Access("residual", 0, tensor.features, True)
        else:
            access = self._act(tensor.name, tensor.features, True)
        self._add(step.name, LoadShape(tensor.features, tensor.tokens, residual), access)

    def _norm(self, step: NormStep, between: tuple[int, ...]) -> None:
        features = step.x.features
        shape = NormShape(features, step.y.tokens, between)
        write = self._act(step.y.name, features, True)
        if between:
            self._add(step.name, shape, write, implied=frozenset({Source.FEED}))
        else:
            self._add(step.name, shape, Access("residual", 0, features, False), write)

    def _linear(self, step: LinearStep, sends: bool, by_slot: bool) -> None:
        op, kinds = step.op, step.rows_by_kind
        shape = LinearShape(
            kinds["w4"], kinds["w8"], kinds["pot"], step.x.features, op.tokens or step.x.tokens,
            step.route, op.rows if sends else 0, by_slot,
        )  # fmt: skip
        if step.route in (Route.ACT, Route.GELU):
            write = self._act(step.y.name, op.rows, True)
        else:
            write = Access(_BANK.get(step.route, "output"), 0, op.rows, True)
        read = self._act(step.x.name, step.x.features, False)
        implied = frozenset({Source.ACT_WRITE}) if by_slot else frozenset()
        self._add(step.name, shape, read, write, implied=implied)

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
