"""Modules: timm's names and shapes, known parameter counts, seeds, forward passes."""

import copy

import pytest
import torch

from vitgen.errors import VitgenError
from vitgen.models import config, create
from vitgen.models.sites import op_names
from vitgen.models.vit import Vit
from vitgen.quant import QuantConfig, calibrate, trace


def deit_shapes(width, depth, hidden):
    """Names and shapes of timm's and DeiT's checkpoints, written down from their layout."""
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, 197, width),
        "patch_embed.proj.weight": (width, 3, 16, 16),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
        "head.weight": (1000, width),
        "head.bias": (1000,),
    }
    for n in range(depth):
        linear = {"attn.qkv": (3 * width, width), "attn.proj": (width, width),
                  "mlp.fc1": (hidden, width), "mlp.fc2": (width, hidden)}
        for name, shape in linear.items():
            shapes[f"blocks.{n}.{name}.weight"] = shape
            shapes[f"blocks.{n}.{name}.bias"] = shape[:1]
        for name in ("norm1", "norm2"):
            shapes[f"blocks.{n}.{name}.weight"] = shapes[f"blocks.{n}.{name}.bias"] = (width,)
    return shapes


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("deit_t", 5_717_416), ("deit_s", 22_050_664), ("deit_b", 86_567_656)],
)
def test_float_models_are_timms(name, parameters):
    shape = config(name)
    with torch.device("meta"):
        model = Vit(shape, None)
    state = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    assert state == deit_shapes(shape.embed_dim, 12, 4 * shape.embed_dim)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_a_quantized_model_has_the_float_names_and_only_quantizers_besides():
    plain = create(config("vit_digits"), None, 0).state_dict()
    state = create(config("vit_digits"), QuantConfig.parse("4/8"), 0).state_dict()
    assert all(torch.equal(state[key], value) for key, value in plain.items())
    assert all(".tensor_quant." in key for key in set(state) - set(plain))


def test_the_seed_decides_and_the_global_state_is_left_alone():
    before = torch.random.get_rng_state()
    first, again, other = (create(config("vit_digits"), None, seed) for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first.head.weight, again.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)


def test_forward_of_both_kinds_and_of_odd_shapes(odd_config):
    images = torch.rand(2, 3, 28, 28)
    quantized = create(odd_config, QuantConfig.parse("4+8/6", scheme="mixed"), 0)
    plain = create(odd_config, None, 0)
    assert quantized(images).shape == plain(images).shape == (2, odd_config.classes)
    calibrate(quantized, images)
    assert quantized(images).shape == (2, odd_config.classes)


def test_float_forward_is_a_vision_transformer(odd_config):
    """Against torch's own encoder layer, which shares nothing with ours."""
    model = create(odd_config, None, 0).eval()
    images = torch.rand(2, 3, 28, 28)
    width = odd_config.embed_dim
    x = model.patch_embed.proj(images).flatten(2).transpose(1, 2)
    x = torch.cat([model.cls_token.expand(2, -1, -1), x], dim=1) + model.pos_embed
    for block in model.blocks:
        layer = torch.nn.TransformerEncoderLayer(
            width, odd_config.heads, odd_config.hidden, dropout=0.0, activation="gelu",
            layer_norm_eps=odd_config.norm_eps, batch_first=True, norm_first=True,
        ).eval()
        own = block.state_dict()
        layer.load_state_dict({
            "self_attn.in_proj_weight": own["attn.qkv.weight"],
            "self_attn.in_proj_bias": own["attn.qkv.bias"],
            **{f"{theirs}.{leaf}": own[f"{ours}.{leaf}"] for leaf in ("weight", "bias")
               for theirs, ours in (("self_attn.out_proj", "attn.proj"), ("linear1", "mlp.fc1"),
                                    ("linear2", "mlp.fc2"), ("norm1", "norm1"),
                                    ("norm2", "norm2"))},
        })
        x = layer(x)
    expected = model.head(model.norm(x)[:, 0])
    torch.testing.assert_close(model(images), expected, rtol=1e-4, atol=1e-5)


def test_a_deep_copy_is_independent(calibrated):
    model, images = calibrated
    twin = copy.deepcopy(model)
    # Brevitas makes quantizers anew on load: they must stay the copy's own.
    twin.load_state_dict(model.state_dict())
    assert torch.equal(twin(images), model(images))
    before = model(images)
    with torch.no_grad():
        for name, value in twin.state_dict().items():
            if name.endswith("log_scale"):
                value.add_(1.0)
    assert torch.equal(model(images), before)
    assert not torch.equal(twin(images), before)


def test_trace_names_every_tensor(calibrated):
    model, images = calibrated
    tensors = trace(model, images)
    names = {f"{op}.out" for op in op_names(model.config)} | {"patches", "embedding", "logits"}
    assert set(tensors) == names
    assert tensors["patches"].shape[1:] == (model.config.tokens, model.config.patch_features)
    assert not tensors["patches"][:, 0].any()
    assert torch.equal(tensors["logits"], tensors["head.out"][:, 0])


def test_overrides_that_name_nothing_are_refused():
    quant = QuantConfig(overrides={"blocks.9.*": {"act_bits": 6}})
    with pytest.raises(VitgenError, match="'blocks.9.*' matches no op"):
        create(config("vit_digits"), quant, 0)


def test_fresh_attention_attends():
    """Uniform attention would round to one value and prove nothing about an untrained network."""
    model = create(config("deit_t"), None, 0)
    images = torch.randn(1, 3, 14, 14).repeat_interleave(16, 2).repeat_interleave(16, 3)
    rows = trace(model, images)["blocks.0.attn.softmax.out"]
    assert float(rows.amax(dim=-1).median()) > 4 / 197
