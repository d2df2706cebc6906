"""Drivers of the operand processes and of dispatch, compiled once per engine."""

import functools

import pytest

from tests.emit.engines import NAMES, make
from tests.support.cpp import Driver


@pytest.fixture(scope="session")
def drivers(tmp_path_factory):
    """``drivers(name, sanitized=False)``: the operand processes of an engine."""
    cache = tmp_path_factory.getbasetemp().parent / "vitgen-emit-drivers"

    @functools.cache
    def compiled(name, sanitized=False):
        return Driver(make(name), "operands", cache, sanitized)

    return compiled


@pytest.fixture(params=[*NAMES, "a-sanitized"])
def operands(request, drivers):
    """The operand processes, for every engine; for one also under the sanitizers."""
    name, _, sanitized = request.param.partition("-")
    return drivers(name, bool(sanitized))
