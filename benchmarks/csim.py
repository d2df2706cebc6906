"""Seconds that C-sim takes for one image of a DeiT, whole program, and what that is in MAC/s.

``python -m benchmarks.csim [MODEL ...]``; bounds of the issue: DeiT-T 60 s, DeiT-B 5 min.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console

from vitgen.csim.build import compile_engine
from vitgen.csim.simulate import Simulator
from vitgen.flow.build import Build, BuildDirectory
from vitgen.flow.images import verification_images
from vitgen.flow.request import BuildRequest


def measure(model: str) -> None:
    """Print the figures of one model at 4/8."""
    request = BuildRequest(model=model, bits="4/8")
    with tempfile.TemporaryDirectory() as scratch:
        directory = BuildDirectory.open(Path(scratch) / model, request.describe())
        build = Build(directory, request, Console(quiet=True))
        build.prepare()
    start = time.perf_counter()
    library = compile_engine(build.design.engine)
    compiled = time.perf_counter() - start
    simulator = Simulator(library, build.design.engine, build.program)
    patches = verification_images(build.graph, request, 1)[0].astype(np.int64)
    start = time.perf_counter()
    simulator.predict(patches)
    seconds = time.perf_counter() - start
    rate = build.graph.macs / seconds / 1e6
    print(f"{model}: {seconds:.1f} s an image, {rate:.0f} M MAC/s; compiled in {compiled:.0f} s")


if __name__ == "__main__":
    for name in sys.argv[1:] or ("deit_t", "deit_b"):
        measure(name)
