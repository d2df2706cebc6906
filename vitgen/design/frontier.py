"""Designs from small to large, and those of them that no other beats: frames/s against DSPs and LUTs."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from vitgen.design.search import Found, Search

STEPS = (0.06, 0.12, 0.2, 0.3, 0.42, 0.55, 0.7, 0.85, 1.0)
"""Shares of what a design may take, for slices and LUTs together and for either alone."""

PROMISING = 8  # shapes whose lanes are fitted at every share
TIMED = 2  # designs timed of them


@dataclass(frozen=True)
class Point:
    """A timed design among others.

    Parameters
    ----------
    fps : frames per second.
    resources : what it takes, by name.
    token_lanes, dsp_rows, pot_rows : its array.
    pot_ratio : share of power-of-two rows of the model that it runs; None where that was not chosen.
    frontier : no other design gives as many frames with as few DSPs and LUTs.
    chosen : the search's choice.
    """

    fps: float
    resources: dict[str, int]
    token_lanes: int
    dsp_rows: int
    pot_rows: int
    pot_ratio: float | None
    frontier: bool
    chosen: bool

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {**self.__dict__, "resources": dict(self.resources)}


def undominated(points: Sequence[tuple[float, int, int]]) -> list[bool]:
    """Which of ``(fps, dsp, lut)`` no other exceeds: another with at least the frames and at most the
    DSPs and LUTs, and better in one of them. Equal ones stand or fall together."""
    order = sorted(range(len(points)), key=lambda i: (-points[i][0], points[i][1], points[i][2]))
    kept: list[tuple[float, int, int]] = []
    result = [False] * len(points)
    for index in order:
        point = points[index]
        beaten = any(k != point and k[1] <= point[1] and k[2] <= point[2] for k in kept)
        if not beaten:
            result[index] = True
            kept.append(point)
    return result


def _budgets() -> Iterator[tuple[float, float]]:
    """Shares of slices and of LUTs."""
    for share in STEPS:
        yield share, share
        if share < 1:
            yield share, 1.0
            yield 1.0, share


def _within(search: Search, dsp: float, lut: float) -> list[Found]:
    """The fastest designs within shares of the slices and LUTs."""
    smaller = copy.copy(search)
    smaller.stock = search.stock | {
        "dsp": search.stock["dsp"] * dsp, "lut": search.stock["lut"] * lut
    }  # fmt: skip
    smaller.timed, found = {}, []
    for ranked in smaller.promising(PROMISING)[:TIMED]:
        timed = smaller.time(smaller.weight_path(ranked), ranked.variant)
        if timed is not None:
            found.append(timed)
    return found


def frontier(search: Search, chosen: Found) -> list[Point]:
    """Designs over the whole range of sizes, the smallest first, ``chosen`` among them.

    Parameters
    ----------
    search : whose limits and variants they keep.
    """
    found = {(chosen.variant, chosen.estimate.engine): chosen}
    for dsp, lut in _budgets():
        for one in _within(search, dsp, lut):
            found.setdefault((one.variant, one.estimate.engine), one)
    designs = list(found.values())
    totals = [one.estimate.bill.totals() for one in designs]
    best = undominated(
        [(one.estimate.fps, t["dsp"], t["lut"]) for one, t in zip(designs, totals, strict=True)]
    )
    points = [
        Point(
            fps=one.estimate.fps,
            resources=resources,
            token_lanes=one.estimate.engine.token_lanes,
            dsp_rows=one.estimate.engine.dsp_rows,
            pot_rows=one.estimate.engine.pot_rows,
            pot_ratio=search.variants[one.variant].pot_ratio,
            frontier=good,
            chosen=one is chosen,
        )
        for one, resources, good in zip(designs, totals, best, strict=True)
    ]
    return sorted(points, key=lambda p: (p.resources["lut"], p.resources["dsp"], p.fps))
