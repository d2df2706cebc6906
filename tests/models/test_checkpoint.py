"""Checkpoints: what loads, and one clear sentence for each that does not."""

import pickle

import pytest
import torch
from safetensors.torch import save_file

from vitgen.errors import VitgenError
from vitgen.models import config, create, load_checkpoint, load_into, save_checkpoint
from vitgen.quant import QuantConfig, calibrate

DIGITS = config("vit_digits")


@pytest.fixture
def model():
    return create(DIGITS, None, 0)


class Bomb:
    """A pickle that creates a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("ending", [".safetensors", ".pth", ".pt", ".pth.tar"])
@pytest.mark.parametrize("wrapper", [None, "model", "state_dict"])
def test_state_dicts_load(tmp_path, model, ending, wrapper):
    path = tmp_path / ("weights" + ending)
    state = create(DIGITS, None, 7).state_dict()
    if ending == ".safetensors":
        save_file(state, path)
    else:
        torch.save({wrapper: state, "epoch": 3} if wrapper else state, path)
    load_into(model, load_checkpoint(path))
    assert all(torch.equal(model.state_dict()[key], state[key]) for key in state)


def test_half_precision_weights_load(model):
    state = {key: value.half() for key, value in create(DIGITS, None, 7).state_dict().items()}
    load_into(model, state)
    assert torch.equal(model.head.weight, state["head.weight"].float())


def test_a_quantized_checkpoint_brings_its_scales(tmp_path, calibrated):
    model, images = calibrated
    path = tmp_path / "trained.safetensors"
    save_checkpoint(model, path)
    twin = create(model.config, model.quant, 99)
    load_into(twin, load_checkpoint(path))
    assert torch.equal(twin.eval()(images), model.eval()(images))
    plain = create(model.config, None, 99)
    load_into(plain, load_checkpoint(path))
    assert torch.equal(plain.head.weight, model.head.weight)
    assert not list(tmp_path.glob(".*"))


def test_float_weights_reset_scales_and_rows(calibrated):
    model, images = calibrated
    state = create(model.config, None, 5).state_dict()
    load_into(model, state)
    fresh = create(model.config, model.quant, 5)
    assert torch.equal(model(images), fresh(images))


@pytest.mark.parametrize("bits", ["4/6", "8/8"])
def test_scales_of_another_quantization_are_refused(bits):
    trained = create(DIGITS, QuantConfig.parse("4/8"), 0)
    calibrate(trained, torch.rand(2, 1, 8, 8))
    with pytest.raises(VitgenError, match="quantized otherwise"):
        load_into(create(DIGITS, QuantConfig.parse(bits), 0), trained.state_dict())


def test_a_refused_checkpoint_changes_nothing(model):
    state = create(DIGITS, None, 7).state_dict()
    state["head.bias"] = torch.full((10,), float("inf"))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(VitgenError):
        load_into(model, state)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def _without(state, key):
    del state[key]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda s: _without(s, "norm.bias"), r"lacks norm.bias .*\(64,\)"),
        (lambda s: s.update(dist_token=torch.zeros(1, 1, 64)), r"dist_token.*\(1, 1, 64\)"),
        (lambda s: s.update({"head.weight": torch.zeros(10, 65)}),
         r"head.weight has shape \(10, 65\), the model's has \(10, 64\)"),
        (lambda s: s.update({"head.bias": torch.full((10,), float("nan"))}),
         r"head.bias, of shape \(10,\), holds 10 values that are NaN"),
        (lambda s: s["blocks.1.attn.qkv.weight"].view(-1)[5].fill_(float("-inf")),
         r"blocks.1.attn.qkv.weight.*holds 1 values .*-inf"),
        (lambda s: s.update({"head.bias": torch.zeros(10, dtype=torch.int64)}),
         r"head.bias is torch.int64"),
    ],
)
def test_wrong_content_is_named(model, damage, said):
    state = create(DIGITS, None, 7).state_dict()
    damage(state)
    with pytest.raises(VitgenError, match=said) as caught:
        load_into(model, state)
    assert caught.value.remedy


@pytest.mark.parametrize("ending", [".safetensors", ".pth"])
@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.99])
def test_truncated_files_are_refused(tmp_path, model, ending, kept):
    path = tmp_path / ("weights" + ending)
    if ending == ".safetensors":
        save_file(model.state_dict(), path)
    else:
        torch.save(model.state_dict(), path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(VitgenError, match="weights"):
        load_checkpoint(path)


@pytest.mark.parametrize("by_torch", [True, False])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, by_torch):
    path, mark = tmp_path / "evil.pth", tmp_path / "executed"
    if by_torch:
        torch.save({"model": Bomb(mark)}, path)
    else:
        path.write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(VitgenError, match="not loaded"):
        load_checkpoint(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (torch.zeros(3), "no tensors by name"),
        ({}, "no tensors by name"),
        ({"model": {"a": torch.zeros(1), "lr": 0.1}}, "holds a float under 'lr'"),
        ({3: torch.zeros(1)}, "under 3"),
    ],
)
def test_files_without_named_tensors_are_refused(tmp_path, content, said):
    path = tmp_path / "x.pt"
    torch.save(content, path)
    with pytest.raises(VitgenError, match=said):
        load_checkpoint(path)


def test_absent_files_and_unknown_endings_are_refused(tmp_path):
    with pytest.raises(VitgenError, match="no checkpoint"):
        load_checkpoint(tmp_path / "absent.pth")
    with pytest.raises(VitgenError, match="unknown ending '.onnx'"):
        load_checkpoint(tmp_path / "x.onnx")


def test_an_unwritable_place_is_refused(tmp_path, model):
    with pytest.raises(VitgenError, match="cannot be written"):
        save_checkpoint(model, tmp_path / "absent" / "x.safetensors")
