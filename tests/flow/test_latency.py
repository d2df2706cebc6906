"""The latency-sparsity table of an engine, and training from the command line's side."""

import pytest
from rich.console import Console

from vitgen import boards
from vitgen.design.choice import choose_design
from vitgen.design.cost import estimate
from vitgen.design.cost_workload import Workload
from vitgen.design.steps import fuse
from vitgen.flow.latency import RATES, latency_table, resized
from vitgen.flow.lowering import lower_request
from vitgen.flow.request import BuildRequest
from vitgen.flow.training import described, train
from vitgen.train.loop import Epoch


@pytest.fixture(scope="module")
def request_and_table():
    request = BuildRequest(model="vit_digits", bits="8/8", keep="1:0.5")
    return request, latency_table(request)


def test_the_table_is_the_cost_models(request_and_table):
    request, table = request_and_table
    assert table.rates == RATES and list(table.cycles) == sorted(table.cycles)
    graph = lower_request(BuildRequest(model="vit_digits", bits="8/8"))
    board = boards.load("zcu102")
    design = choose_design(graph, board, request.clock, "dsp48")
    whole = estimate(design.engine, Workload(fuse(graph)), board, request.clock)
    assert table.network(4, ()) == pytest.approx(whole.cycles)
    fewer = estimate(design.engine, Workload(fuse(resized(graph, 10))), board, request.clock)
    saved = 4 * (table.block(1.0) - table.block(0.5))
    assert whole.cycles - fewer.cycles == pytest.approx(saved, rel=0.02)
    assert 0 < table.selector < 0.5 * table.block(1.0)


def test_the_table_does_not_depend_on_the_rates(request_and_table):
    assert latency_table(BuildRequest(model="vit_digits", bits="8/8")) == request_and_table[1]


def test_an_epoch_in_a_line():
    plain = Epoch("float", 1, 2, 1.25, 0.5)
    assert described(plain, 16) == "float: loss 1.250, top-1 50.0 %"
    pruned = Epoch("joint", 1, 2, 1.25, 0.5, ((1, 0.7), (3, 0.2)), (0.6875, 0.25), 0.624)
    assert described(pruned, 16) == (
        "joint: loss 1.250, top-1 50.0 %, 11.0, 4.0 of 16 patches from block 1, 3, 62 % of the cycles"
    )


@pytest.mark.slow
def test_training_with_rates(tmp_path):
    found = train(
        "vit_digits", "8/8", epochs=2, keep="3:0.4", out=tmp_path, console=Console(quiet=True)
    )
    assert found["keep"] == "3:0.4" and found["rates"] == pytest.approx([0.4], abs=0.05)
    assert found["epochs"] == 4 and 0.8 < found["cycles"] < 1
    assert (tmp_path / "checkpoint.safetensors").exists()
