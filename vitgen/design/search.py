"""The engine for a model and a board: enumerate shapes, rank them in closed form, time the best."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

import numpy as np

from vitgen.boards import Board
from vitgen.design.closed_form import ClosedForm, LaneCosts, fit_lanes
from vitgen.design.cost import RESOURCE_TITLES, Estimate, array_lanes, check_fit, estimate
from vitgen.design.cost_cycles import Road
from vitgen.design.cost_resources import Bill, bill, lane_items
from vitgen.design.cost_workload import Workload
from vitgen.design.engine import MULTIPLIERS_PER_DSP, Engine
from vitgen.design.needs import Needs
from vitgen.design.lane_bounds import least_cycles, widths_of
from vitgen.design.search_grids import Floats, Shapes, shapes_of
from vitgen.design.search_moves import neighbours
from vitgen.design.search_space import FIFOS, SIMULATED, Grid, Lanes, Limits, build
from vitgen.design.steps import Step
from vitgen.design.variants import Variant
from vitgen.errors import DoesNotFit, VitgenError
from vitgen.ir import Graph

__all__ = ["SIMULATED", "Choice", "Limits", "Search", "choose", "choose_among", "choose_for"]

RANKED = 16  # candidates that the timeline times
ALIKE = 4  # of them with the same token lanes
UTILISATION = 0.9  # share of every resource that a design may take
TIE = 0.002  # frames that a smaller design may cost


@dataclass(frozen=True)
class Found:
    """A timed design, for a variant of the model by its place among those given."""

    estimate: Estimate
    variant: int


@dataclass(frozen=True)
class Choice:
    """The engine found, and how.

    Parameters
    ----------
    engine, estimate : the design.
    variant : the form of the model that it runs.
    considered, timed : shapes of the array looked at, and designs that were timed.
    binding : the resource of which the largest share of the limit is taken.
    shares : share of the limit that each resource takes, 1 being full.
    bound : frames per second that no shape within the limits exceeds.
    found : the design among those of the search.
    """

    engine: Engine
    estimate: Estimate
    variant: Variant
    considered: int
    timed: int
    binding: str
    shares: dict[str, float]
    bound: float
    found: Found


@dataclass(frozen=True)
class _Ranked:
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
    """The shapes of greatest value, few of them with the same token lanes.

    Parameters
    ----------
    order, values : shapes with upper bounds of their values, the greatest first.
    most : shapes wanted.
    ratings : better and better bounds, each dearer than the one before; the last is the value.
    """
    heap: list[tuple[float, int, int]] = []
    taken: Counter[tuple[int, int]] = Counter()
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
        key = (grid.group_lanes, grid.groups)
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


class Search:
    """A search over shapes of the array for the variants of a model.

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
        self.timed: dict[tuple[int, Engine], Found] = {}
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

    def value(self, found: Found) -> float:
        """Gain of a timed design."""
        return self.gain(found.estimate.cycles, found.estimate.lanes)

    def shares(self, found: Found) -> dict[str, float]:
        """Share of every limit."""
        return {
            name: need / self.stock[name] if self.stock[name] else float(need > 0)
            for name, need in found.estimate.bill.totals().items()
        }

    def size(self, found: Found) -> float:
        """Shares of all limits together."""
        return sum(self.shares(found).values())

    # -- shapes in closed form

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
            workload = self.variants[shapes.variant[index]].workload
            self._cycles[index] = least_cycles(workload, self.array, grid)
        fits = (dsp <= self.stock["dsp"]) & (lut <= self.stock["lut"])
        return self._cycles[index][fits], dsp[fits], lut[fits]

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

    def fit(self, index: int, budget: float | None = None) -> tuple[_Ranked, float] | None:
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
        return _Ranked(variant, self.shapes.grid(index), fitted[0], form), fitted[1]

    def fastest_shapes(self) -> list[_Ranked]:
        """Shapes with fitted lanes, the largest gains first."""
        order, values, roughly = self.by_gain()
        fitted: dict[int, _Ranked] = {}

        def closely(index: int) -> float:
            found = self.fit(index)
            if found is None:
                return -math.inf
            fitted[index] = found[0]
            return self.gain(found[1], int(self.shapes.lanes[index]))

        best = _best_first(self.shapes, order, values, RANKED, roughly, closely)
        return [fitted[index] for index in best]

    def promising(self, most: int) -> list[_Ranked]:
        """A few shapes by their bounds alone, with fitted lanes, the fastest first."""
        order, values, roughly = self.by_gain()
        found: list[tuple[_Ranked, float]] = []
        for index in _best_first(self.shapes, order, values, 4 * most, roughly):
            fitted = self.fit(index)
            if fitted is not None:
                found.append(fitted)
                if len(found) == most:
                    break
        return [ranked for ranked, _ in sorted(found, key=lambda one: one[1])]

    def smallest_shapes(self, budget: float) -> list[_Ranked]:
        """Shapes with lanes within ``budget`` cycles, the smallest first."""
        shapes = self.shapes
        values = -self.area(shapes.dsp, shapes.lut)
        values[shapes.bound > budget] = -np.inf
        fitted: dict[int, _Ranked] = {}

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

    # -- designs in time

    def weight_path(self, ranked: _Ranked) -> Engine:
        """The cheapest ports and FIFO whose linear layers take no longer than with the best."""
        needs = self.variants[ranked.variant].needs
        options = []
        for ports in range(1, self.ports + 1):
            road = Road.of(self.board, self.clock, ports)
            for fifo in FIFOS:
                engine = build(
                    needs, self.array, ranked.grid, ranked.lanes, ports, fifo, self.uram
                )
                options.append((ranked.form.linear_over(engine, road), ports, fifo, engine))
        fastest = min(cycles for cycles, *_ in options)
        good = [o for o in options if o[0] <= fastest * (1 + TIE)]
        return min(good, key=lambda o: (o[2], o[1]))[3]

    def time(self, engine: Engine, variant: int) -> Found | None:
        """``engine`` timed, if it fits."""
        key = (variant, engine)
        if key in self.timed:
            return self.timed[key]
        needed = bill(engine)
        if any(need > self.stock[name] for name, need in needed.totals().items()):
            self.refuse(engine, needed)
            return None
        workload = self.variants[variant].workload
        found = Found(estimate(engine, workload, self.board, self.clock), variant)
        self.timed[key] = found
        return found

    def bound_of(self, engine: Engine, variant: int) -> float:
        """Least cycles of an engine, whatever its units."""
        grid = Grid(engine.group_lanes, engine.groups, engine.dsp_rows, engine.pot_rows)
        return float(least_cycles(self.variants[variant].workload, self.array, grid).min())

    def fastest(self) -> Found:
        """The most frames per second, and of equally fast designs the smallest.

        Raises
        ------
        DoesNotFit : there is none.
        """
        for ranked in self.fastest_shapes():
            self.time(self.weight_path(ranked), ranked.variant)
        if not self.timed:
            raise self.nothing_fits()
        peak = max(self.value(found) for found in self.timed.values())
        good = [f for f in self.timed.values() if self.value(f) >= peak * (1 - TIE)]
        best = min(good, key=self.size)
        improved = True
        while improved:
            improved = False
            for engine, variant in neighbours(self, best.estimate.engine, best.variant):
                lanes = array_lanes(engine, self.variants[variant].workload.narrow)
                if self.gain(self.bound_of(engine, variant), lanes) < peak * (1 - TIE):
                    continue
                found = self.time(engine, variant)
                if found is None:
                    continue
                value = self.value(found)
                if value > peak or (
                    value >= peak * (1 - TIE) and self.size(found) < self.size(best)
                ):
                    best, peak, improved = found, max(peak, value), True
        return best

    def smallest(self, fps: float) -> Found | None:
        """The smallest design of at least so many frames per second; None where none was found."""
        budget = self.clock * 1e6 / fps
        for ranked in self.smallest_shapes(budget):
            self.time(self.weight_path(ranked), ranked.variant)
        if not self.timed:
            return None

        def rank(found: Found) -> tuple[bool, float]:
            late = found.estimate.cycles > budget
            return late, found.estimate.cycles if late else self.size(found)

        best = min(self.timed.values(), key=rank)
        improved = True
        while improved:
            improved = False
            for engine, variant in neighbours(self, best.estimate.engine, best.variant):
                if self.bound_of(engine, variant) > budget:
                    continue
                found = self.time(engine, variant)
                if found is not None and rank(found) < rank(best):
                    best, improved = found, True
        return None if rank(best)[0] else best

    def choice(self, best: Found) -> Choice:
        """What the search says of a design."""
        shares = self.shares(best)
        return Choice(
            engine=best.estimate.engine,
            estimate=best.estimate,
            variant=self.variants[best.variant],
            considered=len(self.shapes),
            timed=len(self.timed),
            binding=max(shares, key=lambda name: shares[name]),
            shares=shares,
            bound=self.bound,
            found=best,
        )

    def nothing_fits(self) -> VitgenError:
        """Why: the engine that came nearest, or the smallest there is."""
        needs = self.variants[0].needs
        engine = self.missed[1]
        if engine is None:  # one token lane, one row
            lanes = Lanes(1, 1, 1, 1)
            engine = build(needs, self.array, Grid(1, 1, 1, 0), lanes, 1, FIFOS[0], self.uram)
        try:
            check_fit(engine, self.board, self.utilisation)
        except DoesNotFit as error:
            return error
        return DoesNotFit(
            f"No engine for {needs.tokens} tokens keeps the limits {self.limits}.",
            "Allow more multipliers, or fewer tiles.",
        )


def search(
    variants: Sequence[Variant],
    board: Board,
    clock_mhz: float | None = None,
    array: str = "dsp48",
    utilisation: float = UTILISATION,
    limits: Limits | None = None,
) -> Search:
    """A search, its options checked; parameters as for :func:`choose`."""
    clock = float(board.clock_mhz if clock_mhz is None else clock_mhz)
    if not 0 < utilisation <= 1:
        raise VitgenError(
            f"The utilisation is {utilisation:g}.", "It lies above 0 and is at most 1."
        )
    if array not in MULTIPLIERS_PER_DSP:
        raise VitgenError(
            f"Unknown array {array!r}.", f"Choose {' or '.join(MULTIPLIERS_PER_DSP)}."
        )
    return Search(variants, board, clock, array, utilisation, limits or Limits())


def choose_for(needs: Needs, steps: list[Step], board: Board, **options: object) -> Choice:
    """:func:`choose` for a graph whose needs and steps are at hand."""
    found = search([Variant(needs, Workload(steps))], board, **options)  # type: ignore[arg-type]
    return found.choice(found.fastest())


def choose(
    graph: Graph,
    board: Board,
    clock_mhz: float | None = None,
    array: str = "dsp48",
    utilisation: float = UTILISATION,
    limits: Limits | None = None,
) -> Choice:
    """The fastest engine for ``graph`` on ``board``, and of equally fast ones the smallest.

    Parameters
    ----------
    clock_mhz : None for the board's own.
    array : "dsp48" or "hls".
    utilisation : share of each resource that the design may take.
    limits : further bounds, e.g. :data:`SIMULATED` for a model whose RTL is simulated.

    Raises
    ------
    DoesNotFit : no engine fits; the message names the resource, the need, the limit and a remedy.
    """
    found = search([Variant.of(graph)], board, clock_mhz, array, utilisation, limits)
    return found.choice(found.fastest())
