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
    engine: Engine,
    flags: tuple[str, ...] = FLAGS,
    cache: Path | None = None,
    hls: Path | None = None,
) -> Path:
    """Compile the emitted C++ of ``engine`` with its harness; cached by content.

    Parameters
    ----------
    flags : options of the compiler.
    cache : where results are kept; None for the user's cache.
    hls : directory of a build that holds the C++; None emits it anew.

    Raises
    ------
    VitgenError : no compiler, or nowhere to put the result.
    """
    if hls is None:
        files = emit_hls(engine).texts()
    else:
        files = {file.name: file.read_text() for file in sorted(hls.iterdir())}
    files |= emit_harness(engine).texts()
    sources = {name: text for name, text in files.items() if name != TESTBENCH}
    return compile_library(sources, flags=flags, cache=cache).path
