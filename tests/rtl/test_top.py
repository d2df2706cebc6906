"""The accelerator as a build leaves it in ``rtl/``, between AXI memories, run through its registers.

The program, the weights and the images are the bytes of ``data/``; logits are the integer reference's.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.rtl.bench import Instance, build, run, wrapper
from tests.support.graphs import tiny_vit_graph
from vitgen.design.engine import Engine
from vitgen.design.instance import engine_for
from vitgen.design.isa import encode_program
from vitgen.design.needs import needs_of
from vitgen.design.schedule import build_program
from vitgen.emit import registers
from vitgen.emit.rtl import ARRAY_FILES, emit_array
from vitgen.ir import Graph
from vitgen.reference.execute import predict
from vitgen.rtl.emit import emit_accelerator
from vitgen.rtl.modules import process_modules
from vitgen.rtl.stitch import stitch

SEED = "11"
IMAGES = 2
SIZES = dict(tokens=3, width=4, heads=1, mlp=5, classes=3, patch_features=4)
SHAPE = dict(
    array="dsp48", group_lanes=2, groups=1, dsp_rows=2, pot_rows=1, weight_ports=1, weight_fifo=16,
    requant_lanes=1, gelu_lanes=1, softmax_lanes=1, norm_lanes=1,
)  # fmt: skip

# The warnings of the shell are test_shell's; XLS's Verilog is full of them. The carries of the array's
# cells are vectors to be split, which those that cocotb sees are not: then a chain looks like a ring.
UNWARNED = ["-Wno-lint", "-Wno-style", "-Wno-SPLITVAR", "-Wno-UNOPTFLAT"]


@pytest.fixture(scope="module")
def graph() -> Graph:
    return tiny_vit_graph(np.random.default_rng(5), **SIZES)


@pytest.fixture(scope="module")
def engine(graph: Graph) -> Engine:
    return engine_for(needs_of(graph), **SHAPE)


@pytest.fixture(scope="module")
def data(graph: Graph, engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Memory images, as in ``data/`` of a build; ``image`` and ``logits`` with a number."""
    place = tmp_path_factory.mktemp("data")
    program = build_program(graph, engine)
    rng = np.random.default_rng(6)
    batch = rng.integers(-127, 128, (IMAGES, *graph.tensors[graph.input].shape))
    logits = predict(graph, batch)
    assert len({tuple(row) for row in logits.tolist()}) == IMAGES
    files = {
        "program": encode_program(program.instructions),
        "params": program.params.tobytes(),
        "constants": program.constants.tobytes(),
        **{f"weights_{port}": data.tobytes() for port, data in enumerate(program.weights)},
    }
    for number in range(IMAGES):
        files[f"image_{number}"] = program.pack_image(engine, batch[number]).tobytes()
        files[f"logits_{number}"] = logits[number].astype("<i2").tobytes()
    for name, content in files.items():
        (place / f"{name}.bin").write_bytes(content)
    return place


@pytest.fixture(scope="module")
def bench(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("bench")
    core = stitch(engine, process_modules(engine, cache=place / "cache"))
    files = (emit_accelerator(engine, core) | emit_array(engine)).texts()
    names = [name for name in files if name.endswith((".sv", ".v"))]
    assert set(ARRAY_FILES) < set(names)  # all of rtl/ compiles together
    files["bench.sv"] = wrapper({"vit_top": files["vit_top.sv"]}, [Instance("top", "vit_top", {})])
    for name, text in files.items():
        (place / name).write_text(text)
    build([place / name for name in [*names, "bench.sv"]], place, UNWARNED)
    return place


def test_runs_through_its_registers(bench: Path, data: Path, engine: Engine) -> None:
    places = [*registers.argument_registers(engine), *registers.status_registers(engine)]
    table = {register.name: (register.offset, register.width) for register in places}
    run("whole", bench, SEED=SEED, MAP=json.dumps(table), DATA=str(data), IMAGES=str(IMAGES))
