"""Keep rates: the text, the configuration, and everything that is refused."""

import json
from dataclasses import replace

import pytest

from vitgen.errors import VitgenError
from vitgen.models import VitConfig, config
from vitgen.models.keep import format_keep, parse_keep

DEIT = config("deit_s")


def test_the_text_of_rates():
    assert parse_keep("3:0.70,6:0.39,9:0.21") == ((3, 0.7), (6, 0.39), (9, 0.21))
    assert parse_keep(" 3 : .5 ") == ((3, 0.5),)
    assert format_keep(((3, 0.7), (9, 0.21))) == "3:0.7,9:0.21"


@pytest.mark.parametrize(
    "text",
    ["", "3", "3:", ":0.5", "3:0.5,", "3:0.5;6:0.2", "3:0.5:6", "a:0.5", "3:b", "3.0:0.5", "1_0:0.5",
     "\u0663:0.5", "0x3:0.5"],
)  # fmt: skip
def test_what_is_no_list_of_rates(text):
    with pytest.raises(VitgenError, match="keep rates") as caught:
        parse_keep(text)
    assert "3:0.70,6:0.39,9:0.21" in caught.value.remedy


@pytest.mark.parametrize(
    ("keep", "problem"),
    [
        ("12:0.5", "block 12"),
        ("-1:0.5", "block -1"),
        ([(True, 0.5)], "block True"),
        ([(2.0, 0.5)], "block 2.0"),
        ("3:0", "rate before block 3 is 0.0"),
        ("3:1", "rate before block 3 is 1.0"),
        ("3:-0.5", "-0.5"),
        ("3:nan", "nan"),
        ("3:inf", "inf"),
        ([(3, True)], "True"),
        ([(3, "0.5")], "'0.5'"),
        ("3:0.5,3:0.4", "block 3 after block 3"),
        ("6:0.5,3:0.4", "block 3 after block 6"),
        ("3:0.5,6:0.5", "is 0.5, 0.5 before block 3"),
        ("3:0.5,6:0.7", "is 0.7, 0.5 before block 3"),
        ([3, 0.5], "no block and rate"),
        ([(3, 0.5, 1)], "no block and rate"),
        (0.5, "are 0.5"),
        ({"3": 0.5}, "are {'3': 0.5}"),
        ("   ", "are '   '"),
    ],
)
def test_rates_that_no_network_has(keep, problem):
    with pytest.raises(VitgenError) as caught:
        replace(DEIT, keep=keep)
    assert problem in caught.value.problem


def test_rates_of_a_configuration():
    pruned = replace(DEIT, keep="3:0.70,6:0.39,9:0.21")
    assert pruned.keep == ((3, 0.7), (6, 0.39), (9, 0.21))
    assert pruned.kept == {3: 0.7, 6: 0.39, 9: 0.21}
    assert replace(pruned, keep="").keep == DEIT.keep == ()
    again = VitConfig(**json.loads(json.dumps(pruned.to_dict())))
    assert again == pruned and json.loads(json.dumps(again.to_dict())) == again.to_dict()
    assert replace(DEIT, keep=((0, 0.01), (11, 0.001))).kept == {0: 0.01, 11: 0.001}


def test_rates_of_a_file(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text('image = 8\npatch = 2\nembed_dim = 12\ndepth = 2\nheads = 3\nkeep = "1:0.5"\n')
    assert config(path).keep == ((1, 0.5),)
    path.write_text(path.read_text().replace('"1:0.5"', "[[0, 0.9], [1, 0.5]]"))
    assert config(path).keep == ((0, 0.9), (1, 0.5))
