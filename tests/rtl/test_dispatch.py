"""The process that deals commands, as RTL, on the programs of small networks."""

import numpy as np
import pytest

from tests.rtl.cosim import Bench, Values
from tests.support.graphs import tiny_vit_graph
from vitgen.design.instance import engine_for
from vitgen.design.isa import encode_program
from vitgen.design.needs import needs_of
from vitgen.design.schedule import build_program

LARGEST = dict(tokens=17, width=16, heads=2, depth=2, mlp=24, classes=11, patch_features=13)
COMPLETIONS = 500  # of every process: more than a program waits for


@pytest.fixture(scope="module")
def dispatch(tmp_path_factory):
    graph = tiny_vit_graph(np.random.default_rng(0), **LARGEST)
    engine = engine_for(
        needs_of(graph), array="hls", group_lanes=4, groups=2, dsp_rows=5, pot_rows=2,
        weight_ports=1, weight_fifo=16, requant_lanes=2, gelu_lanes=4, softmax_lanes=2,
        norm_lanes=2,
    )  # fmt: skip
    place = tmp_path_factory.mktemp("dispatch")
    return engine, Bench(engine, ["dispatch"], place, stages=None)


@pytest.mark.parametrize(("seed", "depth", "stall"), [(1, 1, 0), (2, 2, 30), (3, 1, 60)])
def test_deals_the_same_commands(dispatch, seed, depth, stall):
    engine, bench = dispatch
    graph = tiny_vit_graph(np.random.default_rng(seed), **{**LARGEST, "depth": depth})
    raw = encode_program(build_program(graph, engine).instructions)
    beats = [int.from_bytes(raw[i : i + 16], "little") for i in range(0, len(raw), 16)]
    inputs = Values({"program_beats": beats})
    for parameter in bench.parameters["dispatch"]:
        if parameter.kind == "done_t":
            for port in bench.ports_of("dispatch", parameter):
                inputs.streams[port] = [1] * COMPLETIONS
    expected = bench.run_golden("dispatch", inputs)
    assert sum(map(len, expected.streams.values())) > len(beats)
    sent, _ = bench.run_rtl("dispatch", inputs, expected, seed, stall)
    for parameter in bench.parameters["dispatch"]:
        for port in bench.ports_of("dispatch", parameter):
            if port not in inputs.streams:  # what stays there is no output
                assert _meaning(sent[port]) == _meaning(expected.streams[port]), port


def _meaning(commands: list[int]) -> list[int]:
    """A command with `stop`, its lowest bit, set has no other field: the C++ leaves them unset."""
    return [1 if command & 1 else command for command in commands]
