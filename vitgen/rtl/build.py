"""From an engine to a compiled simulation of its RTL."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from vitgen.csim.toolchain import find_compiler
from vitgen.design import isa
from vitgen.design.engine import BEAT_BITS, Engine
from vitgen.emit.hls import design_digest
from vitgen.emit.render import render
from vitgen.errors import VitgenError
from vitgen.rtl import verilator
from vitgen.rtl.clang import find_clang
from vitgen.rtl.modules import Module, process_modules, support_files
from vitgen.rtl.stitch import CORE, GROUP, Core, stitch
from vitgen.rtl.yosys import require_yosys

_MEMORIES = {"param": "params", "image": "image", "constant": "constants"}

# What the harness looks at. Where groups are alike, one is compiled and used for all.
_VISIBLE = """`verilator_config
public_flat_rd -module "stream_fifo" -var "in_vld"
public_flat_rd -module "stream_fifo" -var "in_rdy"
public_flat_rd -module "stream_fifo" -var "out_vld"
public_flat_rd -module "stream_fifo" -var "out_rdy"
public_flat_rd -module "process_ram" -var "memory"
"""
_STORM = "".join(
    f'public_flat_rw -module "stream_fifo" -var "{name}"\n'
    for name in ("places", "chance", "state")
)


def require_tools() -> None:
    """Refuse early what an RTL simulation cannot be made without.

    Raises
    ------
    VitgenError : clang, XLS, Verilator or the C++ compiler is missing; says which, and how to get it.
    """
    find_clang()
    if importlib.util.find_spec("xls") is None:
        raise VitgenError(
            "XLS was not found; RTL is made of the C++ with it.",
            "Install it: pip install 'xls-python==0.1.9934'. Everything but RTL works without.",
        )
    verilator.find_verilator()
    require_yosys()
    find_compiler()


def harness(engine: Engine, core: Core, hierarchical: bool, storm: bool = False) -> dict[str, str]:
    """``harness.cpp`` and ``core.vlt``, to be compiled beside the files of a core."""
    readers = []
    for port in core.ports:
        stem, found, rest = port.name.partition("_request")
        if found and stem != "output":
            memory = _MEMORIES.get(stem, f"weights{rest}")
            readers.append({"memory": memory, "request": port.name, "beats": f"{stem}_beats{rest}"})
    values = {
        "readers": readers,
        "beat_bits": BEAT_BITS,
        "instruction_beats": isa.INSTRUCTION_BEATS,
    }
    text = render("rtl/harness.cpp.j2", values, design_digest(engine), "c++").decode()
    blocks = f'hier_block -module "{GROUP}"\n' if hierarchical else ""
    return {"harness.cpp": text, "core.vlt": _VISIBLE + (_STORM if storm else "") + blocks}


def build_simulation(
    engine: Engine,
    modules: Mapping[str, Module] | None = None,
    *,
    core: Core | None = None,
    waveforms: bool = False,
    storm: bool = False,
    cache: Path | None = None,
) -> Path:
    """Generate, stitch and compile the RTL of an engine; cached by content.

    Parameters
    ----------
    modules : in the place of those of the engine's C++.
    core : in the place of the stitched one; it may bring FIFO and memory of its own.
    waveforms : whether runs can write ``core.vcd``.
    storm : whether runs can hold back streams at random or change the depths of FIFOs.
    cache : directory of results.

    Returns
    -------
    The program to give to :class:`vitgen.rtl.simulate.Simulation`.

    Raises
    ------
    VitgenError : a tool is missing, or a process has no hardware.
    """
    require_tools()
    if core is None:
        core = stitch(engine, modules or process_modules(engine, cache=cache))
    hierarchical = engine.groups > 1 and not waveforms
    own = harness(engine, core, hierarchical, storm)
    files = {**support_files(storm), **core.files, **own}
    options = ["--hierarchical"] if hierarchical else []
    if waveforms:
        options += ["--trace-vcd"]
    return verilator.build(files, top=CORE, options=options, cache=cache)


def stitched_core(engine: Engine, build: Path) -> Core:
    """The core of a build directory, made of its ``hls/``; what is slow about it is cached."""
    texts = {file.name: file.read_text() for file in sorted((build / "hls").iterdir())}
    return stitch(engine, process_modules(engine, texts))


def core_of_build(engine: Engine, build: Path) -> Core:
    """The core of a build directory as it lies in its ``rtl/``.

    Raises
    ------
    VitgenError : ``rtl/`` is not there, or not whole.
    """
    core = stitched_core(engine, build)
    try:
        files = {
            name: (build / "rtl" / name).read_text() for name in (*core.files, *support_files())
        }
    except FileNotFoundError as error:
        raise VitgenError(
            f"{error.filename} is missing.", "Run `vitgen verify DIR --level rtl` to make the RTL."
        ) from None
    return Core(files, core.ports)
