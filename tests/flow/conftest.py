"""The command line in this process, and a model that builds in a moment."""

import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from vitgen import cli

TINY = """
name = "tiny"
image = 8
patch = 2
channels = 1
classes = 10
embed_dim = 16
depth = 1
heads = 2
mlp_ratio = 2.0
mean = [0.5]
std = [0.5]
"""


class Said(NamedTuple):
    """What a command left: exit status, standard output and standard error."""

    status: int
    out: str
    err: str


@pytest.fixture
def vitgen(capsys, monkeypatch):
    """Run ``vitgen ARGUMENTS`` here; a traceback is a failure of the test."""

    def run(*arguments) -> Said:
        monkeypatch.setattr(sys, "argv", ["vitgen", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        assert isinstance(leaving.value.code, int)
        return Said(leaving.value.code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """Config file of a model of digits with one small block."""
    path = tmp_path_factory.mktemp("model") / "tiny.toml"
    path.write_text(TINY)
    return path


def files_of(directory: Path) -> dict[str, bytes]:
    """Content of every file that the manifest names, and of the manifest."""
    return {
        str(p.relative_to(directory)): p.read_bytes()
        for p in sorted(directory.rglob("*"))
        if p.is_file() and p.name not in (".lock", "state.json")
    }
