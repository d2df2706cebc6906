"""Token selectors: against plain loops, masked and removed tokens, packages, randomness."""

import copy
import math
from dataclasses import replace

import pytest
import torch

from vitgen.errors import VitgenError
from vitgen.models import VitConfig, config, create, load_into
from vitgen.models.selector import Stream, gumbel
from vitgen.models.sites import op_names
from vitgen.quant import QuantConfig, calibrate, calibrate_thresholds, trace
from vitgen.quant.functions import masked_softmax, plan_sigmoid, poly_softmax
from vitgen.quant.thresholds import threshold_for

DIGITS = replace(config("vit_digits"), keep="1:0.7,2:0.4,3:0.2")
ODD = VitConfig("odd", image=12, patch=3, embed_dim=21, depth=2, heads=3, mlp_ratio=2, classes=5,
                channels=1, mean=(0.5,), std=(0.5,), keep="0:0.6,1:0.3")  # fmt: skip


def images(shape, count=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 1, shape.image, shape.image, generator=generator) * 2 - 1


def pruned(shape=DIGITS, label=None, **options):
    """A model whose thresholds give the keep rates on :func:`images`."""
    quant = None if label is None else QuantConfig.parse(label, **options)
    model = create(shape, quant, 0).eval()
    calibrate_thresholds(model, images(shape))
    if quant is not None:
        calibrate(model, images(shape))
        calibrate_thresholds(model, images(shape))
    return model


def linear(layer, x):
    weights, biases = layer.weight.tolist(), layer.bias.tolist()
    return [sum(w * v for w, v in zip(row, x, strict=True)) + b
            for row, b in zip(weights, biases, strict=True)]  # fmt: skip


def gelu(x):
    return [v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x]


def naive_scores(selector, tokens):
    """Keep scores of a list of tokens, one number at a time (float selectors)."""
    heads, width = selector.heads, len(tokens[0])
    size = width // heads
    normal = []
    for token in tokens:
        mean = sum(token) / width
        deviation = math.sqrt(sum((v - mean) ** 2 for v in token) / width + selector.norm.eps)
        gains, biases = selector.norm.weight.tolist(), selector.norm.bias.tolist()
        normal.append([(v - mean) / deviation * g + b
                       for v, g, b in zip(token, gains, biases, strict=True)])  # fmt: skip
    local = [[gelu(linear(selector.mlp1, t[h * size : (h + 1) * size])) for h in range(heads)]
             for t in normal]  # fmt: skip
    scores = []
    for n, token in enumerate(normal):
        means = [sum(token[h * size : (h + 1) * size]) / size for h in range(heads)]
        weights = linear(selector.mlp3b, gelu(linear(selector.mlp3a, means)))
        weights = [max(1 / (1 + math.exp(-v)), 1 / 128) for v in weights]
        total = 0.0
        for h in range(heads):
            everywhere = [
                sum(t[h][k] for t in local) / len(tokens) for k in range(len(local[n][h]))
            ]
            x = gelu(linear(selector.mlp2a, local[n][h] + everywhere))
            keep, drop = linear(selector.mlp2c, gelu(linear(selector.mlp2b, x)))
            total += weights[h] * math.exp(keep) / (math.exp(keep) + math.exp(drop))
        scores.append(total / sum(weights))
    return scores


@pytest.mark.parametrize("shape", [DIGITS, ODD])
def test_scores_and_packages_are_the_naive_ones(shape):
    model = create(shape, None, 3).double().eval()
    selector = model.selectors()[0]
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, 7, shape.embed_dim, generator=generator).double() * 2
    expected = naive_scores(selector, x[0].tolist())
    found = selector.score(x, None)[0]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=x.dtype), rtol=1e-9, atol=1e-9)
    # The middle of the scores as threshold: about half of them go.
    selector.threshold.fill_(sum(sorted(expected[1:])[2:4]) / 2)
    threshold = float(selector.threshold)
    kept = [x[0, 0]] + [t for t, s in zip(x[0, 1:], expected[1:], strict=True) if s >= threshold]
    gone = [(t, s) for t, s in zip(x[0, 1:], expected[1:], strict=True) if s < threshold]
    package = sum(t * s for t, s in gone) / sum(s for _, s in gone)
    stream, selection = selector(Stream(x))
    torch.testing.assert_close(stream.x[0], torch.stack([*kept, package]), rtol=1e-9, atol=1e-9)
    assert stream.package and stream.mask is None and int(selection.kept()) == len(kept) - 1
    # A second selector treats the package as one more token that goes, whatever its score.
    again, selection = selector(Stream(stream.x, None, True))
    assert not selection.candidates[0, -1] and not selection.keep[0, -1]
    scores = naive_scores(selector, stream.x[0].tolist())
    gone = [(t, s) for n, (t, s) in enumerate(zip(stream.x[0], scores, strict=True))
            if n and (s < threshold or n == len(scores) - 1)]  # fmt: skip
    package = sum(t * s for t, s in gone) / sum(s for _, s in gone)
    torch.testing.assert_close(again.x[0, -1], package, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("shape", [DIGITS, ODD])
def test_a_mask_is_removal(shape):
    model = pruned(shape).double()
    batch = images(shape).double()
    together, chosen = model.run(batch)
    counts = torch.stack([one.kept() for one in chosen])
    assert (counts.std(dim=1) > 0).all()  # images keep different numbers of tokens
    for index, image in enumerate(batch):
        alone, own = model.run(image[None])
        torch.testing.assert_close(alone[0], together[index], rtol=1e-9, atol=1e-9)
        assert [int(one.kept()) for one in own] == counts[:, index].tolist()
    for one, before in zip(chosen[1:], chosen[:-1], strict=True):
        assert bool((one.keep[:, : before.keep.shape[1]] <= before.keep).all())


@pytest.mark.parametrize("label", ["8/8", "4/6"])
def test_a_mask_is_removal_in_a_quantized_model(label):
    model = pruned(DIGITS, label, scheme="fixed", delta1=0.5, delta2=0.5)
    for selector in model.selectors():
        selector.threshold.add_(2.0**-9)  # not at a score: sums in another order move some by a step
    batch = images(DIGITS)
    with torch.no_grad():
        together, chosen = model.run(batch)
        alone = torch.cat([model(image[None]) for image in batch])
    assert float((alone - together).abs().max()) < 0.02 * float(together.abs().max())
    assert all(0 < float(one.kept().mean()) < 16 for one in chosen)


def test_the_training_mask_is_removal_too():
    """The same decisions, drawn at random, once with a mask and once without the tokens."""
    model = create(DIGITS, None, 0).double()
    batch = images(DIGITS, 3).double()
    model.train()
    together, chosen = model.run(batch, torch.Generator().manual_seed(5))
    model.eval()
    for index, image in enumerate(batch):
        left = torch.arange(17)
        stream = Stream(model.embed_add_out(
            torch.nn.functional.pad(model.patch_embed(image[None]), (0, 0, 1, 0))
            + model.position_constant()))  # fmt: skip
        turn = iter(chosen)
        for block in model.blocks:
            if block.selector is not None:
                keep = next(turn).keep[index, :17] > 0
                # Scores above every threshold and below: the selector decides as it did.
                wanted = torch.where(keep[left], 2.0, -1.0).double()
                if stream.package:
                    wanted = torch.cat([wanted, torch.zeros(1)])
                selector = block.selector
                decide = selector.decide
                score = selector.score(stream.x, None)

                def forced(stream, noise, decide=decide, wanted=wanted, score=score):
                    found = decide(stream, noise)
                    keep = (wanted > 0).double()[None]
                    return replace(found, keep=keep, score=score)

                selector.decide = forced
                stream, _ = selector(stream)
                del selector.decide
                left = left[keep[left]]
            stream = replace(stream, x=block(stream.x))
        logits = model.head(model.norm(stream.x[:, 0]))[0]
        torch.testing.assert_close(logits, together[index], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("threshold", [0.0, 2.0])
def test_all_tokens_and_none(threshold):
    model = create(DIGITS, None, 0).eval()
    for selector in model.selectors():
        selector.threshold.fill_(threshold)
    batch = images(DIGITS, 2)
    together, chosen = model.run(batch)
    alone = torch.cat([model(image[None]) for image in batch])
    torch.testing.assert_close(alone, together)
    kept = 16.0 if threshold == 0 else 0.0
    assert all(one.kept().tolist() == [kept, kept] for one in chosen)
    plain = create(replace(DIGITS, keep=()), None, 0).eval()
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if ".selector." not in k})
    same = torch.allclose(plain(batch), together, atol=1e-6)
    assert same == (threshold == 0)  # nothing pruned: no package, the unpruned network


def test_a_trained_model_decides_without_chance():
    model = create(DIGITS, None, 0)
    batch = images(DIGITS)
    noise = torch.Generator().manual_seed(0)
    model.train()
    first, second = model.run(batch, noise)[0], model.run(batch, noise)[0]
    assert not torch.equal(first, second)
    again = torch.Generator().manual_seed(0)
    assert torch.equal(model.run(batch, again)[0], first)
    model.eval()
    assert torch.equal(model.run(batch, noise)[0], model.run(batch)[0])
    assert torch.equal(copy.deepcopy(model)(batch), model(batch))


def test_decisions_are_drawn_with_the_probability_of_the_score():
    score = torch.tensor([0.1, 0.5, 0.9]).repeat(20_000, 1).requires_grad_()
    drawn = gumbel(score, torch.Generator().manual_seed(0))
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert drawn.mean(dim=0).tolist() == pytest.approx([0.1, 0.5, 0.9], abs=0.01)
    drawn.sum().backward()
    assert bool((score.grad > 0).all())


def test_every_selector_learns():
    model = create(DIGITS, QuantConfig.parse("8/8"), 0)
    calibrate(model, images(DIGITS))
    model.train()
    logits, chosen = model.run(images(DIGITS), torch.Generator().manual_seed(0))
    (logits.square().mean() + sum(one.kept().mean() for one in chosen)).backward()
    for selector in model.selectors():
        for name, layer in selector.linear_layers():
            assert float(layer.weight.grad.abs().max()) > 0, name


def test_a_gradient_reaches_the_mask():
    scores, mask = torch.randn(2, 3, 5), torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0])
    for function in (masked_softmax, lambda s, m: poly_softmax(s, 1.0, m)):
        keep = mask.clone().requires_grad_()
        weights = function(scores, keep)
        torch.testing.assert_close(weights[..., mask > 0], function(scores[..., mask > 0], None))
        assert not weights[..., mask == 0].any()
        (weights * torch.arange(5)).sum().backward()
        assert bool((keep.grad != 0).all())


def test_the_sigmoid_in_pieces():
    x = torch.linspace(-8, 8, 4001).double()
    assert float((plan_sigmoid(x) - torch.sigmoid(x)).abs().max()) < 0.0190
    points = torch.tensor([0.0, 1.0, 2.0, 2.375, 4.0, 5.0, 9.0]).double()
    expected = torch.tensor([0.5, 0.75, 0.875, 0.91796875, 0.96875, 1.0, 1.0]).double()
    assert plan_sigmoid(points).tolist() == expected.tolist()
    assert plan_sigmoid(-points).tolist() == (1 - expected).tolist()


def test_thresholds_give_the_rates():
    model = pruned(DIGITS, "8/8")
    batch = images(DIGITS)
    rates = [float(torch.cat([model.run(i[None])[1][n].kept() for i in batch]).mean()) / 16
             for n in range(3)]  # fmt: skip
    assert rates == pytest.approx([0.7, 0.4, 0.2], abs=0.04)
    assert all(float(s.threshold) * 2**14 % 1 == 0 for s in model.selectors())


@pytest.mark.parametrize(
    ("scores", "count", "kept"),
    [([0.1, 0.2, 0.3, 0.4], 2, 2), ([0.1, 0.2, 0.3, 0.4], 4, 4), ([0.1, 0.2, 0.3], 0, 0),
     ([0.5, 0.5, 0.5], 1, 0), ([0.5, 0.5, 0.5], 2, 3), ([0.1, 0.5, 0.5, 0.9], 2, 3), ([], 0, 0)],
)  # fmt: skip
def test_a_threshold_for_a_count(scores, count, kept):
    scores = torch.tensor(scores)
    assert int((scores >= threshold_for(scores, count)).sum()) == kept


def test_tensors_of_one_image_have_their_own_counts():
    model = pruned(DIGITS, "8/8")
    tensors = trace(model, images(DIGITS, 1))
    assert {f"{op}.out" for op in op_names(DIGITS)} <= set(tensors)
    kept = int(model.run(images(DIGITS, 1))[1][0].kept())
    assert tensors["blocks.1.selector.compact.out"].shape == (1, kept + 2, 64)
    assert tensors["blocks.1.attn.qk.out"].shape == (1, 4, kept + 2, kept + 2)


def test_weights_of_an_unpruned_network_fit():
    plain = create(replace(DIGITS, keep=()), None, 7)
    model = create(DIGITS, None, 0)
    before = model.blocks[1].selector.mlp1.weight.clone()
    load_into(model, plain.state_dict())
    assert torch.equal(model.blocks[1].selector.mlp1.weight, before)
    assert torch.equal(model.blocks[1].attn.qkv.weight, plain.blocks[1].attn.qkv.weight)
    with pytest.raises(VitgenError, match="selector") as caught:
        load_into(plain, model.state_dict())
    assert "keep rates" in caught.value.remedy
    half = {k: v for k, v in model.state_dict().items() if not k.startswith("blocks.2.selector")}
    with pytest.raises(VitgenError, match=r"lacks blocks\.2\.selector"):
        load_into(create(DIGITS, None, 0), half)


def test_no_images_to_calibrate():
    with pytest.raises(VitgenError, match="no calibration images"):
        calibrate_thresholds(create(DIGITS, None, 0), [])
