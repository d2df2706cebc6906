"""The design of a build: an engine, the board and the clock it was chosen for."""

from dataclasses import asdict, dataclass
from typing import Any

from vitgen.boards import Board
from vitgen.design.engine import Engine
from vitgen.design.search import SIMULATED, Limits, choose
from vitgen.errors import DoesNotFit
from vitgen.ir import Graph

SIMULATED_MACS = 20_000_000
"""Models with fewer products per image get an engine small enough to simulate its RTL in minutes."""


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


def choose_design(graph: Graph, board: Board, clock_mhz: float, array: str) -> Design:
    """The fastest engine for ``graph`` that fits ``board``.

    Raises
    ------
    DoesNotFit : none does; names the resource, the need and the limit.
    """
    small = graph.macs < SIMULATED_MACS
    try:
        found = choose(graph, board, clock_mhz, array, limits=SIMULATED if small else Limits())
    except DoesNotFit:
        if not small:
            raise
        # Too few tokens or rows for several tiles of each: any small engine will do.
        limits = Limits(max_multipliers=SIMULATED.max_multipliers)
        found = choose(graph, board, clock_mhz, array, limits=limits)
    return Design(
        board.name, clock_mhz, found.engine, found.binding, found.shares, found.considered
    )
