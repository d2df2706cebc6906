"""Where Vitis HLS and Vivado are, and which version."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vitgen.errors import VitgenError

Version = tuple[int, int]

OLDEST: Version = (2021, 1)
"""The oldest release whose commands and folders the scripts are written for."""
FIRST_UNIFIED: Version = (2024, 2)
"""From here on ``v++`` and ``vitis-run`` are used; before it, ``vitis_hls``."""

INSTALLS = ("/tools/Xilinx", "/opt/Xilinx", "/opt/xilinx", "/opt/AMD", "~/Xilinx", "~/AMD")
"""Where the tools' installer puts them."""

_PRODUCTS = {"vivado": "Vivado", "vitis_hls": "Vitis_HLS", "v++": "Vitis", "vitis-run": "Vitis"}
_VARIABLES = {
    "vivado": ("XILINX_VIVADO",),
    "vitis_hls": ("XILINX_HLS", "XILINX_VITIS_HLS"),
    "v++": ("XILINX_VITIS",),
    "vitis-run": ("XILINX_VITIS",),
}
_VERSION = re.compile(r"\bv(20\d\d)\.(\d)")
_PATIENCE_S = 120  # for a version: the first start from a network disk is slow


@dataclass(frozen=True)
class Tool:
    """A program of the vendor.

    Parameters
    ----------
    name : of the program.
    directory : that holds it.
    version : year and number of the release.
    """

    name: str
    directory: Path
    version: Version

    def __str__(self) -> str:
        return f"{self.name} {self.version[0]}.{self.version[1]}"


@dataclass(frozen=True)
class Hls:
    """Vitis HLS: ``launcher`` says which scripts it takes."""

    tool: Tool
    launcher: Literal["vitis_hls", "unified"]


def find_vivado() -> Tool:
    """Vivado.

    Raises
    ------
    VitgenError : there is none, or only one that is too old.
    """
    return _newest("vivado", "Vivado", "Only a bitstream needs it")


def find_hls() -> Hls:
    """Vitis HLS: the newest of what PATH has, else of what is installed.

    Raises
    ------
    VitgenError : there is none, or only one that is too old.
    """
    for place in (_on_path, _installed):
        unified = [
            t for t in place("v++") if t.version >= FIRST_UNIFIED and _beside(t, "vitis-run")
        ]
        if unified:
            return Hls(max(unified, key=lambda tool: tool.version), "unified")
        old = [tool for tool in place("vitis_hls") if tool.version >= OLDEST]
        if old:
            return Hls(max(old, key=lambda tool: tool.version), "vitis_hls")
    for name in ("vitis_hls", "v++"):
        for tool in (*_on_path(name), *_installed(name)):
            raise _too_old(tool, "Vitis HLS")
    raise VitgenError(
        "Vitis HLS was not found (vitis_hls up to 2024.1, v++ and vitis-run after).",
        "Source its settings64.sh or set XILINX_VITIS. Without it the open road still leads to a "
        "bitstream: `vitgen synth --road open` needs Vivado alone.",
    )


def _newest(name: str, title: str, needed_for: str) -> Tool:
    for place in (_on_path, _installed):
        found = list(place(name))
        fit = [tool for tool in found if tool.version >= OLDEST]
        if fit:
            return max(fit, key=lambda tool: tool.version)
        if found:
            raise _too_old(found[0], title)
    raise VitgenError(
        f"{title} was not found ({name} on PATH, {' or '.join(_VARIABLES[name])}, usual places).",
        f"Source its settings64.sh, or install it. {needed_for}: everything else works without it.",
    )


def _too_old(tool: Tool, title: str) -> VitgenError:
    return VitgenError(
        f"{tool} in {tool.directory} is too old.",
        f"Use {title} {OLDEST[0]}.{OLDEST[1]} or later.",
    )


def _beside(tool: Tool, name: str) -> bool:
    return os.access(tool.directory / name, os.X_OK)


def _on_path(name: str) -> Iterator[Tool]:
    """What a shell would start, and what the tools' own variables name."""
    found = shutil.which(name)
    if found is not None:
        yield _tool(name, Path(found).parent)
        return
    for variable in _VARIABLES[name]:
        directory = Path(os.environ.get(variable, "")) / "bin"
        if os.environ.get(variable) and os.access(directory / name, os.X_OK):
            yield _tool(name, directory)
            return


def _installed(name: str) -> Iterator[Tool]:
    product = _PRODUCTS[name]
    for root in INSTALLS:
        for pattern in (f"{product}/20*/bin", f"20*/{product}/bin"):
            for directory in sorted(Path(root).expanduser().glob(pattern)):
                if os.access(directory / name, os.X_OK):
                    yield _tool(name, directory)


def _tool(name: str, directory: Path) -> Tool:
    """The program and what it says of its version.

    Raises
    ------
    VitgenError : it does not run, or names no version.
    """
    option = "--version" if name in ("v++", "vitis-run") else "-version"
    try:
        done = subprocess.run(
            [str(directory / name), option],
            check=False, text=True, errors="replace", timeout=_PATIENCE_S,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise VitgenError(
            f"{directory / name} does not say its version: {error}.", "Repair the installation."
        ) from error
    found = _VERSION.search(done.stdout)
    if found is None:
        said = done.stdout.strip().splitlines()
        raise VitgenError(
            f"{directory / name} {option} names no version: {said[0] if said else 'nothing'}.",
            "Repair the installation, or source its settings64.sh.",
        )
    return Tool(name, directory, (int(found[1]), int(found[2])))
