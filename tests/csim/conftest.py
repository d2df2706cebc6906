"""One compilation of the test accelerators for all tests of this directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.csim.programs import STREAMS
from vitgen.csim import Built, Library, compile_library


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("csim")


@pytest.fixture(scope="session")
def built(cache: Path) -> Built:
    return compile_library({"top.cpp": STREAMS}, cache=cache)


@pytest.fixture
def library(built: Built, tmp_path: Path) -> Iterator[Library]:
    """A library with a state of its own: a second file is a second library to the loader."""
    copy = tmp_path / "library.so"
    copy.write_bytes(built.path.read_bytes())
    yield Library(copy)
