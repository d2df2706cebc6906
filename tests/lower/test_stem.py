"""A lowered stem: its ops, its integers by plain loops, and the whole network against the model."""

import json

import numpy as np
import pytest
import torch

from tests.lower.test_fidelity import end_to_end, flips_by_op, integers
from tests.quant.conftest import STEM, uneven
from tests.reference import naive
from vitgen.ir import Add, Linear, Unfold, dump
from vitgen.lower import lower
from vitgen.lower.fidelity import evaluate
from vitgen.lower.prepare import float_twin
from vitgen.models import VitConfig, config, create
from vitgen.models.sites import op_names
from vitgen.quant import QuantConfig, calibrate, trace
from vitgen.reference import execute, preprocess


def test_ops_of_the_stem(stem_model):
    graph = lower(stem_model)
    assert [op.name for op in graph.ops] == op_names(STEM)
    assert [(op.name, type(op)) for op in graph.ops[:7]] == [
        ("patch_embed.conv1.unfold", Unfold), ("patch_embed.conv1", Linear),
        ("patch_embed.conv2.unfold", Unfold), ("patch_embed.conv2", Linear),
        ("patch_embed.proj.unfold", Unfold), ("embed", Linear), ("embed.add", Add),
    ]  # fmt: skip
    first, second, third = (op for op in graph.ops if isinstance(op, Unfold))
    fields = ("height", "width", "kernel", "stride", "padding", "lead")
    assert [getattr(first, f) for f in fields] == [32, 32, 7, 2, 3, 0]
    assert [getattr(second, f) for f in fields] == [16, 16, 3, 1, 1, 0]
    assert [getattr(third, f) for f in fields] == [16, 16, 4, 4, 0, 1]
    assert graph.input == "image" and graph.tensors["image"].shape == (1024, 3)
    relu = {op.name for op in graph.ops if isinstance(op, Linear) and op.relu}
    assert relu == {"patch_embed.conv1", "patch_embed.conv2"}
    for name in relu:
        op = next(op for op in graph.ops if op.name == name)
        assert (op.row_bits == 8).all() and not op.row_scheme.any()
        assert graph.tensors[f"{name}.out"].interval.lo == 0
        assert graph.tensors[f"{name}.out"].bits == 8
    assert not next(op for op in graph.ops if op.name == "blocks.0.attn.q").bias.any()


def test_meta_says_pixels(stem_model, stem_images):
    graph = lower(stem_model)
    assert json.loads(json.dumps(graph.meta)) == graph.meta
    assert graph.meta["input_form"] == "pixels" and graph.meta["image"] == [3, 32, 32]
    assert lower(patches_model()).meta["input_form"] == "patches"
    mean, std = (np.array(graph.meta[key])[:, None, None] for key in ("mean", "std"))
    unit = np.clip(stem_images[0].double().numpy() * std + mean, 0.0, 1.0)
    found = preprocess(graph.meta, unit)
    real = torch.from_numpy((unit - mean) / std).float()[None]
    traced = trace(stem_model, real)["image"][0]
    assert np.abs(found - integers(traced, graph.tensors["image"])).max() <= 1
    assert found.shape == graph.tensors["image"].shape


def patches_model():
    """A model without a stem, calibrated."""
    shape = VitConfig("p", image=8, patch=4, embed_dim=8, depth=1, heads=2, classes=2)
    model = create(shape, QuantConfig.parse("8/8"), 0).eval()
    calibrate(model, torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    return model


def test_a_convolution_computes_what_batchnorm_says(stem_model, stem_images):
    """The first map from the real parameters: BatchNorm by its formula, sums by plain loops."""
    graph = lower(stem_model)
    conv, norm = (module.requires_grad_(False) for module in stem_model.patch_embed.stage(1))
    op = graph.ops[1]
    traced = trace(stem_model, stem_images[:1])["image"][0]
    pixels = integers(traced, graph.tensors["image"]).reshape(32, 32, 3)
    found = execute(graph, pixels.reshape(1024, 3), keep=["patch_embed.conv1.out"])
    scale = graph.tensors["image"].scale
    for row in range(8):
        deviation = float(norm.running_var[row] + norm.eps) ** 0.5
        gain, shift = float(norm.weight[row]) / deviation, float(norm.running_mean[row])
        for y, x in ((0, 0), (0, 15), (7, 3), (15, 15)):
            total = 0.0
            for ky in range(7):
                for kx in range(7):
                    v, u = 2 * y - 3 + ky, 2 * x - 3 + kx
                    if 0 <= v < 32 and 0 <= u < 32:
                        for c in range(3):
                            total += (
                                float(conv.weight[row, c, ky, kx]) * int(pixels[v, u, c]) * scale
                            )
            real = max(0.0, (total - shift) * gain + float(norm.bias[row]))
            tensor = graph.tensors[op.output]
            value = int(found[op.output][y * 16 + x, row]) * tensor.scale
            # Weights of 8 bits, 147 of them, and one rounding of the result.
            assert (
                abs(value - min(real, 127 * tensor.scale)) < 0.03 * abs(real) + tensor.scale * 1.5
            )


@pytest.mark.parametrize(
    ("label", "scheme"), [("4/8", "mixed"), ("8/8", "fixed"), ("4/4", "pot"), ("4+8/6", "mixed")]
)
def test_every_op_computes_what_the_model_computes(stem_images, label, scheme):
    model = uneven(create(STEM, QuantConfig.parse(label, scheme=scheme), 0)).eval()
    calibrate(model, stem_images)
    for name, pairs in flips_by_op(model, stem_images).items():
        assert pairs[:, 1].max() <= (0 if name.endswith("unfold") else 1), name
        wide = name.endswith(("embed", "head", "qk", "proj", "fc1", "fc2"))
        # The integer GELU rounds twice.
        narrow = 0.02 if name.endswith("gelu") else 0.01
        assert pairs[:, 0].mean() < (0.1 if wide else narrow), name


def test_signal_to_noise_of_every_tensor(stem_model, stem_images):
    _, decibels = end_to_end(stem_model, stem_images)
    assert set(decibels) == set(lower(stem_model).tensors)
    low = {name: value for name, value in decibels.items() if value < 25}
    assert not low


@pytest.mark.parametrize("skip_lam", [1.0, 2.0])
def test_both_executors_agree(stem_images, skip_lam):
    """A smaller stem of other kernels: an even one, one of 1 x 1, a patch of one pixel."""
    shape = VitConfig(
        "odd", image=12, patch=4, embed_dim=10, depth=1, heads=2, mlp_ratio=2, classes=3,
        qkv_bias=False, skip_lam=skip_lam,
        stem=({"channels": 5, "kernel": 4, "stride": 2}, {"channels": 3, "kernel": 1},
              {"channels": 4, "kernel": 3, "stride": 2}),
    )  # fmt: skip
    model = uneven(create(shape, QuantConfig.parse("4/8", scheme="mixed"), 0)).eval()
    images = stem_images[:, :, :12, :12]
    calibrate(model, images)
    graph = lower(model)
    for name, pairs in flips_by_op(model, images).items():
        assert pairs[:, 1].max() <= 1, name
    traced = trace(model, images)["image"]
    for image in (traced[0], traced[1]):
        pixels = integers(image, graph.tensors["image"])
        found = execute(graph, pixels, keep=graph.tensors)
        expected = naive.execute(dump(graph), pixels.tolist())
        assert set(found) == set(expected)
        for name, tensor in graph.tensors.items():
            assert found[name].tolist() == expected[name], name
            assert tensor.interval.lo <= found[name].min()
            assert found[name].max() <= tensor.interval.hi


def test_skip_lam_is_in_the_multipliers(stem_model):
    graph = lower(stem_model)
    for op in graph.ops:
        if op.name.endswith(("attn.proj", "fc2")):
            x, y = graph.inputs_of(op)[0], graph.tensors[op.output]
            layer = stem_model.get_submodule(op.name)
            _, scale = layer.weight_quant.tensor_quant.integers(layer.weight)
            real = x.scale * scale.numpy() / 2.0 / y.scale
            assert np.allclose(op.mult / 2.0**op.shift, real, rtol=2**-8)
            bias = layer.bias.detach().double().numpy() / (x.scale * scale.numpy())
            assert np.abs(op.bias - bias).max() <= 0.51


def test_fidelity_of_a_build_covers_the_stem(stem_model):
    graph = lower(stem_model)
    rng = np.random.default_rng(0)
    samples = [(rng.integers(0, 256, (40, 36, 3), dtype=np.uint8), n % 7) for n in range(3)]
    result = evaluate(graph, float_twin(stem_model), stem_model, samples)
    assert result["images"] == 3
    for op in ("patch_embed.conv1", "patch_embed.conv2", "embed"):
        assert result["sqnr_db"].get(op, np.inf) > 25


def test_macs_and_weights_of_lvvit_s():
    """6.5 GMAC; what is published, 6.6, counts more than matrix products."""
    model = create(config("lvvit_s"), QuantConfig.parse("4/8"), 0).eval()
    calibrate(model, torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0)))
    graph = lower(model)
    width, tokens, hidden, side = 384, 197, 1152, 112
    stem = 64 * 147 + 2 * 64 * 576
    block = 4 * width * width + 2 * width * hidden
    assert graph.weights == stem + 4096 * width + 16 * block + 1000 * width
    products = 2 * tokens * tokens * width
    macs = (
        side * side * stem + tokens * 4096 * width + 16 * (tokens * block + products) + 1000 * width
    )
    assert graph.macs == macs and round(macs / 1e9, 1) == 6.5
