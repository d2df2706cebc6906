"""The design of a build: an engine, the board and the clock it was chosen for."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from vitgen.boards import Board
from vitgen.design.cost import RESOURCE_TITLES
from vitgen.design.engine import Engine
from vitgen.design.search import SIMULATED, UTILISATION, Choice, Limits, Search, search
from vitgen.design.variants import Variant
from vitgen.errors import DoesNotFit
from vitgen.ir import Graph

SIMULATED_MACS = 20_000_000
"""Models with fewer products per image get an engine small enough to simulate its RTL in minutes."""

NO_FLOOR = 1e-9  # of busy lanes


@dataclass(frozen=True)
class Design:
    """What ``design.json`` holds.

    Parameters
    ----------
    board, clock_mhz : what it was chosen for.
    engine : its parameters.
    binding : the resource of which the largest share of the limit is taken.
    shares : share of the limit that each resource takes, by the estimate.
    considered : engine shapes that the search looked at.
    """

    board: str
    clock_mhz: float
    engine: Engine
    binding: str
    shares: dict[str, float]
    considered: int

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self) | {"engine": self.engine.to_json()}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Design":
        """The inverse of :meth:`to_json`."""
        return cls(**record | {"engine": Engine.from_json(record["engine"])})

    @classmethod
    def of(cls, choice: Choice, board: Board, clock_mhz: float) -> "Design":
        """The design that a search chose."""
        return cls(
            board.name, clock_mhz, choice.engine, choice.binding, choice.shares, choice.considered
        )


@dataclass(frozen=True)
class Outcome:
    """What a search gave.

    Parameters
    ----------
    choice : the fastest design, or the smallest one that meets the target.
    met : whether it gives the frames per second asked for; True where none were.
    search : the search itself, for those who ask on.
    """

    choice: Choice
    met: bool
    search: Search


def searches(
    variants: Sequence[Variant],
    board: Board,
    clock_mhz: float,
    array: str,
    any_size: bool = False,
) -> Iterator[Search]:
    """The search for a model, then wider ones in case it finds nothing.

    A model small enough that its RTL is simulated gets a small engine whose loops all turn; if it has
    too few tokens or rows for several tiles of each, or the target asks for more, a larger one.

    Parameters
    ----------
    any_size : whether frames alone count, however many lanes stand idle.
    """
    limits = [Limits()]
    if variants[0].workload.macs < SIMULATED_MACS:
        limits = [SIMULATED, Limits(max_multipliers=SIMULATED.max_multipliers), Limits()]
    for limit in limits:
        kept = replace(limit, busy_floor=NO_FLOOR) if any_size else limit
        yield search(variants, board, clock_mhz, array, UTILISATION, kept)


def choose_variant(
    variants: Sequence[Variant],
    board: Board,
    clock_mhz: float,
    array: str,
    target_fps: float | None = None,
) -> Outcome:
    """The fastest design for one of ``variants``, or the smallest of at least ``target_fps``.

    Raises
    ------
    DoesNotFit : none fits the board; names the resource, the need and the limit.
    """
    best: Outcome | None = None
    refused: DoesNotFit | None = None
    for tried in searches(variants, board, clock_mhz, array, target_fps is not None):
        try:
            choice = tried.choice(tried.fastest())
        except DoesNotFit as error:
            refused = error
            continue
        if target_fps is None:
            return Outcome(choice, True, tried)
        # Its timed designs are among those from which the smaller one starts.
        smaller = tried.smallest(target_fps) if tried.bound >= target_fps else None
        if smaller is not None:
            return Outcome(tried.choice(smaller), True, tried)
        if best is None or choice.estimate.fps > best.choice.estimate.fps:
            best = Outcome(choice, False, tried)
    if best is None:
        assert refused is not None
        raise refused
    return best


def choose_design(
    graph: Graph, board: Board, clock_mhz: float, array: str, target_fps: float | None = None
) -> Design:
    """The fastest engine for ``graph`` that fits ``board``, or the smallest of ``target_fps``.

    Raises
    ------
    DoesNotFit : none does; names the resource, the need and the limit, or the frames per second that
        can be had.
    """
    found = choose_variant([Variant.of(graph)], board, clock_mhz, array, target_fps)
    if not found.met:
        raise too_slow(found, board, clock_mhz, target_fps or 0.0)
    return Design.of(found.choice, board, clock_mhz)


def too_slow(
    best: Outcome, board: Board, clock_mhz: float, target_fps: float, precision: str = ""
) -> DoesNotFit:
    """The refusal of a target: the best there is, its bound, and what to change."""
    choice = best.choice
    at = f" ({precision})" if precision else ""
    binding, share = RESOURCE_TITLES[choice.binding], choice.shares[choice.binding]
    faster = clock_mhz * target_fps / choice.estimate.fps
    clock = "No clock of this board would do."
    if faster <= board.max_clock_mhz:
        clock = f"A clock of {faster:.0f} MHz would do, if the design reaches it."
    return DoesNotFit(
        f"No design for {board.name} at {clock_mhz:g} MHz gives {target_fps:g} frames/s: the best found"
        f"{at} gives {choice.estimate.fps:.4g}, and {choice.bound:.4g} is the bound of every shape of the "
        f"array. It takes {share:.0%} of the {binding} that it may.",
        f"Ask for less, for fewer bits, or for a board with more {binding}. {clock}",
    )
