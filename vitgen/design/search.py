"""The engine for a model and a board: enumerate shapes, rank them in closed form, time the best."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vitgen.boards import Board
from vitgen.design.cost import Estimate, array_lanes, check_fit, estimate
from vitgen.design.cost_cycles import Road
from vitgen.design.cost_resources import bill
from vitgen.design.cost_workload import Workload
from vitgen.design.engine import Engine
from vitgen.design.lanes import KAPPA
from vitgen.design.needs import Needs
from vitgen.design.search_moves import neighbours
from vitgen.design.search_rank import Ranked, Ranking
from vitgen.design.search_space import FIFOS, SIMULATED, Grid, Lanes, Limits, build
from vitgen.design.steps import Step
from vitgen.design.variants import Variant
from vitgen.errors import DoesNotFit, VitgenError
from vitgen.ir import Graph

__all__ = ["SIMULATED", "Choice", "Limits", "Search", "choose", "choose_for"]

SLACKS = (1.0, 1.12)  # of a budget: the closed form overlaps less than the timeline
STARTS = 4  # designs from which a smaller one is looked for
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


class Search(Ranking):
    """A search for a design; parameters as those of :class:`Ranking`."""

    def __init__(
        self,
        variants: Sequence[Variant],
        board: Board,
        clock_mhz: float,
        array: str,
        utilisation: float,
        limits: Limits,
    ) -> None:
        super().__init__(variants, board, clock_mhz, array, utilisation, limits)
        self.timed: dict[tuple[int, Engine], Found] = {}

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

    def weight_path(self, ranked: Ranked) -> Engine:
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
        return float(self.cycles_of(variant, grid).min())

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
        for slack in SLACKS:
            for ranked in self.smallest_shapes(budget * slack):
                self.time(self.weight_path(ranked), ranked.variant)
        if not self.timed:
            return None

        def rank(found: Found) -> tuple[bool, float]:
            late = found.estimate.cycles > budget
            return late, found.estimate.cycles if late else self.size(found)

        best = min(self.timed.values(), key=rank)
        for start in self._starts(rank):
            found = self._descend(start, rank, budget)
            best = min(best, found, key=rank)
        return None if rank(best)[0] else best

    def _starts(self, rank: Callable[[Found], tuple[bool, float]]) -> list[Found]:
        """The best timed designs of different rows."""
        starts: dict[tuple[int, int, int], Found] = {}
        for found in sorted(self.timed.values(), key=rank):
            engine = found.estimate.engine
            starts.setdefault((engine.token_lanes, engine.dsp_rows, engine.pot_rows), found)
        return list(starts.values())[:STARTS]

    def _descend(
        self, best: Found, rank: Callable[[Found], tuple[bool, float]], budget: float
    ) -> Found:
        """The best that is reached from a design by single choices."""
        improved = True
        while improved:
            improved = False
            for engine, variant in neighbours(self, best.estimate.engine, best.variant):
                if self.bound_of(engine, variant) > budget:
                    continue
                found = self.time(engine, variant)
                if found is not None and rank(found) < rank(best):
                    best, improved = found, True
        return best

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
    if array not in KAPPA:
        raise VitgenError(f"Unknown array {array!r}.", f"Choose {' or '.join(KAPPA)}.")
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
