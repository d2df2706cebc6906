"""The testbench for the vendor's simulators, one instruction a call.

Once as a sequential simulation runs it, process after process, where reading an empty stream ends the
run; once with processes side by side, where values left in a stream are an error, as at the RTL.
"""

import subprocess

import numpy as np
import pytest

from tests.emit.engines import SEQUENTIAL
from tests.support.graphs import StemSizes, random_patches, tiny_vit_graph
from vitgen.csim.compile import compile_program
from vitgen.csim.toolchain import ap_int_headers, find_compiler
from vitgen.design.instance import engine_for
from vitgen.design.isa import encode_program
from vitgen.design.needs import needs_of
from vitgen.design.netlist import streams
from vitgen.design.schedule import build_program
from vitgen.emit import emit_hls
from vitgen.reference.execute import execute

SIDE_BY_SIDE = """
#include <iostream>
#include "vitgen_csim.h"
int testbench_main(int argc, char** argv);
int main(int argc, char** argv) {
DEPTHS
  const int code = testbench_main(argc, argv);
  const std::string report = vitgen_csim_finish();
  std::cout << report;
  return report.empty() ? code : 9;
}
"""


GRAPHS = {
    "patches": dict(tokens=9, width=10, heads=2, mlp=13, classes=11, wide_ratio=0.3),
    # Whose registers change in the middle of the program.
    "stem": dict(width=10, mlp=13, classes=11, stem=StemSizes(12, 3, ((3, 2, 4), (3, 1, 3)), 2)),
}


@pytest.fixture(scope="module", params=GRAPHS)
def build(request, tmp_path_factory):
    """``(engine, directory of hls/ and data/)`` of a small model."""
    rng = np.random.default_rng(3)
    graph = tiny_vit_graph(rng, **GRAPHS[request.param])
    engine = engine_for(
        needs_of(graph), array="dsp48", group_lanes=3, groups=2, dsp_rows=4, pot_rows=2,
        weight_ports=2, weight_fifo=16, requant_lanes=3, gelu_lanes=1, softmax_lanes=1, norm_lanes=1,
    )  # fmt: skip
    program = build_program(graph, engine)
    patches = random_patches(rng, graph)
    logits = np.asarray(execute(graph, patches, keep=[graph.output])[graph.output]).reshape(-1)
    directory = tmp_path_factory.mktemp("testbench")
    emit_hls(engine).write(directory / "hls")
    data = directory / "data"
    data.mkdir()
    (data / "program.bin").write_bytes(encode_program(program.instructions))
    (data / "params.bin").write_bytes(program.params.tobytes())
    (data / "constants.bin").write_bytes(program.constants.tobytes())
    (data / "image.bin").write_bytes(program.pack_image(engine, patches).tobytes())
    (data / "logits.bin").write_bytes(logits.astype("<i2").tobytes())
    for port, weights in enumerate(program.weights):
        (data / f"weights_{port}.bin").write_bytes(weights.tobytes())
    return engine, directory


@pytest.fixture(scope="module")
def sequential(build):
    _, directory = build
    done = subprocess.run(
        [*find_compiler().command, "-std=c++14", "-O1", "-w", "-I", str(SEQUENTIAL), "-isystem",
         str(ap_int_headers()), "vit_top.cpp", "testbench.cpp", "-o", str(directory / "testbench")],
        cwd=directory / "hls", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[:2000]
    return directory / "testbench"


def run(program, *arguments):
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def test_sequential_simulation_finds_every_logit(build, sequential):
    done = run(sequential, build[1] / "data", "csim")
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-500:]
    assert done.stdout.endswith("11 logits, 0 wrong\n")


def test_a_wrong_logit_is_found(build, sequential, tmp_path):
    for file in (build[1] / "data").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    logits = np.fromfile(tmp_path / "logits.bin", "<i2")
    logits[10] ^= 1
    logits.tofile(tmp_path / "logits.bin")
    done = run(sequential, tmp_path)
    assert done.returncode == 1
    assert f"logit 10: expected {logits[10]}, got {logits[10] ^ 1}\n" in done.stdout
    assert done.stdout.endswith("11 logits, 1 wrong\n")


def test_a_missing_file_is_named(build, sequential, tmp_path):
    done = run(sequential, tmp_path)
    assert done.returncode == 2
    assert "program.bin" in done.stderr


def test_side_by_side_every_call_leaves_its_streams_empty(build, tmp_path):
    engine, directory = build
    depths = "".join(f'  vitgen_csim_depth("{s.name}", {s.depth});\n' for s in streams(engine))
    sources = emit_hls(engine).texts() | {"main.cc": SIDE_BY_SIDE.replace("DEPTHS\n", depths)}
    sources["testbench.cpp"] = "#define main testbench_main\n" + sources["testbench.cpp"]
    sources["testbench.cpp"] = sources["testbench.cpp"].replace(
        "#include <cstddef>", "int testbench_main(int argc, char** argv);\n#include <cstddef>"
    )
    program = compile_program(sources, flags=("-O1", "-DCOSIM_PROGRAM_BEATS=24"), cache=tmp_path)
    done = run(program.path, directory / "data", "cosim")
    assert done.returncode == 0, done.stdout[-800:] + done.stderr[-500:]
    assert done.stdout.endswith("11 logits, 0 wrong\n")
