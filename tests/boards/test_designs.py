"""A board is data: each gives a design of its own that fits, or a refusal that names what is short."""

from dataclasses import replace

import numpy as np
import pytest

from tests.support.deit_steps import deit_steps
from tests.support.graphs import random_patches, tiny_vit_graph
from vitgen import boards
from vitgen.csim.build import compile_engine
from vitgen.csim.compare import verify
from vitgen.csim.simulate import Simulator
from vitgen.design.choice import choose_design
from vitgen.design.cost import check_fit
from vitgen.design.needs import needs_of
from vitgen.design.schedule import build_program
from vitgen.design.search import Choice, choose_for
from vitgen.errors import DoesNotFit

# Frames of an 8-bit DeiT-T at 150 MHz that the search finds today, less a tenth.
FRAMES = {"zcu102": 260, "zcu104": 185, "kv260": 93, "ultra96v2": 39}


def find(name: str, size: str) -> Choice:
    steps = deit_steps(size, bits=8, pot_ratio=0.0)
    return choose_for(needs_of(None, steps), steps, boards.load(name))


@pytest.fixture(scope="module")
def chosen() -> dict[str, Choice]:
    return {name: find(name, "t") for name in FRAMES}


def test_every_board_of_ours_is_among_them():
    assert set(FRAMES) == set(boards.names())


@pytest.mark.parametrize("name", FRAMES)
def test_deit_t_fits_every_board(chosen, name):
    choice, stock = chosen[name], boards.load(name).resources.to_dict()
    needed = check_fit(choice.engine, boards.load(name), 0.9).totals()
    assert set(needed) == set(stock)
    assert all(need <= 0.9 * stock[resource] for resource, need in needed.items())
    assert choice.estimate.fps >= FRAMES[name]
    assert bool(choice.engine.ultra_banks) == bool(stock["uram"]) == bool(needed["uram"])


def test_the_designs_differ(chosen):
    assert len({choice.engine for choice in chosen.values()}) == len(chosen)
    assert len({choice.estimate.lanes for choice in chosen.values()}) == len(chosen)


def test_without_its_ultra_ram_the_kria_holds_no_deit():
    steps = deit_steps("t", bits=8, pot_ratio=0.0)
    kria = boards.load("kv260")
    bare = replace(kria, resources=replace(kria.resources, uram=0))
    with pytest.raises(DoesNotFit, match=r"1\d\d block RAMs of 36 Kb, kv260 gives 129 of its 144"):
        choose_for(needs_of(None, steps), steps, bare)


def test_a_model_too_large_for_a_board_is_refused_by_what_is_short():
    with pytest.raises(DoesNotFit, match="DSP slices, ultra96v2 gives 324 of its 360"):
        find("ultra96v2", "s")


def test_a_design_for_the_kria_computes_what_the_reference_does(tmp_path):
    """The engine that the search chooses for it, as C++."""
    rng = np.random.default_rng(5)
    graph = tiny_vit_graph(rng, tokens=9, width=12, heads=2)
    kria = boards.load("kv260")
    engine = choose_design(graph, kria, 150.0, "dsp48").engine
    library = compile_engine(engine, flags=("-O1",), cache=tmp_path)
    simulator = Simulator(library, engine, build_program(graph, engine))
    result = verify(simulator, graph, [random_patches(rng, graph) for _ in range(2)])
    assert result.images == 2 and result.mismatches == 0, str(result.first)
