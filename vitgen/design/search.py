"""The engine for a model and a board: enumerate shapes, rank them in closed form, time the best."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from vitgen.boards import Board
from vitgen.design.cost import RESOURCE_TITLES, Estimate, array_lanes, check_fit, estimate
from vitgen.design.cost_cycles import Road
from vitgen.design.cost_resources import Bill, bill, grid_cost, lane_items
from vitgen.design.cost_workload import Workload
from vitgen.design.engine import LANES_PER_PROCESS, MAX_WORD_BITS, Engine
from vitgen.design.lanes import KAPPA, products_per_dsp
from vitgen.design.needs import Needs, needs_of
from vitgen.design.search_space import (
    FIFOS,
    SIMULATED,
    ClosedForm,
    Grid,
    Lanes,
    Limits,
    build,
    fit_lanes,
    pot_choices,
    quick_bound,
    token_grids,
    unit_lanes,
)
from vitgen.design.steps import Step, fuse
from vitgen.errors import DoesNotFit, VitgenError
from vitgen.ir import Graph

__all__ = ["SIMULATED", "Choice", "Limits", "choose", "choose_for"]

RANKED = 16  # candidates that the timeline times
GRIDS = 4000  # grids whose lanes are fitted, at most
UNITS = ("requant_lanes", "gelu_lanes", "softmax_lanes", "norm_lanes")
Move = dict[str, int]
TIE = 0.002  # frames that a smaller design may cost


@dataclass(frozen=True)
class Choice:
    """The engine found, and how.

    Parameters
    ----------
    engine, estimate : the design.
    considered : grids looked at, and how many of them were timed.
    binding : the resource of which the largest share of the limit is taken.
    shares : share of the limit that each resource takes, 1 being full.
    """

    engine: Engine
    estimate: Estimate
    considered: int
    timed: int
    binding: str
    shares: dict[str, float]


@dataclass(frozen=True)
class _Ranked:
    """A grid with a lower bound of its cycles."""

    grid: Grid
    lanes: int
    bound: float


class _Search:
    def __init__(
        self,
        needs: Needs,
        steps: list[Step],
        board: Board,
        clock_mhz: float,
        array: str,
        utilisation: float,
        limits: Limits,
    ) -> None:
        self.needs, self.board, self.clock = needs, board, clock_mhz
        self.array, self.utilisation, self.limits = array, utilisation, limits
        self.workload = Workload(steps)
        stock = board.resources.to_dict()
        self.stock = {name: stock[name] * utilisation for name in RESOURCE_TITLES}
        self.uram = int(self.stock["uram"])
        self.ports = board.dram.ports
        self.considered = 0
        self.timed: dict[Engine, Estimate] = {}
        self.missed: tuple[float, Engine | None] = (float("inf"), None)

    def gain(self, cycles: float, lanes: int) -> float:
        """What is maximised: frames, less where most lanes would stand idle."""
        busy = self.workload.macs / (lanes * cycles)
        return min(1.0, busy / self.limits.busy_floor) / cycles

    def per_dsp(self, weight_bits: int) -> int:
        """Rows of a DSP."""
        return products_per_dsp(self.array, weight_bits, self.needs.act_bits)

    def grids(self) -> Iterator[_Ranked]:
        """Grids within the DSP slices, with a lower bound of their cycles."""
        per_dsp = {bits: self.per_dsp(bits) for bits in (4, 8)}
        for group, groups in token_grids(self.needs.tokens, self.limits):
            token_lanes = group * groups
            least, most = -(-group // per_dsp[8]), int(self.stock["dsp"]) // token_lanes
            for dsp_rows in range(least, most + 1):
                if dsp_rows * per_dsp[4] * 4 > MAX_WORD_BITS:
                    break
                if self.array == "hls" and dsp_rows * group > LANES_PER_PROCESS:
                    break
                for pot_rows in pot_choices(self.workload, dsp_rows, per_dsp[4]):
                    grid = Grid(group, groups, dsp_rows, pot_rows)
                    lanes = self.admit(grid)
                    if lanes:
                        yield _Ranked(
                            grid, lanes, quick_bound(self.workload, self.array, grid, per_dsp)
                        )

    def admit(self, grid: Grid) -> int:
        """Lanes of the array on ``grid``, 0 if a limit or the board forbids it."""
        per_dsp = self.per_dsp(4 if self.workload.narrow else 8)
        rows = grid.dsp_rows * per_dsp + grid.pot_rows
        lanes = rows * grid.token_lanes
        if self.limits.max_multipliers and lanes > self.limits.max_multipliers:
            return 0
        if -(-self.needs.residual_words // rows) < self.limits.min_row_tiles:
            return 0
        if self.workload.stems and grid.dsp_rows * self.per_dsp(8) < 2:
            return 0  # the gate of a convolution and another row
        units = grid_cost(
            self.array, grid.sizes, max_k=self.needs.max_k, act_bits=self.needs.act_bits
        )
        if units.dsp > self.stock["dsp"] or units.lut > self.stock["lut"]:
            return 0
        return lanes

    def probe(self, grid: Grid, ports: int) -> Engine:
        """An engine of ``grid`` with the widest units."""
        wide = grid.group_lanes
        fifo = min(self.needs.max_k, 1024)
        lanes = Lanes(wide, wide, wide, wide)
        return build(self.needs, self.array, grid, lanes, ports, fifo, self.uram)

    def rank(self) -> list[tuple[float, Grid, Lanes, ClosedForm]]:
        """The best grids with fitted lanes, by closed form."""
        found = list(self.grids())
        self.considered = len(found)
        found.sort(key=lambda r: (-self.gain(r.bound, r.lanes), r.grid.groups))
        road = Road.of(self.board, self.clock, self.ports)
        best: list[tuple[float, Grid, Lanes, ClosedForm]] = []
        for ranked in found[:GRIDS]:
            if len(best) >= RANKED and self.gain(ranked.bound, ranked.lanes) <= best[-1][0]:
                break
            fitted = self.fitted(ranked.grid, road, best)
            if fitted is None:
                continue
            form, lanes, cycles = fitted
            best.append((self.gain(cycles, ranked.lanes), ranked.grid, lanes, form))
            best.sort(key=lambda entry: -entry[0])
            del best[RANKED:]
        return best

    def fitted(
        self, grid: Grid, road: Road, best: list[tuple[float, Grid, Lanes, ClosedForm]]
    ) -> tuple[ClosedForm, Lanes, float] | None:
        """Lanes that fit ``grid``; None where it cannot be built or cannot be among the best."""
        try:
            probe = self.probe(grid, self.ports)
        except VitgenError:
            return None
        form = ClosedForm(self.workload, probe, road)
        widest = form.cycles(Lanes(*[grid.group_lanes] * 4))
        lanes_now = array_lanes(probe, self.workload.narrow)
        if len(best) >= RANKED and self.gain(widest, lanes_now) <= best[-1][0]:
            return None
        whole = bill(probe)
        units = lane_items(probe)
        rest_lut = whole.lut - sum(item.lut for item in units)
        rest_dsp = whole.dsp - sum(item.dsp for item in units)
        if whole.bram36 > self.stock["bram36"] * 1.1:  # a shorter FIFO may still bring it in
            self.refuse(probe, whole)
            return None
        fitted = fit_lanes(form, self.stock["dsp"] - rest_dsp, self.stock["lut"] - rest_lut)
        if fitted is None:
            self.refuse(probe, whole)
            return None
        return form, *fitted

    def refuse(self, engine: Engine, needed: Bill) -> None:
        """Remember the engine that misses the limits by least, for the message."""
        over = max(need / max(self.stock[name], 1e-9) for name, need in needed.totals().items())
        if over < self.missed[0]:
            self.missed = (over, engine)

    def weight_path(self, grid: Grid, lanes: Lanes, form: ClosedForm) -> Engine:
        """The cheapest ports and FIFO whose linear layers take no longer than with the best."""
        options = []
        for ports in range(1, self.ports + 1):
            road = Road.of(self.board, self.clock, ports)
            for fifo in FIFOS:
                engine = build(self.needs, self.array, grid, lanes, ports, fifo, self.uram)
                cycles = form.linear_over(engine, road)
                options.append((cycles, ports, fifo, engine))
        fastest = min(cycles for cycles, *_ in options)
        good = [o for o in options if o[0] <= fastest * (1 + TIE)]
        return min(good, key=lambda o: (o[2], o[1]))[3]

    def time(self, engine: Engine) -> Estimate | None:
        """The timed estimate of ``engine`` if it fits."""
        if engine in self.timed:
            return self.timed[engine]
        needed = bill(engine)
        if any(need > self.stock[name] for name, need in needed.totals().items()):
            self.refuse(engine, needed)
            return None
        self.timed[engine] = estimate(engine, self.workload, self.board, self.clock)
        return self.timed[engine]

    def value(self, found: Estimate) -> float:
        """Gain of a timed estimate."""
        return self.gain(found.cycles, found.lanes)

    def size(self, found: Estimate) -> float:
        """Shares of all limits together."""
        return sum(self.shares(found).values())

    def shares(self, found: Estimate) -> dict[str, float]:
        """Share of every limit."""
        return {
            name: need / self.stock[name] if self.stock[name] else float(need > 0)
            for name, need in found.bill.totals().items()
        }

    def moves(self, engine: Engine) -> tuple[list[Move], list[Move]]:
        """Single choices that make an engine smaller, and larger."""
        widths = unit_lanes(engine.group_lanes)
        smaller: list[Move] = [{"dsp_rows": -1}]
        larger: list[Move] = [{"dsp_rows": 1}]
        if self.needs.pot_rows:
            smaller.append({"pot_rows": -1})
            larger.append({"pot_rows": 1})
        for unit in UNITS:
            at = getattr(engine, unit)
            place = widths.index(at)
            smaller += [{unit: other - at} for other in widths[place + 1 : place + 2]]
            larger += [{unit: other - at} for other in widths[max(0, place - 1) : place]]
        return smaller, larger

    def moved(self, engine: Engine, *moves: Move) -> Engine | None:
        """The engine after ``moves``, if there is one."""
        values: dict[str, Any] = {}
        for move in moves:
            for name, step in move.items():
                values[name] = values.get(name, getattr(engine, name)) + step
        dsp_rows = values.get("dsp_rows", engine.dsp_rows)
        pot_rows = values.get("pot_rows", engine.pot_rows)
        if dsp_rows < 1 or (self.needs.pot_rows and pot_rows < 1):
            return None
        if not self.admit(Grid(engine.group_lanes, engine.groups, dsp_rows, pot_rows)):
            return None
        try:
            return replace(engine, **values)
        except VitgenError:
            return None

    def neighbours(self, engine: Engine) -> Iterator[Engine]:
        """Engines one choice away, then those with one choice less here for one more there."""
        for fifo in FIFOS:
            yield replace(engine, weight_fifo=fifo)
        for ports in range(1, self.ports + 1):
            yield replace(engine, weight_ports=ports)
        smaller, larger = self.moves(engine)
        trades = [(less, more) for less in smaller for more in larger if less.keys() != more.keys()]
        for moves in (*((m,) for m in smaller + larger), *trades):
            other = self.moved(engine, *moves)
            if other is not None:
                yield other

    def climb(self, start: Estimate) -> Estimate:
        """The best that is reached from ``start`` by single choices: first frames, then size."""
        best, peak, improved = start, self.value(start), True
        while improved:
            improved = False
            for engine in self.neighbours(best.engine):
                found = self.time(engine)
                if found is None:
                    continue
                value = self.value(found)
                smaller = self.size(found) < self.size(best)
                if value > peak or (value >= peak * (1 - TIE) and smaller):
                    best, peak, improved = found, max(peak, value), True
        return best

    def run(self) -> Choice:
        """The choice."""
        for _, grid, lanes, form in self.rank():
            self.time(self.weight_path(grid, lanes, form))
        if not self.timed:
            raise self.nothing_fits()
        peak = max(self.value(found) for found in self.timed.values())
        good = [f for f in self.timed.values() if self.value(f) >= peak * (1 - TIE)]
        best = self.climb(min(good, key=self.size))
        shares = self.shares(best)
        binding = max(shares, key=lambda name: shares[name])
        return Choice(best.engine, best, self.considered, len(self.timed), binding, shares)

    def nothing_fits(self) -> VitgenError:
        """Why: the engine that came nearest, or the smallest there is."""
        engine = self.missed[1] or self.smallest()
        try:
            check_fit(engine, self.board, self.utilisation)
        except DoesNotFit as error:
            return error
        return DoesNotFit(
            f"No engine for {self.needs.tokens} tokens keeps the limits {self.limits}.",
            "Allow more multipliers, or fewer tiles.",
        )

    def smallest(self) -> Engine:
        """One token lane, one row."""
        lanes = Lanes(1, 1, 1, 1)
        return build(self.needs, self.array, Grid(1, 1, 1, 0), lanes, 1, FIFOS[0], self.uram)


def choose_for(
    needs: Needs,
    steps: list[Step],
    board: Board,
    clock_mhz: float | None = None,
    array: str = "dsp48",
    utilisation: float = 0.9,
    limits: Limits | None = None,
) -> Choice:
    """:func:`choose` for a graph whose needs and steps are at hand."""
    clock = float(board.clock_mhz if clock_mhz is None else clock_mhz)
    if not 0 < utilisation <= 1:
        raise VitgenError(
            f"The utilisation is {utilisation:g}.", "It lies above 0 and is at most 1."
        )
    if array not in KAPPA:
        raise VitgenError(f"Unknown array {array!r}.", f"Choose {' or '.join(KAPPA)}.")
    return _Search(needs, steps, board, clock, array, utilisation, limits or Limits()).run()


def choose(
    graph: Graph,
    board: Board,
    clock_mhz: float | None = None,
    array: str = "dsp48",
    utilisation: float = 0.9,
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
    steps = fuse(graph)
    return choose_for(needs_of(graph, steps), steps, board, clock_mhz, array, utilisation, limits)
