"""From an engine to a compiled simulation of it."""

from pathlib import Path

from vitgen.csim.compile import compile_library
from vitgen.design.engine import Engine
from vitgen.emit.csim import emit_harness
from vitgen.emit.hls import emit_hls

FLAGS = ("-O3", "-march=native")
"""The multiplier array is plain loops over native integers: wide vectors are what makes it fast."""

TESTBENCH = "testbench.cpp"  # has a main of its own, for the vendor's tools


def compile_engine(
    engine: Engine, flags: tuple[str, ...] = FLAGS, cache: Path | None = None
) -> Path:
    """Compile the emitted C++ of ``engine`` with its harness; cached by content.

    Raises
    ------
    VitgenError : no compiler, or nowhere to put the result.
    """
    files = (emit_hls(engine) | emit_harness(engine)).texts()
    sources = {name: text for name, text in files.items() if name != TESTBENCH}
    return compile_library(sources, flags=flags, cache=cache).path
