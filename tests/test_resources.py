"""Templates and boards are found in a checkout and in an installed wheel."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import vitgen
from vitgen.resources import boards_dir, published_file, templates_dir

ROOT = Path(__file__).resolve().parent.parent


def committed_files(folder: str) -> set[str]:
    """Names of the files under a top-level folder, as the wheel may carry them."""
    return {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_a_checkout_has_them_at_its_root():
    assert templates_dir() == ROOT / "templates"
    assert boards_dir() == ROOT / "boards"
    assert published_file() == ROOT / "benchmarks" / "published.toml"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """A wheel built from this tree, without network: the backend is part of the extra ``dev``."""
    out = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*pip, "--wheel-dir", str(out), str(ROOT)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (path,) = out.glob("*.whl")
    return path


def test_the_wheel_is_named_after_the_version_of_the_package(wheel):
    assert wheel.name == f"vitgen-{vitgen.__version__}-py3-none-any.whl"


def test_the_wheel_carries_templates_boards_and_the_typing_marker(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for folder in ("templates", "boards"):
        carried = {
            name.removeprefix("vitgen/_data/")
            for name in names
            if name.startswith(f"vitgen/_data/{folder}/")
        }
        assert carried == committed_files(folder)
    assert "vitgen/_data/boards/zcu102/board.toml" in names
    assert [n for n in names if "/docs/" in n] == ["vitgen/_data/docs/ir.md"]
    benchmarks = [name for name in names if "benchmarks" in name]
    assert benchmarks == ["vitgen/_data/benchmarks/published.toml"]
    assert "vitgen/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    tops = {name.split("/")[0] for name in names}
    assert tops == {"vitgen", f"vitgen-{vitgen.__version__}.dist-info"}


def test_an_installed_wheel_finds_its_own(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path)
    script = (
        "import json, vitgen.boards, vitgen.resources as r;"
        "print(json.dumps([str(r.templates_dir()), str(r.boards_dir()),"
        " vitgen.boards.load('zcu102').resources.dsp]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    templates, boards, dsp = json.loads(done.stdout)
    # Without a template in the tree the wheel has no such folder: then nothing is to be found.
    if committed_files("templates"):
        assert templates == str(tmp_path / "vitgen/_data/templates")
    assert boards == str(tmp_path / "vitgen/_data/boards")
    assert dsp == 2520
