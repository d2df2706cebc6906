"""LV-ViT: names and sizes of its release, its stem and its branches against plain torch, folding."""

import copy

import pytest
import torch
from torch import nn

from tests.quant.conftest import STEM, uneven
from vitgen.errors import VitgenError
from vitgen.lower.prepare import float_twin, prepare
from vitgen.models import config, create, load_checkpoint, load_into, save_checkpoint
from vitgen.models.sites import op_names
from vitgen.models.stem import fold
from vitgen.models.vit import Vit
from vitgen.quant import QuantConfig, calibrate, trace

MIXED = QuantConfig.parse("4/8", scheme="mixed")


def lvvit_shapes(width, depth, hidden):
    """Names and shapes of LV-ViT's checkpoints without the classifier on patches."""
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 197, width),
        "patch_embed.conv1.weight": (64, 3, 7, 7),
        "patch_embed.conv2.weight": (64, 64, 3, 3),
        "patch_embed.conv3.weight": (64, 64, 3, 3),
        "patch_embed.proj.weight": (width, 64, 8, 8),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
        "head.weight": (1000, width),
        "head.bias": (1000,),
    }
    for n in (1, 2, 3):
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"patch_embed.bn{n}.{leaf}"] = (64,)
        shapes[f"patch_embed.bn{n}.num_batches_tracked"] = ()
    for n in range(depth):
        shapes[f"blocks.{n}.attn.qkv.weight"] = (3 * width, width)
        linear = {
            "attn.proj": (width, width),
            "mlp.fc1": (hidden, width),
            "mlp.fc2": (width, hidden),
        }
        for name, shape in linear.items():
            shapes[f"blocks.{n}.{name}.weight"] = shape
            shapes[f"blocks.{n}.{name}.bias"] = shape[:1]
        for name in ("norm1", "norm2"):
            shapes[f"blocks.{n}.{name}.weight"] = shapes[f"blocks.{n}.{name}.bias"] = (width,)
    return shapes


@pytest.mark.parametrize(
    ("name", "depth", "parameters", "published"),
    [("lvvit_s", 16, 25_766_824, 26.2), ("lvvit_m", 20, 55_317_544, 55.8)],
)
def test_float_models_are_lvvits(name, depth, parameters, published):
    shape = config(name)
    with torch.device("meta"):
        model = Vit(shape, None)
    state = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    assert state == lvvit_shapes(shape.embed_dim, depth, 3 * shape.embed_dim)
    count = sum(p.numel() for p in model.parameters())
    assert count == parameters
    # What is published counts the classifier on patches.
    assert round((count + 1000 * (shape.embed_dim + 1)) / 1e6, 1) == published


def torch_stem(model):
    """The stem of torch's own modules, with the model's state."""
    layers = []
    for n, (inputs, conv) in enumerate(zip((3, 8), STEM.stem, strict=True), 1):
        layers += [
            nn.Conv2d(
                inputs, conv.channels, conv.kernel, conv.stride, conv.kernel // 2, bias=False
            ),
            nn.BatchNorm2d(conv.channels),
            nn.ReLU(),
        ]
        layers[-3].load_state_dict(model.get_submodule(f"patch_embed.conv{n}").state_dict(), False)
        layers[-2].load_state_dict(model.get_submodule(f"patch_embed.bn{n}").state_dict())
    layers.append(nn.Conv2d(6, 24, 4, 4))
    layers[-1].load_state_dict(model.patch_embed.proj.state_dict(), strict=False)
    return nn.Sequential(*layers)


@pytest.mark.parametrize("training", [False, True])
def test_the_float_stem_is_torchs(stem_images, training):
    model = uneven(create(STEM, None, 0)).train(training)
    expected = torch_stem(model).train(training)
    bias = model.patch_embed.proj.bias
    tokens = model.patch_embed(stem_images) + bias
    want = expected(stem_images).flatten(2).transpose(1, 2)
    assert tokens.shape == (3, 16, 24)
    torch.testing.assert_close(tokens, want, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(model.patch_embed.bn2.running_var, expected[4].running_var)
    assert bool(model.patch_embed.bn1.num_batches_tracked) == training


def test_float_forward_is_lvvit(stem_images):
    """Against torch's encoder layer: halved branches are halved weights of their last layers."""
    model = uneven(create(STEM, None, 0)).eval()
    x = torch_stem(model).eval()(stem_images).flatten(2).transpose(1, 2)
    x = torch.cat([model.cls_token.expand(3, -1, -1), x], dim=1) + model.pos_embed
    for block in model.blocks:
        layer = nn.TransformerEncoderLayer(
            24, 3, 72, dropout=0.0, activation="gelu", layer_norm_eps=1e-5, batch_first=True,
            norm_first=True,
        ).eval()  # fmt: skip
        own = block.state_dict()
        state = {
            "self_attn.in_proj_weight": own["attn.qkv.weight"],
            "self_attn.in_proj_bias": torch.zeros(72),
        }
        pairs = {
            "self_attn.out_proj": ("attn.proj", 2),
            "linear1": ("mlp.fc1", 1),
            "linear2": ("mlp.fc2", 2),
            "norm1": ("norm1", 1),
            "norm2": ("norm2", 1),
        }
        for theirs, (ours, divisor) in pairs.items():
            for leaf in ("weight", "bias"):
                state[f"{theirs}.{leaf}"] = own[f"{ours}.{leaf}"] / divisor
        layer.load_state_dict(state)
        x = layer(x)
    expected = model.head(model.norm(x)[:, 0])
    torch.testing.assert_close(model(stem_images), expected, rtol=1e-3, atol=1e-4)


def test_a_fold_is_convolution_and_norm(stem_images):
    model = uneven(create(STEM, None, 0)).eval().double()
    conv, norm = model.patch_embed.stage(1)
    weight, bias = fold(conv, norm)
    x = stem_images.double()
    folded = nn.functional.conv2d(x, weight, bias, stride=2, padding=3)
    torch.testing.assert_close(folded, norm(conv(x)), rtol=1e-10, atol=1e-10)


def test_the_quantized_stem_is_close_to_the_float_one(stem_model, stem_images):
    float_tokens = float_twin(stem_model).patch_embed(stem_images)
    tokens = stem_model.patch_embed(stem_images)
    noise = (tokens - float_tokens).square().sum() / float_tokens.square().sum()
    assert float(noise.detach()) < 1e-3


def test_maps_are_codes_without_sign(stem_model, stem_images):
    tensors = trace(stem_model, stem_images)
    for op in ("patch_embed.conv1", "patch_embed.conv2"):
        site = stem_model.get_submodule(f"{op}_out").act_quant.fused_activation_quant_proxy
        codes = tensors[f"{op}.out"] / site.tensor_quant.scale
        assert float((codes - codes.round()).abs().max()) < 1e-3
        assert float(codes.min()) == 0 and 100 < round(float(codes.max())) <= 127


def test_trace_names_every_tensor(stem_model, stem_images):
    tensors = trace(stem_model, stem_images)
    names = {f"{op}.out" for op in op_names(STEM)} | {"image", "embedding", "logits"}
    assert set(tensors) == names
    shapes = {name: tuple(value.shape[1:]) for name, value in tensors.items()}
    assert shapes["image"] == (1024, 3)
    assert shapes["patch_embed.conv1.unfold.out"] == (256, 147)
    assert shapes["patch_embed.conv2.out"] == (256, 6)
    assert shapes["patch_embed.proj.unfold.out"] == (17, 96)
    assert not tensors["patch_embed.proj.unfold.out"][:, 0].any()


def test_training_quantized_goes_through_the_fold_and_keeps_the_statistics(stem_model, stem_images):
    model = stem_model.train()
    before = copy.deepcopy(model.state_dict())
    model(stem_images).square().sum().backward()
    for name in ("conv1.weight", "bn1.weight", "bn1.bias", "conv2.weight", "bn2.weight"):
        gradient = model.get_parameter(f"patch_embed.{name}").grad
        assert gradient is not None and float(gradient.abs().max()) > 0, name
    after = model.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())


def test_a_quantized_model_has_the_float_names_and_only_quantizers_besides():
    plain = create(STEM, None, 0).state_dict()
    state = create(STEM, MIXED, 0).state_dict()
    assert all(torch.equal(state[key], value) for key, value in plain.items())
    assert all(".tensor_quant." in key for key in set(state) - set(plain))


def released(seed=7):
    """A state dict as LV-ViT's authors publish: with the classifier on patches."""
    state = uneven(create(STEM, None, seed)).state_dict()
    state["aux_head.weight"] = torch.randn(7, 24)
    state["aux_head.bias"] = torch.randn(7)
    return state


def test_a_released_checkpoint_loads_without_its_auxiliary_head(tmp_path, stem_images):
    path = tmp_path / "lvvit.pth.tar"
    torch.save({"state_dict": released()}, path)
    plain = uneven(create(STEM, None, 7)).eval()
    for quant in (None, MIXED):
        model = create(STEM, quant, 0).eval()
        assert load_into(model, load_checkpoint(path)) == ["aux_head.weight", "aux_head.bias"]
        own = model.state_dict()
        assert all(torch.equal(own[key], value) for key, value in plain.state_dict().items())
    assert load_into(model, plain.state_dict()) == []
    lines = []
    made = prepare(STEM, MIXED, 0, path, lambda: stem_images.numpy(), lines.append)
    assert len(lines) == 1 and "aux_head.weight, aux_head.bias left out" in lines[0]
    assert torch.equal(made.head.weight, plain.head.weight)


def test_a_quantized_checkpoint_brings_its_stem(tmp_path, stem_model, stem_images):
    path = tmp_path / "trained.safetensors"
    save_checkpoint(stem_model, path)
    twin = create(STEM, MIXED, 99)
    load_into(twin, load_checkpoint(path))
    assert torch.equal(twin.eval()(stem_images), stem_model(stem_images))
    again = copy.deepcopy(twin)
    assert torch.equal(again(stem_images), stem_model(stem_images))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda s: s.pop("patch_embed.bn2.running_mean"), "lacks patch_embed.bn2.running_mean"),
        (lambda s: s.update({"patch_embed.bn3.weight": torch.zeros(6)}), "holds patch_embed.bn3"),
        (lambda s: s.update({"blocks.0.attn.qkv.bias": torch.zeros(72)}), "blocks.0.attn.qkv.bias"),
        (lambda s: s.update({"aux_head.extra": torch.zeros(1)}), "holds aux_head.extra"),
        (
            lambda s: s.update({"patch_embed.conv1.weight": torch.zeros(8, 3, 3, 3)}),
            r"conv1.weight has shape \(8, 3, 3, 3\)",
        ),
        (lambda s: s["patch_embed.bn1.running_var"].fill_(-1.0), "running_var reaches -1"),
    ],
)
def test_wrong_content_is_named(damage, said):
    state = released()
    damage(state)
    with pytest.raises(VitgenError, match=said):
        load_into(create(STEM, None, 0), state)


def test_a_stem_calibrates_as_any_model(stem_images):
    model = create(STEM, QuantConfig.parse("4+8/6", scheme="mixed"), 0)
    calibrate(model, stem_images)
    assert model(stem_images).shape == (3, 7)
    stage = model.patch_embed.stage(2)[0].weight_quant.tensor_quant
    assert bool(stage.wide_rows.all()) and not bool(stage.pot_rows.any())
