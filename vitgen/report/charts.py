"""The pictures of a report, each from the part of ``report.json`` that it shows."""

from collections.abc import Mapping, Sequence
from typing import Any

from vitgen.report.folding import ITEM_NAMES, ROLE_NAMES, fold_items, fold_rows
from vitgen.report.format import (
    CAUSES,
    COUNTED,
    count,
    percent,
    resource_names,
    size,
    taken,
    tick,
)
from vitgen.report.svg import TEXT, Bar, BarStyle, Segment, bars

DENSE = 24  # rows beyond which bars become thin
WIDE_LABELS = BarStyle(left=280.0)
TRAFFIC = {
    "weights": "weights",
    "params": "row records",
    "image": "image",
    "constants": "embedding",
    "program": "program",
    "output": "logits",
}


def cycles_by_layer(layers: Sequence[Mapping[str, Any]]) -> str:
    """Stacked bars: a row for every block, one for what precedes and one for what follows them."""
    total = sum(layer["cycles"]["estimated"] for layer in layers) or 1
    rows = []
    for name, cells in fold_rows(layers):
        cycles = sum(cells.values())
        segments = tuple(
            Segment(
                value, ROLE_NAMES.index(part),
                f"{name}, {part}: {count(value)} cycles, {percent(value / total)}",
            )
            for part, value in cells.items()
        )  # fmt: skip
        rows.append(Bar(name, f"{count(cycles)} · {percent(cycles / total)}", segments))
    pitch = 24.0 if len(rows) <= DENSE else TEXT * 1.25
    style = BarStyle(left=70.0, right=130.0, bar=pitch * 0.72, pitch=pitch)
    return bars(
        rows, "Cycles per layer", style=style, axis="cycles of an image", tick=tick
    )


def roles_legend(layers: Sequence[Mapping[str, Any]]) -> list[tuple[int, str]]:
    """Colours that :func:`cycles_by_layer` uses, and what they mean."""
    used = {part for _, cells in fold_rows(layers) for part in cells}
    return [(index, name) for index, name in enumerate(ROLE_NAMES) if name in used]


def shares(pairs: Sequence[tuple[str, int]], title: str, unit: str) -> str:
    """One bar for each name with its value and share, largest first.

    Parameters
    ----------
    unit : "cycles", or "bytes" which are shown as kB and MB.
    """
    total = sum(value for _, value in pairs) or 1
    rows = []
    for name, value in pairs:
        shown = size(value) if unit == "bytes" else count(value)
        rows.append(Bar(name, f"{shown} · {percent(value / total)}", (Segment(float(value), 0),)))
    return bars(rows, title, style=WIDE_LABELS)


def causes(report: Mapping[str, Any]) -> list[tuple[str, int]]:
    """``cycles_by_cause`` in words, largest first."""
    pairs = report["cycles_by_cause"].items()
    named = [(CAUSES.get(cause, f"waits for {cause}"), cycles) for cause, cycles in pairs]
    return sorted(named, key=lambda pair: -pair[1])


def traffic(report: Mapping[str, Any]) -> str:
    """DRAM bytes of an image by kind."""
    moved = report["dram_bytes_per_image"]
    pairs = [(title, moved[kind]) for kind, title in TRAFFIC.items() if moved[kind]]
    return shares(sorted(pairs, key=lambda pair: -pair[1]), "DRAM traffic", "bytes")


_WHOLE = (len(ITEM_NAMES) - 1, f"all modules, {COUNTED}")  # colour and name of an undivided bar


def resources(report: Mapping[str, Any]) -> str:
    """A bar for each resource as a share of the board's, cut into the groups of the bill.

    Where yosys counted, the bar is whole: the bill's items are estimates.
    """
    groups = [(ITEM_NAMES.index(group), group, cells) for group, cells in fold_items(report["items"])]
    rows, top = [], 1.0
    for name, title in resource_names(report["resources"]).items():
        resource = report["resources"][name]
        need, source = taken(resource)
        stock = resource["available"]
        parts = [(colour, group, cells[name]) for colour, group, cells in groups]
        if source == COUNTED:
            parts = [(*_WHOLE, float(need))]
        segments = tuple(
            Segment(value / max(stock, 1), colour, f"{group}: {count(value)} {title}")
            for colour, group, value in parts
        )
        share = need / max(stock, 1)
        top = max(top, share)
        text = f"{count(need)} of {count(stock)} · {percent(share)}"
        rows.append(Bar(title, text, segments, mark=1.0))
    style = BarStyle(left=70.0, right=200.0, bar=20.0, pitch=34.0)
    return bars(
        rows, "Resources against the board", style=style, top=top,
        axis="share of the board (line: all of it)", tick=lambda v: percent(v, 0),
    )  # fmt: skip


def items_legend(report: Mapping[str, Any]) -> list[tuple[int, str]]:
    """Colours that :func:`resources` uses, and what they mean."""
    if report["resources_from"] is not None:
        return [_WHOLE]
    return [(ITEM_NAMES.index(name), name) for name, _ in fold_items(report["items"])]
