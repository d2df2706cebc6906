"""Scripts that take the emitted C++ through Vitis HLS, for both of its launchers."""

import re
from typing import Any

from vitgen.design.engine import BEAT_BITS, Engine
from vitgen.design.isa import INSTRUCTION_BEATS
from vitgen.emit import wiring
from vitgen.emit.hls import design_digest
from vitgen.emit.plan import BuildPlan
from vitgen.emit.render import render
from vitgen.errors import VitgenError

# The newest C++ that every version of Vitis HLS documents as supported.
_STANDARD = "c++14"

# Instructions of a call of the testbench: four registers, one instruction, STOP.
_STEP_INSTRUCTIONS = 6

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,63}")

_FILES = ("vitis_hls.tcl", "hls_config.cfg", "run_hls.sh")


def emit_scripts(engine: Engine, *, project: str, part: str, clock_mhz: float) -> BuildPlan:
    """The files of ``scripts/``, beside ``hls/`` and ``data/`` of a build.

    Parameters
    ----------
    engine : the design.
    project : name of the project and of the packaged IP.
    part : FPGA part, such as ``xczu9eg-ffvb1156-2-e``.
    clock_mhz : target clock.

    Returns
    -------
    ``vitis_hls.tcl`` for ``vitis_hls`` up to 2024.1; ``hls_config.cfg`` and ``run_hls.sh`` for
    ``v++`` and ``vitis-run`` from 2024.2 on.

    Raises
    ------
    VitgenError : a name would not survive in Tcl, or the clock is out of range.
    """
    if not _WORD.fullmatch(project):
        raise VitgenError(
            f"Project name {project!r} is not a plain word.", "Use letters, digits and underscores."
        )
    if not _PART.fullmatch(part):
        raise VitgenError(f"{part!r} is not the name of an FPGA part.", "Correct the board's data.")
    if not 1 <= clock_mhz <= 1000:
        raise VitgenError(f"A clock of {clock_mhz} MHz is out of range.", "Choose 1 to 1000 MHz.")
    values: dict[str, Any] = {
        "project": project,
        "part": part,
        "period": f"{1000 / clock_mhz:.3f}",
        "standard": _STANDARD,
        "blackbox": engine.array == "dsp48",
        "beat_bytes": BEAT_BITS // 8,
        "step_beats": _STEP_INSTRUCTIONS * INSTRUCTION_BEATS,
        "buffers": _buffers(engine),
    }
    design = design_digest(engine)
    return BuildPlan(
        {name: render(f"scripts/{name}.j2", values, design, "tcl") for name in _FILES}
    )


def _buffers(engine: Engine) -> list[dict[str, str]]:
    """DRAM buffers and the files that hold them; weight ports are equally long."""
    found: dict[str, dict[str, str]] = {}
    for port in wiring.ports(engine):
        if port.buffer != "program":
            file = "logits" if port.written else port.name
            found.setdefault(port.buffer, {"buffer": port.buffer, "file": file})
    return list(found.values())
