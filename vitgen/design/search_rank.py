"""Shapes of the array by what they are worth, in closed form: the best are refined first."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np

from vitgen.boards import Board
from vitgen.design.closed_form import ClosedForm, LaneCosts, fit_lanes
from vitgen.design.cost import RESOURCE_TITLES
from vitgen.design.cost_cycles import Road
from vitgen.design.cost_resources import Bill, bill, lane_items
from vitgen.design.engine import Engine
from vitgen.design.lane_bounds import least_cycles, widths_of
from vitgen.design.search_grids import Floats, Shapes, shapes_of
from vitgen.design.search_space import Grid, Lanes, Limits, build
from vitgen.design.variants import Variant
from vitgen.errors import VitgenError

RANKED = 16  # shapes whose designs are timed
REACH = 16  # shapes looked at for one whose lanes fit
ALIKE = 2  # of them with the same token lanes and DSP rows


@dataclass(frozen=True)
class Ranked:
    """A shape with fitted lanes."""

    variant: int
    grid: Grid
    lanes: Lanes
    form: ClosedForm


Rating = Callable[[int], float]
"""Value of a shape by its index; minus infinity where it cannot be built."""


def _best_first(
    shapes: Shapes, order: Iterator[int], values: Floats, most: int, *ratings: Rating
) -> list[int]:
    """The shapes of greatest value, few of them with the same token lanes and DSP rows.

    Parameters
    ----------
    order, values : shapes with upper bounds of their values, the greatest first.
    most : shapes wanted.
    ratings : better and better bounds, each dearer than the one before; the last is the value.
    """
    heap: list[tuple[float, int, int]] = []
    taken: Counter[tuple[int, int, int]] = Counter()
    found: list[int] = []
    upcoming = next(order, None)
    while len(found) < most and (heap or upcoming is not None):
        if upcoming is not None and (not heap or values[upcoming] >= -heap[0][0]):
            value, index, level = float(values[upcoming]), upcoming, 0
            upcoming = next(order, None)
        else:
            less, index, level = heappop(heap)
            value = -less
        if value == -math.inf:
            break
        grid = shapes.grid(index)
        key = (grid.group_lanes, grid.groups, grid.dsp_rows)
        if taken[key] >= ALIKE:
            continue
        if level == len(ratings):
            found.append(index)
            taken[key] += 1
            continue
        value = ratings[level](index)
        if value > -math.inf:
            heappush(heap, (-value, index, level + 1))
    return found


class Ranking:
    """Shapes of the array for the variants of a model, and their order.

    Parameters
    ----------
    variants : of one model, at least one; they differ in the kinds of rows alone.
    clock_mhz : of the logic.
    array, utilisation, limits : as :func:`choose` has them.
    """

    def __init__(
        self,
        variants: Sequence[Variant],
        board: Board,
        clock_mhz: float,
        array: str,
        utilisation: float,
        limits: Limits,
    ) -> None:
        self.variants, self.board, self.clock = variants, board, clock_mhz
        self.array, self.utilisation, self.limits = array, utilisation, limits
        stock = board.resources.to_dict()
        self.stock = {name: stock[name] * utilisation for name in RESOURCE_TITLES}
        self.uram = int(self.stock["uram"])
        self.ports = board.dram.ports
        self.macs = variants[0].workload.macs
        self.missed: tuple[float, Engine | None] = (float("inf"), None)
        self._bills: dict[Engine, Bill] = {}
        self._forms: dict[int, ClosedForm | None] = {}
        self._cycles: dict[int, Floats] = {}
        self.shapes: Shapes = shapes_of(variants, array, self.stock, limits)

    @property
    def bound(self) -> float:
        """Frames per second that no shape within the limits exceeds."""
        return self.clock * 1e6 / float(self.shapes.bound.min(initial=np.inf))

    def gains(self, cycles: Floats, lanes: Floats) -> Floats:
        """What is maximised: frames, less where most lanes would stand idle."""
        busy = self.macs / (lanes * cycles)
        return np.asarray(np.minimum(1.0, busy / self.limits.busy_floor) / cycles)

    def gain(self, cycles: float, lanes: int) -> float:
        """:meth:`gains` of one design."""
        busy = self.macs / (lanes * cycles)
        return min(1.0, busy / self.limits.busy_floor) / cycles

    def form(self, index: int) -> ClosedForm | None:
        """Closed form of a shape with the widest units; None where it cannot be built."""
        if index not in self._forms:
            self._forms[index] = self._form(index)
        return self._forms[index]

    def _form(self, index: int) -> ClosedForm | None:
        grid = self.shapes.grid(index)
        variant = self.variants[self.shapes.variant[index]]
        lanes = Lanes(*[grid.group_lanes] * 4)
        fifo = min(variant.needs.max_k, 1024)
        try:
            probe = build(variant.needs, self.array, grid, lanes, self.ports, fifo, self.uram)
        except VitgenError:
            return None
        return ClosedForm(variant.workload, probe, Road.of(self.board, self.clock, self.ports))

    def fitted(self, form: ClosedForm, budget: float | None = None) -> tuple[Lanes, float] | None:
        """Widths of the units that fit, and their cycles; None where there are none."""
        probe = form.probe
        if probe not in self._bills:
            self._bills[probe] = bill(probe)
        whole, units = self._bills[probe], lane_items(probe)
        found = None
        if whole.bram36 <= self.stock["bram36"] * 1.1:  # a shorter FIFO may still bring it in
            rest_dsp = whole.dsp - sum(item.dsp for item in units)
            rest_lut = whole.lut - sum(item.lut for item in units)
            dsp, lut = self.stock["dsp"] - rest_dsp, self.stock["lut"] - rest_lut
            found = fit_lanes(form, dsp, lut, budget)
        if found is None:
            self.refuse(probe, whole)
        return found

    def refuse(self, engine: Engine, needed: Bill) -> None:
        """Remember the engine that misses the limits by least, for the message."""
        over = max(need / max(self.stock[name], 1e-9) for name, need in needed.totals().items())
        if over < self.missed[0]:
            self.missed = (over, engine)

    def least(self, index: int) -> tuple[Floats, Floats, Floats]:
        """Least cycles, slices and LUTs of a shape by the widths of its units, those that fit."""
        shapes, grid = self.shapes, self.shapes.grid(index)
        widths = widths_of(self.array, grid.group_lanes, grid.groups)
        dsp, lut = shapes.dsp[index] + widths.dsp, shapes.lut[index] + widths.lut
        if index not in self._cycles:
            self._cycles[index] = self.cycles_of(int(shapes.variant[index]), grid)
        fits = (dsp <= self.stock["dsp"]) & (lut <= self.stock["lut"])
        return self._cycles[index][fits], dsp[fits], lut[fits]

    def cycles_of(self, variant: int, grid: Grid) -> Floats:
        """Least cycles of a grid by the widths of its units."""
        model = self.variants[variant]
        return least_cycles(model.workload, self.array, model.needs.act_bits, grid)

    def by_gain(self) -> tuple[Iterator[int], Floats, Rating]:
        """Shapes that fit by the largest gain that they may have, and a better bound of it."""
        shapes = self.shapes
        values = self.gains(shapes.bound, shapes.lanes.astype(np.float64))
        fits = (shapes.dsp <= self.stock["dsp"]) & (shapes.lut <= self.stock["lut"])
        places = np.flatnonzero(fits)
        order = places[np.lexsort((shapes.frames.groups[shapes.frame[places]], -values[places]))]

        def roughly(index: int) -> float:
            cycles, _, _ = self.least(index)
            return self.gain(cycles.min(), int(shapes.lanes[index])) if len(cycles) else -math.inf

        return shapes.undominated(order), values, roughly

    def fit(self, index: int, budget: float | None = None) -> tuple[Ranked, float] | None:
        """A shape with the lanes that fit, and its cycles."""
        form = self.form(index)
        if form is None:
            return None
        widest = Lanes(*[form.probe.group_lanes] * 4)
        if budget is not None and form.cycles(widest) > budget:
            return None
        fitted = self.fitted(form, budget)
        if fitted is None:
            return None
        variant = int(self.shapes.variant[index])
        return Ranked(variant, self.shapes.grid(index), fitted[0], form), fitted[1]

    def fastest_shapes(self) -> list[Ranked]:
        """Shapes with fitted lanes, the largest gains first."""
        order, values, roughly = self.by_gain()
        fitted: dict[int, Ranked] = {}

        def closely(index: int) -> float:
            found = self.fit(index)
            if found is None:
                return -math.inf
            fitted[index] = found[0]
            return self.gain(found[1], int(self.shapes.lanes[index]))

        best = _best_first(self.shapes, order, values, RANKED, roughly, closely)
        return [fitted[index] for index in best]

    def promising(self, most: int) -> list[Ranked]:
        """A few shapes by their bounds alone, with fitted lanes, the fastest first."""
        order, values, roughly = self.by_gain()
        found: list[tuple[Ranked, float]] = []
        for index in _best_first(self.shapes, order, values, REACH * most, roughly):
            fitted = self.fit(index)
            if fitted is not None:
                found.append(fitted)
                if len(found) == most:
                    break
        return [ranked for ranked, _ in sorted(found, key=lambda one: one[1])]

    def smallest_shapes(self, budget: float) -> list[Ranked]:
        """Shapes with lanes within ``budget`` cycles, the smallest first."""
        shapes = self.shapes
        values = -self.area(shapes.dsp, shapes.lut)
        values[shapes.bound > budget] = -np.inf
        fitted: dict[int, Ranked] = {}

        def roughly(index: int) -> float:
            cycles, dsp, lut = self.least(index)
            quick = cycles <= budget
            return -float(self.area(dsp[quick], lut[quick]).min(initial=math.inf))

        def closely(index: int) -> float:
            found = self.fit(index, budget)
            if found is None:
                return -math.inf
            fitted[index] = found[0]
            form = found[0].form
            whole, costs = self._bills[form.probe], LaneCosts(form.probe)
            wide, own = costs.of(Lanes(*[form.probe.group_lanes] * 4)), costs.of(found[0].lanes)
            dsp, lut = whole.dsp - wide[0] + own[0], whole.lut - wide[1] + own[1]
            return -float(self.area(np.array(dsp), np.array(lut)))

        order = iter(np.argsort(-values, kind="stable").tolist())
        best = _best_first(shapes, order, values, RANKED, roughly, closely)
        return [fitted[index] for index in best]

    def area(self, dsp: Floats, lut: Floats) -> Floats:
        """Shares of slices and LUTs together."""
        return np.asarray(dsp / self.stock["dsp"] + lut / self.stock["lut"])
