"""All files of a build that depend on its design alone."""

from vitgen import boards
from vitgen.design.choice import Design
from vitgen.emit.hls import emit_hls
from vitgen.emit.plan import BuildPlan
from vitgen.emit.scripts import emit_scripts

PROJECT = "vit_top"


def emit_build(design: Design) -> BuildPlan:
    """``hls/`` and ``scripts/`` of a build directory."""
    scripts = emit_scripts(
        design.engine,
        project=PROJECT,
        part=boards.load(design.board).part,
        clock_mhz=design.clock_mhz,
    )
    return emit_hls(design.engine).under("hls") | scripts.under("scripts")
