"""Sigmoid, scores and weighted means, against real numbers and exact fractions."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitgen.arith.selection import keep_score, sigmoid, token_weight, weighted_mean


@pytest.mark.parametrize("fraction", [8, 9, 10, 11, 12])
def test_sigmoid_of_every_input(fraction: int) -> None:
    q = np.arange(-32767, 32768)
    found = sigmoid(q, fraction)
    x = q / 2.0**fraction
    size = np.abs(x)
    pieces = [size / 4 + 1 / 2, size / 8 + 5 / 8, size / 32 + 27 / 32, np.ones_like(size)]
    upper = np.select([size < 1, size < 2.375, size < 5], pieces[:3], pieces[3])
    exact = np.where(x < 0, 1 - upper, upper) * 128
    assert found.tolist() == np.clip(np.floor(exact + 0.5), 1, 127).tolist()
    # Between the least weight and 127 / 128, within the pieces' error of the function itself.
    within = (exact > 1) & (exact < 127)
    error = np.abs(found / 128 - 1 / (1 + np.exp(-x)))[within]
    assert error.max() < 0.0190 + 0.5 / 128 + 1e-9


def test_sigmoid_where_the_pieces_meet() -> None:
    q = np.array([0, 255, 256, 607, 608, 1279, 1280])
    assert sigmoid(q, 8).tolist() == [64, 96, 96, 118, 118, 127, 127]
    assert sigmoid(-q, 8).tolist() == [64, 32, 32, 10, 11, 1, 1]


@given(st.integers(1, 12), st.data())
def test_scores_are_weighted_means(heads: int, data: st.DataObject) -> None:
    def draw(low: int, count: int) -> Any:
        values = st.one_of(st.sampled_from([low, 127]), st.integers(low, 127))
        return np.array([data.draw(st.lists(values, min_size=count, max_size=count))])

    classes, importance = draw(0, 2 * heads), draw(1, heads)
    found = int(keep_score(classes, importance)[0, 0])
    kept = classes[0, ::2].tolist()
    exact = Fraction(
        sum(t * a for t, a in zip(kept, importance[0].tolist(), strict=True)),
        sum(importance[0].tolist()),
    )
    assert abs(found - exact * 128) <= Fraction(1, 2)
    assert 128 * min(kept) <= found <= 128 * max(kept)


def test_weights_have_seven_bits() -> None:
    score = np.array([0, 1, 127, 128, 255, 256, 8192, 16256])
    assert token_weight(score).tolist() == [1, 1, 1, 1, 1, 2, 64, 127]


VALUES = st.one_of(st.sampled_from([-32767, -1, 0, 1, 32767]), st.integers(-32767, 32767))
WEIGHTS = st.one_of(st.sampled_from([1, 127]), st.integers(1, 127))


@settings(max_examples=300)
@given(st.lists(st.tuples(VALUES, WEIGHTS), min_size=1, max_size=40), st.integers(1, 25))
def test_a_mean_is_near_the_exact_one_and_within_its_terms(
    pairs: list[tuple[int, int]], copies: int
) -> None:
    values, weights = np.array(pairs * copies).T
    found = int(weighted_mean(values[:, None], weights)[0])
    exact = Fraction(int((values * weights).sum()), int(weights.sum()))
    assert abs(found - exact) <= 1
    assert values.min() <= found <= values.max()


@pytest.mark.parametrize("value", [-32767, -5, 0, 5, 32767])
def test_a_mean_of_equals_is_their_value(value: int) -> None:
    for tokens in (1, 2, 3, 64, 196, 1023):
        for weight in (1, 2, 77, 127):
            x = np.full((tokens, 2), value)
            assert weighted_mean(x, np.full(tokens, weight)).tolist() == [value, value]
