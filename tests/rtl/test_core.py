"""The whole accelerator as RTL: small networks, bit by bit; what goes wrong is named."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.graphs import tiny_vit_graph
from vitgen.csim.compare import verify
from vitgen.csim.loader import SimulationFailed
from vitgen.design.engine import Engine
from vitgen.design.instance import engine_for
from vitgen.design.isa import Source
from vitgen.design.needs import needs_of
from vitgen.design.program import Program
from vitgen.design.schedule import build_program
from vitgen.emit import emit_hls
from vitgen.ir import Graph
from vitgen.rtl.build import build_simulation
from vitgen.rtl.modules import process_modules
from vitgen.rtl.simulate import Memory, Simulation
from vitgen.rtl.stitch import Core, stitch

LARGEST = dict(tokens=11, width=12, heads=2, mlp=16, classes=11, patch_features=7)
SHAPES = {
    # two groups: one is compiled and stands in both places
    "dsp48": dict(array="dsp48", group_lanes=3, groups=2, dsp_rows=3, pot_rows=2, weight_ports=2),
    "hls": dict(array="hls", group_lanes=2, groups=1, dsp_rows=2, pot_rows=1, weight_ports=1),
}
UNITS = dict(weight_fifo=16, requant_lanes=1, gelu_lanes=1, softmax_lanes=1, norm_lanes=1)

# The rounding constant of GELU's gate is lost.
BUG = ("gelu.h", re.compile(r" \+ \(1 << \(GELU_FRACTION - 1\)\)"))
SHORT = ("scores_fifo", 2)  # as deep as many keys are not


def graph_of(seed: int, **sizes: int) -> Graph:
    return tiny_vit_graph(np.random.default_rng(seed), **{**LARGEST, **sizes})


def images(seed: int, graph: Graph, count: int) -> list[np.ndarray]:
    shape = (count, *graph.tensors[graph.input].shape)
    return list(np.random.default_rng(seed).integers(-127, 128, shape).astype(np.int8))


def engine_of(shape: str) -> Engine:
    return engine_for(needs_of(graph_of(0)), **SHAPES[shape], **UNITS)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rtl")


@pytest.fixture(scope="module")
def simulation(place: Path) -> Callable[[str], tuple[Engine, Path]]:
    made: dict[str, tuple[Engine, Path]] = {}

    def of(shape: str) -> tuple[Engine, Path]:
        if shape not in made:
            engine = engine_of(shape)
            made[shape] = engine, build_simulation(engine, cache=place)
        return made[shape]

    return of


@pytest.mark.parametrize(
    ("shape", "seed", "stall", "latency", "sizes"),
    [
        ("dsp48", 1, 0, 64, {}),
        ("dsp48", 2, 40, 7, dict(tokens=2, width=6, heads=1)),
        ("dsp48", 3, 70, 300, dict(tokens=9, depth=2)),
        ("hls", 4, 0, 1, dict(tokens=1)),
        ("hls", 5, 50, 30, {}),
    ],
)
def test_equals_the_reference(simulation, shape, seed, stall, latency, sizes):
    """Step by step and whole, image after image, without a reset."""
    engine, built = simulation(shape)
    graph = graph_of(seed, **sizes)
    memory = Memory(latency, outstanding=1 + seed % 4)
    with Simulation(
        built, engine, build_program(graph, engine), memory=memory, stall=stall, seed=seed
    ) as device:
        result = verify(device, graph, images(seed, graph, 2))
    assert result.first is None
    assert result.mismatches == 0 and result.images == 2
    assert result.tensors > 2 * len(graph.ops) * 0.8
    assert device.last is not None
    moments = device.last.moments
    assert sum(device.last.by_op().values()) == device.last.cycles
    assert all(m.read <= m.issued <= m.completed <= device.last.cycles for m in moments)
    assert [m.read for m in moments] == sorted(m.read for m in moments)


def test_latency_costs_cycles(simulation):
    engine, built = simulation("dsp48")
    graph = graph_of(1)
    cycles = []
    for memory in (Memory(), Memory(latency=500), Memory(port_bytes=4.0)):
        with Simulation(built, engine, build_program(graph, engine), memory=memory) as device:
            device.predict(images(1, graph, 1)[0].astype(np.int64))
            assert device.last is not None
            cycles.append(device.last.cycles)
    assert cycles[0] + 1000 < cycles[1] and cycles[0] < cycles[2]


def _program_that_waits(program: Program) -> tuple[Program, str]:
    """A product that waits for one more end of a feed than there will ever be."""
    instructions = list(program.instructions)
    index = max(i for i, one in enumerate(instructions) if Source.FEED in one.reports)
    waits = {**instructions[index].waits, Source.FEED: index}
    instructions[index] = replace(instructions[index], waits=waits)
    return replace(program, instructions=instructions), instructions[index].op


def test_a_wait_for_nothing_is_a_deadlock(simulation):
    engine, built = simulation("dsp48")
    graph = graph_of(1)
    program, op = _program_that_waits(build_program(graph, engine))
    with (
        Simulation(built, engine, program, patience=2000) as device,
        pytest.raises(SimulationFailed) as failure,
    ):
        device.predict(images(1, graph, 1)[0].astype(np.int64))
    said = str(failure.value)
    assert re.search(
        rf"no word has moved since cycle \d+; dispatch is at instruction \d+ .*{op}", said
    )
    assert re.search(r"it waits for feed_done: \d+ of 24 have come", said)
    assert re.search(
        r"empty, but awaited:\n(.*\n)*    acts\[0,1\], 0 words \(feed and multiply\)", said
    )


def test_an_address_beyond_the_weights_is_reported(simulation):
    engine, built = simulation("dsp48")
    graph = graph_of(1)
    program = build_program(graph, engine)
    short = replace(program, params=program.params[:64])
    with (
        Simulation(built, engine, short) as device,
        pytest.raises(SimulationFailed, match="params: beat 4 is read, beyond"),
    ):
        device.predict(images(1, graph, 1)[0].astype(np.int64))


@pytest.fixture(scope="module")
def broken(place: Path) -> tuple[Engine, Path]:
    """A wrong GELU, and a FIFO that is too small for as many keys as the engine takes."""
    engine = engine_of("hls")
    files = emit_hls(engine).texts()
    name, bug = BUG
    files[name], count = bug.subn("", files[name], count=1)
    assert count == 1
    core = stitch(engine, process_modules(engine, files, cache=place))
    fifo, depth = SHORT
    text, count = re.subn(
        rf"DEPTH\(\d+\)\) {fifo} ", f"DEPTH({depth})) {fifo} ", core.files["vit_core.sv"]
    )
    assert count == 1
    damaged = Core({**core.files, "vit_core.sv": text}, core.ports)
    return engine, build_simulation(engine, core=damaged, cache=place)


def test_a_wrong_unit_is_named(broken):
    engine, built = broken
    graph = graph_of(6, tokens=2)
    with Simulation(built, engine, build_program(graph, engine)) as device:
        result = verify(device, graph, images(6, graph, 1))
    assert result.first is not None
    assert (result.first.run, result.first.op) == ("step", "blocks.0.mlp.fc1")
    assert result.first.tensor == "blocks.0.mlp.gelu"
    assert abs(result.first.expected - result.first.got) == 1


def test_a_fifo_too_small_is_a_deadlock(broken):
    engine, built = broken
    graph = graph_of(7)
    with (
        Simulation(built, engine, build_program(graph, engine), patience=2000) as device,
        pytest.raises(SimulationFailed) as failure,
    ):
        device.predict(images(7, graph, 1)[0].astype(np.int64))
    said = str(failure.value)
    assert "Deadlock: no word has moved since cycle" in said
    assert re.search(
        r"full, and more is offered:\n(.*\n)*?    scores\[0\], 2 words \(softmax_max and softmax_exp\)",
        said,
    )
