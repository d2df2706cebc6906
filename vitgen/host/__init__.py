"""A device that stands in for a board: pynq and the shipped driver run on a simulation, unchanged.

Importing the package loads no pynq; :func:`open_device` does.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from vitgen import boards
from vitgen.csim.build import compile_engine
from vitgen.design.choice import Design
from vitgen.emit.plan import BuildPlan
from vitgen.errors import VitgenError
from vitgen.host.backend import Backend
from vitgen.host.bitfile import bitfile
from vitgen.host.csim import CsimBackend
from vitgen.host.handoff import hand_off
from vitgen.host.rtl import RtlBackend
from vitgen.rtl.build import build_simulation, core_of_build
from vitgen.rtl.simulate import Memory

if TYPE_CHECKING:
    from vitgen.host.device import SimulatedDevice

KINDS = ("csim", "rtl")
STAND_IN = "sim"
"""Directory of a build with the files that stand in for a bitstream."""


def _design(build: Path) -> Design:
    try:
        return Design.from_json(json.loads((build / "design.json").read_text()))
    except FileNotFoundError:
        raise VitgenError(
            f"{build} holds no build.", "Run `vitgen build --out DIR` first."
        ) from None


def stand_in(build: Path, ip: str = "rtl") -> Path:
    """Write the files that pynq loads in the place of a bitstream.

    Parameters
    ----------
    build : directory of a build.
    ip : "rtl" for the registers of the open road's accelerator; "hls" for those of Vitis HLS's, which
        has neither ``status`` nor ``cycles``.

    Returns
    -------
    ``sim/vit_top.bit``; ``vit_top.hwh`` is beside it.

    Raises
    ------
    VitgenError : there is no build.
    """
    design = _design(build)
    board = boards.load(design.board)
    files = {
        "vit_top.bit": bitfile(design.engine, board),
        "vit_top.hwh": hand_off(design.engine, board, design.clock_mhz, ip),
    }
    return BuildPlan(files).write(build / STAND_IN)[0]


def _backend(build: Path, kind: str, design: Design) -> Backend:
    engine = design.engine
    if kind == "csim":
        return CsimBackend(compile_engine(engine, hls=build / "hls"), engine)
    if kind != "rtl":
        raise VitgenError(f"Unknown device {kind!r}.", f"Choose {' or '.join(KINDS)}.")
    core = core_of_build(engine, build)
    memory = Memory.of(boards.load(design.board), design.clock_mhz)
    return RtlBackend(build_simulation(engine, core=core), engine, memory)


def require_board() -> None:
    """Refuse a machine on which pynq finds no device.

    Raises
    ------
    VitgenError : there is none, or no pynq.
    """
    _require_pynq()
    from pynq import Device

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said below
        found = Device.devices
    if not found:
        raise VitgenError(
            "PYNQ finds no board on this machine.",
            "Run it on the board as root, or use --device csim or rtl here.",
        )


def _require_pynq() -> None:
    if importlib.util.find_spec("pynq") is None:
        raise VitgenError(
            "pynq was not found; the driver of a build runs on it.",
            "Run: pip install 'vitgen[board]'.",
        )


def open_device(build: Path, kind: str, *, raises: bool = True) -> SimulatedDevice:
    """The accelerator of a build as the device that pynq uses from now on.

    Parameters
    ----------
    build : directory of a build.
    kind : "csim", the compiled C++; or "rtl", the simulated RTL, which counts cycles.
    raises : whether an accelerator that has stopped for good says so; a board's only stays busy.

    Returns
    -------
    The device; :meth:`~vitgen.host.device.SimulatedDevice.close` it in the end. Every process has
    its own simulation, but all that open the same build share its tag, by which drivers keep apart.

    Raises
    ------
    VitgenError : no build, no ``rtl/`` in it, no compiler, or pynq is not installed.
    """
    design = _design(build)
    _require_pynq()
    from vitgen.host.device import SimulatedDevice

    place = hashlib.sha256(str(build.resolve()).encode()).hexdigest()[:12]
    device = SimulatedDevice(
        design.engine,
        _backend(build, kind, design),
        tag=f"vitgen-{kind}-{place}",
        raises=raises,
    )
    device.activate()
    return device
