"""Softmax against vitgen.arith."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.cpp import Driver
from vitgen.arith import softmax
from vitgen.arith.softmax import MAX_DISTANCE, exponential

Int = NDArray[np.int64]

SOFTMAX, RECIPROCAL, EXPONENTIAL = 2, 3, 10


def check(driver: Driver, commands: list[tuple[Int, int, int, int]]) -> None:
    """Commands are scores ``(slots, keys, lanes)``, fraction, bits, shift."""
    values = []
    for scores, *numbers in commands:
        values += [np.array([*scores.shape[:2], *numbers]), scores]
    output = driver.run(SOFTMAX, len(commands), *values)
    lanes = driver.engine.group_lanes
    found = output.stream(lanes)
    output.finish()
    expected = [
        softmax(scores.transpose(0, 2, 1), *numbers).transpose(0, 2, 1).reshape(-1, lanes)
        for scores, *numbers in commands
    ]
    np.testing.assert_array_equal(found, np.concatenate(expected))


def random_scores(driver: Driver, rng: np.random.Generator, slots: int, keys: int) -> Int:
    spread = int(rng.choice([1, 50, 3000, 32767]))
    return rng.integers(-spread, spread + 1, (slots, keys, driver.engine.group_lanes))


@pytest.mark.parametrize("fraction", [8, 9, 10, 11, 12])
def test_commands_in_a_row(units: Driver, fraction: int) -> None:
    rng = np.random.default_rng(fraction)
    shapes = [(1, 1), (5, 1), (1, 2), (3, 7), (2, 64), (1, 197), (7, 3)]
    check(
        units,
        [
            (random_scores(units, rng, *shape), fraction, 4 + i % (units.engine.act_bits - 3), i)
            for i, shape in enumerate(shapes)
        ],
    )


@pytest.mark.parametrize("shift", range(8))
def test_every_width_and_shift(units: Driver, shift: int) -> None:
    rng = np.random.default_rng(shift)
    lanes = units.engine.group_lanes
    shapes = [(2, 30, 1.0), (1, 197, 0.0), (1, 197, 1.0), (1, 3, 0.1)]
    check(
        units,
        [
            (np.rint(rng.normal(0, std * 2**10, (slots, keys, lanes))).astype(int), 10, bits, shift)
            for bits in range(4, units.engine.act_bits + 1)
            for slots, keys, std in shapes
        ],
    )


@pytest.mark.parametrize("shift", [0, 7])
def test_most_keys(units: Driver, shift: int) -> None:
    """1,023 equal keys: the largest sum. One of them far above: the smallest."""
    lanes, bits = units.engine.group_lanes, units.engine.act_bits
    equal = np.full((1, 1023, lanes), -32767)
    peak = equal.copy()
    peak[0, 500] = 32767
    near = np.random.default_rng(1).integers(-900, 1, equal.shape)
    check(units, [(equal, 8, bits, shift), (peak, 12, bits, shift), (near, 10, bits, shift)])


def test_every_distance(units: Driver) -> None:
    """Two keys, the second any distance below the first, in steps that reach every halving."""
    lanes = units.engine.group_lanes
    distances = np.unique(np.concatenate([np.arange(3000), np.arange(0, 65535, 17), [65534]]))
    slots = min(-(-len(distances) // lanes), 1023)
    padded = np.resize(distances, (slots, lanes))
    scores = np.stack([np.full_like(padded, 32767), 32767 - padded], axis=1)
    bits = units.engine.act_bits
    check(units, [(scores, 8, bits, 0), (scores, 12, bits, 0), (scores, 10, bits, 7)])


def test_extremes(units: Driver) -> None:
    rng = np.random.default_rng(2)
    scores = rng.choice([-32767, 32767], (4, 9, units.engine.group_lanes))
    check(units, [(scores, fraction, 4, shift) for fraction in (8, 12) for shift in (0, 7)])


def test_every_exponential(driver: Callable[..., Driver]) -> None:
    units = driver("units", "12")
    output = units.run(EXPONENTIAL)
    found = output.take(MAX_DISTANCE + 1)
    output.finish()
    np.testing.assert_array_equal(found, exponential(np.arange(MAX_DISTANCE + 1), 14))


def test_reciprocals(units: Driver) -> None:
    """The range of sums: from the one term of a maximum to 1,023 of them."""
    rng = np.random.default_rng(3)
    lowest, highest = 16389, 1023 * 16389
    sums = rng.integers(lowest, highest + 1, (50, units.engine.group_lanes))
    sums[0], sums[1], sums[2], sums[3] = lowest, highest, 1 << 15, (1 << 23) + 1
    output = units.run(RECIPROCAL, len(sums), sums)
    found = output.stream(units.engine.group_lanes)
    output.finish()
    np.testing.assert_array_equal(found, (1 << 38) // sums)
