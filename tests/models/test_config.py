"""Configurations: the named ones, files, and what is refused; torch stays unloaded."""

import dataclasses
import json
import subprocess
import sys

import pytest

from vitgen.errors import VitgenError
from vitgen.models import VitConfig, config, names

SMALL = {"image": 28, "patch": 14, "embed_dim": 200, "heads": 5, "depth": 2, "mlp_ratio": 3}


def test_names_have_configurations():
    assert names() == ["vit_digits", "deit_t", "deit_s", "deit_b", "lvvit_s", "lvvit_m"]
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


def test_a_configuration_survives_its_values():
    values = json.loads(json.dumps(config("vit_digits").to_dict()))
    assert VitConfig(**values) == config("vit_digits")


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
