"""The multiplier array, both forms, against plain matrix products."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.hls.conftest import SHAPES
from tests.support.cpp import Driver, Output, row_words
from vitgen.arith import pot_code
from vitgen.design.engine import Engine

Int = NDArray[np.int64]

POT_VALUES = np.array([0, 1, 2, 4, 8, 16, 32, 64, -1, -2, -4, -8, -16, -32, -64])


class Command:
    """A command with random (or extreme) operands, and what it must give.

    Fixed weights and power-of-two weights are ``(tiles, k, rows)``, activations ``(tiles, k, lanes)``.
    """

    def __init__(
        self,
        engine: Engine,
        rng: np.random.Generator,
        tiles: int,
        k: int,
        wide: bool,
        fixed_rows: int | None = None,
        pot_rows: int | None = None,
        extreme: str = "",
    ) -> None:
        self.engine, self.tiles, self.k, self.wide = engine, tiles, k, wide
        most = engine.fixed_rows(8 if wide else 4)
        self.fixed_rows = most if fixed_rows is None else fixed_rows
        self.pot_rows = engine.pot_rows if pot_rows is None else pot_rows
        limit = 127 if wide else 7
        act_limit = (1 << (engine.act_bits - 1)) - 1
        weights = rng.integers(-limit, limit + 1, (tiles, k, most))
        acts = rng.integers(-act_limit, act_limit + 1, (tiles, k, engine.group_lanes))
        pots = rng.choice(POT_VALUES, (tiles, k, engine.pot_rows))
        if extreme:
            sign = 1 if extreme == "highest" else -1
            weights[...], acts[...], pots[...] = limit, sign * act_limit, 64
            # Neighbouring rows of opposite sign: the lower sum borrows from the upper.
            weights[:, :, 1::2] = -limit
        self.weights, self.acts, self.pots = weights, acts, pots

    def words(self) -> Int:
        """Row words; rows that are not in use hold values all the same."""
        bits, base = (8 if self.wide else 4), 4 * self.engine.pot_rows
        codes = pot_code(self.pots)
        found = []
        for tile in range(self.tiles):
            for k in range(self.k):
                word = sum(int(c) << (4 * row) for row, c in enumerate(codes[tile, k]))
                for row, weight in enumerate(self.weights[tile, k]):
                    word |= (int(weight) & ((1 << bits) - 1)) << (base + bits * row)
                found.append(word)
        return row_words(found, self.engine.row_word_bits)

    def values(self) -> list[Int]:
        numbers = [self.tiles, self.k, int(self.wide), self.fixed_rows, self.pot_rows]
        return [np.array(numbers), self.words(), self.acts]

    def expected(self) -> Int:
        rows = np.concatenate(
            [self.weights[:, :, : self.fixed_rows], self.pots[:, :, : self.pot_rows]], axis=2
        )
        sums = np.einsum("tkr,tkl->trl", rows, self.acts)
        return sums.reshape(-1, self.engine.group_lanes)


def check(driver: Driver, commands: list[Command]) -> None:
    output: Output = driver.run(len(commands), *[v for c in commands for v in c.values()])
    found = output.stream(driver.engine.group_lanes)
    output.finish()
    np.testing.assert_array_equal(found, np.concatenate([c.expected() for c in commands]))


@pytest.fixture(params=[(s, a) for s in SHAPES for a in ("dsp48", "hls")], ids="-".join)
def array(request: pytest.FixtureRequest, driver: Callable[..., Driver]) -> Driver:
    shape, form = request.param
    return driver("array", shape, form)


def test_compiles_without_warnings(array: Driver) -> None:
    assert array.warnings == ""


def test_commands_in_a_row(array: Driver) -> None:
    """Modes alternate; k below, at and above a block of the model; k below the number of rows."""
    rng = np.random.default_rng(1)
    shapes = [(2, 1, False), (1, 3, True), (3, 64, False), (2, 65, True), (1, 130, False),
              (5, 2, True), (1, 63, False), (1, 200, False)]  # fmt: skip
    check(array, [Command(array.engine, rng, *shape) for shape in shapes])


def test_part_of_the_rows(array: Driver) -> None:
    rng, engine = np.random.default_rng(2), array.engine
    cases = []
    for wide in (False, True):
        most = engine.fixed_rows(8 if wide else 4)
        for fixed in {1, most // 2, most - 1, most}:
            for pot in {0, engine.pot_rows // 2, engine.pot_rows}:
                cases.append(Command(engine, rng, 2, 5, wide, fixed, pot))
    cases.append(Command(engine, rng, 2, 9, False, 0, engine.pot_rows))
    check(array, [case for case in cases if case.fixed_rows + case.pot_rows])


@pytest.mark.parametrize("extreme", ["highest", "lowest"])
@pytest.mark.parametrize("wide", [False, True])
def test_extremes(array: Driver, wide: bool, extreme: str) -> None:
    rng = np.random.default_rng(3)
    check(array, [Command(array.engine, rng, 2, 200, wide, extreme=extreme)])


@pytest.mark.parametrize("seed", range(4))
def test_random(array: Driver, seed: int) -> None:
    rng = np.random.default_rng([4, seed])
    commands = []
    for _ in range(6):
        wide, tiles, k = bool(rng.integers(2)), int(rng.integers(1, 4)), int(rng.integers(1, 40))
        fixed = int(rng.integers(1, array.engine.fixed_rows(8 if wide else 4) + 1))
        pot = int(rng.integers(0, array.engine.pot_rows + 1))
        commands.append(Command(array.engine, rng, tiles, k, wide, fixed, pot))
    check(array, commands)


def test_negative_high_nibble(array: Driver) -> None:
    """-128, the one code that quantized weights never use: keys and values in between may."""
    command = Command(array.engine, np.random.default_rng(6), 1, 9, True)
    command.weights[...] = -128
    check(array, [command])
