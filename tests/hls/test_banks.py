"""The processes that write the banks, against arrays."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.cpp import Driver

Int = NDArray[np.int64]

RESIDUAL, ACT_WRITE, BANK_WRITE, PROB_WRITE = 6, 7, 8, 9
SLOT_SETTLE = 4


def tagged(rng: np.random.Generator, addresses: Int, lanes: int, limit: int) -> Int:
    """Words of random lanes behind their addresses."""
    words = rng.integers(-limit, limit + 1, (len(addresses), lanes))
    return np.concatenate([addresses[:, None], words], axis=1)


def test_residual(units: Driver) -> None:
    """Load, add twice (out of order, saturating), send slots that nothing is added to and slots whose
    last words are added before each, and again."""
    rng, engine = np.random.default_rng(1), units.engine
    lanes, depth = engine.group_lanes, engine.residual_depth
    bank = np.zeros((depth, lanes), dtype=np.int64)
    values: list[Int] = []
    sent: list[Int] = []
    commands = 0
    for _ in range(3):
        words = tagged(rng, rng.permutation(depth)[:90], lanes, 32767)
        bank[words[:, 0]] = words[:, 1:]
        values += [np.array([1, len(words), 0, 0, 0, 0, 0, len(words)]), words]
        for limit in (300, 32767):
            words = tagged(rng, rng.permutation(depth), lanes, limit)
            bank[words[:, 0]] = np.clip(bank[words[:, 0]] + words[:, 1:], -32767, 32767)
            values += [np.array([0, len(words), 0, 0, 0, 0, 0, len(words)]), words]
        for base, stride, slots, features, head, rows in (
            (0, 40, 5, 40, 0, 0), (11, 50, 3, 30, 0, 0), (199, 1, 1, 1, 0, 0),
            (0, 40, 5, 40, 70, 7), (3, 60, 3, 60, 0, 60), (11, 50, 3, 30, 1, 1),
        ):  # fmt: skip
            before = tagged(rng, rng.permutation(depth)[:head], lanes, 900)
            bank[before[:, 0]] = np.clip(bank[before[:, 0]] + before[:, 1:], -32767, 32767)
            incoming = [before]
            for slot in range(slots):
                first = base + slot * stride
                words = tagged(rng, first + rng.permutation(features)[:rows], lanes, 900)
                bank[words[:, 0]] = np.clip(bank[words[:, 0]] + words[:, 1:], -32767, 32767)
                incoming.append(words)
                sent.append(bank[first : first + features].copy())
            taken = head + slots * rows
            values.append(np.array([0, head, slots, rows, base, stride, features, taken]))
            values += incoming
        commands += 9
    output = units.run(RESIDUAL, commands, *values)
    np.testing.assert_array_equal(output.take(depth, lanes), bank)
    np.testing.assert_array_equal(output.stream(lanes), np.concatenate(sent))
    np.testing.assert_array_equal(output.stream(), np.ones(commands))
    output.finish()


def test_act_write(units: Driver) -> None:
    """Every source in turn; a later word at an address wins. Slots are reported where asked for."""
    rng, engine = np.random.default_rng(2), units.engine
    lanes, limit = engine.group_lanes, (1 << (engine.act_bits - 1)) - 1
    bank = np.zeros((engine.act_depth, lanes), dtype=np.int64)
    values: list[Int] = []
    reports = 0
    for source, features in ((0, 0), (1, 0), (2, 0), (3, 0), (2, 7), (0, 0), (2, 1), (3, 0)):
        slots = 5 if features else 0
        size = features * slots or 1 + 9 * source
        words = tagged(rng, rng.integers(0, engine.act_depth, size), lanes, limit)
        for address, *word in words:
            bank[address] = word
        beats = size + slots * SLOT_SETTLE
        reports += slots
        values += [np.array([source, beats, features, size]), words]
    output = units.run(ACT_WRITE, 8, *values)
    np.testing.assert_array_equal(output.take(1), [reports])
    np.testing.assert_array_equal(output.take(engine.act_depth, lanes), bank)
    np.testing.assert_array_equal(output.stream(), np.ones(8))
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
