"""A closed form of an engine's cycles, for a search over many.

It adds what the timeline of :mod:`vitgen.design.cost_timeline` overlaps or not in its usual order:
products one after the other, LayerNorms and loads between them. It ranks candidates; the timeline
decides among the best.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

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
from vitgen.design.engine import Engine, turn_gap
from vitgen.design.isa import Route
from vitgen.design.latencies import (
    ARRAY_LATENCY,
    COMMAND_LATENCY,
    REQUANT_LATENCY,
    WRITE_LATENCY,
    sub_words,
)
from vitgen.design.search_space import Lanes, unit_lanes

LUTS_PER_DSP = 100  # a DSP slice is worth as many LUTs as the board has of them for each


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
        self._gelu: list[tuple[int, Product]] = []
        self._heads: list[tuple[int, Product, tuple[Product, ...]]] = []
        self._norms: list[tuple[int, NormShape]] = []
        self._loads = 0.0
        for shape, count in workload.shapes.items():
            if isinstance(shape, LinearShape):
                kind = self._gelu if shape.route is Route.GELU else self._linear
                kind += [(count, product) for product in shape.products(probe)]
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
            ("linear", lanes.requant, 0),
            ("gelu", lanes.requant, lanes.gelu),
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
            engine = replace(self.probe, requant_lanes=first)
            return self._over(self._linear, engine, self._road)
        if part == "gelu":
            engine = replace(self.probe, requant_lanes=first, gelu_lanes=second)
            return self._over(self._gelu, engine, self._road)
        if part == "attention":
            return self.attention(replace(self.probe, requant_lanes=first, softmax_lanes=second))
        return self.norm(replace(self.probe, norm_lanes=first))

    def linear_over(self, engine: Engine, road: Road) -> float:
        """Array cycles of the linear layers with the weights of ``engine`` coming over ``road``."""
        return self._over(self._linear, engine, road) + self._over(self._gelu, engine, road)

    @staticmethod
    def _over(products: Sequence[tuple[int, Product]], engine: Engine, road: Road) -> float:
        total = 0.0
        for count, product in products:
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


@lru_cache(maxsize=4096)
def unit_costs(array: str, group_lanes: int, groups: int) -> tuple[dict[int, Cost], ...]:
    """What each unit takes beyond its narrowest form, by width; the units do not share anything."""
    grid = (group_lanes, groups, 1, 0)
    least = grid_cost(array, grid)
    found = []
    for place in range(4):
        costs = {}
        for width in unit_lanes(group_lanes):
            widths = (*(1,) * place, width, *(1,) * (3 - place))
            cost = grid_cost(array, grid, (widths[0], widths[1], widths[2], widths[3]))
            costs[width] = Cost(cost.dsp - least.dsp, cost.lut - least.lut, cost.ff - least.ff)
        found.append(costs)
    return tuple(found)


UNITS = ("requant", "gelu", "softmax", "norm")


class LaneCosts:
    """DSP slices and LUTs of the rows and lanes of a grid, by the widths of its units.

    Parameters
    ----------
    engine : any of the grid.
    """

    def __init__(self, engine: Engine) -> None:
        grid = (engine.group_lanes, engine.groups, engine.dsp_rows, engine.pot_rows)
        self._least = grid_cost(
            engine.array, grid, max_k=longest_k(engine), act_bits=engine.act_bits
        )
        self._units = unit_costs(engine.array, engine.group_lanes, engine.groups)

    def of(self, lanes: Lanes) -> tuple[float, float]:
        """Slices and LUTs."""
        dsp, lut = self._least.dsp, self._least.lut
        for costs, width in zip(self._units, lanes.widths, strict=True):
            dsp, lut = dsp + costs[width].dsp, lut + costs[width].lut
        return dsp, lut


def fit_lanes(
    form: ClosedForm, dsp: float, lut: float, budget: float | None = None
) -> tuple[Lanes, float] | None:
    """Widths of the units within ``dsp`` slices and ``lut`` LUTs, and their cycles; None where even
    the narrowest exceed them.

    From the widest on, the unit is narrowed that loses the fewest cycles per slice saved; then any
    narrowing that costs nothing is taken too, or that ends within the budget.

    Parameters
    ----------
    budget : cycles that narrowing must not exceed, and may use up; None keeps as few as possible.
    """
    widths = unit_lanes(form.probe.group_lanes)
    lanes = Lanes(*[widths[0]] * 4)
    costs, cycles = LaneCosts(form.probe), form.cycles(lanes)
    need = costs.of(lanes)
    while True:
        over = need[0] > dsp or need[1] > lut
        best: tuple[float, Lanes, float, tuple[float, float]] | None = None
        for unit in UNITS:
            below = [w for w in widths if w < getattr(lanes, unit)]
            if not below:
                continue
            trial = replace(lanes, **{unit: below[0]})
            slower, less = form.cycles(trial), costs.of(trial)
            if budget is not None and slower > budget:
                continue
            saved = max(need[0] - less[0], (need[1] - less[1]) / LUTS_PER_DSP)
            rate = (slower - cycles) / saved
            if best is None or rate < best[0]:
                best = (rate, trial, slower, less)
        if best is None:
            return None if over else (lanes, cycles)
        if budget is None and not over and best[0] > 0:
            return lanes, cycles
        _, lanes, cycles, need = best
