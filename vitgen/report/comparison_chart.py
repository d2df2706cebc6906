"""The picture of a comparison: a row per design, a column of bars per figure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from vitgen.report.comparison import Row
from vitgen.report.format import count, percent, significant
from vitgen.report.published import Figure
from vitgen.report.svg import TEXT, element, figure, label, line, rect, shorten
from vitgen.resources import templates_dir

WIDTH = 900.0
NAME, BITS = 236.0, 244.0  # right end of the names, left end of the bits
FIRST, STEP, LENGTH = 292.0, 154.0, 84.0  # first column of bars, distance of two, longest bar
PITCH, BAR, HEAD = 22.0, 13.0, 40.0
BEYOND = (
    4.0  # bars longer than that many times ours are cut: they would leave nothing of the others
)

OURS, ESTIMATED, THEIRS, OPEN = "c0", "c2", "c7", "open"
CLASSES = {
    OURS: "vitgen, RTL simulation and yosys",
    ESTIMATED: "vitgen, cost model",
    THEIRS: "published, stated or derived",
    OPEN: "rests on an unverified figure (?)",
}
"""Classes of the bars, and what they mean."""


@dataclass(frozen=True)
class Column:
    """A column of bars.

    Parameters
    ----------
    key : figure of the rows.
    title : its heading, with the unit.
    show : value as text.
    grouped : whether each model has a scale of its own.
    """

    key: str
    title: str
    show: Callable[[float], str]
    grouped: bool = False


def _columns(clock_mhz: float) -> tuple[Column, ...]:
    return (
        Column("equal_fps", f"frames/s at {clock_mhz:g} MHz", significant, grouped=True),
        Column("mac_per_cycle", "MAC/cycle", count),
        Column("mac_per_cycle_dsp", "MAC/cycle/DSP", significant),
        Column("efficiency", "efficiency", lambda share: percent(share, 0)),
    )


def render(rows: Sequence[Row], *, clock_mhz: float, board: str) -> str:
    """The picture of :func:`vitgen.report.comparison.compare`'s rows, at its clock and board.

    A bar is filled where the figure is stated, derived or measured, dashed where it rests on one that
    is unverified. Of a design on another device, the device's name stands in place of frames per
    second. A design without a figure of any column is left out.
    """
    columns = _columns(clock_mhz)
    parts = []
    for place, column in enumerate(columns):
        parts.append(label(FIRST + place * STEP, TEXT * 1.2, column.title, class_="t strong"))
    y = HEAD - PITCH
    whole = _scales(rows, columns)
    for _, members in groupby(rows, key=lambda row: row.vitgen):
        group = [row for row in members if any(column.key in row.figures for column in columns)]
        if not group:
            continue
        scales = {**whole, **_scales(group, [c for c in columns if c.grouped])}
        y += PITCH
        parts.append(line(0.0, y - PITCH * 0.9, WIDTH, y - PITCH * 0.9, "grid"))
        parts.append(label(0.0, y, _heading(group), class_="t strong"))
        for row in group:
            y += PITCH
            parts.append(_row(row, y, columns, scales, board))
        y += PITCH * 0.3
    title = f"Designs at {clock_mhz:g} MHz on {board.upper()}"
    return figure(WIDTH, y + PITCH * 0.6, title, *parts)


def _heading(group: Sequence[Row]) -> str:
    if not group[0].vitgen:
        return "Other models"
    ours = [row.model for row in group if row.ours]
    models = list(dict.fromkeys(ours + [row.model for row in group]))
    return ", ".join(models)


def _scales(rows: Sequence[Row], columns: Sequence[Column]) -> dict[str, float]:
    """Value of a full bar of each column: the largest, but of those far beyond ours."""
    scales = {}
    for column in columns:
        values = [r.figures[column.key].value for r in rows if column.key in r.figures]
        ours = [r.figures[column.key].value for r in rows if r.ours and column.key in r.figures]
        near = [v for v in values if not ours or v <= BEYOND * max(ours)]
        scales[column.key] = max(near, default=0.0) or 1.0
    return scales


def _row(
    row: Row, y: float, columns: Sequence[Column], scales: dict[str, float], board: str
) -> str:
    strong = " strong" if row.ours else ""
    name = row.name if row.vitgen else f"{row.name}, {row.model}"
    parts = [label(NAME, y, shorten(name, NAME), "end", f"t{strong}")]
    if row.bits:
        parts.append(label(BITS, y, row.bits, class_="t dim"))
    for place, column in enumerate(columns):
        x = FIRST + place * STEP
        found = row.figures.get(column.key)
        if found is not None:
            parts += _bar(row, column, found, x, y, scales[column.key])
        elif column.key == "equal_fps" and row.device.lower() != board:
            parts.append(label(x, y, f"on {row.device}", class_="t dim"))
    return element("g", *parts)


def _class(row: Row, found: Figure) -> str:
    if found.trust == "unverified":
        return OPEN
    if not row.ours:
        return THEIRS
    return ESTIMATED if found.trust == "estimated" else OURS


def _bar(row: Row, column: Column, found: Figure, x: float, y: float, scale: float) -> list[str]:
    length = min(1.0, found.value / scale) * LENGTH
    text = column.show(found.value) + (" ?" if found.trust == "unverified" else "")
    cut = found.value > scale * (1 + 1e-9)
    tip = f"{row.name}, {row.model}, {column.title}: {column.show(found.value)}, {found.trust}"
    bar = rect(x, y - TEXT * 0.36 - BAR / 2, max(length, 1.0), BAR, _class(row, found), tip)
    return [bar, label(x + length + 5, y, f"» {text}" if cut else text, class_="t v")]


def legend(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Classes of the bars in a picture of ``rows``, and what they mean."""
    shown = [column.key for column in _columns(0.0)]
    drawn = {_class(row, row.figures[key]) for row in rows for key in shown if key in row.figures}
    return [(class_, name) for class_, name in CLASSES.items() if class_ in drawn]


def standalone(svg: str, entries: Sequence[tuple[str, str]] = ()) -> str:
    """A picture as a file of its own, with the style of the page and a legend below it."""
    style = (templates_dir() / "report" / "style.css").read_text()
    height = float(svg.split('height="', 1)[1].split('"', 1)[0])
    body = svg.split(">", 1)[1].rsplit("</svg>", 1)[0]
    parts = []
    x = 0.0
    for class_, name in entries:
        parts.append(rect(x, height + 4, BAR, BAR, class_))
        parts.append(label(x + BAR + 6, height + BAR + 1, name))
        x += BAR + 30 + len(name) * 6.2
    margin = 16
    width, total = WIDTH + 2 * margin, height + (PITCH if entries else 0) + 2 * margin
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{-margin} {-margin} {width:g} {total:g}" '
        f'width="{width:g}" height="{total:g}" role="img" '
        'font-family="system-ui, Liberation Sans, Arial, sans-serif">'
        f"<style>{style}</style>"
        + rect(float(-margin), float(-margin), width, total, "paper")
        + body + "".join(parts) + "</svg>\n"
    )  # fmt: skip
