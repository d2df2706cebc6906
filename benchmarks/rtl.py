"""From C++ to SystemVerilog, to a compiled simulation, to simulated cycles per second.

``python -m benchmarks.rtl [MODEL ...]`` (default: vit_digits and deit_t at 4/8); bounds of the issue:
1,024 multipliers to SystemVerilog in 60 s, 4,096 in 4 min; an image of vit_digits in 2 min and of
DeiT-T in 5 min, all builds included. Nothing is taken from a cache.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console

from vitgen import boards
from vitgen.design.engine import Engine
from vitgen.flow.build import Build, BuildDirectory
from vitgen.flow.images import verification_images
from vitgen.flow.request import BuildRequest
from vitgen.rtl.build import build_simulation
from vitgen.rtl.modules import process_modules
from vitgen.rtl.simulate import Memory, Simulation


def translate(groups: int) -> None:
    """Print the time of a whole accelerator with 256 multipliers of C++ per group."""
    engine = Engine(
        array="hls", group_lanes=16, groups=groups, dsp_rows=16, pot_rows=4, act_bits=8,
        requant_lanes=16, gelu_lanes=16, softmax_lanes=16, norm_lanes=16, weight_ports=2,
        weight_fifo=512, max_k=768, replay_depth=768, max_tokens=197, max_features=192,
        max_head_dim=64, residual_depth=768, act_depth=3072, prob_depth=1576, key_depth=768,
        value_depth=768,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        modules = process_modules(engine, cache=Path(cache))
        seconds = time.perf_counter() - start
    lines = sum(module.verilog.count("\n") for module in modules.values())
    print(f"{256 * groups} multipliers to {lines} lines of SystemVerilog: {seconds:.0f} s", flush=True)


def simulate(model: str) -> None:
    """Print the times of one image of a model at 4/8, builds included."""
    request = BuildRequest(model=model, bits="4/8")
    with tempfile.TemporaryDirectory() as scratch:
        directory = BuildDirectory.open(Path(scratch) / model, request.describe())
        build = Build(directory, request, Console(quiet=True))
        build.prepare()
    engine, clock = build.design.engine, build.design.clock_mhz
    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        modules = process_modules(engine, cache=Path(cache))
        translated = time.perf_counter()
        simulation = build_simulation(engine, modules, cache=Path(cache))
        compiled = time.perf_counter()
        memory = Memory.of(boards.load(build.design.board), clock)
        image = verification_images(build.graph, request, 1)[0].astype(np.int64)
        with Simulation(simulation, engine, build.program, memory=memory) as device:
            device.predict(image)
            ended = time.perf_counter()
            assert device.last is not None
            cycles = device.last.cycles
    lanes = sum(engine.multipliers[kind] for kind in ("w4", "pot"))
    print(
        f"{model}, {lanes} multipliers: C++ to SystemVerilog {translated - start:.0f} s, simulation "
        f"compiled in {compiled - translated:.0f} s, {cycles} cycles in {ended - compiled:.0f} s "
        f"({cycles / (ended - compiled):.0f} a second), {ended - start:.0f} s in all",
        flush=True,
    )


if __name__ == "__main__":
    if not sys.argv[1:]:
        translate(4)
        translate(16)
    for name in sys.argv[1:] or ("vit_digits", "deit_t"):
        simulate(name)
