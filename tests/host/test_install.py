"""The build directory as a Python package: installed, it finds what it needs inside itself."""

import json
import shutil
import subprocess
import sys
import textwrap

import pytest

from tests.host.build import PACKAGE


@pytest.fixture(scope="module", params=["with a bitstream", "without one"])
def installed(request, emitted, tmp_path_factory):
    folder = tmp_path_factory.mktemp("install")
    source, target = folder / "copied", folder / "site"
    shutil.copytree(emitted.path, source)
    if request.param == "without one":
        for file in ("vit_top.bit", "vit_top.hwh"):
            (source / "bitstream" / file).unlink()
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation",
               "--no-index", "--quiet", "--target", str(target), str(source)]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(source)  # nothing of it is needed any more
    return target, request.param


def run(target, code: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code)]
    environment = {"PYTHONPATH": str(target), "PATH": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_finds_its_data(installed):
    target, kind = installed
    said = run(
        target,
        f"""
        from {PACKAGE}.deployment import Deployment
        from {PACKAGE}.errors import WrongBitstream
        it = Deployment()
        sizes = {{b["name"]: len(it.load(b)) for b in it["buffers"] if b["file"]}}
        try:
            bitfile = str(it.bitfile(None))
        except WrongBitstream as error:
            bitfile = str(error)
        import json
        print(json.dumps([sizes, bitfile]))
        """,
    )
    sizes, bitfile = json.loads(said)
    record = json.loads((target / PACKAGE / "deployment.json").read_text())
    assert sizes == {b["name"]: b["bytes"] for b in record["buffers"] if b["file"]}
    if kind == "with a bitstream":
        assert bitfile == str(target / PACKAGE / "bitstream" / "vit_top.bit")
    else:
        assert "no bitstream" in bitfile


def test_pynq_finds_its_notebooks(installed):
    target, _ = installed
    said = run(
        target,
        """
        from pynqutils.setup_utils import ExtensionsManager
        print(ExtensionsManager("pynq.notebooks").paths)
        """,
    )
    assert str(target / PACKAGE / "notebooks") in said
    there = {path.name for path in (target / PACKAGE / "notebooks").iterdir()}
    assert {"classify.ipynb", "sample.png", "CREDITS.txt"} <= there


def test_what_is_installed(installed):
    target, _ = installed
    (metadata,) = target.glob("vitgen_tiny_vit-*.dist-info/METADATA")
    text = metadata.read_text()
    assert "Name: vitgen-tiny-vit" in text and "Requires-Dist: pynq" in text
    names = {path.name for path in target.iterdir() if not path.name.startswith("__")}
    assert names == {PACKAGE, metadata.parent.name}  # nothing lands outside the package
