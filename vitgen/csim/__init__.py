"""C-sim: the emitted C++, compiled by g++ and run as blocking coroutines over bounded streams.

:mod:`~vitgen.csim.compile` makes a shared library of emitted sources, :mod:`~vitgen.csim.loader`
drives one from Python, and :mod:`~vitgen.csim.worker` does so in a child process, so that Ctrl-C
and crashes stay harmless. ``include/vitgen_csim.h`` is the page for writers of a harness.
"""

from vitgen.csim.compile import OPTIMIZED, SANITIZED, Built, compile_library, compile_program
from vitgen.csim.loader import Library, SimulationFailed
from vitgen.csim.worker import Worker

__all__ = [
    "OPTIMIZED",
    "SANITIZED",
    "Built",
    "Library",
    "SimulationFailed",
    "Worker",
    "compile_library",
    "compile_program",
]
