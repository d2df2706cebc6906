"""Rendering: an engine becomes C++ and scripts, as a dict of files that touches no disk."""

from vitgen.emit.csim import emit_harness
from vitgen.emit.hls import emit_hls
from vitgen.emit.plan import BuildPlan

__all__ = ["BuildPlan", "emit_harness", "emit_hls"]
