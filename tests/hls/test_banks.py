"""The processes that write the banks, against arrays."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.cpp import Driver

Int = NDArray[np.int64]

RESIDUAL, ACT_WRITE, BANK_WRITE, PROB_WRITE = 6, 7, 8, 9
LOAD, ADD, SEND = 0, 1, 2


def tagged(rng: np.random.Generator, addresses: Int, lanes: int, limit: int) -> Int:
    """Words of random lanes behind their addresses."""
    words = rng.integers(-limit, limit + 1, (len(addresses), lanes))
    return np.concatenate([addresses[:, None], words], axis=1)


def test_residual(units: Driver) -> None:
    """Load, add twice (out of order, saturating), send twice, and again."""
    rng, engine = np.random.default_rng(1), units.engine
    lanes, depth = engine.group_lanes, engine.residual_depth
    bank = np.zeros((depth, lanes), dtype=np.int64)
    values: list[Int] = []
    sent: list[Int] = []
    commands = 0
    for _ in range(3):
        words = tagged(rng, rng.permutation(depth)[:90], lanes, 32767)
        bank[words[:, 0]] = words[:, 1:]
        values += [np.array([LOAD, len(words), 0, 0, 0, 0]), words]
        for limit in (300, 32767):
            words = tagged(rng, rng.permutation(depth), lanes, limit)
            bank[words[:, 0]] = np.clip(bank[words[:, 0]] + words[:, 1:], -32767, 32767)
            values += [np.array([ADD, len(words), 0, 0, 0, 0]), words]
        for base, stride, slots, features in ((0, 40, 5, 40), (11, 50, 3, 30), (199, 1, 1, 1)):
            values.append(np.array([SEND, slots * features, base, stride, slots, features]))
            places = base + stride * np.arange(slots)[:, None] + np.arange(features)
            sent.append(bank[places.ravel()])
        commands += 6
    output = units.run(RESIDUAL, commands, *values)
    np.testing.assert_array_equal(output.take(depth, lanes), bank)
    np.testing.assert_array_equal(output.stream(lanes), np.concatenate(sent))
    np.testing.assert_array_equal(output.stream(), np.ones(commands))
    output.finish()


def test_act_write(units: Driver) -> None:
    """Every source in turn; a later word at an address wins."""
    rng, engine = np.random.default_rng(2), units.engine
    lanes, limit = engine.group_lanes, (1 << (engine.act_bits - 1)) - 1
    bank = np.zeros((engine.act_depth, lanes), dtype=np.int64)
    values: list[Int] = []
    for source in (0, 1, 2, 3, 0, 3):
        words = tagged(rng, rng.integers(0, engine.act_depth, 1 + 9 * source), lanes, limit)
        for address, *word in words:
            bank[address] = word
        values += [np.array([source, len(words)]), words]
    output = units.run(ACT_WRITE, 6, *values)
    np.testing.assert_array_equal(output.take(engine.act_depth, lanes), bank)
    np.testing.assert_array_equal(output.stream(), np.ones(6))
    output.finish()


@pytest.mark.parametrize("counts", [[1], [30, 1, 90]])
def test_bank_write(units: Driver, counts: list[int]) -> None:
    rng, engine = np.random.default_rng(3), units.engine
    lanes, limit = engine.group_lanes, (1 << (engine.act_bits - 1)) - 1
    bank = np.zeros((engine.key_depth, lanes), dtype=np.int64)
    values: list[Int] = []
    for count in counts:
        words = tagged(rng, rng.permutation(engine.key_depth)[:count], lanes, limit)
        bank[words[:, 0]] = words[:, 1:]
        values += [np.array([count]), words]
    output = units.run(BANK_WRITE, len(counts), *values)
    np.testing.assert_array_equal(output.take(engine.key_depth, lanes), bank)
    np.testing.assert_array_equal(output.stream(), np.ones(len(counts)))
    output.finish()


def test_prob_write(units: Driver) -> None:
    rng, engine = np.random.default_rng(4), units.engine
    lanes, limit = engine.group_lanes, (1 << (engine.act_bits - 1)) - 1
    bank = np.zeros((engine.prob_depth, lanes), dtype=np.int64)
    values: list[Int] = []
    shapes = [(0, 20, 3, 17), (65, 1, 1, 1), (66, 12, 5, 12), (129, 9, 1, 1)]
    for base, stride, slots, keys in shapes:
        words = rng.integers(0, limit + 1, (slots, keys, lanes))
        for slot in range(slots):
            bank[base + slot * stride : base + slot * stride + keys] = words[slot]
        values += [np.array([base, stride, slots, keys]), words]
    output = units.run(PROB_WRITE, len(shapes), *values)
    np.testing.assert_array_equal(output.take(engine.prob_depth, lanes), bank)
    np.testing.assert_array_equal(output.stream(), np.ones(len(shapes)))
    output.finish()
