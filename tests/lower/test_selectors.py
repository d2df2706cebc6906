"""Lowering of pruned networks: structure, numbers, and integers beside the fake-quantized model."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.quant.conftest import STEM, uneven
from tests.reference import naive
from vitgen.errors import VitgenError
from vitgen.ir import (
    Compact,
    Gelu,
    LayerNorm,
    Linear,
    Pool,
    Score,
    Sigmoid,
    Softmax,
    dump,
    load,
)
from vitgen.lower import lower
from vitgen.lower.fidelity import evaluate
from vitgen.lower.prepare import float_twin, prepare
from vitgen.models import config, create, save_checkpoint
from vitgen.models.sites import op_names
from vitgen.quant import QuantConfig, calibrate, calibrate_thresholds, trace
from vitgen.reference import PACKAGE, digit_image, execute, preprocess

PRUNED = replace(config("vit_digits"), keep="1:0.7,2:0.4,3:0.2")
QUANT = QuantConfig.parse("4/8", scheme="mixed", delta1=0.5, delta2=0.5)

KINDS = {
    "norm": LayerNorm, "mlp1": Linear, "mlp1_gelu": Gelu, "pool": Pool, "mlp2a": Linear,
    "mlp2a_gelu": Gelu, "mlp2b": Linear, "mlp2b_gelu": Gelu, "mlp2c": Linear, "classes": Softmax,
    "mean": Linear, "mlp3a": Linear, "mlp3a_gelu": Gelu, "mlp3b": Linear, "importance": Sigmoid,
    "score": Score, "compact": Compact,
}  # fmt: skip


@pytest.fixture(scope="module")
def made(digits):
    """A pruned vit_digits with calibrated thresholds, its graph, and images."""
    images = digits[0][:12]
    model = prepare(PRUNED, QUANT, 0, None, lambda: images.numpy())
    return model, lower(model), images


def integers(graph, image):
    return preprocess(graph.meta, (image.numpy() + 1) / 2).astype(np.int64)


def test_ops_and_counts(made):
    _, graph, _ = made
    assert [op.name for op in graph.ops] == op_names(PRUNED)
    for op in graph.ops:
        if ".selector." in op.name:
            part = op.name.rsplit(".", 1)[1]
            assert type(op) is KINDS[part]
            if isinstance(op, Linear):
                assert op.heads == (4 if part in ("mlp1", "mlp2a", "mlp2b", "mlp2c") else 1)
                assert (op.row_bits == 8).all() and not op.row_scheme.any()
            if isinstance(op, Gelu):
                assert op.delta == 128
    tensors = graph.tensors
    assert tensors["blocks.1.selector.pool.out"].shape == (17, 64)
    assert tensors["blocks.1.selector.classes.out"].scale == 2.0**-7  # without delta2
    assert tensors["blocks.1.attn.softmax.out"].scale != 2.0**-7
    assert tensors["blocks.3.mlp.add.out"].count == "blocks.3.selector.compact"
    assert tensors["blocks.0.mlp.add.out"].count is tensors["head.out"].count is None


def test_the_threshold_and_the_means(made):
    model, graph, _ = made
    ops = {op.name: op for op in graph.ops}
    for selector in model.selectors():
        name = f"blocks.{selector.block}.selector"
        assert ops[f"{name}.compact"].threshold == float(selector.threshold) * 2**14
        mean = ops[f"{name}.mean"]
        assert mean.weight.sum(axis=1).tolist() == [16] * 4 and mean.weight[2, 32:48].all()
    fresh = create(PRUNED, QUANT, 0).eval()
    calibrate(fresh, made[2])
    assert {op.threshold for op in lower(fresh).ops if isinstance(op, Compact)} == {8192}


def test_storage_and_the_naive_executor(made, tmp_path):
    _, graph, images = made
    files = dump(graph)
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    assert dump(load(tmp_path)) == files
    patches = integers(graph, images[0])
    found = execute(graph, patches, keep=graph.tensors)
    expected = naive.execute(files, patches.tolist())
    assert len(found["blocks.3.selector.compact.out"]) < 17
    for name in graph.tensors:
        assert found[name].tolist() == expected[name], name


def test_integers_follow_the_fake_quantized_model(made):
    """Tensor by tensor where both choose the same tokens, however near untrained scores lie."""
    model, graph, images = made
    same = 0
    for image in images:
        survivors: dict[str, np.ndarray] = {}
        found = execute(graph, integers(graph, image), keep=graph.tensors, survivors=survivors)
        with torch.no_grad():
            traced = trace(model, image[None])
            chosen = model.run(image[None])[1]
        for one in chosen:
            name = f"blocks.{one.block}.selector"
            want = traced[f"{name}.score.out"][0]
            got = torch.from_numpy(found[f"{name}.score.out"][:, 0] / 2**14)
            assert float((got - want).abs().max()) < 0.02
            local = traced[f"{name}.mlp1_gelu.out"].flatten(2)[0].numpy()
            scale = graph.tensors[f"{name}.mlp1_gelu.out"].scale
            assert np.abs(found[f"{name}.mlp1_gelu.out"] * scale - local).max() < 4 * scale
            threshold = next(op.threshold for op in graph.ops if op.name == f"{name}.compact")
            kept = found[f"{name}.score.out"][:, 0] >= threshold
            kept = kept & one.candidates[0].numpy()
            if (kept[1:] != (one.keep[0, 1:].numpy() > 0)).any():
                break
            package = found[f"{name}.compact.out"] * graph.tensors[f"{name}.compact.out"].scale
            np.testing.assert_allclose(package, traced[f"{name}.compact.out"][0], atol=0.05)
        else:
            same += 1
            tokens = survivors["blocks.3.selector.compact"]
            assert int(np.sum(tokens > 0)) == int(chosen[-1].kept())
    assert same >= len(images) / 3


def test_rates_of_the_integers(made):
    _, graph, images = made
    kept = []
    for image in images:
        survivors: dict[str, np.ndarray] = {}
        execute(graph, integers(graph, image), survivors=survivors)
        kept.append([int(np.sum(tokens > 0)) for tokens in survivors.values()])
        assert all(tokens[-1] == PACKAGE for tokens in survivors.values())
    rates = np.mean(kept, axis=0) / 16
    assert rates == pytest.approx([0.7, 0.4, 0.2], abs=0.08)
    assert (np.std(kept, axis=0) > 0).all()


def test_fidelity_of_a_pruned_network(made, digits):
    model, graph, _ = made
    samples = [(digit_image(i.numpy()[0] * 8 + 8), int(n)) for i, n in
               zip(digits[0][:20], digits[1][:20], strict=True)]  # fmt: skip
    result = evaluate(graph, float_twin(model), model, samples)
    assert result["images"] == 20
    assert result["sqnr_db"]["blocks.1.selector.mlp1"] > 25
    assert result["sqnr_db"]["blocks.1.selector.score"] > 35


def test_trained_thresholds_stay(tmp_path, digits):
    model = create(PRUNED, QUANT, 0)
    with torch.no_grad():
        model.blocks[1].selector.threshold.fill_(0.25)
    plain = create(PRUNED, None, 0)
    plain.load_state_dict({k: v for k, v in model.state_dict().items() if "tensor_quant" not in k})
    save_checkpoint(plain, tmp_path / "float.safetensors")
    images = digits[0][:8].numpy()
    loaded = prepare(PRUNED, QUANT, 1, tmp_path / "float.safetensors", lambda: images)
    assert [float(s.threshold) for s in loaded.selectors()] == [0.25, 0.5, 0.5]
    bare = create(replace(PRUNED, keep=()), None, 0)
    save_checkpoint(bare, tmp_path / "unpruned.safetensors")
    loaded = prepare(PRUNED, QUANT, 1, tmp_path / "unpruned.safetensors", lambda: images)
    assert 0.5 not in [float(s.threshold) for s in loaded.selectors()]


def test_a_stem_and_a_selector_before_the_first_block(stem_images):
    shape = replace(STEM, keep="0:0.6,1:0.3")
    model = uneven(create(shape, QUANT, 0)).eval()
    calibrate_thresholds(model, stem_images)
    calibrate(model, stem_images)
    calibrate_thresholds(model, stem_images)
    graph = lower(model)
    assert [op.name for op in graph.ops] == op_names(shape)
    rng = np.random.default_rng(0)
    tensor = graph.tensors[graph.input]
    survivors: dict[str, np.ndarray] = {}
    found = execute(graph, rng.integers(-127, 128, tensor.shape), survivors=survivors)
    assert found["head.out"].shape == (1, 7) and len(survivors) == 2


def test_a_threshold_out_of_range_is_refused(made):
    model = create(PRUNED, QUANT, 0).eval()
    calibrate(model, made[2])
    with torch.no_grad():
        model.blocks[2].selector.threshold.fill_(1.5)
    with pytest.raises(VitgenError, match=r"blocks\.2\.selector\.compact: the threshold is 24576"):
        lower(model)
