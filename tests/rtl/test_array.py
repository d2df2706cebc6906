"""The Verilog of the multiplier array against plain integer matrix products."""

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.rtl.simulation import Simulation, make_engine, random_command
from vitgen.design.engine import Engine

# Name: engine, chains. One chain; power-of-two rows; chains of unequal length with narrow
# activations and many power-of-two rows; a tile of one entry; four rows a DSP with their widest
# activations; a long chain of each kind.
SHAPES: dict[str, tuple[Engine, int | None]] = {
    "3x4": (make_engine(3, 4, 0), None),
    "5x3+4": (make_engine(5, 3, 4), None),
    "4x7+11": (make_engine(4, 7, 11, act_bits=5), 3),
    "1x2+1": (make_engine(1, 2, 1, act_bits=4), 2),
    "3x5+2": (make_engine(3, 5, 2, act_bits=6), 2),
    "2x14": (make_engine(2, 14, 0, act_bits=6), 1),
    "1x16": (make_engine(1, 16, 0), 1),
}


@pytest.fixture(scope="session")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Simulation]:
    @functools.cache
    def compiled(name: str) -> Simulation:
        directory: Path = tmp_path_factory.mktemp("array")
        return Simulation(SHAPES[name][0], directory, SHAPES[name][1])

    return compiled


@pytest.fixture(params=list(SHAPES))
def array(request: pytest.FixtureRequest, simulation: Callable[[str], Simulation]) -> Simulation:
    return simulation(request.param)


@pytest.mark.parametrize("values", ["lowest", "highest", "mixed", "random"])
@pytest.mark.parametrize("wide", [False, True])
def test_extremes(array: Simulation, wide: bool, values: str) -> None:
    rng = np.random.default_rng(1)
    array.check([random_command(array.engine, rng, 3, 300, wide, values=values)])


def test_every_k(array: Simulation) -> None:
    """Modes alternate from command to command, so do short and long products."""
    rng = np.random.default_rng(2)
    lengths = [*range(1, 41), 64, 1, 127, 2, 300, 1, 1, 3]
    array.check(
        [random_command(array.engine, rng, 3, k, bool(i % 2)) for i, k in enumerate(lengths)]
    )


@pytest.mark.parametrize("k", [1, 2, 7])
def test_part_of_the_rows(array: Simulation, k: int) -> None:
    rng, engine = np.random.default_rng(3), array.engine
    commands = []
    for wide in (False, True):
        for fixed in range(engine.fixed_rows(8 if wide else 4) + 1):
            for pot in {0, 1, engine.pot_rows // 2, engine.pot_rows}:
                if pot <= engine.pot_rows and fixed + pot:
                    commands.append(random_command(engine, rng, 3, k, wide, fixed, pot))
    rng.shuffle(commands)
    array.check(commands)


STALLS = [(0, 0, 0, 0), (0, 50, 50, 0), (0, 0, 0, 80), (90, 10, 10, 10), (50, 50, 50, 50),
          (0, 95, 0, 95), (20, 0, 95, 30)]  # fmt: skip


@pytest.mark.parametrize("stalls", STALLS, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_random(array: Simulation, seed: int, stalls: tuple[int, int, int, int]) -> None:
    rng = np.random.default_rng([4, seed])
    commands = []
    for _ in range(25):
        wide, tiles, k = bool(rng.integers(2)), int(rng.integers(1, 6)), int(rng.integers(1, 30))
        fixed = int(rng.integers(1, array.engine.fixed_rows(8 if wide else 4) + 1))
        pot = int(rng.integers(0, array.engine.pot_rows + 1))
        values = ("random", "mixed")[int(rng.integers(2))]
        commands.append(random_command(array.engine, rng, tiles, k, wide, fixed, pot, values))
    array.check(commands, seed, stalls)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("k", [1, 5, 20, 64])
def test_cycles_of_a_tile(array: Simulation, k: int, wide: bool) -> None:
    """``max(k + entries - 1, rows)``; where there are power-of-two rows, at least ``k + 1``."""
    engine, rng = array.engine, np.random.default_rng(5)
    command = random_command(engine, rng, 12, k, wide)
    cycles = array.check([command]).reshape(12, -1)[:, -1]
    chains = next(chains for e, chains in SHAPES.values() if e is engine) or 1
    drain = max(-(-engine.dsp_rows // chains) - 1, 1 if engine.pot_rows else 0)
    rows = command.fixed_rows + command.pot_rows
    assert np.diff(cycles)[6:].tolist() == [max(k + drain, rows)] * 5
