"""Lowering: the graph's structure, its proofs, its parameters, and what is refused."""

import json
import math

import numpy as np
import pytest
import torch

from vitgen.errors import OverflowRefused, VitgenError
from vitgen.ir import POT, Add, Gelu, LayerNorm, Linear, MatMulAV, MatMulQK, Softmax, dump, load
from vitgen.lower import lower
from vitgen.models import config, create
from vitgen.models.sites import op_names
from vitgen.quant import QuantConfig, calibrate

KINDS = {
    "norm1": LayerNorm, "attn.q": Linear, "attn.k": Linear, "attn.v": Linear, "attn.qk": MatMulQK,
    "attn.softmax": Softmax, "attn.av": MatMulAV, "attn.proj": Linear, "attn.add": Add,
    "norm2": LayerNorm, "mlp.fc1": Linear, "mlp.gelu": Gelu, "mlp.fc2": Linear, "mlp.add": Add,
}


def quantized(shape, label, images, **options):
    model = create(shape, QuantConfig.parse(label, **options), 0).eval()
    calibrate(model, images)
    return model


@pytest.fixture
def odd_images():
    return torch.randn(2, 3, 28, 28, generator=torch.Generator().manual_seed(0))


def test_ops_tensors_and_kinds(calibrated):
    graph = lower(calibrated[0])
    shape = config("vit_digits")
    assert [op.name for op in graph.ops] == op_names(shape)
    assert all(op.output == f"{op.name}.out" for op in graph.ops)
    assert (graph.name, graph.input, graph.output) == ("vit_digits", "patches", "head.out")
    for op in graph.ops:
        if op.name.startswith("blocks."):
            assert type(op) is KINDS[op.name.split(".", 2)[2]]
    tensors = graph.tensors
    assert tensors["patches"].shape == (17, 4) and tensors["patches"].bits == 8
    assert tensors["norm.out"].shape == (1, 64) and tensors["head.out"].shape == (1, 10)
    assert tensors["blocks.0.attn.qk.out"].shape == (4, 17, 17)
    stream = [t for name, t in tensors.items()
              if name.endswith(("add.out", "proj.out", "fc2.out", "embed.out", "embedding"))]
    assert len(stream) == 3 + 4 * 4 and {t.bits for t in stream} == {16}
    assert len({t.scale for t in stream}) == 1
    graph.prove()


def test_meta_holds_what_preprocessing_needs(calibrated):
    model, _ = calibrated
    meta = lower(model, "other_name").meta
    assert json.loads(json.dumps(meta)) == meta
    assert meta["image"] == [1, 8, 8] and meta["patch"] == 2 and meta["heads"] == 4
    assert meta["mean"] == meta["std"] == [0.5] and meta["classes"] == 10
    assert meta["input_scale"] == pytest.approx(1 / 127) and meta["bits"] == "4/8"
    assert meta["scheme"] == "mixed" and meta["feature_order"] == "channel,row,column"


@pytest.mark.parametrize(
    ("label", "scheme"),
    [(label, scheme) for label in ("4/8", "8/8", "4+8/8", "4/6", "4/4")
     for scheme in ("fixed", "mixed", "pot") if scheme != "pot" or label.startswith("4/")],
)
def test_every_combination_proves(odd_config, odd_images, label, scheme):
    graph = lower(quantized(odd_config, label, odd_images, scheme=scheme))
    acts = int(label[-1])
    for op in graph.ops:
        if isinstance(op, LayerNorm | Softmax | MatMulAV | Gelu) and op.name != "norm":
            assert graph.tensors[op.output].bits == acts
    assert graph.tensors["norm.out"].bits == 8
    for op in graph.ops:
        if isinstance(op, Linear) and op.name not in ("embed", "head"):
            pot = op.row_scheme == POT
            expected = {"fixed": 0.0, "mixed": 0.25, "pot": 1.0}[scheme]
            assert abs(pot.mean() - expected) <= 0.5 / 40
            wide = (op.row_bits == 8).mean()
            full = 0.75 if scheme == "mixed" else 1.0
            assert wide == {"4": 0.0, "8": full, "4+8": 0.25}[label.split("/")[0]]


def test_macs_and_weights_of_deit_t():
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    graph = lower(quantized(config("deit_t"), "4/8", images))
    width, tokens, hidden = 192, 197, 768
    block = tokens * (4 * width * width + 2 * width * hidden) + 2 * tokens * tokens * width
    assert graph.macs == tokens * 768 * width + 12 * block + 1000 * width
    assert graph.weights == 768 * width + 12 * (4 * width * width + 2 * width * hidden) + 1000 * width


def test_scales_and_multipliers_agree(calibrated):
    """mult / 2**shift is the ratio of real scales, to the multiplier's precision."""
    model, _ = calibrated
    graph = lower(model)
    for op in graph.ops:
        inputs, output = graph.inputs_of(op), graph.tensors[op.output]
        if isinstance(op, MatMulQK):
            real = inputs[0].scale * inputs[1].scale / math.sqrt(16) / output.scale
        elif isinstance(op, MatMulAV):
            real = inputs[0].scale * inputs[1].scale / output.scale
        elif isinstance(op, Gelu):
            real = inputs[0].scale / 2 / output.scale
        else:
            continue
        assert op.mult / 2**op.shift == pytest.approx(real, rel=2**-15)
    for name in ("blocks.0.attn.qk.out", "blocks.3.mlp.fc1.out"):
        tensor = graph.tensors[name]
        assert tensor.fraction is not None and 8 <= tensor.fraction <= 12
        assert tensor.scale == 2.0**-tensor.fraction


def test_qkv_rows_are_split_in_order(calibrated):
    model, _ = calibrated
    graph = lower(model)
    layer = model.blocks[1].attn.qkv
    codes, _ = layer.weight_quant.tensor_quant.integers(layer.weight)
    ops = {op.name: op for op in graph.ops}
    stacked = np.concatenate([ops[f"blocks.1.attn.{part}"].weight for part in "qkv"])
    assert np.array_equal(stacked, codes.numpy())


def test_the_embedding_holds_positions_class_token_and_patch_bias(calibrated):
    model, _ = calibrated
    graph = lower(model)
    scale = graph.tensors["embedding"].scale
    position = model.pos_embed[0].detach().double().numpy()
    extra = np.repeat(model.patch_embed.proj.bias.detach().double().numpy()[None], 17, axis=0)
    extra[0] = model.cls_token[0, 0].detach().double().numpy()
    difference = graph.constants["embedding"] * scale - (position + extra)
    assert np.abs(difference).max() <= scale * 0.51
    embed = next(op for op in graph.ops if op.name == "embed")
    assert not embed.bias.any()


def test_gains_reach_the_graph(digits):
    model = quantized(config("vit_digits"), "4/8", digits[0][:8], delta1=0.5, delta2=0.5)
    graph = lower(model)
    gelu = next(op for op in graph.ops if isinstance(op, Gelu))
    assert gelu.delta == 128
    assert graph.tensors["blocks.0.attn.softmax.out"].scale == 2.0**-8


def test_overrides_reach_the_graph(digits):
    overrides = {"blocks.0.mlp.*": {"weight_bits": 8, "scheme": "fixed", "act_bits": 6},
                 "blocks.*.attn.v": {"scheme": "pot"}, "blocks.2.norm1": {"act_bits": 5}}
    model = quantized(config("vit_digits"), "4/8", digits[0][:8], overrides=overrides)
    graph = lower(model)
    ops = {op.name: op for op in graph.ops}
    assert (ops["blocks.0.mlp.fc1"].row_bits == 8).all()
    assert (ops["blocks.1.mlp.fc1"].row_bits == 4).all()
    assert (ops["blocks.3.attn.v"].row_scheme == POT).all()
    assert not (ops["blocks.3.attn.k"].row_scheme == POT).any()
    assert graph.tensors["blocks.0.mlp.gelu.out"].bits == 6
    assert graph.tensors["blocks.2.norm1.out"].bits == 5


def test_lowering_is_deterministic_and_survives_the_disk(tmp_path, calibrated):
    model, _ = calibrated
    files = dump(lower(model))
    assert files == dump(lower(model))
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    assert dump(load(tmp_path)) == files


def test_training_mode_and_gradients_do_not_matter(calibrated):
    model, _ = calibrated
    expected = dump(lower(model))
    model.train()
    assert dump(lower(model)) == expected


def test_what_is_not_ready_is_refused():
    shape = config("vit_digits")
    with pytest.raises(VitgenError, match="float model"):
        lower(create(shape, None, 0))
    with pytest.raises(VitgenError, match="not calibrated: residual has no scale"):
        lower(create(shape, QuantConfig.parse("4/8"), 0))


def test_a_bias_beyond_the_accumulator_is_refused_by_name(calibrated):
    model, _ = calibrated
    with torch.no_grad():
        model.blocks[2].mlp.fc2.bias[3] = 1e6
    with pytest.raises(OverflowRefused, match=r"blocks\.2\.mlp\.fc2.*bias"):
        lower(model)


def test_an_output_scale_far_too_small_is_refused_by_name(calibrated):
    model, _ = calibrated
    site = model.blocks[1].attn.k_out.act_quant.fused_activation_quant_proxy.tensor_quant
    with torch.no_grad():
        site.log_scale.fill_(-60.0)
    with pytest.raises(OverflowRefused, match=r"blocks\.1\.attn\.k"):
        lower(model)


def test_a_norm_gain_far_too_large_is_refused_by_name(calibrated):
    model, _ = calibrated
    with torch.no_grad():
        model.blocks[1].norm2.weight[0] = 1e9
    with pytest.raises(OverflowRefused, match=r"blocks\.1\.norm2"):
        lower(model)


def test_dead_layers_lower(digits):
    model = create(config("vit_digits"), QuantConfig.parse("4/8", scheme="mixed"), 0)
    with torch.no_grad():
        model.blocks[0].mlp.fc2.weight.zero_()
        model.blocks[1].attn.qkv.weight[5].zero_()
        model.blocks[2].norm1.weight.zero_()
        model.blocks[2].norm1.bias.zero_()
    calibrate(model, digits[0][:4])
    lower(model).prove()
