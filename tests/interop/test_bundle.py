"""The integer bundle, read as another toolchain reads it: NumPy, JSON, and nothing of vitgen."""

import hashlib
import json
import re
import subprocess
import sys

import numpy as np
import pytest

from tests.reference import naive
from vitgen.interop.bundle import bundle_files


@pytest.fixture(scope="module")
def bundle(built, tmp_path_factory):
    from vitgen.flow.export import export

    out = tmp_path_factory.mktemp("bundle") / "made" / "here"
    written = export(built, format="bundle", out=out, images=2)
    assert {file.name for file in written} == {file.name for file in out.iterdir()}
    return out


def test_every_file_is_there_with_its_digest(bundle):
    record = json.loads((bundle / "bundle.json").read_text())
    assert {file.name for file in bundle.iterdir()} == {"bundle.json", *record["files"]}
    for name, known in record["files"].items():
        assert hashlib.sha256((bundle / name).read_bytes()).hexdigest() == known
    assert (record["format"], record["name"], record["images"]) == (1, "tiny", 2)


def test_another_executor_gives_every_golden_tensor(bundle):
    files = {name: (bundle / name).read_bytes() for name in ("ir.json", "ir.npz")}
    record = json.loads((bundle / "bundle.json").read_text())
    golden = np.load(bundle / "golden.npz")
    names = {tensor["name"] for tensor in json.loads(files["ir.json"])["tensors"]}
    for image in range(record["images"]):
        values = naive.execute(files, golden[f"{image}/{record['input']}"].tolist())
        assert set(values) == names
        for name, value in values.items():
            assert golden[f"{image}/{name}"].tolist() == value, name
    assert set(golden.files) == {f"{image}/{name}" for image in range(2) for name in names}
    assert (golden["0/patches"] != golden["1/patches"]).any()


def test_a_linear_layer_by_the_text_of_the_readme(bundle):
    readme = (bundle / "README.md").read_text()
    code = "\n".join(re.findall(r"^    (.*)$", readme, re.MULTILINE))
    assert "np.clip" in code
    code += "\nimport sys; assert not [m for m in sys.modules if m.startswith('vitgen')]"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=bundle, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for name in re.findall(r"^\| `([a-z.]+)` \|", readme, re.MULTILINE):
        assert (bundle / name).is_file()


def test_the_specification_is_the_project_s(bundle, request):
    assert (bundle / "ir.md").read_bytes() == (request.config.rootpath / "docs/ir.md").read_bytes()


def test_the_same_network_makes_the_same_bytes(built):
    from vitgen import ir

    graph = ir.load(built)
    patches = np.zeros(graph.tensors[graph.input].shape, dtype=np.int8)
    assert bundle_files(graph, [patches]) == bundle_files(graph, [patches])


def test_command(vitgen, built, tmp_path):
    out = tmp_path / "bundle"
    said = vitgen("export", built, "--format", "bundle", "--out", out, "--json")
    assert said.status == 0, said.err
    assert sorted(json.loads(said.out)["files"]) == sorted(str(f) for f in out.iterdir())
    again = vitgen("export", built, "--format", "bundle", "--out", out)
    assert again.status == 2 and f"{out} is not empty" in again.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--format", "tflite"), "Unknown format 'tflite'"),
        (("--format", "bundle", "--images", "0"), "--images is 0"),
        (("--format", "bundle", "--images", "999999"), "there are 599"),
        (("--format", "bundle", "--style", "plain"), "--style is 'plain'"),
        (("--format", "qonnx", "--images", "1"), "--images is 1"),
        (("--format", "qonnx", "--style", "best"), "Unknown style 'best'"),
    ],
)
def test_refusals(vitgen, built, tmp_path, options, said):
    answer = vitgen("export", built, *options, "--out", tmp_path / "out")
    assert answer.status == 2 and said in answer.err
    assert not list(tmp_path.iterdir())


def test_no_build_and_a_changed_build_are_refused(vitgen, built, tmp_path):
    answer = vitgen("export", tmp_path, "--format", "bundle", "--out", tmp_path / "out")
    assert answer.status == 2 and "holds no build" in answer.err
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("state.json", "ir.json"):
        (copy / name).write_bytes((built / name).read_bytes())
    answer = vitgen("export", copy, "--format", "bundle", "--out", tmp_path / "out")
    assert answer.status == 2 and "has no network" in answer.err
