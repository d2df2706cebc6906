"""Drivers of the operand processes, compiled once per engine."""

import pytest

from tests.emit.engines import NAMES, make
from tests.support.cpp import Driver


@pytest.fixture(scope="session", params=NAMES)
def operands(request, tmp_path_factory):
    """The operand processes, for every engine."""
    cache = tmp_path_factory.getbasetemp().parent / "vitgen-emit-drivers"
    return Driver(make(request.param), "operands", cache)
