"""Few compiled engines for many cases: shapes are commands."""

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cpp import Driver
from vitgen.design.engine import Engine

# Divisors of the lanes everywhere, odd lanes without power-of-two rows, the widest group (whose
# activations straddle the 64-bit limbs of the array's model), a single lane.
SHAPES: dict[str, dict[str, int]] = {
    "12": dict(group_lanes=12, groups=2, dsp_rows=13, pot_rows=5, act_bits=8, requant_lanes=4,
               gelu_lanes=3, softmax_lanes=6, norm_lanes=2),
    "7": dict(group_lanes=7, groups=3, dsp_rows=9, pot_rows=0, act_bits=5, requant_lanes=1,
              gelu_lanes=7, softmax_lanes=1, norm_lanes=7),
    "37": dict(group_lanes=37, groups=1, dsp_rows=37, pot_rows=2, act_bits=6, requant_lanes=37,
               gelu_lanes=1, softmax_lanes=37, norm_lanes=1),
    "1": dict(group_lanes=1, groups=4, dsp_rows=2, pot_rows=3, act_bits=4, requant_lanes=1,
              gelu_lanes=1, softmax_lanes=1, norm_lanes=1),
}  # fmt: skip

# The widest that the C++ array may be: 256 multipliers in a process.
WIDEST_HLS = dict(group_lanes=16, dsp_rows=16, requant_lanes=16, softmax_lanes=16)


def make_engine(shape: str, array: str = "dsp48") -> Engine:
    """The engine of a shape; the widest shape is narrower in the C++ form of the array."""
    changes = WIDEST_HLS if (shape, array) == ("37", "hls") else {}
    return Engine(
        array=array, weight_ports=1, weight_fifo=16, max_k=200, replay_depth=200, max_tokens=1023, max_features=1024,
        max_head_dim=64, residual_depth=200, act_depth=150, prob_depth=130, key_depth=90,
        value_depth=70, **(SHAPES[shape] | changes),
    )  # fmt: skip


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Driver]:
    """``driver(name, shape, array="dsp48", sanitized=False)``, compiled once."""
    cache: Path = tmp_path_factory.getbasetemp().parent / "vitgen-hls-drivers"

    @functools.cache
    def compiled(name: str, shape: str, array: str = "dsp48", sanitized: bool = False) -> Driver:
        return Driver(make_engine(shape, array), name, cache, sanitized)

    return compiled


@pytest.fixture(params=list(SHAPES))
def units(request: pytest.FixtureRequest, driver: Callable[..., Driver]) -> Driver:
    """The processes of a token group, for every shape."""
    return driver("units", request.param)
