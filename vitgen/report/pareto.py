"""Designs from small to large: frames/s against DSPs and against LUTs, and those that no other beats."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from vitgen.design.search import UTILISATION
from vitgen.report.format import count, significant, tick
from vitgen.report.svg import TEXT, element, figure, label, line, standalone, ticks

WIDTH, HEIGHT = 900.0, 380.0
TOP, BOTTOM, LEFT, RIGHT, BETWEEN = 34.0, 48.0, 56.0, 16.0, 56.0
PANEL = (WIDTH - LEFT - RIGHT - BETWEEN) / 2
HEAD = 1.06  # of the largest value that an axis shows
AXES = (("dsp", "DSP slices"), ("lut", "LUTs"))


def best_by(points: Sequence[Mapping[str, Any]], resource: str) -> list[Mapping[str, Any]]:
    """Points that no other exceeds in frames with as little of one resource, the smallest first."""
    order = sorted(points, key=lambda p: (p["resources"][resource], -p["fps"]))
    kept: list[Mapping[str, Any]] = []
    for point in order:
        if not kept or point["fps"] > kept[-1]["fps"]:
            kept.append(point)
    return kept


def render(points: Sequence[Mapping[str, Any]], stock: Mapping[str, int], limit: float) -> str:
    """Two panels: frames/s against DSPs, and against LUTs.

    Parameters
    ----------
    points : as ``pareto`` of a report has them, at least one.
    stock : what the board has of each resource.
    limit : share of it that a design may take.
    """
    top = max(point["fps"] for point in points) * HEAD
    body = []
    for place, (resource, title) in enumerate(AXES):
        left = LEFT + place * (PANEL + BETWEEN)
        body += _Panel(points, resource, title, left, top, stock[resource], limit).draw()
    return figure(WIDTH, HEIGHT, "Frames per second against DSPs and LUTs", *body)


class _Panel:
    def __init__(
        self,
        points: Sequence[Mapping[str, Any]],
        resource: str,
        title: str,
        left: float,
        top: float,
        stock: int,
        limit: float,
    ) -> None:
        self.points, self.resource, self.title = points, resource, title
        self.left, self.top = left, top
        self.allowed = stock * limit
        largest = max(p["resources"][resource] for p in points)
        self.full = max(self.allowed, largest) * HEAD

    def x(self, value: float) -> float:
        """Pixel of a number of resources."""
        return self.left + value / self.full * PANEL

    def y(self, fps: float) -> float:
        """Pixel of frames per second."""
        return HEIGHT - BOTTOM - fps / self.top * (HEIGHT - TOP - BOTTOM)

    def draw(self) -> list[str]:
        """Everything of the panel, the chosen design on top."""
        return [*self._grid(), *self._limit(), *self._frontier(), *self._dots(), *self._chosen()]

    def _grid(self) -> list[str]:
        parts = []
        floor = HEIGHT - BOTTOM
        for value in ticks(self.full, 5):
            x = self.x(value)
            parts.append(line(x, TOP, x, floor, "grid"))
            parts.append(label(x, floor + TEXT * 1.4, tick(value), "middle", "t dim"))
        for value in ticks(self.top):
            y = self.y(value)
            parts.append(line(self.left, y, self.left + PANEL, y, "grid"))
            parts.append(label(self.left - 8, y + TEXT * 0.36, tick(value), "end", "t dim"))
        middle = self.left + PANEL / 2
        parts.append(label(middle, HEIGHT - 10, self.title, "middle", "t dim"))
        parts.append(label(self.left, TOP - 20, "frames/s", "start", "t dim"))
        return parts

    def _limit(self) -> list[str]:
        x = self.x(self.allowed)
        text = f"allowed: {count(self.allowed)}"
        return [
            line(x, TOP - 8, x, HEIGHT - BOTTOM, "roof second"),
            label(x - 4, TOP - 12, text, "end", "t dim"),
        ]

    def _frontier(self) -> list[str]:
        """Steps: between two designs nothing is known to be better than the smaller."""
        best = best_by(self.points, self.resource)
        parts = []
        for one, other in pairwise(best):
            x1, x2 = self.x(one["resources"][self.resource]), self.x(other["resources"][self.resource])
            y1, y2 = self.y(one["fps"]), self.y(other["fps"])
            parts += [line(x1, y1, x2, y1, "front"), line(x2, y1, x2, y2, "front")]
        return parts

    def _dots(self) -> list[str]:
        best = {id(point) for point in best_by(self.points, self.resource)}
        ordered = sorted(self.points, key=lambda p: id(p) in best)
        return [
            element(
                "circle", element("title", text=said(point)), cx=self.x(point["resources"][self.resource]),
                cy=self.y(point["fps"]), r=4.5 if id(point) in best else 3.0,
                class_="c0 dot" if id(point) in best else "c7 dot",
            )
            for point in ordered
            if not point["chosen"]
        ]  # fmt: skip

    def _chosen(self) -> list[str]:
        parts = []
        for point in self.points:
            if point["chosen"]:
                x, y = self.x(point["resources"][self.resource]), self.y(point["fps"])
                title = element("title", text=said(point))
                text = f"this design: {significant(point['fps'])}"
                # Nothing lies left of it at its height: that would be a better design.
                end = x > self.left + PANEL / 2
                parts.append(element("circle", title, cx=x, cy=y, r=6.0, class_="point"))
                parts.append(
                    label(x - 11 if end else x + 11, y + 4, text, "end" if end else "start", "t strong")
                )
        return parts


def said(point: Mapping[str, Any]) -> str:
    """A design in a line."""
    share = point["pot_ratio"]
    rows = f"{point['dsp_rows']} DSP rows"
    if point["pot_rows"]:
        rows += f" and {point['pot_rows']} power-of-two rows"
    if share is not None:
        rows += f", {100 * share:.3g} % of rows powers of two"
    taken = point["resources"]
    return (
        f"{significant(point['fps'])} frames/s: {point['token_lanes']} token lanes, {rows}; "
        f"{count(taken['dsp'])} DSP, {count(taken['lut'])} LUT, {count(taken['bram36'])} BRAM36"
    )


def of_report(report: Mapping[str, Any]) -> str:
    """The picture of a report; empty where it lists no designs."""
    if not report["pareto"]:
        return ""
    stock = {name: one["available"] for name, one in report["resources"].items()}
    return render(report["pareto"], stock, UTILISATION)


def picture(report: Mapping[str, Any]) -> str:
    """The same as a file of its own."""
    return standalone(of_report(report))
