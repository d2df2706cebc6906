"""Keep rates in requests, and builds that the hardware has no way for yet."""

from dataclasses import replace

import pytest

from vitgen.design.steps import fuse
from vitgen.errors import VitgenError
from vitgen.flow.build import build
from vitgen.flow.lowering import lower_request
from vitgen.flow.request import BuildRequest
from vitgen.ir import Compact, load
from vitgen.models.config import config

REQUEST = BuildRequest(model="vit_digits", bits="8/8", keep="1:0.7,2:0.4")


def test_a_request_with_rates():
    assert REQUEST.architecture() == replace(config("vit_digits"), keep=((1, 0.7), (2, 0.4)))
    assert REQUEST.describe()["keep"] == "1:0.7,2:0.4"
    assert replace(REQUEST, keep=None).architecture() == config("vit_digits")


@pytest.mark.parametrize("keep", ["", "1", "9:0.5", "1:0.5,1:0.4", "1:0.4,2:0.5", "1:nan"])
def test_bad_rates_are_refused_at_once(keep):
    with pytest.raises(VitgenError, match="keep rate"):
        replace(REQUEST, keep=keep)


def test_hardware_has_no_selectors_yet(tmp_path):
    message = r"Op blocks\.1\.selector\.compact prunes tokens, .* cannot be scheduled yet"
    with pytest.raises(VitgenError, match=message) as caught:
        build(REQUEST, tmp_path)
    assert "without keep rates" in caught.value.remedy
    graph = load(tmp_path)
    assert [op.name for op in graph.ops if isinstance(op, Compact)] == [
        "blocks.1.selector.compact", "blocks.2.selector.compact"
    ]  # fmt: skip
    with pytest.raises(VitgenError, match=message):
        fuse(graph)


def test_selectors_are_not_added_to_a_network_of_another_tool(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"")
    with pytest.raises(VitgenError, match="cannot be added"):
        lower_request(replace(REQUEST, checkpoint=tmp_path / "net.onnx"))
