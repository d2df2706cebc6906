"""The integer network against the Brevitas model: op by op, end to end, and by its answers."""

import numpy as np
import pytest
import torch

from vitgen.ir import Linear
from vitgen.lower import lower
from vitgen.models import config, create, load_into
from vitgen.quant import QuantConfig, calibrate, frozen_weights, trace
from vitgen.reference import execute
from vitgen.reference.execute import EXECUTORS, Call


def integers(value, tensor):
    return np.rint(value.double().numpy() / tensor.scale).astype(np.int16)


def flips_by_op(model, images):
    """Share of differing integers, and the largest difference, where each op reads the very
    integers of the fake-quantized model."""
    graph = lower(model)
    with frozen_weights(model):
        traced = trace(model, images)
    result = {}
    for n in range(len(images)):
        values = {name: integers(traced[name][n], t) for name, t in graph.tensors.items()}
        for op in graph.ops:
            call = Call(op, graph.inputs_of(op), [values[name] for name in op.inputs],
                        graph.tensors[op.output], {})
            difference = np.abs(EXECUTORS[op.kind](call).astype(int) - values[op.output])
            result.setdefault(op.name, []).append(((difference > 0).mean(), difference.max()))
    return {name: np.array(pairs) for name, pairs in result.items()}


def most_units(model):
    """By op, the units of its result by which it may differ: one of rounding, and half a unit of the
    accumulator, in which a bias is rounded, where that is more."""
    return {
        op.name: max(1.0, 0.5 * float(np.abs(op.mult).max()) / 2**op.shift)
        if isinstance(op, Linear) else 1.0
        for op in lower(model).ops
    }  # fmt: skip


def end_to_end(model, images):
    """Top-1 agreement, and SQNR in dB of every tensor against the fake-quantized model."""
    graph = lower(model)
    with frozen_weights(model):
        traced = trace(model, images)
    signal, noise, agreed = {}, {}, 0
    for n in range(len(images)):
        patches = integers(traced[graph.input][n], graph.tensors[graph.input])
        values = execute(graph, patches, keep=graph.tensors)
        for name, tensor in graph.tensors.items():
            real = traced[name][n].double().numpy()
            signal[name] = signal.get(name, 0.0) + (real**2).sum()
            noise[name] = noise.get(name, 0.0) + ((values[name] * tensor.scale - real) ** 2).sum()
        agreed += int(values["head.out"].argmax() == int(traced["logits"][n].argmax()))
    decibels = {k: 10 * np.log10(signal[k] / (noise[k] + 1e-12 * signal[k])) for k in signal}
    return agreed / len(images), decibels


@pytest.fixture(scope="module")
def trained(digits):
    """A float vit_digits after a few seconds of training: decided enough for agreement to mean
    something. Its accuracy is the business of the training's own tests."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    images, classes = digits[0][:1198], digits[1][:1198]
    model = create(config("vit_digits"), None, 0)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(14):
        for batch in torch.randperm(len(images), generator=generator).split(64):
            loss = torch.nn.functional.cross_entropy(model(images[batch]), classes[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    torch.set_num_threads(threads)
    return model.state_dict()


def quantized(state, label, images, **options):
    model = create(config("vit_digits"), QuantConfig.parse(label, **options), 0).eval()
    load_into(model, state)
    calibrate(model, images)
    return model


@pytest.mark.parametrize(("label", "scheme"), [("4/8", "mixed"), ("4/4", "pot"), ("4+8/6", "mixed")])
def test_every_op_computes_what_the_model_computes(trained, digits, label, scheme):
    model = quantized(trained, label, digits[0][:64], scheme=scheme)
    most = most_units(model)
    for name, pairs in flips_by_op(model, digits[0][1198:1218]).items():
        assert pairs[:, 1].max() <= most[name], name
        # The rounding of a multiplier of 17 bits shows in the last of 16.
        wide = name.endswith(("embed", "head", "qk", "proj", "fc1", "fc2"))
        assert pairs[:, 0].mean() < (0.1 if wide else 0.01), name


def test_answers_agree_on_every_test_digit(trained, digits):
    model = quantized(trained, "4/8", digits[0][:256], scheme="mixed")
    agreement, decibels = end_to_end(model, digits[0][1198:])
    assert agreement >= 0.99
    low = {name: value for name, value in decibels.items() if value < 25}
    assert not low


@pytest.mark.parametrize(("label", "floor"), [("4/6", 0.98), ("4/4", 0.94)])
def test_answers_agree_with_fewer_bits(trained, digits, label, floor):
    """The fewer bits, the larger the effect of one rounding, and the more answers hang on one."""
    model = quantized(trained, label, digits[0][:256])
    agreement, _ = end_to_end(model, digits[0][1198:1348])
    assert agreement >= floor


def test_an_odd_model_follows(odd_config):
    images = torch.randn(3, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    model = create(odd_config, QuantConfig.parse("4+8/8", scheme="mixed"), 0).eval()
    calibrate(model, images)
    for name, pairs in flips_by_op(model, images).items():
        assert pairs[:, 1].max() <= 1, name
    _, decibels = end_to_end(model, images)
    assert min(decibels.values()) > 25
