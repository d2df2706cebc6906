"""All files of a build that depend on its design alone."""

from vitgen import boards
from vitgen.design.choice import Design
from vitgen.emit.hls import emit_hls
from vitgen.emit.plan import BuildPlan
from vitgen.emit.rtl import emit_array
from vitgen.emit.scripts import emit_scripts

PROJECT = "vit_top"


def emit_build(design: Design) -> BuildPlan:
    """``hls/`` and ``scripts/`` of a build directory, and in ``rtl/`` the Verilog that they name."""
    engine = design.engine
    scripts = emit_scripts(
        engine, project=PROJECT, part=boards.load(design.board).part, clock_mhz=design.clock_mhz
    )
    plan = emit_hls(engine).under("hls") | scripts.under("scripts")
    return plan | emit_array(engine).under("rtl") if engine.array == "dsp48" else plan
