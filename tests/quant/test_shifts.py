"""The output scale of softmax: what calibration chooses, and that everything keeps it."""

import math

import pytest
import torch

from vitgen import arith
from vitgen.ir import Softmax
from vitgen.lower import lower
from vitgen.models import VitConfig, config, create, load_checkpoint, load_into, save_checkpoint
from vitgen.quant import QuantConfig, calibrate, trace
from vitgen.quant.activations import SHIFTED, ActQuant, act_quantizer
from vitgen.quant.functions import poly_softmax
from vitgen.quant.shifts import ShiftObserver

KEYS = 197


def values(heads=3, batch=2, keys=KEYS, common=0.0):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(batch, keys, heads * 16, generator=generator) + common


def settled(bits, probabilities, weighed, delta2=1.0):
    """The quantizer after it has seen these."""
    quantizer = ActQuant(bits, SHIFTED, delta2 * 2.0 ** (1 - bits), signed=False)
    quantizer.observe()
    quantizer.observer.values = weighed
    assert quantizer(probabilities * delta2)[0] is not None and not quantizer.active
    quantizer.settle()
    return quantizer


def even(heads=3, batch=2, keys=KEYS):
    """Scores that hardly differ."""
    generator = torch.Generator().manual_seed(1)
    return (torch.randn(batch, heads, keys, keys, generator=generator) * 0.1).softmax(dim=-1)


def peaked(heads=3, batch=2, keys=KEYS):
    """One key of every row takes nearly all."""
    scores = torch.eye(keys) * 14
    return scores.expand(batch, heads, keys, keys).softmax(dim=-1)


@pytest.mark.parametrize("delta2", [1.0, 0.5])
@pytest.mark.parametrize("bits", [4, 6, 8])
def test_even_attention_gets_a_resolution_and_peaked_attention_none(bits, delta2):
    fine = settled(bits, even(), values(), delta2)
    # A probability of 1/197 is then between a quarter and all of the limit.
    code = delta2 / KEYS / fine.scale
    assert 1 <= fine.shift <= 7 and code <= fine.limit and (code > fine.limit / 4 or bits == 4)
    assert fine.scale == pytest.approx(delta2 * 2.0 ** (1 - bits - fine.shift))
    assert bool(fine.ready) and fine.active
    assert settled(bits, peaked(), values(), delta2).shift == 0


def test_the_chosen_shift_is_the_best_by_brute_force():
    """In the last two cases the error of the probabilities alone would choose another."""
    cases = ((8, 1.0, 0.0), (6, 1.5, 1.0), (5, 3.0, 0.0), (4, 1.5, 1.0), (5, 1.5, 5.0))
    for bits, spread, common in cases:
        generator = torch.Generator().manual_seed(3)
        scores = torch.randn(2, 3, 50, 50, generator=generator) * spread
        chances = scores.softmax(dim=-1).double()
        weighed = values(keys=50, common=common)
        heads = weighed.double().reshape(2, 50, 3, 16).permute(0, 2, 1, 3)
        errors = []
        for shift in range(8):
            steps = 2.0 ** (bits - 1 + shift)
            code = torch.clamp(torch.floor(chances * steps + 0.5), max=2 ** (bits - 1) - 1)
            errors.append(float(((code / steps - chances) @ heads).square().sum()))
        found = settled(bits, chances.float(), weighed).shift
        assert errors[found] == min(errors), (bits, errors)


def test_what_values_have_in_common_counts():
    """Even attention at 8 bits: without a shift every weight is 1/128 instead of 1/197. That costs
    little where values cancel, and half of them where they agree."""
    observer = ShiftObserver(2.0**-7, 127)
    chances = torch.full((1, 1, KEYS, KEYS), 1 / KEYS)
    observer.values = torch.ones(1, KEYS, 4)
    observer.update(chances)
    assert float(observer.errors[0]) == pytest.approx(KEYS * 4 * (KEYS / 128 - 1) ** 2, rel=1e-3)
    assert observer.best() == 7  # 83 steps of 1/16,384


def test_the_largest_of_equal_shifts_and_any_split_into_batches():
    observer = ShiftObserver(2.0**-7, 127)
    observer.values = torch.zeros(1, 5, 6)
    observer.update(torch.full((1, 2, 5, 5), 0.2))
    assert observer.best() == 7
    quarter = ShiftObserver(2.0**-7, 127)
    quarter.values = values(2, 1, 4)
    quarter.update(torch.full((1, 2, 4, 4), 0.25))
    assert quarter.errors[0] == quarter.errors[1] == 0 and quarter.best() == 1
    whole, parts = (ShiftObserver(2.0**-5, 31) for _ in range(2))
    chances, weighed = even(keys=30), values(keys=30)
    whole.values = weighed
    whole.update(chances)
    for index in range(2):
        parts.values = weighed[index : index + 1]
        parts.update(chances[index : index + 1])
    torch.testing.assert_close(whole.errors, parts.errors)
    assert whole.best() == parts.best()


@pytest.mark.parametrize("shift", range(8))
@pytest.mark.parametrize("bits", [4, 6, 8])
def test_a_shifted_quantizer_follows_the_integers(bits, shift):
    generator = torch.Generator().manual_seed(0)
    codes = (torch.randn(50, KEYS, generator=generator) * 1.5 * 2**10).round()
    integers = torch.tensor(arith.softmax(codes.long().numpy(), 10, bits, shift))
    quantizer = ActQuant(bits, SHIFTED, 2.0 ** (1 - bits), signed=False)
    with torch.no_grad():
        quantizer.log_scale.sub_(shift)
        quantizer.ready.fill_(True)
    value = quantizer(poly_softmax(codes / 2**10))[0] / quantizer.scale
    difference = (value - integers).abs()
    # Where 1 is finer than the terms of 14 bits, floats and integers part by a step more often.
    assert quantizer.shift == shift and float(difference.max()) <= 1
    assert float((difference > 0).float().mean()) < 4e-3 * 2 ** max(0, bits + shift - 9)
    assert float(value.max()) == quantizer.limit or shift < 2


@pytest.fixture
def uneven(digits):
    """vit_digits at 4/6 with blocks that attend evenly, somewhat and sharply."""
    model = create(config("vit_digits"), QuantConfig.parse("4/6", delta2=0.5), 0).eval()
    with torch.no_grad():
        for block, factor in zip(model.blocks, (0.01, 0.3, 1.0, 6.0), strict=True):
            block.attn.qkv.weight[:64] *= factor
    calibrate(model, digits[0][:16])
    return model


def shifts(model):
    return [act_quantizer(block.attn.softmax_out).shift for block in model.blocks]


def test_every_softmax_has_its_own_and_lowering_takes_it(uneven):
    found = shifts(uneven)
    assert found[0] > found[2] and found[3] == 0 and found == sorted(found, reverse=True)
    graph = lower(uneven)
    ops = [op for op in graph.ops if isinstance(op, Softmax)]
    assert [op.shift for op in ops] == found
    for op in ops:
        assert graph.tensors[op.output].scale == pytest.approx(0.5 * 2.0 ** (-5 - op.shift))


def test_calibration_is_repeatable_and_leaves_no_hook(uneven, digits):
    found = shifts(uneven)
    for _ in range(2):
        calibrate(uneven, digits[0][:16])
        assert shifts(uneven) == found
    assert not any(block.attn.v_out._forward_hooks for block in uneven.blocks)
    # Other images than those of before count alone.
    with torch.no_grad():
        uneven.blocks[0].attn.qkv.weight[:64] *= 600
    calibrate(uneven, digits[0][:16])
    assert shifts(uneven)[0] == 0


def test_a_checkpoint_keeps_the_shift(tmp_path, uneven, digits):
    path = tmp_path / "trained.safetensors"
    save_checkpoint(uneven, path)
    twin = create(uneven.config, uneven.quant, 99).eval()
    load_into(twin, load_checkpoint(path))
    assert shifts(twin) == shifts(uneven)
    images = digits[0][:4]
    assert torch.equal(twin(images), uneven(images))


def test_a_checkpoint_from_before_shifts_has_none(uneven):
    """It held the same tensors, with the scale that the width alone gives."""
    state = uneven.state_dict()
    for index in range(4):
        site = (
            f"blocks.{index}.attn.softmax_out.act_quant.fused_activation_quant_proxy.tensor_quant"
        )
        assert bool(state[f"{site}.ready"])
        state[f"{site}.log_scale"] = torch.tensor(-6.0)
    twin = create(uneven.config, uneven.quant, 99)
    load_into(twin, state)
    assert shifts(twin) == [0, 0, 0, 0]
    assert [op.shift for op in lower(twin).ops if isinstance(op, Softmax)] == [0, 0, 0, 0]


def test_training_leaves_the_shift(uneven, digits):
    before = shifts(uneven)
    uneven.train()
    optimizer = torch.optim.AdamW(uneven.parameters(), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(uneven(digits[0][:32]), digits[1][:32]).backward()
        optimizer.step()
    assert shifts(uneven) == before


def to_noise(exact, found, name="blocks.0.attn.softmax.out"):
    """dB of a tensor over its error."""
    error = (found[name] - exact[name]).square().sum()
    return 10 * math.log10(float(exact[name].square().sum() / error))


def test_many_evenly_attending_tokens_lose_less():
    """145 tokens of a small network that attends softly, at few bits, against its float twin."""
    shape = VitConfig("many", image=48, patch=4, embed_dim=48, depth=2, heads=3)
    plain = create(shape, None, 0).eval()
    with torch.no_grad():
        for block in plain.blocks:
            block.attn.qkv.weight[:48] *= 0.3
    images = torch.randn(4, 3, 48, 48, generator=torch.Generator().manual_seed(0))
    exact = trace(plain, images)
    for bits, least in ((8, 6.0), (6, 6.0)):
        model = create(shape, QuantConfig.parse(f"8/{bits}"), 0).eval()
        load_into(model, plain.state_dict())
        calibrate(model, images)
        assert min(shifts(model)) > 0
        ratio = to_noise(exact, trace(model, images))
        with torch.no_grad():
            for block in model.blocks:
                quantizer = act_quantizer(block.attn.softmax_out)
                quantizer.log_scale.fill_(quantizer.base)
        coarse = to_noise(exact, trace(model, images))
        assert ratio > coarse + least, (bits, ratio, coarse)
