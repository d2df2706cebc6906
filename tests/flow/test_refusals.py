"""Bad files and bad places: one clear sentence, exit status 2, and nothing that passes for a build."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.flow.conftest import TINY, files_of
from vitgen.csim import toolchain
from vitgen.flow.directory import BuildDirectory
from vitgen.models import config, create


@pytest.fixture
def build(vitgen, tiny, tmp_path):
    """Build the tiny model in ``out`` with further options."""

    def run(*options, out=None):
        place = tmp_path / "out" if out is None else out
        return vitgen("build", "--model", tiny, "--bits", "4/8", "--out", place, *options)

    return run


def refused(said, *parts):
    assert said.status == 2 and not said.out
    lines = said.err.splitlines()
    assert len(lines) == 2 and lines[0].startswith("vitgen: ")
    assert all(part in said.err for part in parts), said.err
    assert "Traceback" not in said.err


def no_build(out: Path) -> None:
    """Nothing in ``out`` is taken for a build, and the place is free for another."""
    assert not (out / "manifest.json").exists()
    assert not BuildDirectory.open(out, {"model": "another"}).whole()


class Bomb:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def _change(key, value):
    def change(state):
        if value is None:
            del state[key]
        else:
            state[key] = value

    return change


CHECKPOINTS = [
    (_change("norm.bias", None), ("lacks norm.bias",)),
    (_change("dist_token", torch.zeros(1, 1, 16)), ("holds dist_token",)),
    (_change("head.weight", torch.zeros(11, 16)), ("head.weight has shape (11, 16)",)),
    (_change("head.bias", torch.full((10,), torch.nan)), ("head.bias", "NaN or infinite")),
    (_change("head.bias", torch.full((10,), torch.inf)), ("head.bias", "NaN or infinite")),
]


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
@pytest.mark.parametrize(("change", "said"), CHECKPOINTS)
def test_checkpoints_of_other_networks(build, tiny, tmp_path, ending, change, said):
    state = create(config(tiny), None, 0).state_dict()
    change(state)
    path = tmp_path / f"weights.{ending}"
    save_file(state, path) if ending == "safetensors" else torch.save(state, path)
    refused(build("--checkpoint", path), *said)
    no_build(tmp_path / "out")


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_truncated_checkpoints(build, tiny, tmp_path, ending, kept):
    path = tmp_path / f"weights.{ending}"
    state = create(config(tiny), None, 0).state_dict()
    save_file(state, path) if ending == "safetensors" else torch.save(state, path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    refused(build("--checkpoint", path), f"{path}")
    no_build(tmp_path / "out")


def test_a_pickle_that_executes_code_does_not(build, tmp_path):
    path, mark = tmp_path / "weights.pth", tmp_path / "executed"
    torch.save({"model": Bomb(mark)}, path)
    torch.load(path, weights_only=False)
    assert mark.exists()  # it would
    mark.unlink()
    refused(build("--checkpoint", path), f"{path}", "not loaded")
    assert not mark.exists()
    no_build(tmp_path / "out")


def test_other_files_as_checkpoints(build, tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"1")
    refused(build("--checkpoint", tmp_path / "x.onnx"), ".onnx")
    refused(build("--checkpoint", tmp_path / "absent.pth"), "absent.pth does not exist")
    refused(build("--checkpoint", tmp_path), "directory")


def test_a_refused_checkpoint_does_not_stand_in_the_way_of_the_right_one(build, tiny, tmp_path):
    state = create(config(tiny), None, 0).state_dict()
    save_file(state, tmp_path / "right.safetensors")
    state["head.bias"] = state["head.bias"] * torch.nan
    save_file(state, tmp_path / "wrong.safetensors")
    refused(build("--checkpoint", tmp_path / "wrong.safetensors"), "NaN")
    assert build("--checkpoint", tmp_path / "right.safetensors").status == 0


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("heads = 2", "heads = 3", "3 heads do not divide the width of 16"),
        ("patch = 2", "patch = 3", "patch of 3 does not divide the image of 8"),
        ("heads = 2", "heds = 2", "Unknown key 'heds'"),
        ("heads = 2", "", "lacks heads"),
        ("heads = 2", "heads = 'two'", "heads is 'two'"),
        ("depth = 1", "depth = 0", "depth is 0"),
        ("depth = 1", "depth = ", "cannot be read"),
        ('"tiny"', '"../tiny"', "'../tiny'"),
        ('"tiny"', '"a; rm -rf"', "'a; rm -rf'"),
    ],
)
def test_model_files(vitgen, tmp_path, old, new, said):
    path = tmp_path / "model.toml"
    path.write_text(TINY.replace(old, new))
    out = tmp_path / "out"
    refused(vitgen("build", "--model", path, "--bits", "4/8", "--out", out), said)
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour = 1", "Unknown quantization option 'colour'"),
        ("delta2 = 0.7", "delta2 is 0.7"),
        ("delta2 = ", "cannot be read"),
        ("overrides = 3", "overrides"),
        ("[overrides.'blocks.0.mlp.*']\ncolour = 1", "sets 'colour'"),
        ("[overrides.'blocks.0.mlp.*']\nact_bits = 9", "act_bits"),
        ("[overrides.'blocks.7.*']\nact_bits = 6", "matches no op"),
        ("[overrides.'head']\nact_bits = 6", "always have 8 bits"),
        ("\x00", "cannot be read"),
    ],
)
def test_settings_per_layer(build, tmp_path, text, said):
    (tmp_path / "settings.toml").write_text(text)
    refused(build("--config", tmp_path / "settings.toml"), said)
    no_build(tmp_path / "out")


def _broken(folder):
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(folder / "a.jpg")
    whole = (folder / "a.jpg").read_bytes()
    (folder / "a.jpg").write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ("fill", "said"),
    [
        (lambda p: p.rmdir(), "is not a folder"),
        (lambda p: None, "holds no image"),
        (lambda p: (p / "notes.txt").write_text("no image"), "holds no image"),
        (_broken, "a.jpg cannot be read as an image"),
        (lambda p: (p / "a.png").write_bytes(b"no image"), "a.png cannot be read as an image"),
    ],
)
def test_image_folders(build, tmp_path, fill, said):
    folder = tmp_path / "images"
    folder.mkdir()
    fill(folder)
    refused(build("--calibrate", folder), said)
    no_build(tmp_path / "out")


def test_evaluation_wants_images_of_the_models_classes(build, vitgen, tiny, tmp_path):
    out = tmp_path / "out"
    assert build().status == 0
    refused(vitgen("eval", out), "synthetic weights")
    save_file(create(config(tiny), None, 0).state_dict(), tmp_path / "w.safetensors")
    out = tmp_path / "trained"
    assert build("--checkpoint", tmp_path / "w.safetensors", out=out).status == 0
    refused(vitgen("eval", out, "--data", tmp_path / "absent"), "is not a folder")
    folder = tmp_path / "images"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(folder / name / "a.png")
    refused(vitgen("eval", out, "--data", folder), "2 class folders", "labels.txt")
    (folder / "labels.txt").write_text("cat 3\ndog 10\n")
    refused(vitgen("eval", out, "--data", folder), "class 10")
    (folder / "labels.txt").write_text("cat 3\ndog 9\n")
    said = vitgen("eval", out, "--data", folder)
    assert said.status == 0 and "not stated below 100" in said.out
    (tmp_path / "w.safetensors").unlink()
    assert vitgen("eval", out, "--data", folder).status == 0  # remembered
    refused(vitgen("eval", out), "w.safetensors does not exist")
    assert vitgen("report", out).status == 0


def test_more_images_than_there_are(build):
    refused(build("--verify", "csim", "--images", "600"), "--images is 600, but there are 599")


def test_directories_of_others(build, vitgen, tmp_path):
    out = tmp_path / "out"
    out.write_text("a file")
    refused(build(), "is a file")
    out.unlink()
    out.mkdir()
    (out / "thesis.tex").write_text("mine")
    refused(build(), "not empty", "thesis.tex")
    assert (out / "thesis.tex").read_text() == "mine"
    (out / "thesis.tex").unlink()
    assert build().status == 0
    before = files_of(out)
    refused(build("--seed", "1"), "another build", "seed: 0, not 1")
    refused(build("--array", "hls"), "array: 'dsp48', not 'hls'")
    assert files_of(out) == before
    (out / "report.json").write_text("{}")
    refused(vitgen("report", out), "not finished, or its files were changed")


@pytest.mark.parametrize("number", [28, 30, 13])
def test_a_place_that_takes_nothing(build, tmp_path, monkeypatch, number):
    def fail(*_args, **_options):
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.mkdir", fail)
        refused(build(), os.strerror(number))
    with monkeypatch.context() as patch:
        patch.setattr("pathlib.Path.replace", fail)
        refused(build(), os.strerror(number))
    no_build(tmp_path / "out")


def _fails(command) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode != 0


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MB; skipped where none can be mounted."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "vitgen-test", str(place)]
    if shutil.which("mount") is None or _fails(command):
        pytest.skip("no right to mount a file system")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk(build, small_disk, tmp_path):
    filler = small_disk / "filler"
    out = small_disk / "out"
    for room in (0, 8, 16, 40, 100, 200):  # kB left: it ends in one step or another
        filler.write_bytes(bytes((1024 - 16 - room) * 1024))
        refused(build(out=out), "No space left on device")
        assert not (out / "manifest.json").exists()
        assert not list(small_disk.rglob(".part-*"))
    filler.unlink()
    assert build(out=out).status == 0
    assert build(out=tmp_path / "other").status == 0
    assert files_of(out) == files_of(tmp_path / "other")


@pytest.mark.parametrize("compiler", [None, "no-such-compiler"])
def test_without_a_compiler_everything_but_csim_works(build, tmp_path, monkeypatch, compiler):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    if compiler:
        monkeypatch.setenv("CXX", compiler)
    toolchain._examine.cache_clear()
    refused(build("--verify", "csim"), "g++", "not found")
    assert not (tmp_path / "out").exists()
    assert build().status == 0
    refused(build("--verify", "csim"), "g++", "not found")
