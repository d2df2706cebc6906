"""GELU, exp and softmax against real arithmetic over the whole input range.

The bounds are those that docs/ir.md states in section 9.
"""

import math
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.reference import naive
from vitgen.arith import gelu, softmax
from vitgen.arith.gelu import knee
from vitgen.arith.softmax import MAX_KEYS, MAX_SHIFT, exponential

FRACTIONS = range(8, 13)
ALL_INPUTS = np.arange(-32767, 32768)
SHIFTS = range(MAX_SHIFT + 1)
ERF = np.vectorize(math.erf, otypes=[float])


def g_of(fraction: int, delta: int) -> NDArray[np.int64]:
    """GELU's inner value g, before requantization: times 2, halved, too wide to clamp."""
    return gelu(ALL_INPUTS, fraction, delta, 2, 1, 40)


@pytest.mark.parametrize("fraction", FRACTIONS)
@pytest.mark.parametrize("delta", [0, 1, 128, 255, 256])
def test_gelu_against_its_polynomial(fraction: int, delta: int) -> None:
    x = ALL_INPUTS / 2.0**fraction
    distance = np.minimum(np.abs(x) / math.sqrt(2), 1.769) - 1.769
    level = np.sign(x) * delta / 256 * (-0.2888 * distance**2 + 1)
    error = np.abs(g_of(fraction, delta) - x / 2 * (1 + level) * 2 ** (fraction + 1))
    assert error.max() < 1.5


@pytest.mark.parametrize("fraction", FRACTIONS)
def test_gelu_against_the_normal_distribution(fraction: int) -> None:
    x = ALL_INPUTS / 2.0**fraction
    exact = x / 2 * (1 + ERF(x / math.sqrt(2)))
    assert np.abs(g_of(fraction, 256) / 2 ** (fraction + 1) - exact).max() < 0.0195


@pytest.mark.parametrize("fraction", FRACTIONS)
@pytest.mark.parametrize(
    ("delta", "mult", "shift", "bits"),
    [(256, 9000, 19, 8), (128, -77, 3, 6), (256, 2, 1, 40), (128, 2, 1, 40), (77, 2, 1, 40)],
)
def test_gelu_against_the_specification(
    fraction: int, delta: int, mult: int, shift: int, bits: int
) -> None:
    op = {"delta": delta, "mult": mult, "shift": shift}
    expected = [naive.gelu_value(q, fraction, op, bits) for q in range(-32767, 32768)]
    assert gelu(ALL_INPUTS, fraction, delta, mult, shift, bits).tolist() == expected


@pytest.mark.parametrize("fraction", FRACTIONS)
def test_gelu_intermediates_fit_the_widths_of_the_specification(fraction: int) -> None:
    assert knee(fraction) == naive.KNEES[fraction] < 2**14
    for delta in (0, 128, 256):
        assert np.abs(g_of(fraction, delta)).max() < 2**16


@pytest.mark.parametrize("fraction", FRACTIONS)
def test_exponential_over_every_distance(fraction: int) -> None:
    distance = np.arange(65535)
    terms = exponential(distance, fraction)
    real = distance / 2.0**fraction
    assert np.abs(terms / 2**14 - np.exp(-real)).max() < 0.0022
    halvings = np.floor(real / math.log(2))
    rest = halvings * math.log(2) - real
    polynomial = (0.3585 * (rest + 1.353) ** 2 + 0.344) * 2.0**-halvings
    assert np.abs(terms - polynomial * 2**14).max() < 1.25
    assert terms[0] == terms.max() == 16389 and terms.min() >= 0


@pytest.mark.parametrize("bits", range(4, 9))
@pytest.mark.parametrize("shift", SHIFTS)
def test_softmax_against_exact_quotients(bits: int, shift: int) -> None:
    rng = np.random.default_rng(10 * bits + shift)
    limit, steps, seen = 2 ** (bits - 1) - 1, 2 ** (bits - 1 + shift), set()
    assert 24 <= 39 - bits - shift <= 35
    for fraction, keys, std in ((8, 1, 0.0), (12, 2, 1.5), (9, 40, 0.5), (10, 197, 2.5)):
        scores = np.rint(rng.normal(0, std, (6, keys)) * 2**fraction).astype(np.int64)
        scores = np.clip(scores, -32767, 32767)
        found = softmax(scores, fraction, bits, shift)
        assert found.tolist() == [
            naive.softmax_row(row, fraction, bits, shift) for row in scores.tolist()
        ]
        terms = exponential(scores.max(axis=1, keepdims=True) - scores, fraction)
        for row, codes in zip(terms.tolist(), found.tolist(), strict=True):
            for term, code in zip(row, codes, strict=True):
                exact = min(Fraction(term * steps, sum(row)), Fraction(limit))
                assert abs(code - exact) <= Fraction(501, 1000)
        seen.update(found.ravel().tolist())
    assert {0, limit} <= seen


def test_a_shift_gives_even_attention_a_resolution() -> None:
    even = np.zeros((1, 197), dtype=np.int64)
    # 128 / 197 = 0.65 of a step; 32 / 197 rounds to nothing until the scale is an eighth or less.
    assert set(softmax(even, 10, 8).ravel().tolist()) == {1}
    assert [int(softmax(even, 10, 8, shift)[0, 0]) for shift in SHIFTS] == [
        1, 1, 3, 5, 10, 21, 42, 83,
    ]  # fmt: skip
    assert [int(softmax(even, 10, 6, shift)[0, 0]) for shift in SHIFTS] == [
        0, 0, 1, 1, 3, 5, 10, 21,
    ]  # fmt: skip
    alone = np.array([[2000, -30000]])
    assert [softmax(alone, 8, 8, shift).tolist() for shift in SHIFTS] == [[[127, 0]]] * 8


@pytest.mark.parametrize("bits", range(4, 9))
@pytest.mark.parametrize("keys", [1, 2, 197, MAX_KEYS])
def test_softmax_against_real_softmax(bits: int, keys: int) -> None:
    rng = np.random.default_rng(bits * keys)
    for fraction in FRACTIONS:
        for std in (0.0, 0.3, 2.0, 30.0):
            real = rng.normal(0, std, (8, keys))
            scores = np.clip(np.rint(real * 2**fraction), -32767, 32767).astype(np.int64)
            found = softmax(scores, fraction, bits)
            e = np.exp((scores - scores.max(axis=1, keepdims=True)) / 2.0**fraction)
            limit = 2 ** (bits - 1) - 1
            exact = np.minimum(e / e.sum(axis=1, keepdims=True) * 2 ** (bits - 1), limit)
            assert found.min() >= 0 and found.max() <= limit
            # Half a step of rounding, and 0.8 % of 1 for the quadratic in each term and the sum.
            assert np.abs(found - exact).max() < 0.5 + 0.008 * 2 ** (bits - 1)


def test_softmax_extremes() -> None:
    one = np.array([[-32767] * 5 + [32767]])
    assert softmax(one, 8, 8).tolist() == [[0, 0, 0, 0, 0, 127]]
    assert softmax(np.full((1, 4), -32767), 12, 8).tolist() == [[32, 32, 32, 32]]
    assert softmax(np.full((2, 3, 1), 5), 10, 8).tolist() == [[[127]] * 3] * 2
    # The maximum over 1,023 equal keys: the widest sum and the smallest reciprocal.
    assert set(softmax(np.zeros((1, MAX_KEYS), dtype=np.int64), 10, 8).ravel().tolist()) == {0}
    assert MAX_KEYS * 16389 < 2**24 + 2**14


def test_softmax_does_not_depend_on_a_common_offset() -> None:
    rng = np.random.default_rng(0)
    scores = rng.integers(-3000, 3000, (50, 17))
    assert np.array_equal(softmax(scores, 10, 8), softmax(scores + 29000, 10, 8))


def test_softmax_is_monotonic_within_a_row() -> None:
    """Larger scores never get smaller shares than much smaller ones; the quadratic and the
    remainder's rounding may swap direct neighbours by one step of e."""
    rng = np.random.default_rng(1)
    scores = np.sort(rng.integers(-20000, 20000, (200, 31)), axis=1)
    found = softmax(scores, 11, 8)
    assert np.diff(found, axis=1).min() >= 0
