"""SVG as strings: elements, axes and the few chart forms of the page, in CSS colours of its own.

Everything that comes from outside passes :func:`element`, which escapes it. Coordinates are rounded
to a tenth of a pixel, so equal input gives equal bytes.
"""

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from vitgen.resources import templates_dir

TEXT = 12.0  # pixels of a label
GLYPH = 6.6  # pixels of an average character of that size, wide rather than narrow


def number(value: float) -> str:
    """A coordinate: at most one decimal, no trailing zero, no negative zero."""
    return f"{round(value, 1) + 0.0:g}"


def element(name: str, *children: str, text: str = "", **attributes: object) -> str:
    """An SVG element.

    Parameters
    ----------
    name : tag.
    children : elements, already SVG.
    text : what it says; escaped.
    attributes : floats become coordinates, the rest is escaped; ``_`` becomes ``-``, a trailing one
        goes (``class_``).
    """
    parts = [name]
    for key, value in attributes.items():
        shown = number(value) if isinstance(value, float) else html.escape(str(value))
        parts.append(f'{key.rstrip("_").replace("_", "-")}="{shown}"')
    inside = "".join(children) + html.escape(text)
    head = " ".join(parts)
    return f"<{head}>{inside}</{name}>" if inside else f"<{head}/>"


def label(x: float, y: float, text: str, anchor: str = "start", class_: str = "t") -> str:
    """A line of text."""
    return element("text", text=text, x=x, y=y, text_anchor=anchor, class_=class_)


def rect(x: float, y: float, width: float, height: float, class_: str, tip: str = "") -> str:
    """A rectangle; ``tip`` shows where the pointer rests."""
    title = (element("title", text=tip),) if tip else ()
    return element("rect", *title, x=x, y=y, width=width, height=height, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    """A straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def figure(width: float, height: float, title: str, *children: str) -> str:
    """A whole picture; ``title`` is what a screen reader says."""
    return element(
        "svg", *children,
        viewBox=f"0 0 {number(width)} {number(height)}", role="img", aria_label=title,
        width=width, height=height,
    )  # fmt: skip


def standalone(picture: str) -> str:
    """A picture of :func:`figure` as a file of its own, with the page's style and paper."""
    style = (templates_dir() / "report" / "style.css").read_text()
    head, tail = picture.split(">", 1)
    paper = element("rect", width="100%", height="100%", style="fill: var(--paper)")
    font = 'svg { font-family: system-ui, "Segoe UI", "Liberation Sans", Arial, sans-serif; }'
    named = head.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
    return f"{named}><style>{font}\n{style}</style>{paper}{tail}\n"


def shorten(text: str, width: float) -> str:
    """``text`` cut to ``width`` pixels, with an ellipsis where it was cut."""
    most = max(1, int(width / GLYPH))
    return text if len(text) <= most else text[: most - 1] + "…"


def ticks(top: float, most: int = 6) -> list[float]:
    """Round steps from 0 to at most ``top``, at most ``most`` of them above zero."""
    if top <= 0:
        return [0.0]
    step = 10 ** math.floor(math.log10(top / most))
    step = next(step * m for m in (1, 2, 5, 10) if top / (step * m) <= most)
    return [step * i for i in range(math.floor(top / step * (1 + 1e-9)) + 1)]


@dataclass(frozen=True)
class Segment:
    """A piece of a bar: its size, its place in the palette, and what the pointer is told."""

    value: float
    colour: int
    tip: str = ""


@dataclass(frozen=True)
class Bar:
    """A row of a bar chart.

    Parameters
    ----------
    label, value : texts left and right of it.
    segments : its pieces from left to right.
    mark : a line across it (what a board has); None for none.
    """

    label: str
    value: str
    segments: tuple[Segment, ...]
    mark: float | None = None


@dataclass(frozen=True)
class BarStyle:
    """Geometry of a bar chart, in pixels.

    Parameters
    ----------
    width : of the picture.
    left, right : room for the texts beside the bars.
    bar, pitch : height of a bar, distance of two rows; ``pitch`` is at least a line of text.
    """

    width: float = 900.0
    left: float = 120.0
    right: float = 140.0
    bar: float = 16.0
    pitch: float = 24.0

    @property
    def room(self) -> float:
        """Length of a full bar."""
        return self.width - self.left - self.right


def bars(
    rows: Sequence[Bar],
    title: str,
    *,
    style: BarStyle | None = None,
    top: float | None = None,
    axis: str = "",
    tick: Callable[[float], str] = str,
) -> str:
    """Horizontal bars of stacked segments on a common scale from 0.

    Parameters
    ----------
    top : value of a full bar; None takes the largest bar.
    axis : title of the axis with its unit; empty for no axis.
    tick : text of a tick.
    """
    style = style or BarStyle()
    sizes = [sum(segment.value for segment in row.segments) for row in rows]
    full = top or max(sizes, default=0.0) or 1.0
    scale = style.room / full
    height = len(rows) * style.pitch + (TEXT * 3.4 if axis else 2.0)
    body = _axis(style, len(rows), full, axis, tick) if axis else []
    for index, row in enumerate(rows):
        body.append(_bar(row, index, style, scale))
    return figure(style.width, height, title, *body)


def _bar(row: Bar, index: int, style: BarStyle, scale: float) -> str:
    top = index * style.pitch + (style.pitch - style.bar) / 2
    middle = top + style.bar / 2 + TEXT * 0.36
    parts = [label(style.left - 8, middle, shorten(row.label, style.left - 10), "end")]
    x = style.left
    for segment in row.segments:
        wide = segment.value * scale
        if wide > 0:
            parts.append(rect(x, top, wide, style.bar, f"c{segment.colour}", segment.tip))
        x += wide
    edge = x
    if row.mark is not None:
        at = style.left + row.mark * scale
        parts.append(line(at, top - 3, at, top + style.bar + 3, "mark"))
        edge = max(edge, at)
    parts.append(label(edge + 8, middle, row.value, class_="t v"))
    return element("g", *parts)


def _axis(
    style: BarStyle, rows: int, full: float, title: str, tick: Callable[[float], str]
) -> list[str]:
    bottom = rows * style.pitch
    parts = []
    for value in ticks(full):
        x = style.left + value / full * style.room
        parts.append(line(x, 0.0, x, bottom, "grid"))
        parts.append(label(x, bottom + TEXT * 1.3, tick(value), "middle", "t dim"))
    middle = style.left + style.room / 2
    parts.append(label(middle, bottom + TEXT * 2.8, title, "middle", "t dim"))
    return parts
