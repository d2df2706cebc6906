"""The roofline: products per cycle against products per byte, on logarithmic axes."""

import math
from collections.abc import Mapping
from typing import Any

from vitgen.report.format import count, significant, tick
from vitgen.report.svg import TEXT, element, figure, label, line

WIDTH, HEIGHT = 900.0, 400.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 16.0, 12.0, 48.0
ROOM = 300.0  # right of the point, where the compute roofs have their labels
FINE = 3.2  # decades up to which an axis has ticks at 1, 2 and 5


class Plane:
    """Logarithmic axes.

    Parameters
    ----------
    x, y : lowest and highest value on the plane.
    """

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.x, self.y = x, y

    def at_x(self, value: float) -> float:
        """Pixel of a value along the intensity."""
        low, high = self.x
        return LEFT + math.log(value / low) / math.log(high / low) * (WIDTH - LEFT - RIGHT)

    def at_y(self, value: float) -> float:
        """Pixel of a value along the throughput."""
        low, high = self.y
        share = math.log(value / low) / math.log(high / low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def log_ticks(low: float, high: float) -> list[float]:
    """Ticks of a logarithmic axis: 1, 2 and 5 of every decade, 1 alone where there are many."""
    steps = (1, 2, 5) if math.log10(high / low) <= FINE else (1,)
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [step * 10.0**exponent for exponent in decades for step in steps]
    return [value for value in values if low * 0.999 <= value <= high * 1.001]


def plane_of(roofline: Mapping[str, Any]) -> Plane:
    """Axes that hold the point, every roof, where memory and compute meet, and the labels."""
    point = roofline["point"]
    rates = [roof["per_cycle"] for roof in roofline["compute"]]
    knees = [rate / roof["per_cycle"] for roof in roofline["memory"] for rate in rates]
    low = min(point["mac_per_byte"] / 2, min(knees) / 16)
    high = max([point["mac_per_byte"], *knees]) * 4
    # The point keeps its distance from the labels at the right end.
    share = (WIDTH - LEFT - RIGHT - ROOM) / (WIDTH - LEFT - RIGHT)
    high = max(high, low * (point["mac_per_byte"] / low) ** (1 / share))
    bottom = min(point["mac_per_cycle"], *rates) / 8
    return Plane((low, high), (bottom, max(point["mac_per_cycle"], *rates) * 1.8))


def render(roofline: Mapping[str, Any]) -> str:
    """The picture of a report's ``roofline``."""
    plane = plane_of(roofline)
    body = [*_grid(plane), *_compute(plane, roofline), *_memory(plane, roofline)]
    body += _point(plane, roofline)
    return figure(WIDTH, HEIGHT, "Roofline", *body)


def _grid(plane: Plane) -> list[str]:
    parts = []
    for value in log_ticks(*plane.x):
        x = plane.at_x(value)
        parts.append(line(x, TOP, x, HEIGHT - BOTTOM, "grid"))
        parts.append(label(x, HEIGHT - BOTTOM + TEXT * 1.4, tick(value), "middle", "t dim"))
    for value in log_ticks(*plane.y):
        y = plane.at_y(value)
        parts.append(line(LEFT, y, WIDTH - RIGHT, y, "grid"))
        parts.append(label(LEFT - 8, y + TEXT * 0.36, tick(value), "end", "t dim"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    parts.append(label(middle, HEIGHT - 10, "MAC per byte of DRAM traffic", "middle", "t dim"))
    parts.append(
        element(
            "text", text="MAC per cycle", x=14.0, y=HEIGHT / 2, text_anchor="middle", class_="t dim",
            transform=f"rotate(-90 14 {HEIGHT / 2:g})",
        )
    )  # fmt: skip
    return parts


def _compute(plane: Plane, roofline: Mapping[str, Any]) -> list[str]:
    """A horizontal line from where the widest memory reaches it, labelled at its right end."""
    parts = []
    widest = max(roof["per_cycle"] for roof in roofline["memory"])
    for rank, roof in enumerate(roofline["compute"]):
        y = plane.at_y(roof["per_cycle"])
        start = plane.at_x(roof["per_cycle"] / widest)
        parts.append(line(start, y, WIDTH - RIGHT, y, "roof" if rank == 0 else "roof second"))
        text = f"{roof['label']}: {count(roof['per_cycle'])} MAC/cycle"
        # The highest roof has its text above the line, lower ones below.
        parts.append(label(WIDTH - RIGHT - 4, y + (-6 if rank == 0 else 15), text, "end"))
    return parts


def _memory(plane: Plane, roofline: Mapping[str, Any]) -> list[str]:
    """Slopes up to the highest compute roof; each says its bandwidth along the line."""
    parts = []
    peak = max(roof["per_cycle"] for roof in roofline["compute"])
    for rank, roof in enumerate(roofline["memory"]):
        rate = roof["per_cycle"]
        start, knee = max(plane.x[0], plane.y[0] / rate), peak / rate
        x1, y1 = plane.at_x(start), plane.at_y(start * rate)
        x2, y2 = plane.at_x(knee), plane.at_y(peak)
        parts.append(line(x1, y1, x2, y2, "roof" if rank == 0 else "roof second"))
        text = f"{roof['label']}: {significant(rate)} B/cycle"
        angle = math.degrees(math.atan2(y2 - y1, x2 - x1))
        x, y = (x1 + x2) / 2, (y1 + y2) / 2
        parts.append(
            element(
                "text", text=text, x=x, y=y - 6 if rank == 0 else y + 15, text_anchor="middle",
                class_="t", transform=f"rotate({angle:.1f} {x:.1f} {y:.1f})",
            )
        )  # fmt: skip
    return parts


def _point(plane: Plane, roofline: Mapping[str, Any]) -> list[str]:
    point = roofline["point"]
    x, y = plane.at_x(point["mac_per_byte"]), plane.at_y(point["mac_per_cycle"])
    texts = (
        "this design",
        f"{significant(point['mac_per_cycle'], 4)} MAC/cycle",
        f"{significant(point['mac_per_byte'])} MAC/byte",
    )
    # Right of the point and below every roof's label: the plane leaves room there.
    lowest = max(plane.at_y(roof["per_cycle"]) for roof in roofline["compute"])
    parts = [element("circle", cx=x, cy=y, r=6.0, class_="point")]
    first = min(max(y, lowest + 4) + 40, HEIGHT - BOTTOM - 36)
    parts.append(line(x, y + 6, x, first + 28, "lead"))
    for row, text in enumerate(texts):
        parts.append(label(x + 10, first + row * 14, text, class_="t" if row else "t strong"))
    return parts
