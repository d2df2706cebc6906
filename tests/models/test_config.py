"""Configurations: the named ones, files, and what is refused; torch stays unloaded."""

import dataclasses
import json
import subprocess
import sys

import pytest

from vitgen.errors import VitgenError
from vitgen.models import VitConfig, config, names
from vitgen.models.config import StemConv

SMALL = {"image": 28, "patch": 14, "embed_dim": 200, "heads": 5, "depth": 2, "mlp_ratio": 3}


def test_names_have_configurations():
    assert names() == [
        "vit_digits", "vit_canvas", "deit_t", "deit_s", "deit_b", "lvvit_s", "lvvit_m"
    ]  # fmt: skip
    for name in names():
        assert config(name).name == name


def test_deit_b_is_deit_b():
    deit = config("deit_b")
    assert (deit.tokens, deit.head_dim, deit.hidden, deit.patch_features) == (197, 64, 3072, 768)


def test_importing_models_quant_and_lower_loads_no_torch():
    code = (
        "import sys, vitgen.models as m, vitgen.quant as q, vitgen.lower; m.names();"
        "m.config('deit_t'); q.QuantConfig.parse('4/8');"
        "assert not {'torch', 'brevitas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("ending", [".json", ".toml"])
def test_a_file_describes_a_model(tmp_path, ending):
    path = tmp_path / ("my-vit" + ending)
    if ending == ".json":
        path.write_text(json.dumps({**SMALL, "mean": [0.1, 0.2, 0.3]}))
    else:
        lines = [f"{key} = {value}" for key, value in SMALL.items()]
        path.write_text("\n".join([*lines, "mean = [0.1, 0.2, 0.3]"]))
    assert config(path) == VitConfig("my_vit", **SMALL, mean=(0.1, 0.2, 0.3))


@pytest.mark.parametrize("name", ["vit_digits", "lvvit_s"])
def test_a_configuration_survives_its_values(name):
    values = json.loads(json.dumps(config(name).to_dict()))
    assert VitConfig(**values) == config(name)


def test_lvvit_is_lvvit():
    """Sizes of LV-ViT's release: a stem of three convolutions, patches of 8 x 8 on its map."""
    small, medium = config("lvvit_s"), config("lvvit_m")
    for shape in (small, medium):
        assert (shape.tokens, shape.head_dim, shape.window, shape.stem_stride) == (197, 64, 8, 2)
        assert shape.maps == [(224, 3), (112, 64), (112, 64), (112, 64)]
        assert [(c.kernel, c.stride, c.padding) for c in shape.stem] == [
            (7, 2, 3), (3, 1, 1), (3, 1, 1),
        ]  # fmt: skip
        assert shape.patch_features == 4096 and not shape.qkv_bias
        assert (shape.skip_lam, shape.norm_eps) == (2.0, 1e-5)
    assert (small.embed_dim, small.depth, small.heads, small.hidden) == (384, 16, 6, 1152)
    assert (medium.embed_dim, medium.depth, medium.heads, medium.hidden) == (512, 20, 8, 1536)


@pytest.mark.parametrize("ending", [".json", ".toml"])
def test_a_file_describes_a_stem(tmp_path, ending):
    path = tmp_path / ("mine" + ending)
    if ending == ".json":
        stem = [{"channels": 8, "kernel": 7, "stride": 2}, {"channels": 6, "kernel": 3}]
        path.write_text(json.dumps({**SMALL, "stem": stem, "skip_lam": 2, "qkv_bias": False}))
    else:
        lines = [f"{key} = {value}" for key, value in SMALL.items()]
        lines += ["skip_lam = 2", "qkv_bias = false"]
        lines += ["[[stem]]", "channels = 8", "kernel = 7", "stride = 2"]
        lines += ["[[stem]]", "channels = 6", "kernel = 3"]
        path.write_text("\n".join(lines))
    found = config(path)
    assert found.stem == (StemConv(8, 7, 2), StemConv(6, 3, 1))
    assert (found.skip_lam, found.qkv_bias) == (2, False)
    assert found.maps == [(28, 3), (14, 8), (14, 6)]
    assert (found.window, found.patch_features, found.tokens) == (7, 6 * 49, 5)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"heads": 7}, "7 heads do not divide the width of 200"),
        ({"patch": 13}, "patch of 13 does not divide the image of 28"),
        ({"depth": 0}, "depth is 0"),
        ({"depth": 1000}, "depth is 1000"),
        ({"image": 28.0}, "image is 28.0"),
        ({"channels": True}, "channels is True"),
        ({"mlp_ratio": -1}, "mlp_ratio is -1"),
        ({"mlp_ratio": 2.001}, "hidden features"),
        ({"mlp_ratio": float("nan")}, "mlp_ratio is nan"),
        ({"embed_dim": 2000}, "embed_dim is 2000"),
        ({"image": 64, "patch": 2}, "1025 tokens"),
        ({"mean": [0.5]}, "mean is [0.5] for 3 channels"),
        ({"std": [0.5, 0.5, 0]}, "std is [0.5, 0.5, 0]"),
        ({"name": "../x"}, "'../x' is not made of letters"),
        ({"width": 3}, "Unknown key 'width'"),
        ({"qkv_bias": 1}, "qkv_bias is 1"),
        ({"skip_lam": 0}, "skip_lam is 0"),
        ({"skip_lam": True}, "skip_lam is True"),
        ({"skip_lam": 65}, "skip_lam is 65"),
        ({"stem": 3}, "stem is 3"),
        ({"stem": "64"}, "stem is '64'"),
        ({"stem": [[8, 3, 1]]}, "convolution of the stem is [8, 3, 1]"),
        ({"stem": [{"channels": 8}]}, "convolution of the stem is {'channels': 8}"),
        ({"stem": [{"channels": 8, "kernel": 3, "padding": 1}]}, "'padding': 1"),
        ({"stem": [{"channels": 0, "kernel": 3}]}, "channels of a convolution of the stem is 0"),
        ({"stem": [{"channels": 8, "kernel": 3.0}]}, "kernel of a convolution of the stem is 3.0"),
        ({"stem": [{"channels": 8, "kernel": 3, "stride": True}]}, "stride of a convolution"),
        ({"stem": [{"channels": 8, "kernel": 29}]}, "kernel of 29 on a map of 28 x 28"),
        ({"stem": [{"channels": 8, "kernel": 2}]}, "makes a map of 27 from one of 28"),
        ({"stem": [{"channels": 8, "kernel": 3, "stride": 3}]}, "kernel 3 and stride 3"),
        ({"stem": [{"channels": 8, "kernel": 4, "stride": 4}]}, "strides make 4"),
    ],
)
def test_bad_values_are_refused_with_the_value(tmp_path, change, said):
    path = tmp_path / "vit.json"
    path.write_text(json.dumps({**SMALL, **change}))
    with pytest.raises(VitgenError) as caught:
        config(path)
    assert said in caught.value.problem and caught.value.remedy


@pytest.mark.parametrize("text", ["{", "[1, 2]", '{"image": 28}', ""])
def test_unusable_files_are_refused(tmp_path, text):
    path = tmp_path / "vit.json"
    path.write_text(text)
    with pytest.raises(VitgenError, match=r"vit\.json"):
        config(path)


def test_unknown_names_and_absent_files_are_refused(tmp_path):
    with pytest.raises(VitgenError, match="Unknown model 'deit_x'.*deit_t"):
        config("deit_x")
    with pytest.raises(VitgenError, match="cannot be read"):
        config(tmp_path / "absent.toml")


def test_a_configuration_cannot_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        config("deit_t").heads = 2
