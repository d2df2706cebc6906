"""The whole accelerator as RTL: small networks, bit by bit; what goes wrong is named."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.graphs import tiny_vit_graph
from vitgen.csim.compare import verify
from vitgen.csim.loader import SimulationFailed
from vitgen.design.depths import Guard
from vitgen.design.engine import Engine
from vitgen.design.instance import engine_for
from vitgen.design.isa import Source
from vitgen.design.needs import needs_of
from vitgen.design.netlist import streams
from vitgen.design.program import Program
from vitgen.design.schedule import build_program
from vitgen.emit import emit_hls
from vitgen.ir import Graph
from vitgen.rtl.build import build_simulation
from vitgen.rtl.modules import process_modules
from vitgen.rtl.simulate import Memory, Simulation
from vitgen.rtl.stitch import Core, stitch

LARGEST = dict(tokens=11, width=12, heads=2, mlp=16, classes=11, patch_features=7)
DEEPEST = 2  # blocks; more hold nothing else at a time
SHAPES = {
    # two groups: one is compiled and stands in both places
    "dsp48": dict(array="dsp48", group_lanes=3, groups=2, dsp_rows=3, pot_rows=2, weight_ports=2),
    "hls": dict(array="hls", group_lanes=2, groups=1, dsp_rows=2, pot_rows=1, weight_ports=1),
}
UNITS = dict(weight_fifo=16, requant_lanes=1, gelu_lanes=1, softmax_lanes=1, norm_lanes=1)

# The rounding constant of GELU's gate is lost.
BUG = ("gelu.h", re.compile(r" \+ \(1 << \(GELU_FRACTION - 1\)\)"))
SHORT = ("scores_fifo", 2)  # as deep as many keys are not
DEAF = "load_act"


def graph_of(seed: int, **sizes: int) -> Graph:
    return tiny_vit_graph(np.random.default_rng(seed), **{**LARGEST, **sizes})


def images(seed: int, graph: Graph, count: int) -> list[np.ndarray]:
    shape = (count, *graph.tensors[graph.input].shape)
    return list(np.random.default_rng(seed).integers(-127, 128, shape).astype(np.int8))


def engine_of(shape: str) -> Engine:
    return engine_for(needs_of(graph_of(0, depth=DEEPEST)), **SHAPES[shape], **UNITS)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rtl")


@pytest.fixture(scope="module")
def simulation(place: Path) -> Callable[[str], tuple[Engine, Path]]:
    made: dict[str, tuple[Engine, Path]] = {}

    def of(shape: str) -> tuple[Engine, Path]:
        if shape not in made:
            engine = engine_of(shape)
            made[shape] = engine, build_simulation(engine, storm=True, cache=place)
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


@pytest.mark.parametrize("seed", range(100, 108))
def test_random_networks_in_a_storm(simulation, seed):
    """Every FIFO between two processes holds both back at random, and so do the ports."""
    rng = np.random.default_rng(seed)
    engine, built = simulation(("dsp48", "hls")[seed % 2])
    heads = int(rng.integers(1, 3))
    sizes = dict(tokens=int(rng.integers(1, 12)), heads=heads, width=6 * heads,
                 mlp=int(rng.integers(4, 17)), depth=int(rng.integers(1, 3)),
                 classes=int(rng.integers(2, 12)), patch_features=int(rng.integers(2, 8)))  # fmt: skip
    graph = graph_of(seed, **sizes)
    memory = Memory(int(rng.integers(1, 200)), outstanding=int(rng.integers(1, 9)))
    storm, stall = int(rng.integers(10, 70)), int(rng.integers(0, 70))
    said = f"seed {seed}, storm {storm} %, stalls {stall} %, {memory}, {sizes}"
    with Simulation(built, engine, build_program(graph, engine), memory=memory, stall=stall,
                    storm=storm, seed=seed) as device:  # fmt: skip
        result = verify(device, graph, images(seed, graph, 1))
    assert result.first is None and result.mismatches == 0, f"{said}: {result.first}"
    assert result.tensors > len(graph.ops) * 0.8


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


def _cycles(built: Path, engine: Engine, depths: dict[str, int]) -> tuple[int, Mapping[str, int]]:
    """Of the largest network that fits, and what its FIFOs held at most."""
    graph = graph_of(1)
    program = build_program(graph, engine)
    with Simulation(built, engine, program, patience=2000, depths=depths) as device:
        device.predict(images(1, graph, 1)[0].astype(np.int64))
        assert device.last is not None
        return device.last.cycles, device.last.most


def _depths(engine: Engine, most: Mapping[str, int]) -> dict[str, int]:
    """Of the core's FIFOs; a stream per DRAM port has a number behind its name."""
    table = {stream.name: stream.depth for stream in streams(engine)}
    names = {name.split()[0] for name in most}
    return {name: table[re.sub(r"_\d+$", "", name)] for name in names}


@pytest.mark.parametrize("shape", SHAPES)
def test_deeper_fifos_gain_nothing(simulation, shape):
    """Four times the depths that were computed: within half a percent of the cycles. Not so the
    weights fetched ahead, whose number is the search's choice."""
    engine, built = simulation(shape)
    cycles, most = _cycles(built, engine, {})
    depths = _depths(engine, most)
    assert all(held <= depths[name.split()[0]] for name, held in most.items())
    deeper = {name: 4 * depth for name, depth in depths.items() if name != "weight_words"}
    deep, most = _cycles(built, engine, deeper)
    assert deep <= cycles <= 1.005 * deep
    assert any(held > depths[name.split()[0]] for name, held in most.items())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("stream", ["scores", "terms", "norm_words", "feed_done"])
def test_a_bound_against_deadlock_is_one(simulation, shape, stream):
    """Half of a token tile, no room for completions that dispatch does not ask for yet."""
    engine, built = simulation(shape)
    bound = next(s.bound for s in streams(engine) if s.name == stream)
    assert bound.guards is Guard.DEADLOCK
    short = 1 if stream.endswith("_done") else bound.terms[0][0] // 2
    with pytest.raises(SimulationFailed, match="Deadlock: no word has moved since cycle"):
        _cycles(built, engine, {stream: short})


@pytest.mark.parametrize(
    ("shape", "stream", "below", "loss"),
    [
        ("dsp48", "rows", 1, 0.05),
        ("hls", "acts", 1, 0.3),
        ("hls", "sums", 5, 0.03),
        ("dsp48", "terms", 6, 0.01),  # the token tile alone
        ("dsp48", "norm_words", 8, 0.01),
        ("hls", "norm_words", 8, 0.02),
        ("dsp48", "residual_norm", 7, 0.01),  # no word for the time between two slots
        ("hls", "residual_norm", 9, 0.02),
    ],
)
def test_below_its_bound_a_fifo_costs_cycles(simulation, shape, stream, below, loss):
    engine, built = simulation(shape)
    cycles, most = _cycles(built, engine, {})
    short = {stream: _depths(engine, most)[stream] - below}
    assert _cycles(built, engine, short)[0] > (1 + loss) * cycles


@pytest.fixture(scope="module")
def broken(place: Path) -> tuple[Engine, Path]:
    """A wrong GELU, a FIFO that is too small for as many keys as the engine takes, and one whose
    writer does not hear that it is full, which it never is where nobody stalls."""
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
    text, count = re.subn(rf"\.in_rdy\({DEAF}_rdy\)", ".in_rdy()", text)
    text, assigned = re.subn(rf"(  // .*\n  stream_fifo .*{DEAF}_fifo)",
                             rf"  assign {DEAF}_rdy = 1'b1;\n\1", text)  # fmt: skip
    assert count == assigned == 1
    damaged = Core({**core.files, "vit_core.sv": text}, core.ports)
    return engine, build_simulation(engine, core=damaged, storm=True, cache=place)


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


def test_a_storm_finds_what_calm_hides(broken):
    """The deaf writer loses words where its FIFO runs full: their reader waits for them for ever."""
    engine, built = broken
    graph = graph_of(6, tokens=2)
    program, image = build_program(graph, engine), images(6, graph, 1)[0].astype(np.int64)
    for stall in (0, 60):  # stalls of the ports do not reach it
        with Simulation(built, engine, program, stall=stall) as device:
            device.predict(image)
    with (
        Simulation(built, engine, program, storm=60, seed=3, patience=2000) as device,
        pytest.raises(SimulationFailed) as failure,
    ):
        device.predict(image)
    said = str(failure.value)
    assert "Deadlock in a storm of 60 %, seed 3: no word has moved since cycle" in said
    assert "it waits for act_write_done" in said
