"""Requantizer and GELU against vitgen.arith."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.cpp import Driver
from vitgen.arith import gelu, requant
from vitgen.design.isa import Route

Int = NDArray[np.int64]

REQUANTIZE, GELU = 0, 1
ACC_LIMIT = (1 << 26) - 1
BANKS = (Route.ACT, Route.KEY, Route.VALUE)
TAGGED = (*BANKS, Route.GELU, Route.RESIDUAL)


class Words:
    """A requantizer command: accumulators ``(words, lanes)``, a record a word."""

    def __init__(self, driver: Driver, rng: np.random.Generator, words: int, shift: int,
                 route: Route, kind: str = "any") -> None:  # fmt: skip
        self.shift, self.route = shift, route
        act_bits, lanes = driver.engine.act_bits, driver.engine.group_lanes
        self.bits = int(rng.integers(4, act_bits + 1)) if route in BANKS else 16
        total = rng.integers(-ACC_LIMIT, ACC_LIMIT + 1, (words, lanes))
        if kind == "extreme":
            total = rng.choice(
                [-ACC_LIMIT, -ACC_LIMIT + 1, 0, ACC_LIMIT - 1, ACC_LIMIT], total.shape
            )
        elif kind == "small":
            total = rng.integers(-300, 301, total.shape)
        self.total = total
        # A sum alone may leave 27 bits where its bias brings it back: the accumulator wraps.
        self.bias = rng.integers(-(1 << 20), 1 << 20, words)
        self.acc = total - self.bias[:, None]
        self.mult = rng.integers(0, 1 << 17, words)
        if kind == "extreme":
            self.mult = rng.choice([0, 1, (1 << 17) - 1], words)
        self.address = rng.integers(0, 1 << 16, words)
        self.keep = rng.integers(0, 2, words)
        self.relu = int(rng.integers(0, 2))
        self.gate = (rng.random(words) < 0.2).astype(np.int64)

    def values(self) -> list[Int]:
        head = np.array([len(self.acc), self.shift, self.bits, self.relu, self.route])
        records = np.stack([self.bias, self.mult, self.address, self.keep, self.gate], axis=1)
        return [head, np.concatenate([self.acc, records], axis=1)]

    def expected(self) -> Int:
        """``(kept, lanes)``, behind the address where the route has one."""
        values = requant(self.total, self.mult[:, None], self.shift, self.bits)
        if self.relu:
            values = np.maximum(values, 0)
        opened = np.ones(values.shape[1], dtype=bool)
        for row, gate in enumerate(self.gate):
            if gate:
                opened = self.total[row] > 0
                values[row] = 1
            values[row, ~opened] = 0
        if self.route in TAGGED:
            values = np.concatenate([self.address[:, None], values], axis=1)
        return values[self.keep == 1]


def check_requantizer(driver: Driver, commands: list[Words]) -> None:
    lanes = driver.engine.group_lanes
    output = driver.run(REQUANTIZE, len(commands), *[v for c in commands for v in c.values()])
    for route in Route:
        width = lanes + (route in TAGGED)
        found = output.stream(width)
        wanted = [c.expected() for c in commands if c.route is route]
        np.testing.assert_array_equal(found, np.concatenate([np.zeros((0, width)), *wanted]))
    output.finish()


def test_compiles_without_warnings(units: Driver) -> None:
    assert units.warnings == ""


@pytest.mark.parametrize("kind", ["any", "extreme", "small"])
def test_every_route_in_a_row(units: Driver, kind: str) -> None:
    rng = np.random.default_rng(1)
    shifts = [1, 2, 7, 17, 24, 33, 39, 40]
    check_requantizer(
        units,
        [
            Words(units, rng, int(rng.integers(1, 12)), shift, route, kind)
            for route in Route
            for shift in shifts
        ],
    )


def test_all_rows_dropped(units: Driver) -> None:
    rng = np.random.default_rng(2)
    words = Words(units, rng, 5, 8, Route.ACT)
    words.keep[:] = 0
    check_requantizer(units, [words, Words(units, rng, 1, 8, Route.ACT)])


def gelu_case(
    driver: Driver, inputs: Int, fraction: int, delta: int, mult: int, shift: int, bits: int
) -> tuple[list[Int], Int]:
    """Values of a command and its output words; the inputs fill up with zeros."""
    lanes = driver.engine.group_lanes
    padded = np.concatenate([inputs, np.zeros(-len(inputs) % lanes, dtype=np.int64)])
    words = padded.reshape(-1, lanes)
    address = np.arange(len(words))[:, None] % (1 << 16)
    head = np.array([len(words), fraction, delta, mult, shift, bits])
    expected = gelu(words, fraction, delta, mult, shift, bits)
    return [head, np.concatenate([address, words], axis=1)], np.concatenate(
        [address, expected], axis=1
    )


def check_gelu(driver: Driver, cases: list[tuple[list[Int], Int]]) -> None:
    output = driver.run(GELU, len(cases), *[value for values, _ in cases for value in values])
    found = output.stream(driver.engine.group_lanes + 1)
    output.finish()
    np.testing.assert_array_equal(found, np.concatenate([expected for _, expected in cases]))


@pytest.mark.parametrize("fraction", [8, 9, 10, 11, 12])
def test_gelu_of_every_input(driver: Callable[..., Driver], fraction: int) -> None:
    """All of 16 bits, at output scales from that of the whole range to that of ``g`` itself, where
    only the values near zero and the negative tail do not saturate."""
    units = driver("units", "12")
    inputs = np.arange(-(1 << 15), 1 << 15)
    check_gelu(
        units,
        [
            gelu_case(units, inputs, fraction, 256, 80000, shift, 8)
            for shift in range(17, fraction + 13, 2)
        ],
    )


def test_gelu_parameters(units: Driver) -> None:
    rng = np.random.default_rng(3)
    cases = []
    for fraction in (8, 9, 10, 11, 12):
        for delta in (0, 1, 128, 255, 256):
            for mult, shift in ((1, 1), ((1 << 17) - 1, 40), (90000, 17 + fraction)):
                inputs = rng.integers(-(1 << 15) + 1, 1 << 15, 50)
                inputs[:6] = [0, 1, -1, (1 << 15) - 1, -(1 << 15) + 1, 640]
                bits = int(rng.integers(4, units.engine.act_bits + 1))
                cases.append(gelu_case(units, inputs, fraction, delta, mult, shift, bits))
    check_gelu(units, cases)
