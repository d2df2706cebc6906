"""What the benchmark of whole images measured, kept under ``build/`` so that a killed run resumes.

A row has one file, rewritten whole after every step. Results hold for the vitgen that made them: its
digest is part of the file, and another vitgen starts over.
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitgen.flow.directory import tool_digest, write_whole

OUT = Path("build/bench")
FORMAT = 1
STEPS = ("build", "rtl", "csim", "simulate", "count", "report")
"""Steps of a measured row, in order; ``count`` may be left out."""

TITLES = {
    "build": "network to C++, weights and program",
    "rtl": "C++ to SystemVerilog",
    "csim": "C-sim of an image",
    "simulate": "RTL simulation of an image, every tensor compared",
    "count": "yosys counts the RTL",
    "report": "report",
    "estimate": "estimate",
}


@dataclass(frozen=True)
class Row:
    """A model that is measured.

    Parameters
    ----------
    model, bits : as of ``vitgen build``.
    published : key of the published design beside it; empty for none.
    target : frames per second to reach at the board's own clock; None for none.
    """

    model: str
    bits: str
    published: str = ""
    target: float | None = None

    @property
    def label(self) -> str:
        """As ``--only`` takes it."""
        return f"{self.model}:{self.bits}"

    @property
    def folder(self) -> str:
        """Name of its files."""
        return f"{self.model}_{self.bits.replace('/', '-')}"


ROWS = (
    Row("deit_b", "4/8", "ava_mixed_b", 60.0),
    Row("deit_b", "8/8", "ava_fixed_b", 32.0),
    Row("deit_s", "8/8", "ava_fixed_s", 110.0),
    Row("deit_s", "4/8", "ava_mixed_s", 190.0),
    Row("deit_t", "4/8", "", 550.0),
    Row("deit_t", "8/8"),
)
"""Rows of the table, in its order."""


def chosen(only: Sequence[str]) -> list[Row]:
    """Rows by their labels (MODEL:BITS), all without any; labels beside the table have no target."""
    known = {row.label: row for row in ROWS}
    rows = []
    for label in only:
        model, separator, bits = label.partition(":")
        if not separator:
            raise SystemExit(f"--only {label}: give MODEL:BITS, such as deit_t:4/8.")
        rows.append(known.get(label, Row(model, bits)))
    return rows or list(ROWS)


def fresh() -> dict[str, Any]:
    """A result without anything."""
    return {"format": FORMAT, "tool": tool_digest(), "steps": {}, "started": None, "report": None}


def load(row: Row, out: Path, measured: bool = True) -> dict[str, Any] | None:
    """What is known of a row; None for nothing, or for what another vitgen made."""
    try:
        record = json.loads(path_of(row, out, measured).read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        return None
    if record.get("tool") != tool_digest():
        return None
    return record


def path_of(row: Row, out: Path, measured: bool = True) -> Path:
    """The file of a row's results, or of its estimate."""
    return out / f"{row.folder}{'' if measured else '.estimate'}.json"


def save(row: Row, out: Path, record: Mapping[str, Any], measured: bool = True) -> None:
    """Write the results of a row."""
    write_whole(path_of(row, out, measured), json.dumps(record, indent=1).encode() + b"\n")


Runner = Callable[[Row, str, Path], dict[str, Any]]
"""Runs a step of a row in its folder; returns ``seconds`` and what else it measured."""


def measure(
    row: Row, out: Path, runner: Runner, *, steps: Sequence[str] = STEPS, say: Callable[[str], None]
) -> dict[str, Any]:
    """Run the steps of a row that no earlier run finished, and keep what each measured.

    A step that an earlier run began and did not finish finds part of its work done: its time is kept
    with ``resumed``, for it is not the time of the whole.

    Parameters
    ----------
    steps : those that are wanted, in order. ``report`` runs again after any other.
    runner : what runs them.
    say : what tells the user.
    """
    folder = out / row.folder
    record = load(row, out)
    if record is None:
        shutil.rmtree(folder, ignore_errors=True)
        record = fresh()
    for step in steps:
        done = record["steps"].get(step)
        if done is not None:
            say(f"{row.label}: {TITLES[step]}: done before")
            continue
        resumed = record["started"] == step
        if step != "report":
            record["steps"].pop("report", None)
        record["started"] = step
        save(row, out, record)
        say(f"{row.label}: {TITLES[step]} ...")
        found = runner(row, step, folder)
        if "report" in found:
            record["report"] = found.pop("report")
        record["steps"][step] = {**found, "resumed": resumed}
        record["started"] = None
        save(row, out, record)
        say(f"{row.label}: {TITLES[step]}: {found['seconds']:.0f} s")
    return record


def estimated(row: Row, out: Path, runner: Runner, *, say: Callable[[str], None]) -> dict[str, Any]:
    """The estimate of a row, made once for each vitgen."""
    record = load(row, out, measured=False)
    if record is None:
        say(f"{row.label}: {TITLES['estimate']} ...")
        record = fresh()
        found = runner(row, "estimate", out / f"{row.folder}.estimate")
        record["report"] = found.pop("report")
        record["steps"]["estimate"] = found
        save(row, out, record, measured=False)
    return record


def best(row: Row, out: Path) -> dict[str, Any] | None:
    """What was measured of a row if it is whole, else its estimate, else None."""
    record = load(row, out)
    if record is not None and record["report"] is not None and "report" in record["steps"]:
        return record
    return load(row, out, measured=False)
