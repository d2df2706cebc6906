"""Figures as text, and sentences."""

import pytest

from tests.report.conftest import EXACT, FIRST
from vitgen.report.folding import fold_items, fold_rows, heaviest, item_group, role
from vitgen.report.format import percent, short, significant, size, tick, verdict


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (512, "512"), (999, "999"), (2_983_653, "2.98 M"), (17_564_418_048, "17.6 G"),
     (203_000, "203 k"), (1_500, "1.50 k"), (0.25, "0.250")],
)  # fmt: skip
def test_short(value, text):
    assert short(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.254, "0.254"), (0.0254, "0.0254"), (19.891, "19.9"), (50.27, "50.3"), (3933.3, "3,933")],
)
def test_significant(value, text):
    assert significant(value) == text


def test_small_things_do_not_vanish():
    assert percent(0.0001) == "< 0.1 %" and percent(0) == "0.0 %"
    assert percent(0.9966, 2) == "99.66 %"
    assert size(32) == "32 B" and size(60_795_856) == "60.8 MB"
    assert [tick(v) for v in (0.0, 0.5, 50_000.0, 2_500_000.0)] == ["0", "0.5", "50 k", "2.5 M"]


def test_verdicts():
    assert verdict(None, "RTL") == "RTL: not run"
    exact = "C-sim: 0 mismatches in 9,812,345 values of 514 tensors over 1 image"
    assert verdict(EXACT, "C-sim") == exact
    wrong = verdict({**EXACT, "mismatches": 1, "first": FIRST}, "C-sim")
    assert "1 value wrong" in wrong and "blocks.3.attn.qk wrote blocks.3.attn.softmax" in wrong
    assert "head 2 row 17 column 4, expected 12, got -3" in wrong
    assert "head" not in verdict(
        {**EXACT, "mismatches": 1, "first": {**FIRST, "head": None}}, "C-sim"
    )
    empty = {**EXACT, "values": 0, "tensors": 0}
    assert verdict(empty, "C-sim") == "C-sim: nothing was compared"


def test_folding_keeps_the_sums(deit):
    rows = fold_rows(deit["layers"])
    assert [name for name, _ in rows] == [
        "input", *(f"block {i}" for i in range(12)), "output"
    ]  # fmt: skip
    assert sum(sum(cells.values()) for _, cells in rows) == deit["cycles"]["estimated"]
    folded = fold_items(deit["items"])
    for resource in ("dsp", "lut", "ff", "bram36", "uram"):
        total = sum(cells[resource] for _, cells in folded)
        assert total == pytest.approx(deit["resources"][resource]["estimated"], abs=0.5)


def test_roles_and_groups():
    assert role({"name": "blocks.7.attn.k", "kind": "linear"}) == "q, k, v"
    assert role({"name": "blocks.7.norm1", "kind": "layernorm"}) == "LayerNorm"
    assert role({"name": "head", "kind": "linear"}) == "other"
    assert item_group("softmax.token_lanes") == "softmax"
    assert item_group("softmax_exp_command") == "control, DMA, streams"
    assert item_group("bank.act") == "banks and buffers"


def test_equal_layers_of_blocks_count_together(deit):
    first = heaviest(deit["layers"])[0]
    assert (first["name"], first["times"], first["bound"]) == ("blocks.*.mlp.fc1", 12, "array")
    one = next(row for row in deit["layers"] if row["name"] == "blocks.0.mlp.fc1")
    assert first["cycles"] == pytest.approx(12 * one["cycles"]["estimated"], rel=0.01)
