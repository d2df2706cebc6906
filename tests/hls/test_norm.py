"""LayerNorm against vitgen.arith."""

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.cpp import Driver
from vitgen.arith import layernorm, reciprocal_sqrt

Int = NDArray[np.int64]

NORM, ROOT = 4, 5


class Command:
    """A command: words ``(slots, features, lanes)`` and a record for each of them."""

    def __init__(self, driver: Driver, rng: np.random.Generator, words: Int, epsilon: int,
                 shift: int) -> None:  # fmt: skip
        self.words, self.epsilon, self.shift = words, epsilon, shift
        self.bits = int(rng.integers(4, driver.engine.act_bits + 1))
        features = words.shape[1]
        spread = int(rng.choice([40, 4000, (1 << 17) - 1]))
        self.gain = rng.integers(-spread, spread + 1, features)
        self.bias = rng.integers(-(1 << 31) + 1, 1 << 31, features) >> int(rng.integers(0, 20))
        self.address = rng.integers(0, 1 << 16, words.shape[:2])

    def values(self) -> list[Int]:
        slots, features, _ = self.words.shape
        head = np.array([slots, features, self.epsilon, self.shift, self.bits])
        shape = (slots, features)
        records = np.stack(
            [
                np.broadcast_to(self.bias, shape),
                np.broadcast_to(self.gain, shape),
                self.address,
                np.ones(shape, dtype=np.int64),
                np.zeros(shape, dtype=np.int64),
            ],
            axis=2,
        )
        return [head, np.concatenate([self.words, records], axis=2)]

    def expected(self) -> Int:
        tokens = self.words.transpose(0, 2, 1)
        result = layernorm(tokens, self.epsilon, self.gain, self.bias, self.shift, self.bits)
        tagged = np.concatenate([self.address[:, :, None], result.transpose(0, 2, 1)], axis=2)
        return tagged.reshape(-1, tagged.shape[2])


def check(driver: Driver, commands: list[Command]) -> None:
    output = driver.run(NORM, len(commands), *[v for c in commands for v in c.values()])
    found = output.stream(driver.engine.group_lanes + 1)
    output.finish()
    np.testing.assert_array_equal(found, np.concatenate([c.expected() for c in commands]))


@pytest.mark.parametrize("spread", [1, 200, 32767])
def test_commands_in_a_row(units: Driver, spread: int) -> None:
    rng = np.random.default_rng(spread)
    lanes = units.engine.group_lanes
    commands = []
    for slots, features in [(1, 1), (4, 1), (1, 2), (3, 5), (2, 64), (1, 192), (6, 3)]:
        words = rng.integers(-spread, spread + 1, (slots, features, lanes))
        epsilon = int(rng.choice([1, 77, 1 << 20]))
        commands.append(Command(units, rng, words, epsilon, int(rng.integers(1, 25))))
    check(units, commands)


def test_equal_rows(units: Driver) -> None:
    """No variance at all: epsilon alone keeps the root from zero."""
    rng = np.random.default_rng(1)
    lanes = units.engine.group_lanes
    commands = []
    for value in (-32767, 0, 32767):
        for epsilon in (1, 2, 3, 1 << 30):
            words = np.full((2, 48, lanes), value)
            commands.append(Command(units, rng, words, epsilon, 11))
    check(units, commands)


@pytest.mark.parametrize("shift", [1, 24])
def test_extremes(units: Driver, shift: int) -> None:
    """1,024 features: half of them at each end (the largest variance), and one alone (the largest
    normalized value)."""
    rng = np.random.default_rng(2)
    lanes = units.engine.group_lanes
    halves = np.full((1, 1024, lanes), 32767)
    halves[:, ::2] = -32767
    alone = np.full((1, 1024, lanes), -32767)
    alone[:, 8] = 32767
    faint = np.zeros((1, 1024, lanes), dtype=np.int64)
    faint[:, 1000] = 1
    commands = [
        Command(units, rng, words, 1, shift)
        for words in (halves, alone, -alone, faint, -faint)
        for _ in range(3)
    ]
    for command, gain in zip(commands, [(1 << 17) - 1, -(1 << 17) + 1, 300] * 5, strict=True):
        # No bias that hides the sign of a value, and one that nearly fills its 32 bits.
        command.gain[:], command.bias[:] = gain, 0
        command.bias[1::2] = rng.choice([-(1 << 31) + 1, (1 << 31) - 1], 512)
    check(units, commands)


def test_roots(units: Driver) -> None:
    """Every bit length of a variance: its powers of two, their neighbours, squares, random ones."""
    rng = np.random.default_rng(3)
    lanes = units.engine.group_lanes
    powers = [1 << bit for bit in range(50)]
    squares = [int(x) ** 2 for x in rng.integers(1, 1 << 25, 50)]
    random = [int(rng.integers(1 << bit, 2 << bit)) for bit in range(50) for _ in range(4)]
    chosen = [*powers, *squares, *random]
    chosen += [v + d for v in (*powers, *squares) for d in (-1, 1)]
    variances = np.array([v for v in chosen if 1 <= v < 1 << 50])
    slots = -(-len(variances) // lanes)
    variances = np.resize(variances, (slots, lanes))
    output = units.run(ROOT, slots, variances)
    found = output.stream(lanes, 3)
    output.finish()
    reciprocal, half = reciprocal_sqrt(variances)
    np.testing.assert_array_equal(found[:, :, 0], np.broadcast_to(np.arange(lanes) - 1, half.shape))
    np.testing.assert_array_equal(found[:, :, 1], half)
    np.testing.assert_array_equal(found[:, :, 2], reciprocal)
