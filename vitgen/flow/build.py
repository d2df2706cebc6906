"""Builds as one call each: made, verified, read again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from vitgen import __version__
from vitgen.csim.toolchain import ap_int_headers, find_compiler
from vitgen.errors import VitgenError
from vitgen.flow.directory import BuildDirectory
from vitgen.flow.request import LEVELS, BuildRequest
from vitgen.flow.steps import Build
from vitgen.flow.waveform import Waveform
from vitgen.rtl.build import require_tools

__all__ = ["Build", "build", "open_build", "read_report", "verify"]


def build(
    request: BuildRequest,
    out: Path,
    *,
    verify: str = "none",
    images: int | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Build ``request`` in ``out`` and return the report.

    Parameters
    ----------
    verify : "none", "csim" or "rtl".
    images : images to verify; None takes every test digit, or one photograph; one for "rtl".
    console : progress goes there; None is quiet.

    Raises
    ------
    VitgenError : bad input, a design that does not fit, or a directory that holds something else.
    """
    if verify not in LEVELS:
        raise VitgenError(f"Unknown verification {verify!r}.", f"Choose {' or '.join(LEVELS)}.")
    _check_images(images)
    if images is not None and verify == "none":
        raise VitgenError(
            f"--images is {images}, but nothing is verified.", "Add --verify csim or rtl."
        )
    directory = BuildDirectory.open(out, request.describe())
    return _run(directory, request, verify, images, console)


def _run(
    directory: BuildDirectory,
    request: BuildRequest,
    level: str,
    images: int | None,
    console: Console | None,
    waveform: Waveform | None = None,
) -> dict[str, Any]:
    if level == "csim":  # before the minutes that a large model takes
        find_compiler()
        ap_int_headers()
    if level == "rtl":
        require_tools()
    with directory.locked():
        run = Build(directory, request, console or Console(quiet=True))
        run.prepare()
        if level == "csim":
            run.verify_csim(images)
        if level == "rtl":
            run.emit_rtl()
            if waveform is not None:
                run.write_waveform(waveform)
            run.verify_rtl(images)
            run.count_resources()
        return run.report()


def _check_images(images: int | None) -> None:
    if images is not None and images < 1:
        raise VitgenError(f"--images is {images}.", "Give at least 1.")


def open_build(path: Path) -> tuple[BuildDirectory, BuildRequest]:
    """The build in ``path`` and the request that made it.

    Raises
    ------
    VitgenError : no build, or one by another version.
    """
    directory = BuildDirectory.existing(path)
    record = directory.request
    if record.pop("vitgen", None) != __version__:
        raise VitgenError(
            f"{path} was built by another version of vitgen.", "Build again with this version."
        )
    digests = record.pop("digests")
    for key in ("checkpoint", "calibrate", "config"):
        record[key] = None if record[key] is None else Path(record[key])
    request = BuildRequest(**record)
    # A finished build needs its checkpoint no more; one that is there must be the same.
    if all(Path(record[key]).exists() for key in digests):
        directory.check(request.describe())
    return directory, request


def verify(
    path: Path,
    *,
    level: str,
    images: int | None,
    vcd: Path | None = None,
    window: str | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Verify an existing build (and finish it, if it was interrupted); returns the report.

    Parameters
    ----------
    vcd : file for the signals of one image's run; only at level "rtl".
    window : cycles that it shows, ``FIRST:LAST``; without it, all.

    Raises
    ------
    VitgenError : a bad value, no build, or a missing tool.
    """
    if level not in LEVELS or level == "none":
        raise VitgenError(f"Unknown level {level!r}.", "Choose csim or rtl.")
    _check_images(images)
    waveform = Waveform.asked(level, vcd, window)
    directory, request = open_build(path)
    return _run(directory, request, level, images, console, waveform)


def read_report(path: Path) -> dict[str, Any]:
    """``report.json`` of a build.

    Raises
    ------
    VitgenError : there is none, or it is not whole.
    """
    directory = BuildDirectory.existing(path)
    if not directory.whole():
        raise VitgenError(
            f"The build in {path} is not finished, or its files were changed.",
            "Run the same `vitgen build` again: it goes on from there.",
        )
    report: dict[str, Any] = json.loads((path / "report.json").read_text())
    return report
