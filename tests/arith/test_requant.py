"""Requantization against exact fractions, and the choice of multipliers."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitgen.arith import clamp, quantize_multipliers, requant, symmetric_limit
from vitgen.errors import OverflowRefused

ACC = st.one_of(
    st.sampled_from([0, 1, -1, 2**26 - 1, 1 - 2**26]), st.integers(1 - 2**26, 2**26 - 1)
)
MULT = st.one_of(st.sampled_from([0, 1, -1, 131071, -131071]), st.integers(-131071, 131071))
SHIFT = st.integers(1, 40)
BITS = st.integers(4, 16)


def exact(acc: int, mult: int, shift: int, bits: int) -> int:
    """The nearest integer, halves up, within the symmetric range."""
    rounded = math.floor(Fraction(acc * mult, 2**shift) + Fraction(1, 2))
    limit = 2 ** (bits - 1) - 1
    return max(-limit, min(limit, rounded))


@given(ACC, MULT, SHIFT, BITS)
def test_requant_is_the_nearest_fraction(acc: int, mult: int, shift: int, bits: int) -> None:
    assert int(requant(np.array(acc), mult, shift, bits)) == exact(acc, mult, shift, bits)


@given(st.lists(ACC, min_size=1, max_size=20), st.lists(MULT, min_size=1, max_size=5), SHIFT, BITS)
def test_requant_broadcasts_rows(accs: list[int], mults: list[int], shift: int, bits: int) -> None:
    got = requant(np.array(accs)[:, None], np.array(mults), shift, bits)
    assert got.tolist() == [[exact(a, m, shift, bits) for m in mults] for a in accs]


def test_halves_round_up() -> None:
    assert requant(np.array([-3, -1, 1, 3]), 1, 1, 8).tolist() == [-1, 0, 1, 2]


@given(ACC, ACC, MULT.map(abs), SHIFT, BITS)
def test_requant_is_monotonic(a: int, b: int, mult: int, shift: int, bits: int) -> None:
    low, high = requant(np.array(sorted([a, b])), mult, shift, bits)
    assert low <= high


@given(BITS)
def test_clamp_never_gives_the_most_negative_code(bits: int) -> None:
    limit = symmetric_limit(bits)
    assert limit == 2 ** (bits - 1) - 1
    values = np.array([-(2**40), -limit - 1, -limit, 0, limit, limit + 1, 2**40])
    assert clamp(values, bits).tolist() == [-limit, -limit, -limit, 0, limit, limit, limit]


SCALE = st.floats(2.0**-20, 60000.0)


@given(st.lists(SCALE, min_size=1, max_size=20), st.lists(st.booleans(), min_size=20, max_size=20))
def test_multipliers_are_nearest_and_the_shift_is_largest(
    sizes: list[float], signs: list[bool]
) -> None:
    scales = np.array([-s if sign else s for s, sign in zip(sizes, signs, strict=False)])
    mult, shift = quantize_multipliers(scales)
    assert 1 <= shift <= 40 and mult.dtype == np.int64 and mult.shape == scales.shape
    assert np.abs(mult).max() < 2**17
    for scale, m in zip(scales, mult, strict=True):
        assert abs(Fraction(float(scale)) * 2**shift - int(m)) <= Fraction(1, 2)
    if shift < 40:
        assert round(float(np.abs(scales).max()) * 2.0 ** (shift + 1)) >= 2**17
        # At least 16 significant bits for the largest.
        assert np.abs(mult).max() >= 2**16 - 1


@pytest.mark.parametrize("value", [131071.25, 131071.4999, 65535.749])
def test_multiplier_just_below_the_limit(value: float) -> None:
    mult, shift = quantize_multipliers(np.array([value / 2]))
    assert int(mult[0]) < 2**17 and shift == (1 if value > 2**16 else 2)


@pytest.mark.parametrize("value", [65535.75, 65536.0, 1e300, 1e308])
def test_scale_too_large_is_refused(value: float) -> None:
    """65535.75 * 2 is halfway and would round to 2**17; 1e308 * 2**40 is infinite in float64."""
    with pytest.raises(OverflowRefused, match="does not fit 17 bits"):
        quantize_multipliers(np.array([0.5, -value]))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_scale_that_is_no_number_is_refused(value: float) -> None:
    with pytest.raises(OverflowRefused, match="requantization scale is"):
        quantize_multipliers(np.array([1.0, value]))


def test_small_and_empty_scales_take_the_largest_shift() -> None:
    assert quantize_multipliers(np.array([0.0]))[1] == 40
    assert quantize_multipliers(np.array([]))[1] == 40
    mult, shift = quantize_multipliers(np.array([2.0**-40, 2.0**-42]))
    assert (mult.tolist(), shift) == ([1, 0], 40)
    assert quantize_multipliers(np.array([2.0**-10]), max_shift=20)[1] == 20
