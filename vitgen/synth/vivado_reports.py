"""Reports of Vivado: what an implemented design takes, and whether it meets its clock."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vitgen.errors import VitgenError

# Rows of report_utilization for UltraScale+; a star stands behind a figure with a footnote.
_ROWS = {
    "CLB LUTs": "lut",
    "CLB Registers": "ff",
    "Block RAM Tile": "bram36",
    "DSPs": "dsp",
    "URAM": "uram",
}
_TIMING = {
    "WNS(ns)": "wns_ns",
    "TNS(ns)": "tns_ns",
    "TNS Failing Endpoints": "setup_failing",
    "WHS(ns)": "whs_ns",
    "THS Failing Endpoints": "hold_failing",
}
_ACCELERATOR = re.compile(r"vit_top_0|bank_\w+")


def read_vivado(reports: Path) -> dict[str, Any]:
    """Figures of an implementation.

    Parameters
    ----------
    reports : directory with ``utilization.rpt``, ``hierarchy.rpt`` and ``timing.rpt``.

    Returns
    -------
    ``resources`` of the whole block design and ``accelerator``, its part that is ours, each with
    ``dsp``, ``lut``, ``ff``, ``bram36`` (in halves) and ``uram``; ``timing`` with the worst slacks in
    ns (None where there is no path) and the number of failing endpoints.

    Raises
    ------
    VitgenError : a report is missing, or is not of that form.
    """
    return {
        "resources": _utilization(reports / "utilization.rpt"),
        "accelerator": _hierarchy(reports / "hierarchy.rpt"),
        "timing": _timing(reports / "timing.rpt"),
    }


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise VitgenError(
            f"Vivado has left no report {path}: {error.strerror}.", "Look into its log."
        ) from error


def _malformed(path: Path, what: str) -> VitgenError:
    return VitgenError(
        f"{path} is not a report as Vivado writes it: it has no {what}.",
        "Run again; if it stays so, this version writes another form: report it.",
    )


def _rows(text: str) -> Iterator[list[str]]:
    """Cells of every row of every table."""
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("|") and line.endswith("|") and len(line) > 1:
            yield [cell.strip() for cell in line[1:-1].split("|")]


def _whole(number: float) -> float | int:
    return int(number) if number == int(number) else number


def _utilization(path: Path) -> dict[str, float | int]:
    found: dict[str, float | int] = {}
    for name, *cells in _rows(_text(path)):
        key = _ROWS.get(name.rstrip("*").strip())
        if key is not None and key not in found and cells and _is_number(cells[0]):
            found[key] = _whole(float(cells[0]))
    found.setdefault("uram", 0)  # a device without UltraRAM has no such row
    for name, key in _ROWS.items():
        if key not in found:
            raise _malformed(path, f"row {name!r}")
    return {key: found[key] for key in ("dsp", "lut", "ff", "bram36", "uram")}


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", text) is not None


def _hierarchy(path: Path) -> dict[str, float | int]:
    """The accelerator and its activation RAMs, summed."""
    total = {"dsp": 0.0, "lut": 0.0, "ff": 0.0, "bram36": 0.0, "uram": 0.0}
    header: list[str] = []
    seen = False
    for cells in _rows(_text(path)):
        if cells[0] == "Instance":
            header = cells
        elif header and len(cells) == len(header) and _ACCELERATOR.fullmatch(cells[0]):
            row = dict(zip(header, cells, strict=True))
            seen |= cells[0] == "vit_top_0"
            total["lut"] += _cell(path, row, "Total LUTs")
            total["ff"] += _cell(path, row, "FFs")
            total["bram36"] += _cell(path, row, "RAMB36") + _cell(path, row, "RAMB18") / 2
            total["dsp"] += _cell(path, row, "DSP Blocks" if "DSP Blocks" in row else "DSPs")
            total["uram"] += float(row.get("URAM", 0))
    if not seen:
        raise _malformed(path, "row 'vit_top_0'")
    return {key: _whole(value) for key, value in total.items()}


def _cell(path: Path, row: dict[str, str], name: str) -> float:
    text = row.get(name, "").split("(")[0].strip()  # a share may stand behind the count
    if not _is_number(text):
        raise _malformed(path, f"column {name!r}")
    return float(text)


def _timing(path: Path) -> dict[str, float | int | None]:
    lines = iter(_text(path).splitlines())
    for line in lines:
        names = re.split(r"\s{2,}", line.strip())
        if names[0] != "WNS(ns)":
            continue
        rule, values = next(lines, ""), next(lines, "").split()
        if set(rule.strip()) > {"-", " "} or len(values) != len(names):
            break
        row = dict(zip(names, values, strict=True))
        found: dict[str, float | int | None] = {}
        for name, key in _TIMING.items():
            text = row.get(name, "NA")
            number = None if text == "NA" else float(text)
            counts = number is not None and key.endswith("_failing")
            found[key] = int(number) if counts and number is not None else number
        return found
    raise _malformed(path, "design timing summary")
