"""A build taken through Vitis HLS and Vivado, their figures in its report."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from vitgen.errors import VitgenError
from vitgen.flow.build import open_build
from vitgen.flow.steps import HLS, VIVADO, Build
from vitgen.synth.hls_reports import missed
from vitgen.synth.steps import BITSTREAM, IP, Road, implement, synthesize_hls
from vitgen.synth.tools import Hls, Tool, find_hls, find_vivado

ONLY = ("hls", "vivado")
ROADS = ("vitis", "open")


def synth(
    path: Path,
    *,
    only: str | None = None,
    road: str | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Make IP and bitstream of a build (and finish the build, if it was interrupted).

    What is complete is not done again; a step that was killed begins anew.

    Parameters
    ----------
    path : of the build: logs and figures go to ``synthesis/``, the result to ``bitstream/``.
    only : "hls" ends with the IP of Vitis HLS, "vivado" begins with it; None does both.
    road : "vitis" takes the accelerator through Vitis HLS, "open" takes the open road's
        SystemVerilog; None is "vitis" where there is a Vitis HLS (or its IP), else "open".
    console : progress goes there; None is quiet.

    Returns
    -------
    The report.

    Raises
    ------
    VitgenError : a bad value, no build, a missing tool (the message says what works without it), or
        a tool that fails.
    """
    if only is not None and only not in ONLY:
        raise VitgenError(f"--only is {only!r}.", f"Choose {' or '.join(ONLY)}.")
    if road is not None and road not in ROADS:
        raise VitgenError(f"--road is {road!r}.", f"Choose {' or '.join(ROADS)}.")
    if only == "hls" and road == "open":
        raise VitgenError("The open road has no step of Vitis HLS.", "Drop --only hls or --road.")
    console = console or Console(quiet=True)
    directory, request = open_build(path)
    hls, vivado, chosen = _tools(only, road, directory.current("synth_hls"), console)
    if chosen == "vitis" and vivado is not None:
        _check_releases(str(hls.tool) if hls else _made_by(path), vivado)
    if chosen == "open":
        _require_open_road()
    with directory.locked():
        run = Build(directory, request, console)
        run.prepare()
        if hls is not None:
            _hls(run, hls)
        if vivado is not None:
            _vivado(run, vivado, chosen)
        return run.report()


def _tools(
    only: str | None, road: str | None, have_ip: bool, console: Console
) -> tuple[Hls | None, Tool | None, Road]:
    """The tools that are needed, and the road: all of it before anything takes hours."""
    hls, chosen = None, "vitis" if road is None else road
    if only == "vivado":
        if road is None and not have_ip:
            chosen = "open"
        if chosen == "vitis" and not have_ip:
            raise VitgenError(
                "There is no IP of Vitis HLS for this design.",
                "Run `vitgen synth` without --only vivado, or with --road open.",
            )
    elif chosen == "vitis":
        try:
            hls = find_hls()
        except VitgenError as missing:
            if only == "hls" or road == "vitis":
                raise
            console.print(f"{missing.problem} Taking the open road.", highlight=False)
            chosen = "open"
    vivado = None
    if only != "hls":
        try:
            vivado = find_vivado()
        except VitgenError as missing:
            works = (
                f"`vitgen synth --only hls` works with {hls.tool}. "
                if hls is not None
                else "`vitgen verify --level rtl` and `vitgen resources` need no vendor tool. "
            )
            raise VitgenError(missing.problem, works + missing.remedy) from missing
    return hls, vivado, "open" if chosen == "open" else "vitis"


def _made_by(path: Path) -> str:
    """What made the IP that is there."""
    return str(json.loads((path / HLS).read_text())["tool"])


def _check_releases(hls: str, vivado: Tool) -> None:
    """Vivado takes IPs of its own release and of older ones.

    Raises
    ------
    VitgenError : it is older than the Vitis HLS of the IP.
    """
    year, _, number = hls.split()[-1].partition(".")
    if vivado.version < (int(year), int(number)):
        raise VitgenError(
            f"{vivado} is older than {hls}, whose IP it does not take.",
            "Use a Vivado of the same release or a later one, or --road open.",
        )


def _require_open_road() -> None:
    """What makes the SystemVerilog.

    Raises
    ------
    VitgenError : it is not installed.
    """
    from vitgen.rtl.clang import find_clang

    find_clang()


def _shown(run: Build, title: str, make: Callable[[Callable[[str], None]], Any]) -> Any:
    """``make`` with its progress on the console."""
    with run.console.status(title) as status:
        return make(lambda phase: status.update(f"{title}: {phase}"))


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"


def _hls(run: Build, hls: Hls) -> None:
    build = run.directory.path

    def produce() -> dict[str, bytes]:
        figures, ip = _shown(run, str(hls.tool), lambda say: synthesize_hls(build, hls, say))
        figures["missed"] = missed(figures["loops"])
        return {HLS: _json(figures), **{f"{IP}/{name}": data for name, data in ip.items()}}

    run.directory.step("synth_hls", ("design", "emit"), produce, tool=str(hls.tool))


def _vivado(run: Build, vivado: Tool, road: Road) -> None:
    build = run.directory.path
    if road == "open":
        run.emit_rtl()

    def produce() -> dict[str, bytes]:
        figures, files = _shown(run, str(vivado), lambda say: implement(build, vivado, road, say))
        return {VIVADO: _json(figures), **{f"bitstream/{n}": files[n] for n in BITSTREAM}}

    made_of = "rtl" if road == "open" else "synth_hls"
    run.directory.step(
        "synth_vivado", ("design", "emit", made_of), produce, tool=str(vivado), road=road
    )
