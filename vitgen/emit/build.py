"""All files of a build that depend on its design alone."""

from vitgen import boards
from vitgen.design.choice import Design
from vitgen.emit.hls import emit_hls
from vitgen.emit.plan import BuildPlan
from vitgen.emit.rtl import emit_array
from vitgen.emit.scripts import emit_scripts
from vitgen.emit.shell import emit_bank, emit_ip_top
from vitgen.emit.vivado import emit_vivado

PROJECT = "vit_top"


def emit_build(design: Design) -> BuildPlan:
    """``hls/`` and ``scripts/`` of a build directory, and in ``rtl/`` the Verilog that they name."""
    engine, board = design.engine, boards.load(design.board)
    scripts = emit_scripts(
        engine, project=PROJECT, part=board.part, clock_mhz=design.clock_mhz
    ) | emit_vivado(engine, board, clock_mhz=design.clock_mhz)
    rtl = emit_ip_top(engine) | emit_bank(engine)
    if engine.array == "dsp48":
        rtl |= emit_array(engine)
    return emit_hls(engine).under("hls") | scripts.under("scripts") | rtl.under("rtl")
