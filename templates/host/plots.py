"""Figures of the notebook. Needs matplotlib, which the driver itself does not."""

from __future__ import annotations

import os
import re
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.patheffects import withStroke
from PIL import Image

from .predictions import Predictions
from .profiling import Profile

BLOCK = re.compile(r"(?:.*\.)?(?:blocks|layers)\.(\d+)\.")

KINDS = {
    "linear": ("linear layers", "#0072B2"),
    "scores": ("scores and softmax", "#E69F00"),
    "values": ("weighted values", "#56B4E9"),
    "layernorm": ("LayerNorm", "#009E73"),
    "load": ("loads", "#CC79A7"),
}
"""Kinds of layers: what the legend calls them, and their colour."""

SMALL = 64  # pixels; smaller pictures are shown pixel by pixel


def show_top(picture: str | os.PathLike[str], predictions: Predictions, count: int = 5) -> Any:
    """A picture and the likeliest classes of it as bars; returns the figure."""
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9, 3.6), width_ratios=(1, 1.3), layout="constrained"
    )
    with Image.open(picture) as image:
        grey = image.mode in ("1", "L")
        shown = image.convert("L" if grey else "RGB")
    left.imshow(
        shown,
        cmap="gray" if grey else None,
        interpolation="nearest" if max(shown.size) < SMALL else "antialiased",
    )
    left.set_axis_off()
    names, shares = zip(*predictions.top(count)[0], strict=True)
    bars = right.barh(range(len(names)), [100 * share for share in shares], color="#0072B2")
    right.bar_label(bars, [_percent(share) for share in shares], padding=3)
    right.set_yticks(range(len(names)), names)
    right.invert_yaxis()
    right.set_xlim(0, 120 * max(shares))  # room for the label of the longest bar
    right.set_xticks([tick for tick in right.get_xticks() if tick <= min(100, 120 * max(shares))])
    right.set_xlabel("probability in %")
    right.spines[["top", "right"]].set_visible(False)
    return figure


def _percent(share: float) -> str:
    """Two digits that differ, however small the share."""
    return f"{100 * share:.1f} %" if share >= 0.01 else f"{100 * share:.2g} %"


def show_layers(profile: Profile) -> Any:
    """Time by block and kind of layer, beside the build's estimate; returns the figure."""
    rows, estimates = _rows(profile)
    longest = max(sum(row.values()) for row in rows.values())
    unit, scale = ("ms", 1e3) if longest >= 1e-3 else ("µs", 1e6)
    height = 1.8 + 0.32 * len(rows)
    figure, axes = plt.subplots(figsize=(9, height), layout="constrained")
    places = range(len(rows))
    starts = [0.0] * len(rows)
    for kind, (label, colour) in KINDS.items():
        widths = [scale * row.get(kind, 0.0) for row in rows.values()]
        if any(widths):
            axes.barh(places, widths, left=starts, color=colour, label=label)
            starts = [start + width for start, width in zip(starts, widths, strict=True)]
    axes.plot(
        [scale * estimate for estimate in estimates], places, "k|", markersize=14,
        markeredgewidth=2, label="estimate, overlapped",
        path_effects=[withStroke(linewidth=4, foreground="white")],
    )  # fmt: skip
    axes.set_yticks(places, rows)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.04 * scale * max(longest, *estimates))
    source = "clock cycles" if profile.counted else "the driver's clock"
    axes.set_xlabel(f"{unit}, one instruction at a time, by {source}")
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    return figure


def _rows(profile: Profile) -> tuple[dict[str, dict[str, float]], list[float]]:
    """Seconds by kind of every block and of what lies before and behind, and their estimates."""
    rows: dict[str, dict[str, float]] = {}
    estimates: dict[str, float] = {}
    for layer in profile.layers:
        found = BLOCK.match(layer.name)
        inside = any(label.startswith("block") for label in rows)
        label = f"block {found.group(1)}" if found else "output" if inside else "input"
        cells = rows.setdefault(label, {})
        cells[layer.kind] = cells.get(layer.kind, 0.0) + layer.seconds
        estimates[label] = estimates.get(label, 0.0) + layer.estimated
    return rows, list(estimates.values())
