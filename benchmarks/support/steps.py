"""Steps of the benchmark of whole images, each in a process of its own.

``python -m benchmarks.support.steps MODEL BITS STEP DIRECTORY`` works in ``DIRECTORY`` and prints one
line of JSON at the end: ``seconds``, and what else the step found.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks.support.results import Row
from vitgen.csim.build import compile_engine
from vitgen.csim.simulate import Simulator
from vitgen.design.program import from_disk
from vitgen.flow.build import Build, BuildDirectory
from vitgen.flow.estimate import estimate
from vitgen.flow.images import verification_images
from vitgen.flow.request import BuildRequest


def run(row: Row, step: str, folder: Path, warm: bool = False) -> dict[str, Any]:
    """Run a step in a process of its own, and return what it found.

    Parameters
    ----------
    folder : of the row. Unless ``warm``, caches lie there too: nothing comes from elsewhere.

    Returns
    -------
    What the step printed, ``wall_seconds`` of the process and ``peak_gib``, the most memory that it or
    any process that it started took.
    """
    environment = dict(os.environ)
    if not warm:
        environment["XDG_CACHE_HOME"] = str((folder / "cache").resolve())
    command = [sys.executable, "-m", __spec__.name, row.model, row.bits, step, str(folder)]
    start = time.perf_counter()
    child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    said = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    wall = time.perf_counter() - start
    if child.returncode:
        raise SystemExit(f"{row.label}: the step {step} ended with {child.returncode}.")
    unit = 1 if sys.platform == "darwin" else 1024
    found: dict[str, Any] = json.loads(said.strip().splitlines()[-1])
    return {**found, "wall_seconds": wall, "peak_gib": usage.ru_maxrss * unit / 2**30}


def _csim(build: Build) -> dict[str, Any]:
    """Compile the emitted C++ and run one image; the logits must be those of ``data/logits.bin``."""
    hls, data = build.directory.path / "hls", build.directory.path / "data"
    start = time.perf_counter()
    library = compile_engine(build.design.engine, hls=hls)
    compiled = time.perf_counter()
    simulator = Simulator(library, build.design.engine, from_disk(build.program, data))
    patches = verification_images(build.graph, build.request, 1)[0].astype(np.int64)
    begin = time.perf_counter()
    logits = simulator.predict(patches)
    end = time.perf_counter()
    if not (logits == np.fromfile(data / "logits.bin", dtype="<i2")).all():
        raise SystemExit("The C-sim's logits are not those of data/logits.bin.")
    return {"compile_seconds": compiled - start, "image_seconds": end - begin,
            "mac_per_second": build.graph.macs / (end - begin)}  # fmt: skip


def _work(build: Build, step: str) -> dict[str, Any]:
    """What a step does beyond preparing the build; returns what it found."""
    actions: dict[str, Callable[[], Any]] = {
        "build": dict,
        "rtl": build.emit_rtl,
        "csim": lambda: _csim(build),
        "simulate": lambda: build.verify_rtl(1),
        "count": build.count_resources,
        "report": lambda: {"report": build.report()},
    }
    return actions[step]() or {}


def main(model: str, bits: str, step: str, folder: Path) -> None:
    """Run a step and print what it found."""
    request = BuildRequest(model=model, bits=bits)
    start = time.perf_counter()
    if step == "estimate":
        found: dict[str, Any] = {"report": estimate(request)}
    else:
        directory = BuildDirectory.open(folder / "build", request.describe())
        build = Build(directory, request, Console(stderr=True, quiet=True))
        with directory.locked():
            build.prepare()
            if step != "build":
                start = time.perf_counter()  # a build that stands is checked, not made
            found = _work(build, step)
    print(json.dumps({"seconds": time.perf_counter() - start, **found}))


if __name__ == "__main__":
    main(*sys.argv[1:4], Path(sys.argv[4]))
