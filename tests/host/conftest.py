"""A build and its package, imported from where it was emitted; a device of its own for each test."""

import importlib
import itertools
import shutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.host.build import PACKAGE, Built, bitstream_of, design_of, emit, graph_of
from tests.host.fake import FakeDevice

_tags = itertools.count()


def import_package(host: Path, name: str = PACKAGE) -> ModuleType:
    """The package in ``host``, in the place of one of the same name."""
    for module in [m for m in sys.modules if m == name or m.startswith(f"{name}.")]:
        del sys.modules[module]
    sys.path.insert(0, str(host))
    importlib.invalidate_caches()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pynq finds no board
            return importlib.import_module(name)
    finally:
        sys.path.remove(str(host))


@pytest.fixture(scope="session")
def emitted(tmp_path_factory: pytest.TempPathFactory) -> Built:
    graph = graph_of()
    built = emit(graph, design_of(graph), tmp_path_factory.mktemp("host") / "build")
    bitstream_of(built)
    return built


@pytest.fixture
def built(emitted: Built, tmp_path: Path) -> Built:
    """A copy to damage."""
    path = tmp_path / "build"
    shutil.copytree(emitted.path, path)
    return Built(path, emitted.graph, emitted.engine, emitted.program)


@pytest.fixture
def driver(built: Built, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.delenv("VITGEN_BITFILE", raising=False)
    monkeypatch.delenv("VITGEN_TIMEOUT", raising=False)
    package = import_package(built.host)
    monkeypatch.setattr(package.lock, "FOLDERS", (built.path,))
    return package


@pytest.fixture
def device(built: Built, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDevice]:
    """The active device."""
    import pynq

    found = FakeDevice(built, f"fake {next(_tags)}")
    monkeypatch.setattr(type(pynq.Device), "_active_device", found, raising=False)
    pynq.Device.active_device = found
    yield found
    found.halted.set()
