"""Calibration: what it sets, from what it takes images, what it refuses."""

import pytest
import torch

from vitgen.errors import VitgenError
from vitgen.models import config, create
from vitgen.quant import QuantConfig, calibrate, trace
from vitgen.quant.activations import POINT, ActQuant
from vitgen.quant.calibration import act_quantizers
from vitgen.quant.weights import row_quantizer


def fresh(label="4/8", **options):
    return create(config("vit_digits"), QuantConfig.parse(label, **options), 0)


def scales(model):
    return {name: quantizer.scale for name, quantizer in act_quantizers(model).items()}


def test_every_quantizer_becomes_ready_and_the_mode_is_kept(digits):
    model = fresh().train()
    calibrate(model, digits[0][:8])
    assert model.training
    assert all(bool(quantizer.ready) for quantizer in act_quantizers(model).values())
    for quantizer in act_quantizers(model).values():
        if quantizer.kind == POINT:
            assert 8 <= quantizer.fraction <= 12


def test_batches_and_one_tensor_give_the_same_scales(digits):
    images = digits[0][:40]
    whole, streamed = fresh(), fresh()
    calibrate(whole, images)
    calibrate(streamed, (batch for batch in images.split(7)))
    for (name, a), b in zip(scales(whole).items(), scales(streamed).values(), strict=True):
        assert a == pytest.approx(b, rel=0.05), name


def test_the_residual_scale_covers_every_tensor_of_the_stream(digits):
    images = digits[0][:8]
    model = fresh().eval()
    tensors = trace(model, images)
    calibrate(model, images)
    stream = [v for k, v in tensors.items() if k.endswith(("add.out", "proj.out", "fc2.out"))]
    stream += [tensors["embed.out"], tensors["embedding"]]
    largest = max(float(value.abs().max()) for value in stream)
    scale = model.residual.act_quant.fused_activation_quant_proxy.tensor_quant.scale
    # Weights are clipped after the trace, so the ranges differ a little.
    assert scale * 32767 == pytest.approx(ActQuant.MARGIN * largest, rel=0.1)


def test_rows_are_assigned_anew_unless_kept(digits):
    model = fresh(scheme="mixed")
    layer = model.blocks[0].mlp.fc1
    before = row_quantizer(layer).pot_rows.clone()
    with torch.no_grad():
        layer.weight.copy_(layer.weight.flip(0) * torch.linspace(0.5, 2, 128)[:, None])
    calibrate(model, digits[0][:4], keep_rows=True)
    assert torch.equal(row_quantizer(layer).pot_rows, before)
    calibrate(model, digits[0][:4])
    after = row_quantizer(layer).pot_rows
    assert not torch.equal(after, before) and int(after.sum()) == int(before.sum()) == 32


def test_quantized_logits_stay_close_to_float(digits):
    images = digits[0][:64]
    plain = create(config("vit_digits"), None, 0)
    error = {}
    for label in ("8/8", "4/8", "4/4"):
        model = fresh(label).eval()
        calibrate(model, images)
        difference = trace(model, images)["logits"] - trace(plain, images)["logits"]
        error[label] = float(difference.norm() / trace(plain, images)["logits"].norm())
    assert error["8/8"] < 0.05 < error["4/8"] < 0.3 and error["4/8"] < error["4/4"]


def test_training_reaches_weights_and_scales(calibrated):
    model, images = calibrated
    model.train()
    model(images).square().sum().backward()
    missing = [name for name, p in model.named_parameters() if p.grad is None]
    assert missing == []
    assert all(bool(torch.isfinite(p.grad).all()) for p in model.parameters())


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (torch.zeros(0, 1, 8, 8), "no calibration images"),
        ([], "no calibration images"),
        (torch.zeros(2, 3, 8, 8), r"shape \(2, 3, 8, 8\)"),
        (torch.zeros(1, 8, 8), r"shape \(1, 8, 8\)"),
        (torch.full((1, 1, 8, 8), float("nan")), "nan"),
    ],
)
def test_unusable_images_are_refused_and_leave_it_uncalibrated(images, said):
    model = fresh()
    with pytest.raises(VitgenError, match=said):
        calibrate(model, images)
    assert not bool(model.residual.act_quant.fused_activation_quant_proxy.tensor_quant.ready)
    assert all(quantizer.observer is None for quantizer in act_quantizers(model).values())


def test_a_float_model_is_refused(digits):
    with pytest.raises(VitgenError, match="float model"):
        calibrate(create(config("vit_digits"), None, 0), digits[0][:1])
