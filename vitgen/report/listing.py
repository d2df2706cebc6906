"""Lists of models and boards on a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vitgen.boards import Board


def show_models(rows: Sequence[Mapping[str, Any]]) -> None:
    """Print the models, a line each; ``rows`` are their configurations as plain values."""
    table = Table("model", "image", "patch", "width", "depth", "heads", "classes")
    keys = ("image", "patch", "embed_dim", "depth", "heads", "classes")
    for row in rows:
        table.add_row(row["name"], *(str(row[key]) for key in keys))
    Console().print(table)


def show_boards(rows: Sequence[Board], *, details: bool) -> None:
    """Print the boards, a line each; with ``details`` every figure of the first with its source."""
    if details:
        _show_figures(rows[0])
        return
    table = Table("board", "device", "MHz", "DSP", "LUT", "BRAM36", "URAM", "GB/s", "PYNQ")
    for row in rows:
        r, pynq = row.resources, row.pynq
        table.add_row(
            row.name, row.part.partition("-")[0], f"{row.clock_mhz:g}", str(r.dsp), str(r.lut),
            str(r.bram36), str(r.uram), f"{row.dram.usable_mb_per_s / 1000:.1f}",
            f"{pynq.image} {pynq.version}" if pynq.version else "no image",
        )  # fmt: skip
    Console().print(table)


def _show_figures(board: Board) -> None:
    Console().print(f"{board.title}\n", markup=False, highlight=False)
    table = Table("key", "value", "trust", "source")
    for key, origin in board.provenance.items():
        value = board.value(key)
        shown = ", ".join(value) if isinstance(value, tuple) else str(value)
        table.add_row(key, Text(shown), origin.trust, Text(origin.source))
    Console().print(table)
