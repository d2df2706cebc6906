"""Activation quantizers, the observer, and the functions between them."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vitgen import arith
from vitgen.errors import VitgenError
from vitgen.quant.activations import CALIBRATED, CONSTANT, LEARNED, POINT, ActQuant, Observer
from vitgen.quant.functions import RoundedNorm, poly_gelu, poly_softmax


def settled(quantizer, *batches):
    quantizer.observe()
    for batch in batches:
        value, *_ = quantizer(batch)
        assert torch.equal(value, batch)  # observing does not quantize
    quantizer.settle()
    return quantizer


@pytest.mark.parametrize("bits", [4, 5, 6, 7, 8])
def test_codes_stay_symmetric_and_round_half_up(bits):
    quantizer = ActQuant(bits, CONSTANT, scale=0.25)
    x = torch.linspace(-100, 100, 4001)
    codes = (quantizer(x)[0] / 0.25).numpy()
    limit = 2 ** (bits - 1) - 1
    assert codes.min() == -limit and codes.max() == limit
    expected = np.clip(np.floor(x.numpy() / 0.25 + 0.5), -limit, limit)
    assert np.array_equal(codes, expected)
    positive = ActQuant(bits, CONSTANT, scale=0.25, signed=False)
    assert float(positive(x)[0].min()) == 0


def test_a_quantizer_passes_through_until_it_is_ready():
    quantizer = ActQuant(8, LEARNED)
    x = torch.randn(100)
    assert torch.equal(quantizer(x)[0], x)
    settled(quantizer, x)
    assert not torch.equal(quantizer(x)[0], x)
    quantizer.forget()
    assert torch.equal(quantizer(x)[0], x)


def test_gradient_is_the_identity_inside_and_zero_outside():
    quantizer = ActQuant(4, CONSTANT, scale=1.0)
    x = torch.tensor([-20.0, -7.6, -6.9, 0.2, 6.9, 7.6, 20.0], requires_grad=True)
    quantizer(x)[0].sum().backward()
    assert x.grad.tolist() == [0, 0, 1, 1, 1, 0, 0]


def test_scale_gradient_is_lsqs():
    quantizer = settled(ActQuant(4, LEARNED), torch.randn(1000))
    with torch.no_grad():
        quantizer.log_scale.fill_(0.0)
    x = torch.tensor([0.3, -2.4, 100.0])
    quantizer(x)[0].sum().backward()
    error = (0 - 0.3) + (-2 + 2.4) + 7
    damping = 1 / math.sqrt(3 * 7)
    assert float(quantizer.log_scale.grad) == pytest.approx(error * damping * math.log(2), rel=1e-5)


@pytest.mark.parametrize(("largest", "fraction"), [(0.5, 12), (5.0, 12), (10.0, 11), (20.0, 10),
                                                   (80.0, 8), (1e4, 8), (0.0, 12)])
def test_binary_points_lie_between_8_and_12(largest, fraction):
    quantizer = settled(ActQuant(16, POINT), torch.tensor([0.0, largest / 2]), -torch.ones(1) * largest)
    assert quantizer.fraction == fraction and quantizer.scale == 2.0**-fraction


def test_calibrated_scales_cover_every_batch_with_a_margin():
    quantizer = settled(ActQuant(16, CALIBRATED), torch.ones(3), torch.tensor([-4.0]), torch.zeros(2))
    assert quantizer.scale * 32767 == pytest.approx(4 * ActQuant.MARGIN)
    assert quantizer.fraction is None


def test_learned_scales_beat_the_full_range():
    x = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    quantizer = settled(ActQuant(4, LEARNED), *x.split(1000))

    def error(scale):
        return float(((torch.floor(x / scale + 0.5).clamp(-7, 7) * scale - x) ** 2).mean())

    best = min(error(float(s)) for s in torch.linspace(0.1, 0.8, 200))
    assert error(quantizer.scale) < 1.02 * best < error(float(x.abs().max()) / 7)


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=50), st.integers(1, 5))
def test_the_observer_counts_everything_in_any_order(values, parts):
    observer = Observer()
    x = torch.tensor(values)
    for part in x.chunk(parts):
        observer.update(part)
    assert observer.largest == float(x.abs().max())
    if observer.largest > 0:
        assert observer.width * Observer.BINS >= observer.largest * (1 - 1e-6)
        assert float(observer.counts.sum()) >= int((x != 0).sum())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_the_observer_refuses_what_is_not_finite(bad):
    with pytest.raises(VitgenError, match=str(bad)):
        Observer().update(torch.tensor([1.0, bad]))


@pytest.mark.parametrize("bits", [4, 6, 8])
def test_softmax_follows_the_integers(bits):
    generator = torch.Generator().manual_seed(0)
    fraction = 10
    codes = (torch.randn(50, 197, generator=generator) * 2.5 * 2**fraction).round()
    integers = arith.softmax(codes.numpy().astype(np.int64), fraction, bits)
    quantizer = ActQuant(bits, CONSTANT, 2.0 ** (1 - bits), signed=False)
    value = quantizer(poly_softmax(codes / 2**fraction))[0] * 2 ** (bits - 1)
    difference = np.abs(value.numpy() - integers)
    assert difference.max() <= 1 and (difference > 0).mean() < 2e-3


def test_softmax_gain_and_gradient():
    scores = torch.randn(4, 9, dtype=torch.float64, requires_grad=True)
    assert torch.equal(poly_softmax(scores, 0.5), poly_softmax(scores) * 0.5)
    upstream = torch.randn(4, 9, dtype=torch.float64)
    ours, = torch.autograd.grad((poly_softmax(scores) * upstream).sum(), scores)
    exact, = torch.autograd.grad((scores.softmax(-1) * upstream).sum(), scores)
    assert float((ours - exact).norm() / exact.norm()) < 0.05


@pytest.mark.parametrize("delta", [256, 128])
def test_gelu_follows_the_integers(delta):
    fraction = 11
    codes = np.arange(-32767, 32768)
    mult, shift = arith.quantize_multipliers(np.array([2.0 ** -(fraction + 1) / 0.05]))
    integers = arith.gelu(codes, fraction, delta, int(mult[0]), shift, 8)
    x = torch.tensor(codes / 2**fraction, dtype=torch.float32)
    value = poly_gelu(x, delta / 256)
    difference = np.abs(np.clip(np.floor(value.numpy() / 0.05 + 0.5), -127, 127) - integers)
    assert difference.max() <= 1 and (difference > 0).mean() < 0.01
    if delta == 256:
        assert float((value - torch.nn.functional.gelu(x)).abs().max()) < 0.03


def test_norm_is_layernorm_in_steps_of_its_fraction():
    norm, exact = RoundedNorm(64), torch.nn.LayerNorm(64)
    x = torch.randn(5, 64, requires_grad=True)
    value = norm(x).detach()
    assert float((value - exact(x).detach()).abs().max()) <= 2.0**-12 + 1e-6
    assert torch.equal(torch.round(value * 2048), value * 2048)
    upstream = torch.randn(5, 64)
    ours, = torch.autograd.grad((norm(x) * upstream).sum(), x)
    theirs, = torch.autograd.grad((exact(x) * upstream).sum(), x)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
