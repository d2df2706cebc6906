"""Row assignment: low variance to powers of two, high variance to 8 bits, alike in every head."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vitgen.errors import VitgenError
from vitgen.quant import LayerQuant, assign_rows


@given(
    st.integers(1, 6), st.integers(1, 40), st.floats(0, 1), st.floats(0, 1), st.integers(0, 9)
)
def test_shares_and_order(heads, per_head, pot_ratio, wide_ratio, seed):
    wide_ratio = min(wide_ratio, 1 - pot_ratio)
    layer = LayerQuant("4+8", "mixed", pot_ratio, wide_ratio, 8)
    weight = torch.randn(heads * per_head, 9, generator=torch.Generator().manual_seed(seed))
    weight *= torch.rand(len(weight), 1) + 0.1
    pot, wide = assign_rows(weight, layer, heads)
    variance = weight.var(dim=1, correction=0).view(heads, per_head)
    assert not bool((pot & wide).any())
    for head in range(heads):
        rows = slice(head * per_head, (head + 1) * per_head)
        p, w, v = pot[rows], wide[rows], variance[head]
        assert int(p.sum()) == math.floor(pot_ratio * per_head + 0.5)
        assert abs(int(w.sum()) - wide_ratio * per_head) <= 1
        if p.any() and not p.all():
            assert v[p].max() <= v[~p].min()
        if w.any() and not w.all():
            assert v[w].min() >= v[~w].max()


def test_equal_rows_are_assigned_in_order():
    pot, wide = assign_rows(torch.ones(8, 3), LayerQuant("4+8", "mixed", 0.25, 0.25, 8))
    assert pot.tolist() == [True] * 2 + [False] * 6 and wide.tolist() == [False] * 6 + [True] * 2


def test_convolutions_count_by_output_channel():
    pot, _ = assign_rows(torch.randn(6, 3, 2, 2), LayerQuant("4", "mixed", 0.5, 0.0, 8))
    assert pot.shape == (6,) and int(pot.sum()) == 3


def test_rows_that_heads_do_not_divide_are_refused():
    with pytest.raises(VitgenError, match="7 rows do not divide into 2 heads"):
        assign_rows(torch.ones(7, 3), LayerQuant("4", "pot", 1.0, 0.0, 8), 2)
