"""From a build's files to an IP, and from an IP to a bitstream, with the vendor's tools."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from vitgen.errors import VitgenError
from vitgen.synth.hls_reports import read_hls
from vitgen.synth.run import HLS_PHASES, VIVADO_PHASES, run
from vitgen.synth.tools import Hls, Tool
from vitgen.synth.vivado_reports import read_vivado

WORK = "synthesis"
"""Directory of a build that the tools work in."""
IP = f"{WORK}/ip"
"""Where the IP of Vitis HLS is kept."""
BITSTREAM = ("vit_top.bit", "vit_top.hwh")

Road = Literal["vitis", "open"]
Say = Callable[[str], None]


def synthesize_hls(build: Path, hls: Hls, say: Say) -> tuple[dict[str, Any], dict[str, bytes]]:
    """C synthesis and export of the IP.

    Parameters
    ----------
    build : the build's directory; the log is ``synthesis/hls.log``.
    hls : what runs.
    say : is told where it is.

    Returns
    -------
    The figures of :func:`~vitgen.synth.hls_reports.read_hls` with ``tool``, and the files of the
    packaged IP by their path in it.

    Raises
    ------
    VitgenError : the tool fails, or leaves no IP or no report.
    """
    place = _fresh(build / WORK / "hls")
    scripts = build.resolve() / "scripts"
    env = _on_path(hls.tool)
    if hls.launcher == "unified":
        command = ["bash", str(scripts / "run_hls.sh"), "csynth", "package"]
        solution = place / "vit_top/hls/hls"
    else:
        command = [str(hls.tool.directory / hls.tool.name), "-f", str(scripts / "vitis_hls.tcl")]
        env["STEPS"] = "csynth export"
        solution = place / "vit_top/solution"
    log = build / WORK / "hls.log"
    run(
        command, title="Vitis HLS", place=place, log=log, phases=HLS_PHASES, say=say, env=env,
    )  # fmt: skip
    figures = {"tool": str(hls.tool), **read_hls(solution / "syn/report")}
    ip = solution / "impl/ip"
    if not (ip / "component.xml").is_file():
        raise VitgenError(
            f"Vitis HLS has left no IP in {ip}.",
            f"The log is {log}; the step is named export or package.",
        )
    files = {
        str(path.relative_to(ip)): path.read_bytes()
        for path in sorted(ip.rglob("*"))
        if path.is_file()
    }
    return figures, files


def implement(
    build: Path, vivado: Tool, road: Road, say: Say
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Block design, synthesis, placement, routing and bitstream.

    Parameters
    ----------
    build : the build's directory, with ``synthesis/ip`` on the road "vitis" and ``rtl/`` on the road
        "open"; the log is ``synthesis/vivado.log``.
    vivado : what runs.

    Returns
    -------
    The figures of :func:`~vitgen.synth.vivado_reports.read_vivado` with ``tool`` and ``road``, and
    ``vit_top.bit`` and ``vit_top.hwh``.

    Raises
    ------
    VitgenError : the tool fails, or leaves no bitstream or no report.
    """
    place = _fresh(build / WORK / "vivado")
    script = build.resolve() / "scripts/vivado.tcl"
    ip = str(build.resolve() / IP) if road == "vitis" else "-"
    log = build / WORK / "vivado.log"
    command = [
        str(vivado.directory / vivado.name), "-mode", "batch", "-nojournal", "-nolog",
        "-source", str(script), "-tclargs", road, ip, "out",
    ]  # fmt: skip
    run(
        command, title="Vivado", place=place, log=log, phases=VIVADO_PHASES, say=say,
        env=_on_path(vivado),
    )  # fmt: skip
    figures = {"tool": str(vivado), "road": road, **read_vivado(place / "reports")}
    for name in BITSTREAM:
        if not (place / "out" / name).is_file():
            raise VitgenError(f"Vivado has left no {name}.", f"The log is {log}.")
    return figures, {name: (place / "out" / name).read_bytes() for name in BITSTREAM}


def _fresh(place: Path) -> Path:
    """An empty directory: what a killed run left in it is not gone on with."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    return place.resolve()


def _on_path(tool: Tool) -> dict[str, str]:
    """The tool's own programs first: the scripts call them by name."""
    return {"PATH": os.pathsep.join([str(tool.directory), os.environ.get("PATH", os.defpath)])}
