"""The emitted accelerator against the reference: every tensor, over a matrix of models and engines.

A model is a program, so one compiled engine runs all of them: the matrix is wide and quick. Engines
differ in what C++ they emit: groups, lanes that do not divide a word, no power-of-two rows, the C++
array, several weight ports.
"""

import fcntl
import os
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest

from tests.support.graphs import StemSizes, random_patches, tiny_vit_graph
from vitgen.csim.build import compile_engine
from vitgen.csim.compare import verify
from vitgen.csim.loader import SimulationFailed
from vitgen.csim.simulate import Simulator
from vitgen.design.engine import Engine
from vitgen.design.instance import engine_for
from vitgen.design.isa import Opcode, Source
from vitgen.design.needs import needs_of
from vitgen.design.schedule import build_program
from vitgen.errors import VitgenError

# The largest of every dimension below, so that each engine holds every graph.
LARGEST = dict(tokens=23, width=24, heads=1, depth=1, mlp=40, classes=12, patch_features=20)
# Of two slots and more on most engines; its projection is longer than any layer that is replayed.
STEM = StemSizes(image=24, channels=3, convs=((7, 2, 9), (3, 1, 5)), patch=3)

LANES = dict(requant_lanes=1, gelu_lanes=1, softmax_lanes=1, norm_lanes=1)
ENGINES = {
    "one_group": dict(
        array="dsp48", group_lanes=6, groups=1, dsp_rows=4, pot_rows=3, weight_ports=1,
        weight_fifo=16, requant_lanes=3, gelu_lanes=2, softmax_lanes=6, norm_lanes=1,
    ),
    "groups_and_ports": dict(
        array="dsp48", group_lanes=3, groups=4, dsp_rows=9, pot_rows=5, weight_ports=3,
        weight_fifo=64, **LANES,
    ),
    "fixed_only": dict(
        array="dsp48", group_lanes=5, groups=2, dsp_rows=3, pot_rows=0, weight_ports=2,
        weight_fifo=4, requant_lanes=5, gelu_lanes=5, softmax_lanes=1, norm_lanes=5,
    ),
    "single_lane": dict(
        array="dsp48", group_lanes=1, groups=1, dsp_rows=1, pot_rows=1, weight_ports=1,
        weight_fifo=2, **LANES,
    ),
    "plain_cpp": dict(
        array="hls", group_lanes=4, groups=2, dsp_rows=5, pot_rows=2, weight_ports=1,
        weight_fifo=16, requant_lanes=2, gelu_lanes=4, softmax_lanes=2, norm_lanes=2,
    ),
}  # fmt: skip

GRAPHS = {
    "one_token": dict(tokens=1),
    "tokens_of_a_tile": dict(tokens=12, width=12, heads=3),
    "ragged": dict(tokens=17, width=15, heads=5, mlp=31, classes=11, patch_features=13),
    "all_fixed_4": dict(tokens=9, pot_ratio=0.0),
    "all_fixed_8": dict(tokens=9, weight_bits=8, pot_ratio=0.0),
    "all_pot": dict(tokens=9, pot_ratio=1.0),
    "three_kinds": dict(tokens=23, width=24, heads=2, mlp=40, pot_ratio=0.3, wide_ratio=0.4),
    "act_4": dict(tokens=7, act_bits=4),
    "act_6_delta": dict(tokens=7, act_bits=6, delta=128, fraction=8),
    "one_head": dict(tokens=10, width=22, heads=1, fraction=12),
    "single_features": dict(tokens=5, width=1, heads=1, mlp=1, classes=1, patch_features=1),
    "shifts": dict(tokens=19, width=12, heads=2, depth=8, mlp=5, shifts=(7, 1, 4, 0, 2, 5, 3, 6)),
    "shifts_act_5": dict(tokens=23, width=6, heads=2, depth=3, act_bits=5, shifts=(2, 7, 3)),
    "saturating": dict(tokens=11, width=16, heads=4, depth=3, residual_std=20000.0),
}


STEMS = {
    "two_convolutions": dict(width=10, mlp=20, stem=STEM),
    "one_convolution": dict(width=6, act_bits=6, stem=StemSizes(8, 1, ((3, 2, 11),), 1)),
    "stride_of_one": dict(width=8, stem=StemSizes(6, 2, ((5, 1, 3), (3, 2, 3), (3, 1, 2)), 3)),
}


def engine_named(name: str) -> Engine:
    rng = np.random.default_rng(0)
    graphs = [tiny_vit_graph(rng, **LARGEST)]
    if name != "single_lane":  # its tiles hold one row and no gate beside it
        graphs += [tiny_vit_graph(rng, **kind) for kind in STEMS.values()]
    engines = [engine_for(needs_of(graph), **ENGINES[name]) for graph in graphs]
    sizes = [f.name for f in fields(Engine) if f.name.startswith("max_") or "_depth" in f.name]
    return replace(engines[0], **{n: max(getattr(e, n) for e in engines) for n in sizes})


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """Engines by name with their libraries, compiled once."""
    cache = tmp_path_factory.getbasetemp().parent / "engines"
    cache.mkdir(exist_ok=True)

    def get(name: str):
        engine = engine_named(name)
        # Workers of one run share the directory: whoever comes second waits and finds the result.
        with (cache / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return engine, compile_engine(engine, flags=("-O1",), cache=cache)

    return get


def run(compiled, engine_name, kind, images=2, seed=11):
    engine, library = compiled(engine_name)
    rng = np.random.default_rng(seed)
    graph = tiny_vit_graph(rng, **kind)
    simulator = Simulator(library, engine, build_program(graph, engine))
    batch = [random_patches(rng, graph) for _ in range(images)]
    return simulator, graph, batch


@pytest.mark.parametrize("kind", GRAPHS)
@pytest.mark.parametrize("engine", ENGINES)
def test_every_tensor_equals_the_reference(compiled, engine, kind):
    simulator, graph, batch = run(compiled, engine, GRAPHS[kind])
    result = verify(simulator, graph, batch)
    assert result.images == len(batch) and result.tensors > 10 * len(batch)
    assert result.mismatches == 0, str(result.first)


@pytest.mark.parametrize("kind", STEMS)
@pytest.mark.parametrize("engine", [name for name in ENGINES if name != "single_lane"])
def test_every_map_of_a_stem_equals_the_reference(compiled, engine, kind):
    simulator, graph, batch = run(compiled, engine, STEMS[kind])
    result = verify(simulator, graph, batch)
    assert result.images == len(batch) and result.tensors > 20 * len(batch)
    assert result.mismatches == 0, str(result.first)


@pytest.mark.parametrize("value", [-127, 0, 127])
def test_constant_images(compiled, value):
    simulator, graph, (patches, *_) = run(compiled, "groups_and_ports", GRAPHS["three_kinds"])
    flat = np.full_like(patches, value)
    flat[0] = 0
    assert verify(simulator, graph, [flat]).mismatches == 0


def test_results_do_not_depend_on_what_ran_before(compiled):
    simulator, _graph, batch = run(compiled, "one_group", GRAPHS["ragged"], images=3)
    first = [simulator.predict(p.astype(np.int64)).tolist() for p in batch]
    again = [simulator.predict(p.astype(np.int64)).tolist() for p in reversed(batch)]
    assert first == again[::-1]


def test_a_wrong_weight_is_caught_and_named(compiled):
    simulator, graph, batch = run(compiled, "one_group", GRAPHS["three_kinds"], images=1)
    # One bit of the second layer's first word: the first layer still agrees.
    second = [i for i in simulator.program.instructions if i.opcode is Opcode.GEMM][1]
    simulator.program.weights[0][16 * second.fields["weight_address"]] ^= 1
    result = verify(simulator, graph, batch)
    assert result.mismatches and result.first is not None
    assert result.first.op == second.op
    assert result.first.expected != result.first.got


def test_a_missing_wait_is_a_deadlock_or_a_difference_never_silence(compiled):
    """A wait for a completion that never comes is reported with the blocked process."""
    simulator, _graph, batch = run(compiled, "one_group", GRAPHS["one_token"], images=1)
    norm = next(i for i in simulator.program.instructions if i.opcode is Opcode.NORM)
    norm.waits[Source.STORE] = 1
    with pytest.raises(SimulationFailed, match="dispatch waits to read store_done"):
        simulator.predict(batch[0].astype(np.int64))


def test_a_graph_larger_than_the_engine_is_refused():
    graph = tiny_vit_graph(np.random.default_rng(0), **LARGEST | {"tokens": 24})
    with pytest.raises(VitgenError, match="max_tokens"):
        build_program(graph, engine_named("one_group"))


@pytest.mark.parametrize(
    "engine", ["one_group", pytest.param("plain_cpp", marks=pytest.mark.slow)]
)
def test_clean_under_sanitizers(engine, tmp_path):
    """The sanitizers' runtime must be in the process from its start, so this runs in a child."""
    runtimes = [
        subprocess.run(
            ["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    environment = os.environ | {
        "LD_PRELOAD": " ".join(runtimes),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python itself leaks at exit
        "UBSAN_OPTIONS": "print_stacktrace=1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.csim.sanitized", engine, str(tmp_path)],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert "runtime error" not in done.stderr and "AddressSanitizer" not in done.stderr
    assert done.stdout.count("values equal") == 3
