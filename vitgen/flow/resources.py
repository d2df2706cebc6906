"""Resources of a build's RTL, counted by yosys, in its report."""

from pathlib import Path
from typing import Any

from rich.console import Console

from vitgen.flow.build import Build, open_build
from vitgen.rtl.clang import find_clang
from vitgen.rtl.yosys import require_yosys


def resources(path: Path, *, console: Console | None = None) -> dict[str, Any]:
    """Count the resources of a build's RTL (and finish the build, if it was interrupted).

    Parameters
    ----------
    path : of the build; ``resources.json`` and the report are written there.
    console : progress goes there; None is quiet.

    Returns
    -------
    The report.

    Raises
    ------
    VitgenError : no build, a tool is missing, or a process has no RTL.
    """
    require_yosys()
    find_clang()
    directory, request = open_build(path)
    with directory.locked():
        run = Build(directory, request, console or Console(quiet=True))
        run.prepare()
        run.count_resources()
        return run.report()
