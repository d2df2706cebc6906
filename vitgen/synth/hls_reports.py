"""Reports of Vitis HLS: intervals of loops, latency, resources per module."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from vitgen.errors import VitgenError

_RESOURCES = {"DSP": "dsp", "LUT": "lut", "FF": "ff", "BRAM_18K": "bram18", "URAM": "uram"}
_SUFFIX = "_csynth.rpt"
_LOOP = re.compile(r"^\s*(?:-|\++)\s+(\S.*?)\s*$")


def read_hls(report: Path) -> dict[str, Any]:
    """Figures of a synthesis.

    Parameters
    ----------
    report : directory ``syn/report`` of a solution, with ``csynth.xml`` and a ``_csynth.rpt`` for
        every module.

    Returns
    -------
    ``clock_ns`` (``target``, ``estimated``), ``latency`` (``min`` and ``max`` cycles of a call, None
    where it depends on data), ``resources`` of the whole, ``modules`` with the resources of each, and
    ``loops`` in pipelines: ``module``, ``loop``, ``ii`` achieved (None: it was not pipelined) and
    ``target``, ``depth`` in cycles.

    Raises
    ------
    VitgenError : a report is missing, or is not of that form.
    """
    root = _xml(report / "csynth.xml")
    top = root.find("PerformanceEstimates")
    area = root.find("AreaEstimates/Resources")
    if top is None or area is None:
        raise _malformed(report / "csynth.xml", "PerformanceEstimates or AreaEstimates is missing")
    modules = [
        {"name": name, **_resources(module.find("AreaEstimates/Resources"))}
        for module in root.findall("ModuleInformation/Module")
        if (name := module.findtext("Name"))
    ]
    return {
        "clock_ns": {
            "target": _number(root.findtext("UserAssignments/TargetClockPeriod")),
            "estimated": _number(top.findtext("SummaryOfTimingAnalysis/EstimatedClockPeriod")),
        },
        "latency": {
            "min": _cycles(top.findtext("SummaryOfOverallLatency/Best-caseLatency")),
            "max": _cycles(top.findtext("SummaryOfOverallLatency/Worst-caseLatency")),
        },
        "resources": _resources(area),
        "modules": modules,
        "loops": list(_loops(report)),
    }


def missed(loops: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The loops whose interval is longer than their pragma demands, or which have none at all."""
    return [loop for loop in loops if loop["ii"] is None or loop["ii"] > loop["target"]]


def _xml(path: Path) -> ElementTree.Element:
    try:
        return ElementTree.fromstring(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise VitgenError(
            f"Vitis HLS has left no report {path}: {error.strerror}.", "Look into its log."
        ) from error
    except (ElementTree.ParseError, UnicodeDecodeError) as error:
        raise _malformed(path, str(error)) from error


def _malformed(path: Path, why: str) -> VitgenError:
    return VitgenError(
        f"{path} is not a report as Vitis HLS writes it: {why}.",
        "Run again; if it stays so, this version writes another form: report it.",
    )


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text is not None else None
    except ValueError:
        return None


def _cycles(text: str | None) -> int | None:
    """A count of cycles; None for ``undef``, ``?`` and the like."""
    return int(text) if text is not None and text.strip().isdecimal() else None


def _resources(element: ElementTree.Element | None) -> dict[str, int]:
    """Resources by our names; what is not listed is not used."""
    found = dict.fromkeys(_RESOURCES.values(), 0)
    for child in element if element is not None else ():
        # DSP48E is what releases before 2020 wrote.
        name = "DSP" if child.tag == "DSP48E" else child.tag
        if name in _RESOURCES:
            found[_RESOURCES[name]] = _cycles(child.text) or 0
    return found


def _loops(report: Path) -> Iterator[dict[str, Any]]:
    """Every loop with a pipeline of every module, in order of their names."""
    files = sorted(report.glob(f"*{_SUFFIX}"))
    if not files:
        raise VitgenError(f"Vitis HLS has left no {_SUFFIX} in {report}.", "Look into its log.")
    for file in files:
        for cells in _loop_rows(file.read_text(encoding="utf-8", errors="replace")):
            name, _, _, depth, achieved, target, *_ = cells
            if (wanted := _cycles(target)) is None:
                continue  # no pipeline was asked for
            found = _LOOP.match(name)
            yield {
                "module": file.name.removesuffix(_SUFFIX),
                "loop": found[1] if found else name.strip(),
                "ii": _cycles(achieved),
                "target": wanted,
                "depth": _cycles(depth),
            }


def _loop_rows(text: str) -> Iterator[list[str]]:
    """Cells of the rows of the table of loops."""
    inside = False
    for line in text.splitlines():
        line = line.strip()
        if line.startswith("|") and "Loop Name" in line:
            inside = True
        elif inside and line.startswith("|"):
            cells = line.strip("|").split("|")
            if len(cells) == 8:
                yield cells
        elif inside and not line.startswith("+"):
            inside = False
