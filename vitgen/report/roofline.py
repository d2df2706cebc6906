"""The roofline: products per cycle against products per byte, on logarithmic axes."""

import math
from collections.abc import Mapping
from typing import Any

from vitgen.report.format import short, significant
from vitgen.report.svg import GLYPH, TEXT, element, figure, label, line

WIDTH, HEIGHT = 720.0, 380.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 20.0, 16.0, 48.0


class Plane:
    """Logarithmic axes over whole decades.

    Parameters
    ----------
    x, y : lowest and highest value that must be on the plane.
    """

    def __init__(self, x: tuple[float, float], y: tuple[float, float]) -> None:
        self.x = (math.floor(math.log10(x[0])), math.ceil(math.log10(x[1])))
        self.y = (math.floor(math.log10(y[0])), math.ceil(math.log10(y[1])))

    def at_x(self, value: float) -> float:
        """Pixel of a value along the intensity."""
        low, high = self.x
        return LEFT + (math.log10(value) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def at_y(self, value: float) -> float:
        """Pixel of a value along the throughput."""
        low, high = self.y
        return HEIGHT - BOTTOM - (math.log10(value) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    @property
    def ends(self) -> tuple[float, float, float, float]:
        """Values at the ends: x, x, y, y."""
        return 10.0 ** self.x[0], 10.0 ** self.x[1], 10.0 ** self.y[0], 10.0 ** self.y[1]


def plane_of(roofline: Mapping[str, Any]) -> Plane:
    """Axes that hold the point, every roof, and where memory and compute meet."""
    point = roofline["point"]
    rates = [roof["per_cycle"] for roof in roofline["compute"]]
    knees = [rate / roof["per_cycle"] for roof in roofline["memory"] for rate in rates]
    x = (min([point["mac_per_byte"], *knees]) / 2, max([point["mac_per_byte"], *knees]) * 4)
    y = (min(point["mac_per_cycle"], *rates) / 4, max(point["mac_per_cycle"], *rates) * 1.4)
    return Plane(x, y)


def render(roofline: Mapping[str, Any]) -> str:
    """The picture of a report's ``roofline``."""
    plane = plane_of(roofline)
    body = [*_grid(plane), *_compute(plane, roofline), *_memory(plane, roofline)]
    body += _point(plane, roofline["point"])
    return figure(WIDTH, HEIGHT, "Roofline", *body)


def _grid(plane: Plane) -> list[str]:
    parts = []
    for exponent in range(plane.x[0], plane.x[1] + 1):
        x = plane.at_x(10.0**exponent)
        parts.append(line(x, TOP, x, HEIGHT - BOTTOM, "grid"))
        text = short(10.0**exponent, 1)
        parts.append(label(x, HEIGHT - BOTTOM + TEXT * 1.4, text, "middle", "t dim"))
    for exponent in range(plane.y[0], plane.y[1] + 1):
        y = plane.at_y(10.0**exponent)
        parts.append(line(LEFT, y, WIDTH - RIGHT, y, "grid"))
        parts.append(label(LEFT - 8, y + TEXT * 0.36, short(10.0**exponent, 1), "end", "t dim"))
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
        text = f"{roof['label']}: {short(roof['per_cycle'], 4)} MAC/cycle"
        # The highest roof has its text above the line, lower ones below.
        parts.append(label(WIDTH - RIGHT - 4, y + (-6 if rank == 0 else 15), text, "end"))
    return parts


def _memory(plane: Plane, roofline: Mapping[str, Any]) -> list[str]:
    """Slopes up to the highest compute roof; each says its bandwidth along the line."""
    parts = []
    low_x, _, low_y, _ = plane.ends
    peak = max(roof["per_cycle"] for roof in roofline["compute"])
    for rank, roof in enumerate(roofline["memory"]):
        rate = roof["per_cycle"]
        start, knee = max(low_x, low_y / rate), peak / rate
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


def _point(plane: Plane, point: Mapping[str, float]) -> list[str]:
    x, y = plane.at_x(point["mac_per_byte"]), plane.at_y(point["mac_per_cycle"])
    texts = (
        "this design",
        f"{short(point['mac_per_cycle'], 4)} MAC/cycle",
        f"{significant(point['mac_per_byte'])} MAC/byte",
    )
    # Right of the point if the text fits there, else left; well below all roof labels either way.
    wide = max(len(text) for text in texts) * GLYPH
    right = x + 14 + wide < WIDTH - RIGHT
    at, anchor = (x + 10, "start") if right else (x - 10, "end")
    parts = [element("circle", cx=x, cy=y, r=6.0, class_="point")]
    first = min(y + 46, HEIGHT - BOTTOM - 36)
    parts.append(line(x, y + 6, x, first + 28, "lead"))
    for row, text in enumerate(texts):
        style = "t strong" if row == 0 else "t"
        parts.append(label(at, first + row * 14, text, anchor, style))
    return parts
