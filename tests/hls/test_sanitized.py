"""Every process once under the address and undefined behaviour sanitizers."""

from collections.abc import Callable

import numpy as np
import pytest

from tests.hls import test_array, test_banks, test_norm, test_requant, test_softmax
from tests.support.cpp import Driver


@pytest.mark.parametrize("form", ["dsp48", "hls"])
def test_array_form(driver: Callable[..., Driver], form: str) -> None:
    array = driver("array", "12", form, sanitized=True)
    rng = np.random.default_rng(5)
    commands = [test_array.Command(array.engine, rng, 2, 66, wide) for wide in (False, True)]
    commands.append(test_array.Command(array.engine, rng, 1, 200, True, extreme="lowest"))
    test_array.check(array, commands)


@pytest.fixture(scope="module")
def sanitized_units(driver: Callable[..., Driver]) -> Driver:
    return driver("units", "12", sanitized=True)


def test_units(sanitized_units: Driver) -> None:
    units = sanitized_units
    test_requant.test_every_route_in_a_row(units, "extreme")
    test_requant.test_gelu_parameters(units)
    test_softmax.test_extremes(units)
    test_softmax.test_reciprocals(units)
    test_norm.test_equal_rows(units)
    test_norm.test_extremes(units, 24)
    test_norm.test_roots(units)
    test_banks.test_residual(units)
    test_banks.test_act_write(units)
    test_banks.test_bank_write(units, [30, 1, 90])
    test_banks.test_prob_write(units)
