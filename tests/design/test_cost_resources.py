"""Bills: exact where structure decides, sums of their items, refusals of what does not fit."""

from dataclasses import replace

import pytest

from tests.support.deit_steps import deit_steps
from vitgen import boards
from vitgen.design.array import longest_k
from vitgen.design.cost import bill, check_fit
from vitgen.design.cost_resources import grid_cost, lane_items
from vitgen.design.instance import engine_for
from vitgen.design.needs import needs_of
from vitgen.errors import DoesNotFit

BOARD = boards.load("zcu102")


def engine(size="t", **changes):
    shape = dict(
        array="dsp48", group_lanes=33, groups=2, dsp_rows=30, pot_rows=0, requant_lanes=33,
        gelu_lanes=3, softmax_lanes=11, norm_lanes=3, weight_ports=2, weight_fifo=512,
    )  # fmt: skip
    return engine_for(needs_of(None, deit_steps(size)), **(shape | changes))


def item(found, name):
    return next(i for i in found.items if i.name == name)


def test_array_is_what_its_cells_take():
    found = bill(engine(pot_rows=16))
    array = item(found, "array.dsp_rows")
    assert array.dsp == 30 * 66 == 1980
    # Chains of 15 are read within 16 beats, which takes counters of 5 bits: a LUT for the signs of
    # products, one for lowest bits of sums, and 1 + 2 a canary.
    assert array.lut == 1980 * (1 + 1 + 2 * 3)
    # DeiT-T: k up to 768 makes carries of 10 bits, and sums of powers of two (64 * 128 * 768 = 6 * 2^20)
    # of 24 bits; 16 rows, read once in 33 beats, keep 14 and 6 of these.
    assert item(found, "array.pot_rows").lut == 16 * 66 * (12 + 20)
    # Two chains of 15 drain 33 lanes of 48 bits and two carries; the latter stand in the counters' RAM too.
    chains = item(found, "array.chains")
    rams = 8 * (-(-48 * 33 // 14) + 2 * -(-20 * 33 // 14))
    assert (chains.count, chains.lut) == (2 * 2, 4 * rams)
    assert item(found, "requant").dsp == 66


def test_totals_are_sums_of_items():
    found = bill(engine("b", pot_rows=4))
    assert found.dsp == sum(i.dsp for i in found.items)
    assert found.lut == sum(i.lut for i in found.items)
    assert found.ff == sum(i.ff for i in found.items)
    assert found.bram36 == -(-sum(i.bram18 for i in found.items) // 2)
    assert len({i.name for i in found.items}) == len(found.items)


@pytest.mark.parametrize(("array", "lanes", "groups"), [("dsp48", 33, 2), ("hls", 7, 9)])
def test_quick_cost_of_a_grid_is_that_of_its_items(array, lanes, groups):
    made = engine(
        array=array, group_lanes=lanes, groups=groups, dsp_rows=34, pot_rows=5,
        requant_lanes=lanes, gelu_lanes=1, softmax_lanes=lanes, norm_lanes=1,
    )  # fmt: skip
    items = lane_items(made)
    units = (made.requant_lanes, made.gelu_lanes, made.softmax_lanes, made.norm_lanes)
    quick = grid_cost(array, (lanes, groups, 34, 5), units, longest_k(made))
    assert quick.dsp == sum(i.dsp for i in items)
    assert quick.lut == pytest.approx(sum(i.lut for i in items), abs=len(items))
    assert quick.ff == pytest.approx(sum(i.ff for i in items), abs=len(items))


def test_activation_banks_of_deit_b():
    """Residual bank of a group: 2,304 words of 528 bits are 8 x 5 blocks of 72 x 512."""
    found = bill(engine("b"))
    assert item(found, "bank.residual").bram18 == 2 * 2 * 40 - 2 * 5  # the last column is a half
    assert item(found, "weight_replay").bram18 > 0


@pytest.mark.parametrize(
    ("resource", "title", "knob"),
    [
        ("dsp", "DSP slices", "dsp_rows"),
        ("lut", "LUTs", "pot_rows"),
        ("ff", "flip-flops", "pot_rows"),
        ("bram36", "block RAMs", "token lanes"),
    ],
)
def test_what_does_not_fit_is_named(resource, title, knob):
    made = engine(group_lanes=11, requant_lanes=11, gelu_lanes=1, norm_lanes=1)
    needed = bill(made).totals()[resource]
    small = replace(BOARD.resources, **{resource: needed})
    check_fit(made, replace(BOARD, resources=small))
    tight = replace(BOARD, resources=replace(BOARD.resources, **{resource: needed - 1}))
    with pytest.raises(DoesNotFit) as error:
        check_fit(made, tight)
    assert f"{needed:,} {title}" in str(error.value)
    assert f"{needed - 1:,}" in str(error.value) and knob in error.value.remedy


def test_utilisation_lowers_the_limit():
    made = engine(group_lanes=11, requant_lanes=11, gelu_lanes=1, norm_lanes=1)
    share = max(bill(made).shares(BOARD.resources).values())
    check_fit(made, BOARD, share)
    with pytest.raises(DoesNotFit):
        check_fit(made, BOARD, share * 0.99)
