"""The power-of-two code: every code, every value, and what has none."""

import numpy as np
import pytest

from vitgen.arith import pot_code, pot_value
from vitgen.errors import VitgenError

VALUES = [0, *(sign * 2**c for c in range(7) for sign in (1, -1))]


def test_every_code_means_what_the_specification_says() -> None:
    expected = [0] + [2**c for c in range(7)] + [0] + [-(2**c) for c in range(7)]
    assert pot_value(np.arange(16)).tolist() == expected


def test_round_trip_and_no_negative_zero() -> None:
    codes = pot_code(np.array(VALUES))
    assert pot_value(codes).tolist() == VALUES
    assert sorted(codes.tolist()) == [c for c in range(16) if c != 8]


def test_shapes_and_types() -> None:
    square = np.array(VALUES[:4], dtype=np.int8).reshape(2, 2)
    assert pot_code(square).shape == (2, 2)
    assert pot_code(np.zeros((0, 3), dtype=np.int8)).shape == (0, 3)


@pytest.mark.parametrize("value", [v for v in range(-128, 128) if v not in VALUES])
def test_every_other_int8_is_refused(value: int) -> None:
    with pytest.raises(VitgenError, match=f"Weight {value} is not a power of two"):
        pot_code(np.array([1, value, 3], dtype=np.int8))
