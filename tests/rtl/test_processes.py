"""The RTL of every process against its C++ in the C-sim, under random stalls, by equality."""

import copy
import random

import pytest

from tests.rtl.cosim import Bench, random_words
from tests.rtl.engines import ENGINES
from tests.rtl.scenarios import PAIRED, SCENARIOS, STOP, command
from vitgen.emit import emit_hls

STAGES = None  # as many as the depth of the logic asks for
WIDE = ("norm_root", "norm_scale")  # whose values are structs of arrays, long in a group of many lanes


@pytest.fixture(scope="session")
def bench(tmp_path_factory):
    """Benches by engine, built once."""
    built: dict[str, Bench] = {}

    def get(name: str) -> Bench:
        if name not in built:
            place = tmp_path_factory.mktemp(f"bench-{name}")
            processes = {"wide": WIDE, "paired": PAIRED}.get(name, SCENARIOS)
            built[name] = Bench(ENGINES[name], processes, place, STAGES)
        return built[name]

    return get


@pytest.mark.parametrize("process", SCENARIOS)
@pytest.mark.parametrize("engine", ["even", "odd"])
def test_rtl_equals_the_c_simulation(bench, engine, process):
    for seed in range(8):
        inputs = SCENARIOS[process](ENGINES[engine], random.Random(seed))
        bench(engine).compare(process, inputs, seed, stall=(0, 20, 50, 80)[seed % 4])


@pytest.mark.parametrize("process", SCENARIOS)
def test_results_leave_without_a_next_command(bench, process):
    inputs = SCENARIOS[process](ENGINES["even"], random.Random(5))
    expected = bench("even").run_golden(process, inputs)
    inputs.streams["commands"].pop()
    bench("even").compare(process, inputs, seed=5, stall=30, expected=expected)


@pytest.mark.parametrize("process", ["requantize", "weight_replay", "softmax_exp", "norm_sum"])
def test_a_process_starts_again_after_its_end(bench, process):
    inputs = SCENARIOS[process](ENGINES["even"], random.Random(6))
    once = bench("even").run_golden(process, inputs)
    twice, expected = copy.deepcopy(inputs), copy.deepcopy(once)
    for values in (twice, expected):
        for port in values.streams:
            values.streams[port] = values.streams[port] * 2
    bench("even").compare(process, twice, seed=6, stall=30, expected=expected)


@pytest.mark.parametrize("process", WIDE)
def test_wide_groups(bench, process):
    inputs = SCENARIOS[process](ENGINES["wide"], random.Random(7))
    bench("wide").compare(process, inputs, seed=7, stall=30)


@pytest.mark.parametrize("process", PAIRED)
def test_tiles_of_two_slots(bench, process):
    for seed in range(8):
        inputs = PAIRED[process](ENGINES["paired"], random.Random(seed))
        bench("paired").compare(process, inputs, seed, stall=(0, 20, 50, 80)[seed % 4])


def test_one_word_per_clock_cycle(bench):
    tiles, slots, k = 3, 4, 40
    commands = [command((tiles, 12), (slots, 10), (k, 13)), STOP]
    rng = random.Random(1)
    words = random_words(rng, tiles * k, ENGINES["even"].row_word_bits)
    inputs = type(SCENARIOS["feed"](ENGINES["even"], rng))({"commands": commands, "words": words})
    cycles = bench("even").compare("weight_replay", inputs, seed=1, stall=0)
    assert tiles * slots * k <= cycles <= tiles * slots * k + 12


def test_a_planted_bug_is_caught(tmp_path):
    files = emit_hls(ENGINES["even"]).texts()
    wrong = files["gelu.h"].replace("GELU_CURVATURE = 9463", "GELU_CURVATURE = 5463")
    assert wrong != files["gelu.h"]
    planted = Bench(ENGINES["even"], ["gelu"], tmp_path, STAGES, rtl_files={"gelu.h": wrong})
    with pytest.raises(AssertionError, match="gelu"):
        for seed in range(8):
            inputs = SCENARIOS["gelu"](ENGINES["even"], random.Random(seed))
            planted.compare("gelu", inputs, seed, stall=0)
