"""Searches: what they find fits, what they refuse is named, small models stay small."""

from dataclasses import replace

import numpy as np
import pytest

from tests.support.deit_steps import deit_steps, vit_steps
from tests.support.graphs import tiny_vit_graph
from vitgen import boards
from vitgen.design.cost import Workload, check_fit, estimate
from vitgen.design.needs import needs_of
from vitgen.design.schedule import build_program
from vitgen.design.search import SIMULATED, Limits, choose, choose_for
from vitgen.errors import DoesNotFit, VitgenError

BOARD = boards.load("zcu102")


def find(steps, board=BOARD, **options):
    return choose_for(needs_of(None, steps), steps, board, **options)


def small_board(**resources):
    return replace(BOARD, resources=replace(BOARD.resources, **resources))


def digits(**options):
    """The shapes of vit_digits: 8 x 8 images, patches of 2."""
    return vit_steps(64, 4, depth=4, tokens=17, patch_features=4, classes=10, **options)


@pytest.mark.parametrize(
    ("size", "bits", "pot_ratio", "frames"),
    [("b", 4, 0.25, 31), ("b", 8, 0.0, 27), ("t", 8, 0.0, 275)],
)
def test_deit_on_the_zcu102(size, bits, pot_ratio, frames):
    steps = deit_steps(size, bits=bits, pot_ratio=pot_ratio)
    choice = find(steps)
    engine = choice.engine
    check_fit(engine, BOARD, 0.9)
    again = estimate(engine, Workload(steps), BOARD)
    assert again == choice.estimate and again.fps >= frames
    assert bool(engine.pot_rows) == bool(pot_ratio)
    assert max(choice.shares.values()) == choice.shares[choice.binding] <= 1
    assert choice.considered > 100


def test_better_than_what_an_exhaustive_walk_over_units_finds():
    """On the chosen grid no other widths of the units that fit are faster by a percent."""
    steps = digits(pot_ratio=0.25)
    choice = find(steps, limits=SIMULATED)
    workload, best = Workload(steps), choice.estimate.cycles
    widths = [w for w in range(1, 7) if choice.engine.group_lanes % w == 0]
    for requant in widths:
        for gelu in widths:
            for softmax in widths:
                other = replace(
                    choice.engine, requant_lanes=requant, gelu_lanes=gelu, softmax_lanes=softmax
                )
                assert estimate(other, workload, BOARD).cycles > best * 0.99


def test_a_small_model_gets_a_small_engine():
    choice = find(digits(pot_ratio=0.25))
    assert max(choice.shares.values()) < 0.5
    capped = find(digits(pot_ratio=0.25), limits=Limits(max_multipliers=100))
    assert capped.estimate.lanes <= 100 < choice.estimate.lanes
    assert capped.estimate.fps < choice.estimate.fps


@pytest.mark.parametrize("array", ["dsp48", "hls"])
def test_simulated_preset_turns_every_loop(array):
    choice = find(digits(pot_ratio=0.25), array=array, limits=SIMULATED)
    engine = choice.engine
    assert engine.slots(17) >= 3 and -(-64 // engine.tile_rows(4)) >= 3
    assert engine.groups >= 2 and engine.pot_rows > 0
    assert choice.estimate.lanes <= 256


def test_token_lanes_can_be_capped():
    choice = find(digits(), limits=Limits(max_token_lanes=4))
    assert choice.engine.token_lanes <= 4


def test_same_question_same_answer():
    steps = digits(pot_ratio=0.25)
    assert find(steps).engine == find(steps).engine


def test_choice_of_a_graph_runs():
    graph = tiny_vit_graph(np.random.default_rng(5), tokens=9, width=16, heads=2, wide_ratio=0.2)
    engine = choose(graph, BOARD).engine
    assert build_program(graph, engine).instructions


@pytest.mark.parametrize(
    ("resources", "title"),
    [
        (dict(dsp=10), "DSP slices"),
        (dict(lut=9000), "LUTs"),
        (dict(ff=9000), "flip-flops"),
        (dict(bram36=40), "block RAMs"),
        (dict(bram36=0), "block RAMs"),
    ],
)
def test_a_board_too_small_is_named(resources, title):
    with pytest.raises(DoesNotFit) as error:
        find(deit_steps("t"), small_board(**resources))
    (limit,) = resources.values()
    assert title in str(error.value) and f"{limit:,}" in str(error.value)
    assert error.value.remedy


def test_limits_that_nothing_keeps():
    with pytest.raises(DoesNotFit, match="multipliers"):
        find(digits(), limits=Limits(max_multipliers=1, min_groups=2))


def test_bad_options():
    with pytest.raises(VitgenError, match="utilisation is 1.5"):
        find(digits(), utilisation=1.5)
    with pytest.raises(VitgenError, match="Unknown array"):
        find(digits(), array="tpu")
