"""A build to export, made once."""

from pathlib import Path

import pytest

from tests.flow.conftest import TINY, tiny, vitgen
from vitgen.flow.build import build
from vitgen.flow.request import BuildRequest

__all__ = ["tiny", "vitgen"]


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    """Directory of a finished build of a small model with rows of all three kinds."""
    root = tmp_path_factory.mktemp("built")
    (root / "tiny.toml").write_text(TINY)
    build(BuildRequest(model=str(root / "tiny.toml"), bits="4+8/8"), root / "build")
    return root / "build"
