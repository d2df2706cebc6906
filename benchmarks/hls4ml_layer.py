"""One linear layer by hls4ml and by vitgen: speed of the C-sim, cycles, DSPs.

    python -m benchmarks.hls4ml_layer [--out build/bench] [--no-rtl]

192 x 192 weights and 197 tokens, 8 bits each. hls4ml compiles its own dense layer; what it computes is
compared with integers. vitgen's layer is an instruction of a small accelerator; its tensor is compared
with the reference. hls4ml's cycles and DSPs would need Vitis HLS: what its reuse factor asks for stands
in their place and is called an estimate. Writes ``hls4ml_layer.json``.
"""

import argparse
import contextlib
import io
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.support import tables
from benchmarks.support.results import OUT, fresh
from vitgen import boards
from vitgen.csim.build import compile_engine
from vitgen.csim.compare import Device, read_tensor
from vitgen.csim.simulate import Simulator
from vitgen.design.cost import bill
from vitgen.design.engine import Engine
from vitgen.design.isa import Instruction
from vitgen.design.program import Program
from vitgen.design.schedule import build_program
from vitgen.design.search import SIMULATED, choose
from vitgen.design.stepping import single_steps
from vitgen.flow.directory import write_whole
from vitgen.flow.images import verification_images
from vitgen.flow.lowering import lower_request
from vitgen.flow.request import BuildRequest
from vitgen.ir import Graph
from vitgen.reference.execute import execute
from vitgen.rtl.build import build_simulation
from vitgen.rtl.simulate import Memory, Simulation

OP = "blocks.0.attn.q"
REUSE = 192  # the number of features: as many multipliers as rows
REPEATS = 5
MODEL = """name = "one_block"
image = 224
patch = 16
embed_dim = 192
depth = 1
heads = 3
channels = 3
classes = 10
mlp_ratio = 1.0
"""


def fastest(work: Callable[[], Any]) -> float:
    """Seconds of the quickest of some runs."""
    best = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def by_hls4ml(weight: NDArray[Any], bias: NDArray[Any], x: NDArray[Any]) -> dict[str, Any]:
    """Compile and run the layer as hls4ml makes it, token by token.

    Parameters
    ----------
    weight, bias, x : integers, ``(rows, features)``, ``(rows,)`` and ``(tokens, features)``.
    """
    import hls4ml
    import torch

    rows, features = weight.shape
    layer = torch.nn.Linear(features, rows)
    layer.weight.data = torch.tensor(weight, dtype=torch.float32)
    layer.bias.data = torch.tensor(bias, dtype=torch.float32)
    model = torch.nn.Sequential(layer).eval()
    config = hls4ml.utils.config_from_pytorch_model(
        model, (features,), granularity="name", backend="Vitis", default_reuse_factor=REUSE
    )
    sums = "ap_fixed<27,27>"
    for name, settings in config["LayerName"].items():
        if "weight" in settings["Precision"]:
            settings["Precision"] = dict(weight="ap_fixed<8,8>", bias=sums, accum=sums, result=sums)
            settings |= {"Strategy": "Resource", "ReuseFactor": REUSE}
        else:
            config["LayerName"][name]["Precision"] = "ap_fixed<8,8>"
    with tempfile.TemporaryDirectory() as scratch, contextlib.redirect_stdout(io.StringIO()):
        project = hls4ml.converters.convert_from_pytorch_model(
            model, output_dir=scratch, backend="Vitis", io_type="io_parallel", hls_config=config
        )
        start = time.perf_counter()
        project.compile()
        compiled = time.perf_counter() - start
        codes = np.ascontiguousarray(x, dtype=np.float32)
        found = project.predict(codes)
        if not (found == x @ weight.T + bias).all():
            raise SystemExit("hls4ml's sums are not the integers'.")
        seconds = fastest(lambda: project.predict(codes))
    multipliers = rows * features // REUSE
    return {
        "compile_seconds": compiled,
        "seconds": seconds,
        "multipliers": multipliers,
        "cycles": len(x) * REUSE,
        "dsp": multipliers,
        "estimated": ["multipliers", "cycles", "dsp"],
    }


def up_to_layer(program: Program) -> list[tuple[int, list[Instruction]]]:
    """The program in single steps, the last one the layer's."""
    steps = single_steps(program)
    (last,) = (n for n, (index, _) in enumerate(steps) if program.instructions[index].op == OP)
    return steps[: last + 1]


def run_layer(
    device: Device, graph: Graph, patches: NDArray[Any]
) -> tuple[NDArray[Any], list[Instruction]]:
    """Run the program up to the layer and compare its tensor; returns the image and the layer's step."""
    image = device.program.pack_image(device.engine, patches)
    steps = up_to_layer(device.program)
    for _, cut in steps:
        device.run(image, cut)
    index, layer = steps[-1]
    output = device.program.outputs[index]
    assert output is not None
    values = execute(graph, patches, keep=[output.tensor])[output.tensor]
    if not (read_tensor(device, output) == output.expected(values.astype(np.int64))).all():
        raise SystemExit("The layer's tensor is not the reference's.")
    return image, layer


def by_vitgen(graph: Graph, patches: NDArray[Any], engine: Engine, rtl: bool) -> dict[str, Any]:
    """Compile and run the layer's instruction, in the C-sim and in the RTL."""
    program = build_program(graph, engine)
    with tempfile.TemporaryDirectory() as cache:
        start = time.perf_counter()
        library = compile_engine(engine, cache=Path(cache))
        compiled = time.perf_counter() - start
        simulator = Simulator(library, engine, program)
        image, cut = run_layer(simulator, graph, patches)
        seconds = fastest(lambda: simulator.run(image, cut))
    cycles = None
    if rtl:
        memory = Memory.of(boards.load("zcu102"), 150.0)
        with Simulation(build_simulation(engine), engine, program, memory=memory) as device:
            run_layer(device, graph, patches)
            assert device.last is not None
            cycles = device.last.by_op()[OP]
    array = [item for item in bill(engine).items if item.name.startswith("array.")]
    return {
        "compile_seconds": compiled,
        "seconds": seconds,
        "multipliers": engine.multipliers["w8"],
        "cycles": cycles,
        "dsp": sum(item.dsp for item in array),
        "estimated": [],
    }


def compare(rtl: bool) -> dict[str, Any]:
    """The layer by both, in one run."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "one_block.toml"
        path.write_text(MODEL)
        request = BuildRequest(model=str(path), bits="8/8")
        graph = lower_request(request)
        patches = verification_images(graph, request, 1)[0].astype(np.int64)
    (op,) = (op for op in graph.ops if op.name == OP)
    x = execute(graph, patches, keep=[op.inputs[0]])[op.inputs[0]].astype(np.int64)
    engine = choose(graph, boards.load("zcu102"), 150.0, "dsp48", limits=SIMULATED).engine
    record = fresh()
    macs = op.weight.size * len(x)
    record["macs"] = macs
    record["hls4ml"] = by_hls4ml(op.weight.astype(np.int64), op.bias.astype(np.int64), x)
    record["vitgen"] = by_vitgen(graph, patches, engine, rtl)
    for side in ("hls4ml", "vitgen"):
        record[side]["mac_per_second"] = macs / record[side]["seconds"]
    return record


def main() -> None:
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description="A linear layer by hls4ml and by vitgen.")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--no-rtl", action="store_true", help="leave the cycles of the RTL out")
    asked = parser.parse_args()
    record = compare(not asked.no_rtl)
    write_whole(asked.out / "hls4ml_layer.json", json.dumps(record, indent=1).encode() + b"\n")
    Console().print(tables.rich_table(tables.layer(record)))
    ratio = record["hls4ml"]["seconds"] / record["vitgen"]["seconds"]
    print(f"vitgen's C-sim of the layer is {ratio:.1f} times as fast; ~ by the reuse factor alone.")


if __name__ == "__main__":
    main()
