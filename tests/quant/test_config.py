"""Quantization configurations: labels, overrides, and what is refused."""

import json

import pytest

from vitgen.errors import VitgenError
from vitgen.models import config
from vitgen.models.sites import op_names
from vitgen.quant import LayerQuant, QuantConfig

OPS = op_names(config("deit_t"))


@pytest.mark.parametrize(
    ("label", "weights", "acts"),
    [("4/8", "4", 8), ("8/8", "8", 8), ("4+8/8", "4+8", 8), ("4/6", "4", 6), ("8/4", "8", 4)],
)
def test_labels(label, weights, acts):
    quant = QuantConfig.parse(label)
    assert (quant.weight_bits, quant.act_bits, quant.label) == (weights, acts, label)


@pytest.mark.parametrize(
    "label", ["", "4", "4/3", "4/9", "5/8", "8+4/8", "4/8 ", "4//8", "w4a8", "4/08", "4/8\n", "4/-8"]
)
def test_unknown_labels_are_refused(label):
    with pytest.raises(VitgenError, match="Unknown bits"):
        QuantConfig.parse(label)


def test_ratios_default_by_scheme():
    assert QuantConfig.parse("4/8").layer("blocks.0.mlp.fc1").pot_ratio == 0
    assert QuantConfig.parse("4/8", scheme="pot").layer("blocks.0.mlp.fc1").pot_ratio == 1
    assert QuantConfig.parse("4/8", scheme="mixed").layer("blocks.0.mlp.fc1").pot_ratio == 0.25
    assert QuantConfig.parse("4+8/8").layer("blocks.0.mlp.fc1").wide_ratio == 0.25
    assert QuantConfig.parse("4/8").layer("blocks.0.mlp.fc1").wide_ratio == 0


@pytest.mark.parametrize("label", ["4/4", "4+8/6"])
def test_the_ends_have_8_bits(label):
    quant = QuantConfig.parse(label, scheme="mixed", overrides={"*": {"act_bits": 5}})
    for op in ("embed", "norm", "head"):
        layer = quant.layer(op)
        assert (layer.weight_bits, layer.scheme, layer.act_bits) == ("8", "fixed", 8)
    assert quant.layer("blocks.3.norm1").act_bits == 5


def test_overrides_apply_in_order():
    quant = QuantConfig.parse(
        "4/8", scheme="mixed", pot_ratio=0.5,
        overrides={
            "blocks.0.*": {"weight_bits": 8, "act_bits": 6},
            "blocks.*.mlp.fc2": {"scheme": "fixed"},
            "blocks.1.attn.q": {"scheme": "pot"},
        },
    )
    quant.check(OPS)
    assert quant.layer("blocks.0.mlp.fc1").weight_bits == "8"
    assert quant.layer("blocks.0.mlp.fc1").pot_ratio == 0.5
    fc2 = quant.layer("blocks.0.mlp.fc2")
    assert (fc2.weight_bits, fc2.scheme, fc2.pot_ratio, fc2.act_bits) == ("8", "fixed", 0.0, 6)
    assert quant.layer("blocks.1.attn.q").pot_ratio == 1
    assert quant.layer("blocks.1.mlp.fc1").act_bits == 8


def test_a_configuration_survives_its_values():
    quant = QuantConfig.parse("4+8/6", scheme="mixed", overrides={"blocks.0.*": {"act_bits": 8}})
    assert QuantConfig(**json.loads(json.dumps(quant.to_dict()))) == quant


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scheme": "sp2"}, "'sp2'"),
        ({"pot_ratio": 0.5}, "pot_ratio of the model is 0.5 with the scheme fixed"),
        ({"scheme": "mixed", "pot_ratio": 1.5}, "pot_ratio of the model is 1.5"),
        ({"scheme": "mixed", "pot_ratio": "half"}, "'half'"),
        ({"scheme": "mixed", "pot_ratio": float("nan")}, "nan"),
        ({"delta1": 0.3}, "delta1 is 0.3"),
        ({"delta2": 0.7}, "delta2 is 0.7"),
        ({"ratio": 1}, "'ratio'"),
        ({"overrides": {"*": {"bits": 4}}}, "sets 'bits'"),
        ({"overrides": {"*": {"act_bits": 3}}}, "act_bits of the override '\\*' is 3"),
        ({"overrides": {"*": {"act_bits": 8.0}}}, "8.0"),
        ({"overrides": {"*": {"weight_bits": 6}}}, "'6'"),
        ({"overrides": {"*": 4}}, "is 4"),
    ],
)
def test_bad_values_are_refused_with_the_value(options, said):
    with pytest.raises(VitgenError, match=said) as caught:
        QuantConfig.parse("4/8", **options)
    assert caught.value.remedy


def test_ratios_that_exceed_one_and_wide_powers_of_two_are_refused():
    with pytest.raises(VitgenError, match="exceed 1"):
        QuantConfig.parse("4+8/8", scheme="mixed", pot_ratio=0.8, wide_ratio=0.3)
    with pytest.raises(VitgenError, match="pot with 8-bit"):
        QuantConfig.parse("8/8", scheme="pot")


def test_a_stem_has_8_bits_and_no_overrides():
    ops = op_names(config("lvvit_s"))
    quant = QuantConfig.parse("4/4", scheme="pot")
    for op in ("patch_embed.conv1", "patch_embed.conv3"):
        assert op in ops and quant.layer(op) == LayerQuant("8", "fixed", 0.0, 0.0, 8)
    for pattern in ("patch_embed.*", "patch_embed.conv2"):
        with pytest.raises(VitgenError, match="always have 8 bits|changes patch_embed"):
            QuantConfig(overrides={pattern: {"act_bits": 6}}).check(ops)
    with pytest.raises(VitgenError, match="'patch_embed.conv1' matches no op"):
        QuantConfig(overrides={"patch_embed.conv1": {"act_bits": 6}}).check(OPS)


@pytest.mark.parametrize("pattern", ["head", "embed", "nothing", "blocks.12.*", "norm"])
def test_overrides_without_effect_are_refused(pattern):
    quant = QuantConfig(overrides={pattern: {"act_bits": 6}})
    with pytest.raises(VitgenError, match=f"'{pattern}'".replace("*", r"\*")):
        quant.check(OPS)
