"""What a search decides of a request: bits, shares, the target; and what a build makes of it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from vitgen import boards, ir
from vitgen.design.choice import choose_design, choose_variant
from vitgen.design.cost import Workload, estimate
from vitgen.design.engine import Engine
from vitgen.design.needs import needs_of
from vitgen.design.steps import fuse
from vitgen.errors import DoesNotFit, VitgenError
from vitgen.flow.build import build, open_build
from vitgen.flow.estimate import estimate as estimate_request
from vitgen.flow.lowering import lower_request
from vitgen.flow.precision import LADDER, Rung, ladder, settle
from vitgen.flow.request import BuildRequest
from vitgen.lower.outline import outline
from vitgen.models import create, save_checkpoint
from vitgen.models.config import config
from vitgen.quant import QuantConfig, calibrate

BOARD = boards.load("zcu102")


@pytest.fixture
def asked(tiny):
    return BuildRequest(model=str(tiny), bits="4/8")


def counted(graph):
    """Rows by kind of the linear ops of the blocks."""
    ops = [op for op in graph.ops if isinstance(op, ir.Linear) and op.name.startswith("blocks.")]
    return {
        op.name: (
            int(np.sum((op.row_scheme == 0) & (op.row_bits == 4))),
            int(np.sum((op.row_scheme == 0) & (op.row_bits == 8))),
            int(np.sum(op.row_scheme == 1)),
        )
        for op in ops
    }


def frames(graph, engine):
    return estimate(engine, Workload(fuse(graph)), BOARD, 150.0).fps


def test_a_share_is_searched_in_parts_of_a_head(asked):
    settled = settle(asked)
    ratio = settled.request.pot_ratio
    assert ratio is not None and 0 < ratio < 1 and (ratio * 8).is_integer()  # heads of 8 features
    assert settled.record["pot_ratio"] == ratio and settled.record["pot_ratio_from"] == "search"
    choice = settled.outcome.choice
    # Its frames are those of the network that is quantized so.
    graph = lower_request(settled.request)
    assert frames(graph, choice.engine) == choice.estimate.fps
    for op, (w4, w8, pot) in counted(graph).items():
        rows = w4 + w8 + pot
        assert pot == rows * ratio and w8 == 0, op


def test_no_other_share_gives_more_frames(asked):
    found = settle(asked).outcome.choice.estimate
    for parts in (1, 3, 6):
        other = settle(replace(asked, pot_ratio=parts / 8))
        assert other.record["pot_ratio_from"] == "request"
        # Rated by frames, less where lanes idle; ties go to the smaller engine.
        rival = other.outcome.choice.estimate
        assert rival.fps <= found.fps * 1.005 or rival.lanes > found.lanes


def test_shares_that_are_given_or_do_not_exist(asked, tmp_path):
    assert settle(replace(asked, pot_ratio=0.4)).request.pot_ratio == 0.4
    fixed = settle(replace(asked, scheme="fixed"))
    assert fixed.record["pot_ratio"] == 0 and fixed.record["pot_ratio_from"] == "scheme"
    file = tmp_path / "settings.toml"
    file.write_text("pot_ratio = 0.3\n")
    given = settle(replace(asked, config=file))
    assert given.record["pot_ratio"] == 0.3 and given.record["pot_ratio_from"] == "request"


def test_the_ladder_goes_down(tiny):
    request = BuildRequest(model=str(tiny), bits=None, target_fps=10.0)
    quants = [one.quant() for one in ladder(request)]
    assert [q.label for q in quants] == [bits for bits, _ in LADDER]

    def bits_of_a_weight(quant):
        wide = {"8": 1.0, "4": 0.0}.get(quant.weight_bits, quant.wide_ratio)
        return 4 + 4 * wide, quant.act_bits

    precision = [bits_of_a_weight(q) for q in quants]
    assert precision == sorted(precision, reverse=True) and len(set(precision)) == len(precision)
    assert [q.label for q in [one.quant() for one in ladder(replace(request, bits="4/8"))]] == ["4/8"]
    # A share that leaves no place for the 8-bit rows rules those precisions out.
    high = [one.quant() for one in ladder(replace(request, pot_ratio=0.6))]
    assert [q.wide_ratio for q in high if q.weight_bits == "4+8"] == [0.25]


def test_the_target_takes_the_highest_precision_that_meets_it():
    request = BuildRequest(model="deit_t", bits=None, target_fps=40.0, scheme="fixed")
    easy = settle(request)
    assert easy.record["bits"] == "8/8" and [one["met"] for one in easy.record["tried"]] == [True]
    best = {
        bits: choose_variant(
            Rung.of(replace(request, bits=bits)).variants, BOARD, 150.0, "dsp48", 1e9
        ).choice.estimate.fps
        for bits in ("8/8", "4/8")
    }
    assert best["4/8"] > best["8/8"] * 1.015
    hard = settle(replace(request, target_fps=best["8/8"] * 1.01))
    assert hard.record["bits"] != "8/8" and not hard.record["tried"][0]["met"]
    assert hard.record["tried"][0]["fps"] == pytest.approx(best["8/8"])
    assert hard.outcome.choice.estimate.fps >= hard.record["target_fps"]


def test_a_target_out_of_reach_ends_with_2(vitgen, tiny):
    said = vitgen("estimate", "--model", tiny, "--target-fps", "1e9", "--scheme", "fixed", "--json")
    assert said.status == 2 and not said.out
    assert "1e+09 frames/s" in said.err and "best found" in said.err and "bound" in said.err


def test_estimate_and_build_agree_and_the_build_uses_what_was_found(asked, tmp_path):
    estimated = estimate_request(asked, pareto=tmp_path / "plot.svg")
    picture = (tmp_path / "plot.svg").read_text()
    assert picture.startswith("<svg xmlns") and "this design" in picture
    report = build(asked, tmp_path / "out")
    for key in ("fps", "cycles", "rows", "engine", "exploration", "pareto", "energy", "next_step"):
        assert report[key] == estimated[key], key
    assert report["macs"] == estimated["macs"] and report["params"] == estimated["params"]
    graph = ir.load(tmp_path / "out")
    assert graph.meta["quant"]["pot_ratio"] == report["exploration"]["pot_ratio"]
    assert "Designs from small to large" in (tmp_path / "out" / "report.html").read_text()
    directory, request = open_build(tmp_path / "out")
    assert request.pot_ratio is None and directory.request["pot_ratio"] is None


def test_a_target_makes_a_smaller_engine_that_meets_it(asked):
    whole = estimate_request(asked)
    target = whole["fps"] / 3
    small = estimate_request(replace(asked, target_fps=target))
    assert small["fps"] >= target
    assert small["resources"]["lut"]["estimated"] < whole["resources"]["lut"]["estimated"]
    assert small["exploration"]["target_fps"] == target
    again = Engine.from_json(small["engine"])
    quant = BuildRequest(
        model=asked.model, bits="4/8", pot_ratio=small["exploration"]["pot_ratio"]
    ).quant()
    assert frames(outline(config(asked.model), quant), again) == pytest.approx(small["fps"])


@pytest.mark.parametrize("ratio", [0.5, None])
def test_a_checkpoint_keeps_its_rows(tiny, tmp_path, ratio):
    """Auto takes the share that the rows were trained with: a quarter, where that was left open."""
    shape = config(tiny)
    model = create(shape, QuantConfig.parse("4/8", scheme="mixed", pot_ratio=ratio), 3).eval()
    import torch

    calibrate(model, torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    path = tmp_path / "trained.safetensors"
    save_checkpoint(model, path)
    request = BuildRequest(model=str(tiny), bits="4/8", checkpoint=path)
    settled = settle(request)
    assert settled.request.pot_ratio == (ratio or 0.25)
    assert settled.record["pot_ratio_from"] == "checkpoint"
    graph = lower_request(settled.request)
    assert all(pot == sum(rows) * (ratio or 0.25) for rows in counted(graph).values()
               for pot in rows[2:])  # fmt: skip
    assert needs_of(graph) == settled.outcome.choice.variant.needs
    with pytest.raises(VitgenError, match="a target does not decide its bits"):
        settle(BuildRequest(model=str(tiny), bits=None, target_fps=5.0, checkpoint=path))


def test_variants_of_a_rung_are_the_models_of_their_shares(asked):
    rung = Rung.of(replace(asked, bits="4+8/8", wide_ratio=0.25))
    shape = config(asked.model)
    ratios = [variant.pot_ratio for variant in rung.variants]
    assert ratios == [parts / 8 for parts in range(1, 7)]
    for variant in rung.variants:
        quant = replace(rung.request.quant(), pot_ratio=variant.pot_ratio)
        graph = outline(shape, quant)
        assert needs_of(graph) == variant.needs
        assert Workload(fuse(graph)).shapes == variant.workload.shapes


def test_a_graph_of_its_own_rows_gets_an_engine_for_a_target(asked):
    graph = lower_request(replace(asked, pot_ratio=0.25))
    design = choose_design(graph, BOARD, 150.0, "dsp48", 2000.0)
    assert frames(graph, design.engine) >= 2000
    with pytest.raises(DoesNotFit, match="best found"):
        choose_design(graph, BOARD, 150.0, "dsp48", 1e9)


def test_exploration_is_json(asked):
    record = settle(asked).to_json()
    assert json.loads(json.dumps(record)) == record
