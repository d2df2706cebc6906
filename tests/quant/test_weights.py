"""The weight quantizer: every integer legal, levels nearest, gradients straight through."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vitgen.models import config, create
from vitgen.quant import QuantConfig, frozen_weights
from vitgen.quant.calibration import best_clips, row_layers
from vitgen.quant.weights import ROW_FLOOR, RowQuant, round_pot, row_quantizer

POT_LEVELS = np.array([0, 1, 2, 4, 8, 16, 32, 64])


def mixed_quantizer(rows):
    """Rows in turn: 4 bits, 8 bits, power of two."""
    quantizer = RowQuant(rows)
    quantizer.wide_rows[1::3] = True
    quantizer.pot_rows[2::3] = True
    return quantizer


def random_rows(rows, features, seed=0, spread=3.0):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(rows, features, generator=generator)
    return weight * torch.exp(spread * torch.randn(rows, 1, generator=generator) / 3)


@given(st.floats(0, 64, width=32))
def test_powers_of_two_are_nearest_in_the_log_domain(magnitude):
    """Brute force over all levels; zero lies where level 1 is more than half an octave away."""
    got = float(round_pot(torch.tensor(magnitude)))
    if magnitude <= 0:
        assert got == 0
        return
    distance = np.abs(np.log2(POT_LEVELS[1:]) - np.log2(magnitude))
    nearest = POT_LEVELS[1:][distance <= distance.min() + 1e-6]
    below = np.log2(magnitude) < -0.5
    edge = abs(np.log2(magnitude) + 0.5) < 1e-6
    assert (got in nearest and not below) or (got == 0 and below) or (edge and got in (0, 1))


@pytest.mark.parametrize("seed", range(5))
def test_every_integer_is_legal(seed):
    weight = random_rows(30, 57, seed)
    weight[3] = 0
    weight[4, 1:] = 0
    weight[5] *= 1e-12
    quantizer = mixed_quantizer(30)
    quantizer.clip.uniform_(0.4, 1.0)
    codes, scale = quantizer.integers(weight)
    assert codes.dtype == torch.int8 and bool((scale > 0).all())
    codes = codes.numpy().astype(int)
    assert np.abs(codes[0::3]).max() == 7 and np.abs(codes[1::3]).max() == 127
    assert np.isin(np.abs(codes[2::3]), POT_LEVELS).all() and np.abs(codes[2::3]).max() == 64
    assert not codes[3].any() and not codes[5].any()


def test_codes_times_scales_are_the_forward_value():
    weight = random_rows(12, 33)
    quantizer = mixed_quantizer(12)
    codes, scale = quantizer.integers(weight)
    value, column, zero_point, bit_width = quantizer(weight)
    torch.testing.assert_close(value.double(), codes.double() * scale[:, None], rtol=1e-6, atol=0)
    assert column.shape == (12, 1) and float(zero_point) == 0 and float(bit_width) == 8


def test_fixed_codes_are_nearest_and_scales_span_the_row():
    weight = random_rows(12, 33, spread=0.5)
    quantizer = mixed_quantizer(12)
    codes, scale = quantizer.integers(weight)
    limit = quantizer.limits().double()
    torch.testing.assert_close(scale * limit, weight.abs().amax(1).double(), rtol=1e-6, atol=0)
    fixed = ~quantizer.pot_rows
    error = (codes.double() * scale[:, None] - weight.double()).abs()[fixed]
    assert bool((error <= scale[fixed, None] * (0.5 + 1e-5)).all())


def test_rows_far_below_the_largest_share_a_floor():
    weight = torch.ones(3, 4)
    weight[1] = 1e-9
    scale = RowQuant(3).scales(weight) * 7
    assert float(scale[1]) == pytest.approx(ROW_FLOOR)
    assert bool((RowQuant(3).scales(torch.zeros(3, 4)) > 0).all())


def test_gradient_is_the_identity_inside_the_clip_range_and_zero_outside():
    weight = random_rows(12, 33, spread=0.5).requires_grad_()
    quantizer = mixed_quantizer(12)
    quantizer.clip[0] = 0.5
    value, *_ = quantizer(weight)
    upstream = torch.randn(value.shape)
    value.backward(upstream)
    bound = 0.5 * weight[0].detach().abs().max()
    inside = torch.ones_like(weight, dtype=torch.bool)
    inside[0] = weight[0].detach().abs() <= bound
    assert not bool(inside.all())
    assert torch.equal(weight.grad, upstream * inside)


def test_clips_are_the_best_of_those_tried():
    weight = torch.randn(40, 300, generator=torch.Generator().manual_seed(0))
    best = best_clips(weight, 7)

    def error(clip):
        scale = weight.abs().amax(1, keepdim=True) * clip / 7
        return ((torch.round(weight / scale).clamp(-7, 7) * scale - weight) ** 2).sum(1)

    # What it is for: Gaussian rows lose from spanning their outliers.
    assert float((error(best[:, None]) / error(1.0)).mean()) < 0.85
    for clip in (1.0, 0.86, 0.58):
        assert bool((error(best[:, None]) <= error(clip) * (1 + 1e-5)).all())


def test_frozen_weights_are_quantized_once():
    model = create(config("vit_digits"), QuantConfig.parse("4/8", scheme="mixed"), 0).eval()
    images = torch.rand(2, 1, 8, 8)
    expected = model(images)
    with frozen_weights(model):
        model(images)
        with torch.no_grad():
            model.head.weight.zero_()
        assert torch.equal(model(images), expected)
    assert not torch.equal(model(images), expected)


def test_a_layer_multiplies_by_its_quantized_weights():
    """Through Brevitas' own layer: linear and convolution."""
    model = create(config("vit_digits"), QuantConfig.parse("4+8/8", scheme="mixed"), 0).eval()
    x = torch.randn(3, 64)
    layer = model.blocks[0].mlp.fc1
    codes, scale = row_quantizer(layer).integers(layer.weight)
    weight = (codes.double() * scale[:, None]).float()
    expected = torch.nn.functional.linear(x, weight, layer.bias)
    torch.testing.assert_close(layer(x), expected, rtol=1e-5, atol=1e-6)
    assert layer.quant_weight().scale.shape == (128, 1)
    assert {int(b) for b in codes[row_quantizer(layer).pot_rows].abs().unique()} <= set(POT_LEVELS)


def test_biases_are_whole_steps_of_the_accumulator(calibrated):
    model, images = calibrated
    layer = model.blocks[1].attn.proj
    model(images)
    from vitgen.quant.activations import act_quantizer

    bias = layer.bias_quant(layer.bias, None, None).value.detach().double()
    _, scale = row_quantizer(layer).integers(layer.weight)
    steps = bias / (scale * act_quantizer(model.blocks[1].attn.av_out).scale)
    torch.testing.assert_close(steps, steps.round(), rtol=0, atol=1e-3)
    assert float((bias - layer.bias.detach().double()).abs().max()) > 0


@pytest.mark.parametrize(
    ("label", "scheme", "pot", "wide"),
    [("4/8", "fixed", 0, 0), ("4/8", "pot", 16, 0), ("4/8", "mixed", 4, 0), ("8/8", "fixed", 0, 16),
     ("4+8/8", "mixed", 4, 4), ("8/8", "mixed", 4, 12)],
)
def test_every_head_has_the_same_rows(label, scheme, pot, wide):
    model = create(config("vit_digits"), QuantConfig.parse(label, scheme=scheme), 0)
    quantizer = row_quantizer(model.blocks[2].attn.qkv)
    assert bool((quantizer.pot_rows.view(12, 16).sum(1) == pot).all())
    narrow_wide = quantizer.wide_rows & ~quantizer.pot_rows
    assert bool((narrow_wide.view(12, 16).sum(1) == wide).all())
    for layer in (model.patch_embed.proj, model.head):
        ends = row_quantizer(layer)
        assert not bool(ends.pot_rows.any()) and bool(ends.wide_rows.all())


def test_every_layer_with_weights_is_listed_once():
    model = create(config("vit_digits"), QuantConfig.parse("4/8"), 0)
    layers = [layer for layer, _ in row_layers(model)]
    quantizers = [m for m in model.modules() if isinstance(m, RowQuant)]
    assert len(layers) == len(quantizers) == 4 * 4 + 2
