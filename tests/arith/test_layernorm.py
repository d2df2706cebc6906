"""LayerNorm against exact fractions and float64, its reciprocal root against isqrt."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitgen.arith import layernorm, reciprocal_sqrt
from vitgen.arith.layernorm import MAX_FEATURES, RECIPROCAL_LIMIT

EDGES = sorted(
    {v for power in range(51) for v in (2**power - 1, 2**power, 2**power + 1) if 1 <= v < 2**50}
)
VARIANCE = st.one_of(
    st.sampled_from(EDGES),
    st.integers(1, 2**50 - 1),
    st.integers(0, 49).flatmap(lambda b: st.integers(2**b, 2 ** (b + 1) - 1)),
    st.integers(1, 2**25 - 1).map(lambda root: root * root),
    st.integers(2, 2**25 - 1).map(lambda root: root * root - 1),
)


def check_root(variance: int) -> None:
    """The definition, and the relative error within ``2**-16``, in exact integers."""
    reciprocal, half = (int(a) for a in reciprocal_sqrt(np.array(variance)))
    length = variance.bit_length()
    assert half == (length + 1) // 2 and 1 <= half <= 25
    mantissa = variance * 4 ** (17 - half) if half <= 17 else variance // 4 ** (half - 17)
    assert 2**32 <= mantissa < 2**34
    assert reciprocal == min(2**33 // math.isqrt(mantissa), RECIPROCAL_LIMIT)
    assert 2**16 <= reciprocal < 2**17
    # |R * 2**-(16+h) * sqrt(V) - 1| <= 2**-16, squared to stay with integers.
    square = reciprocal * reciprocal * variance
    unit = 4 ** (16 + half)
    assert (2**16 - 1) ** 2 * unit <= square * 2**32 <= (2**16 + 1) ** 2 * unit


@given(VARIANCE)
def test_reciprocal_root(variance: int) -> None:
    check_root(variance)


def test_reciprocal_root_at_all_edges() -> None:
    for variance in EDGES:
        check_root(variance)


def test_reciprocal_root_of_arrays() -> None:
    values = np.array([[1, 4, 9], [2**40, 2**50 - 1, 7]])
    reciprocal, half = reciprocal_sqrt(values)
    assert reciprocal.shape == half.shape == (2, 3)
    for index in np.ndindex(2, 3):
        one, bits = reciprocal_sqrt(values[index])
        assert (reciprocal[index], half[index]) == (one, bits)


UNIT_SHIFT = 3


def normalised(x: np.ndarray, epsilon: int = 1) -> np.ndarray:
    """LayerNorm in Q8: gain 1, bias 0."""
    features = x.shape[-1]
    gain, bias = np.ones(features, np.int64), np.zeros(features, np.int64)
    return layernorm(x, epsilon, gain, bias, UNIT_SHIFT, 16)


@pytest.mark.parametrize("features", [2, 3, 33, 768, MAX_FEATURES])
@pytest.mark.parametrize("spread", [2, 30, 3000, 32767])
def test_layernorm_against_float(features: int, spread: int) -> None:
    rng = np.random.default_rng(features * spread)
    x = rng.integers(-spread, spread + 1, (20, features))
    x[0] = np.where(np.arange(features) % 2, spread, -spread)
    x[1] = 0
    x[1, 0] = spread
    variance = x.var(axis=1, keepdims=True) + 1 / features**2
    real = (x - x.mean(axis=1, keepdims=True)) / np.sqrt(variance) * 2**8
    # Half a step of Q11, half a step of Q8, 2**-16 of the value for the root.
    bound = 0.5 + 2.0**-4 + np.abs(real) * 2.0**-16 + 1e-6
    assert np.all(np.abs(normalised(x) - real) <= bound)


@given(st.integers(1, MAX_FEATURES), st.integers(-32767, 32767))
def test_equal_features_normalise_to_zero(features: int, value: int) -> None:
    assert not normalised(np.full((1, features), value)).any()


def test_largest_normalised_value_fits_its_width() -> None:
    """One feature apart from 1,023 equal ones: sqrt(1023) deviations, in Q11 below 2**16."""
    for low, high in ((-32767, 32767), (0, 1), (-1, 0), (32766, 32767), (-32767, -32766)):
        for sign in (1, -1):
            x = np.full((1, MAX_FEATURES), low if sign > 0 else high)
            x[0, 5] = high if sign > 0 else low
            gain, bias = np.full(MAX_FEATURES, 1), np.zeros(MAX_FEATURES, np.int64)
            n = layernorm(x, 1, gain * 2, bias, 1, 40)  # the shift of 1 undoes the gain of 2
            assert 2**16 - 64 <= abs(int(n[0, 5])) < 2**16


def test_bias_gain_and_clamp() -> None:
    x = np.array([[-1000, 1000]])  # normalised to -1, 1: 2**11 in Q11
    gain, bias = np.array([2**9, -(2**9)]), np.array([3 << 20, 5 << 20])
    assert layernorm(x, 1, gain, bias, 20, 8).tolist() == [[2, 4]]
    assert layernorm(x, 1, gain * 100, bias, 20, 8).tolist() == [[-97, -95]]
    assert layernorm(x, 1, gain * 255, bias * 100, 20, 8).tolist() == [[45, 127]]
