"""Shapes of an engine and a closed form of their cycles, for a search over many.

The closed form adds what the timeline of :mod:`vitgen.design.cost_timeline` overlaps or not in its
usual order: products one after the other, LayerNorms and loads between them. It ranks candidates;
the timeline decides among the best.
"""

from dataclasses import dataclass, replace

from vitgen.design.cost_cycles import (
    ARRAY_LATENCY,
    COMMAND_LATENCY,
    REQUANT_LATENCY,
    WRITE_LATENCY,
    Road,
    array_cycles,
    drain_gap,
    load_beats,
    norm_cycles,
    product_times,
    sub_words,
    turn_cycles,
)
from vitgen.design.cost_resources import lane_items
from vitgen.design.cost_work import (
    LinearShape,
    LoadShape,
    NormShape,
    ScoreShape,
    ValueShape,
    Workload,
)
from vitgen.design.engine import ACCUMULATOR_BITS, MAX_WORD_BITS, Engine, divisors
from vitgen.design.instance import engine_for
from vitgen.design.needs import Needs

MAX_SLOTS = 16
MAX_GROUPS = 24
LANE_CHOICES = 4  # widths of a unit worth trying: a quarter of the widest and less never pays
LANE_WASTE = 1.06  # token lanes beyond what the slots need
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
    busy_floor : share of useful lanes below which a larger engine must pay: under it, twice the
        lanes must give more than 1.4 times the frames. It keeps small models on small engines.
    """

    max_multipliers: int | None = None
    max_token_lanes: int | None = None
    min_row_tiles: int = 1
    min_token_tiles: int = 1
    busy_floor: float = 0.5


SIMULATED = Limits(max_multipliers=256, min_row_tiles=3, min_token_tiles=3)
"""For a small model whose RTL is simulated: few lanes, and enough tiles that every loop turns."""


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


@dataclass(frozen=True)
class Lanes:
    """Lanes of the units, per group."""

    requant: int
    gelu: int
    softmax: int
    norm: int


def unit_lanes(group_lanes: int) -> list[int]:
    """Widths that a unit of a group may have, the widest first."""
    return divisors(group_lanes)[::-1][:LANE_CHOICES]


def build(
    needs: Needs, array: str, grid: Grid, lanes: Lanes, weight_ports: int, weight_fifo: int
) -> Engine:
    """The engine of these choices; raises VitgenError where they break a rule of it."""
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
            if groups > MAX_GROUPS or group * groups > most:
                continue
            if groups > 1 and group * groups > lanes * LANE_WASTE:
                continue
            if -(-tokens // (group * groups)) >= limits.min_token_tiles:
                found.add((group, groups))
    return sorted(found)


def pot_choices(workload: Workload, dsp_rows: int, per_dsp: int) -> list[int]:
    """Numbers of power-of-two rows that let both kinds of rows finish together, and none."""
    found = {0}
    for shape in workload.shapes:
        if isinstance(shape, LinearShape) and shape.pot:
            tiles = max(1, -(-shape.w4 // (dsp_rows * per_dsp)))
            for count in (tiles, tiles + 1):
                found.add(-(-shape.pot // count))
    return sorted(found)


class ClosedForm:
    """Cycles of a workload on one grid, by the widths of the units.

    Parameters
    ----------
    probe : an engine of the grid with every unit at full width.
    road : its DRAM.
    """

    def __init__(self, workload: Workload, probe: Engine, road: Road) -> None:
        self.probe, self._road = probe, road
        self._linear = [(s, n) for s, n in workload.shapes.items() if isinstance(s, LinearShape)]
        self._values = [(s, n) for s, n in workload.shapes.items() if isinstance(s, ValueShape)]
        self._norms = [(s, n) for s, n in workload.shapes.items() if isinstance(s, NormShape)]
        self._loads = float(
            sum(
                n * load_beats(probe, load)
                for s, n in workload.shapes.items()
                if isinstance(s, LoadShape)
                for load in s.products(probe)
            )
        )
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
        total = 0.0
        for shape, count in self._linear:
            for product in shape.products(engine):
                times = product_times(engine, product, self._road)
                total += count * array_cycles(product, times, times.prefetch)
        return total

    def attention(self, engine: Engine) -> float:
        """Cycles of the heads: two products, or the softmax where it is slower."""
        total = 0.0
        for shape, count in self._values:
            score = ScoreShape(shape.tokens, shape.keys, shape.head_dim).products(engine)[0]
            array = score.tiles * product_times(engine, score, self._road).tile
            for product in shape.products(engine):
                turn = turn_cycles(engine, product)
                stall = max(0.0, turn - product.k - array / 2)
                array += product.tiles * product_times(engine, product, self._road).tile + stall
            softmax = score.slots * shape.keys * sub_words(engine, engine.softmax_lanes)
            total += count * max(array, float(softmax))
        return total

    def norm(self, engine: Engine) -> float:
        """Cycles of the LayerNorms, for which the array waits."""
        wait = COMMAND_LATENCY + ARRAY_LATENCY + REQUANT_LATENCY + 2 * WRITE_LATENCY
        return sum(
            count * (norm_cycles(engine, norm) + drain_gap(engine) + wait)
            for shape, count in self._norms
            for norm in shape.products(engine)
        )


def unit_cost(probe: Engine, lanes: Lanes) -> tuple[int, int]:
    """DSP slices and LUTs of the array and the units at these widths."""
    engine = replace(
        probe,
        requant_lanes=lanes.requant,
        gelu_lanes=lanes.gelu,
        softmax_lanes=lanes.softmax,
        norm_lanes=lanes.norm,
    )
    items = lane_items(engine)
    return sum(item.dsp for item in items), sum(item.lut for item in items)


def fit_lanes(form: ClosedForm, dsp: float, lut: float) -> tuple[Lanes, float] | None:
    """Widths of the units within ``dsp`` slices and ``lut`` LUTs, and their cycles.

    From the widest on, the unit is narrowed that loses the fewest cycles per slice saved; then any
    narrowing that costs nothing is taken too.
    """
    widths = unit_lanes(form.probe.group_lanes)
    lanes = Lanes(*[widths[0]] * 4)
    cycles = form.cycles(lanes)
    need = unit_cost(form.probe, lanes)
    while True:
        over = need[0] > dsp or need[1] > lut
        best: tuple[float, Lanes, float, tuple[int, int]] | None = None
        for unit in ("requant", "gelu", "softmax", "norm"):
            below = [w for w in widths if w < getattr(lanes, unit)]
            if not below:
                continue
            trial = replace(lanes, **{unit: below[0]})
            slower, cost = form.cycles(trial), unit_cost(form.probe, trial)
            saved = max(need[0] - cost[0], (need[1] - cost[1]) / 50, 1e-9)
            rate = (slower - cycles) / saved
            if best is None or rate < best[0]:
                best = (rate, trial, slower, cost)
        if best is None:
            return None if over else (lanes, cycles)
        if not over and best[0] > 0:
            return lanes, cycles
        _, lanes, cycles, need = best
