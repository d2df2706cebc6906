"""Shapes of an engine and a closed form of their cycles, for a search over many.

The closed form adds what the timeline of :mod:`vitgen.design.cost_timeline` overlaps or not in its
usual order: products one after the other, LayerNorms and loads between them. It ranks candidates;
the timeline decides among the best.
"""

from dataclasses import dataclass, replace

from vitgen.design.array import longest_k
from vitgen.design.cost_array import Cost
from vitgen.design.cost_cycles import (
    Road,
    array_cycles,
    exposed_norm,
    load_beats,
    norm_cycles,
    product_times,
    turn_cycles,
)
from vitgen.design.cost_resources import grid_cost
from vitgen.design.cost_stem import StemShape
from vitgen.design.cost_work import Load, Product
from vitgen.design.cost_workload import (
    LinearShape,
    LoadShape,
    NormShape,
    ScoreShape,
    ValueShape,
    Workload,
)
from vitgen.design.engine import (
    MAX_WORD_BITS,
    Engine,
    divisors,
    turn_gap,
)
from vitgen.design.instance import engine_for
from vitgen.design.lanes import ACCUMULATOR_BITS
from vitgen.design.latencies import (
    ARRAY_LATENCY,
    COMMAND_LATENCY,
    REQUANT_LATENCY,
    WRITE_LATENCY,
    sub_words,
)
from vitgen.design.needs import Needs

MAX_SLOTS = 16
MAX_GROUPS = 24
LANE_CHOICES = 4  # widths of a unit worth trying: a quarter of the widest and less never pays
LANE_WASTE = 1.06  # token lanes beyond what the slots need
LUTS_PER_DSP = 100  # a DSP slice is worth as many LUTs as the board has of them for each
FIFOS = (32, 512, 1024, 2048, 4096)  # one LUT RAM, then whole depths of block RAMs


@dataclass(frozen=True)
class Limits:
    """Bounds that a search keeps besides the board's.

    Parameters
    ----------
    max_multipliers : most products per beat of the array, power-of-two rows included.
    max_token_lanes : most tokens side by side.
    min_row_tiles : fewest tiles that the narrowest layers of the blocks have.
    min_token_tiles : fewest tiles of tokens.
    min_groups : fewest token groups.
    busy_floor : share of useful lanes below which a larger engine must pay: under it, twice the
        lanes must give more than 1.4 times the frames. It keeps small models on small engines.
    """

    max_multipliers: int | None = None
    max_token_lanes: int | None = None
    min_row_tiles: int = 1
    min_token_tiles: int = 1
    min_groups: int = 1
    busy_floor: float = 0.5


SIMULATED = Limits(max_multipliers=256, min_row_tiles=3, min_token_tiles=3, min_groups=2)
"""For a small model whose RTL is simulated: few lanes, and enough tiles and groups that every loop
turns."""


@dataclass(frozen=True)
class Grid:
    """Rows and token lanes of the array."""

    group_lanes: int
    groups: int
    dsp_rows: int
    pot_rows: int

    @property
    def token_lanes(self) -> int:
        """Tokens side by side."""
        return self.group_lanes * self.groups

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """All four."""
        return self.group_lanes, self.groups, self.dsp_rows, self.pot_rows


@dataclass(frozen=True)
class Lanes:
    """Lanes of the units, per group."""

    requant: int
    gelu: int
    softmax: int
    norm: int

    @property
    def widths(self) -> tuple[int, int, int, int]:
        """All four."""
        return self.requant, self.gelu, self.softmax, self.norm


def unit_lanes(group_lanes: int) -> list[int]:
    """Widths that a unit of a group may have, the widest first."""
    return divisors(group_lanes)[::-1][:LANE_CHOICES]


def build(
    needs: Needs,
    array: str,
    grid: Grid,
    lanes: Lanes,
    weight_ports: int,
    weight_fifo: int,
    uram: int = 0,
) -> Engine:
    """The engine of these choices, its banks in up to ``uram`` RAMs of 288 kbit; raises VitgenError
    where they break a rule of it."""
    return engine_for(
        needs,
        array=array,
        group_lanes=grid.group_lanes,
        groups=grid.groups,
        dsp_rows=grid.dsp_rows,
        pot_rows=grid.pot_rows,
        requant_lanes=lanes.requant,
        gelu_lanes=lanes.gelu,
        softmax_lanes=lanes.softmax,
        norm_lanes=lanes.norm,
        weight_ports=weight_ports,
        weight_fifo=weight_fifo,
        uram=uram,
    )


def token_grids(tokens: int, limits: Limits) -> list[tuple[int, int]]:
    """``(group_lanes, groups)`` that hold ``tokens`` in a few slots with little waste."""
    found = set()
    widest = min(tokens, MAX_WORD_BITS // ACCUMULATOR_BITS)
    most = limits.max_token_lanes or tokens
    for slots in range(limits.min_token_tiles, max(MAX_SLOTS, limits.min_token_tiles) + 1):
        lanes = -(-tokens // slots)
        for group in range(1, widest + 1):
            groups = -(-lanes // group)
            if not limits.min_groups <= groups <= MAX_GROUPS or group * groups > most:
                continue
            if groups > 1 and group * groups > lanes * LANE_WASTE:
                continue
            if -(-tokens // (group * groups)) >= limits.min_token_tiles:
                found.add((group, groups))
    return sorted(found)


def pot_choices(workload: Workload, dsp_rows: int, per_dsp: int) -> list[int]:
    """Numbers of power-of-two rows that let both kinds of rows finish together in some layer; 0 where
    the model has none."""
    found = set()
    for shape in workload.shapes:
        if isinstance(shape, LinearShape) and shape.pot:
            tiles = max(1, -(-shape.w4 // (dsp_rows * per_dsp)))
            for count in (tiles, tiles + 1):
                found.add(-(-shape.pot // count))
    return sorted(found) or [0]


def quick_bound(workload: Workload, array: str, grid: Grid, per_dsp: dict[int, int]) -> float:
    """Least cycles of a workload on a grid: units wide enough, weights there, nothing in the way;
    ``per_dsp``: rows of a DSP by the bits of their weights."""
    narrow, wide = grid.dsp_rows * per_dsp[4], grid.dsp_rows * per_dsp[8]
    gap = turn_gap(array, grid.dsp_rows, grid.dsp_rows, grid.pot_rows)
    q = max((d for d in divisors(grid.groups) if d * grid.group_lanes <= wide), default=1)
    total = 0
    for shape, count in workload.shapes.items():
        slots = -(-shape.tokens // grid.token_lanes)
        if isinstance(shape, LinearShape):
            w8 = shape.w8 if grid.pot_rows else shape.w8 + shape.pot
            tiles = max(
                -(-shape.w4 // narrow) + -(-w8 // wide),
                -(-shape.rows // (narrow + grid.pot_rows)),
            )
            total += count * slots * tiles * (shape.k + gap)
        elif isinstance(shape, ScoreShape):
            tiles = -(-shape.keys // (q * grid.group_lanes))
            used = -(-q * grid.group_lanes // per_dsp[8])
            score_gap = turn_gap(array, grid.dsp_rows, used, 0)
            total += count * slots * tiles * (shape.head_dim + score_gap)
        elif isinstance(shape, ValueShape):
            total += count * slots * -(-shape.head_dim // wide) * shape.keys
        elif isinstance(shape, NormShape):
            if shape.between:  # the last slots of the product before it are hidden
                hidden = (slots - 1) * (shape.between[0] + gap)
                total += count * max(0, 2 * shape.features - hidden)
            else:
                total += count * (slots + 1) * shape.features
        elif isinstance(shape, StemShape):
            total += count * slots * _stem_bound(shape, narrow + grid.pot_rows, wide, gap)
    return float(total)


def _stem_bound(shape: StemShape, project_rows: int, conv_rows: int, gap: int) -> int:
    """Least cycles of a stem per token tile."""
    result, project = shape.stem.result, shape.project.op
    found = -(-project.rows // project_rows) * (result.all_words + gap)
    for stage in shape.stem.stages:
        tiles = -(-stage.rows // max(1, conv_rows - 1))
        found += stage.target.side**2 * tiles * (stage.k + gap)
    return found


class ClosedForm:
    """Cycles of a workload on one grid, by the widths of the units.

    Parameters
    ----------
    probe : an engine of the grid with every unit at full width.
    road : its DRAM.
    """

    def __init__(self, workload: Workload, probe: Engine, road: Road) -> None:
        self.probe, self._road = probe, road
        # Neither the widths of the units nor the way of the weights change the tiles.
        self._linear: list[tuple[int, Product]] = []
        self._heads: list[tuple[int, Product, tuple[Product, ...]]] = []
        self._norms: list[tuple[int, NormShape]] = []
        self._loads = 0.0
        for shape, count in workload.shapes.items():
            if isinstance(shape, LinearShape):
                self._linear += [(count, product) for product in shape.products(probe)]
            elif isinstance(shape, ValueShape):
                scores = ScoreShape(shape.tokens, shape.keys, shape.head_dim).products(probe)
                self._heads.append((count, scores[0], shape.products(probe)))
            elif isinstance(shape, NormShape):
                self._norms.append((count, shape))
            elif isinstance(shape, StemShape):
                for times, work in shape.repeated(probe):
                    if isinstance(work, Product):
                        self._linear.append((count * times, work))
                    elif isinstance(work, Load):
                        self._loads += count * times * load_beats(probe, work)
            elif isinstance(shape, LoadShape):
                self._loads += count * sum(load_beats(probe, w) for w in shape.products(probe))
        self._known: dict[tuple[str, int, int], float] = {}

    def cycles(self, lanes: Lanes) -> float:
        """Cycles of an image at these widths."""
        parts = (
            ("linear", lanes.requant, lanes.gelu),
            ("attention", lanes.requant, lanes.softmax),
            ("norm", lanes.norm, 0),
        )
        total = self._loads
        for part in parts:
            if part not in self._known:
                self._known[part] = self._part(*part)
            total += self._known[part]
        return total

    def _part(self, part: str, first: int, second: int) -> float:
        if part == "linear":
            return self.linear(replace(self.probe, requant_lanes=first, gelu_lanes=second))
        if part == "attention":
            return self.attention(replace(self.probe, requant_lanes=first, softmax_lanes=second))
        return self.norm(replace(self.probe, norm_lanes=first))

    def linear(self, engine: Engine) -> float:
        """Array cycles of the linear layers."""
        return self.linear_over(engine, self._road)

    def linear_over(self, engine: Engine, road: Road) -> float:
        """The same with the weights of ``engine`` coming over ``road``."""
        total = 0.0
        for count, product in self._linear:
            times = product_times(engine, product, road)
            total += count * array_cycles(product, times, times.prefetch)
        return total

    def attention(self, engine: Engine) -> float:
        """Cycles of the heads: two products, or the softmax where it is slower."""
        total = 0.0
        for count, score, values in self._heads:
            array = array_cycles(score, product_times(engine, score, self._road), 0.0)
            for product in values:
                stall = max(0.0, turn_cycles(engine, product) - product.k - array / 2)
                times = product_times(engine, product, self._road)
                array += array_cycles(product, times, 0.0) + stall
            softmax = score.slots * score.limit * sub_words(engine, engine.softmax_lanes)
            total += count * max(array, float(softmax))
        return total

    def norm(self, engine: Engine) -> float:
        """Cycles of the LayerNorms, for which the array waits."""
        wait = COMMAND_LATENCY + ARRAY_LATENCY + REQUANT_LATENCY + 2 * WRITE_LATENCY
        gap = turn_gap(engine.array, engine.dsp_rows, engine.dsp_rows, engine.pot_rows)
        total = 0.0
        for count, shape in self._norms:
            if shape.between:
                before, after = (float(k + gap) for k in shape.between)
                slots = engine.slots(shape.tokens)
                total += count * exposed_norm(engine, shape.features, slots, before, after)
            else:
                total += count * (norm_cycles(engine, *shape.products(engine)) + wait)
        return total


def fit_lanes(form: ClosedForm, dsp: float, lut: float) -> tuple[Lanes, float] | None:
    """Widths of the units within ``dsp`` slices and ``lut`` LUTs, and their cycles.

    From the widest on, the unit is narrowed that loses the fewest cycles per slice saved; then any
    narrowing that costs nothing is taken too.
    """
    engine = form.probe
    grid = (engine.group_lanes, engine.groups, engine.dsp_rows, engine.pot_rows)
    widths = unit_lanes(engine.group_lanes)
    lanes = Lanes(*[widths[0]] * 4)
    cycles = form.cycles(lanes)
    sizes = (longest_k(engine), engine.act_bits)
    need = grid_cost(engine.array, grid, lanes.widths, *sizes)
    while True:
        over = need.dsp > dsp or need.lut > lut
        best: tuple[float, Lanes, float, Cost] | None = None
        for unit in ("requant", "gelu", "softmax", "norm"):
            below = [w for w in widths if w < getattr(lanes, unit)]
            if not below:
                continue
            trial = replace(lanes, **{unit: below[0]})
            slower, cost = form.cycles(trial), grid_cost(engine.array, grid, trial.widths, *sizes)
            saved = max(need.dsp - cost.dsp, (need.lut - cost.lut) / LUTS_PER_DSP)
            rate = (slower - cycles) / saved
            if best is None or rate < best[0]:
                best = (rate, trial, slower, cost)
        if best is None:
            return None if over else (lanes, cycles)
        if not over and best[0] > 0:
            return lanes, cycles
        _, lanes, cycles, need = best
