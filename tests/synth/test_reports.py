"""Parsers of the vendor's reports, on reports in their form."""

import pytest

from tests.synth import reports
from vitgen.errors import VitgenError
from vitgen.synth.hls_reports import missed, read_hls
from vitgen.synth.vivado_reports import read_vivado


@pytest.fixture
def hls(tmp_path):
    for name, text in (
        ("csynth.xml", reports.CSYNTH_XML), ("gelu_csynth.rpt", reports.GELU_RPT),
        ("feed_csynth.rpt", reports.FEED_RPT),
    ):  # fmt: skip
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.fixture
def vivado(tmp_path):
    for name, text in (
        ("utilization.rpt", reports.UTILIZATION_RPT), ("hierarchy.rpt", reports.HIERARCHY_RPT),
        ("timing.rpt", reports.timing_rpt()),
    ):  # fmt: skip
        (tmp_path / name).write_text(text)
    return tmp_path


def test_figures_of_hls(hls):
    found = read_hls(hls)
    assert found["clock_ns"] == {"target": 6.67, "estimated": 4.867}
    assert found["latency"] == {"min": 120, "max": None}
    assert found["resources"] == dict(dsp=41, lut=12045, ff=8123, bram18=310, uram=0)
    assert found["modules"] == [
        dict(name="gelu", dsp=10, lut=801, ff=644, bram18=0, uram=0),
        dict(name="feed", dsp=0, lut=92, ff=70, bram18=0, uram=0),
    ]
    assert found["loops"] == [
        dict(module="feed", loop="words", ii=1, target=1, depth=3),
        dict(module="gelu", loop="VITIS_LOOP_24_2", ii=2, target=1, depth=13),
        dict(module="gelu", loop="lanes", ii=None, target=1, depth=1),
    ]
    assert [loop["loop"] for loop in missed(found["loops"])] == ["VITIS_LOOP_24_2", "lanes"]


def test_figures_of_vivado(vivado):
    assert read_vivado(vivado) == {
        "resources": dict(dsp=47, lut=14310, ff=15021, bram36=41.5, uram=0),
        "accelerator": dict(dsp=47, lut=11809, ff=12500, bram36=37.5, uram=0),
        "timing": dict(wns_ns=0.214, tns_ns=0.0, setup_failing=0, whs_ns=0.01, hold_failing=0),
    }


def test_slack_below_zero_and_none_at_all(vivado):
    (vivado / "timing.rpt").write_text(reports.timing_rpt("-1.250", 37))
    found = read_vivado(vivado)["timing"]
    assert found["wns_ns"] == -1.25 and found["setup_failing"] == 37
    (vivado / "timing.rpt").write_text(reports.timing_rpt("NA"))
    assert read_vivado(vivado)["timing"]["wns_ns"] is None


@pytest.mark.parametrize("name", ["csynth.xml", "gelu_csynth.rpt"])
def test_a_report_of_hls_that_is_missing(hls, name):
    (hls / name).unlink()
    (hls / "feed_csynth.rpt").unlink()
    with pytest.raises(VitgenError, match="has left no"):
        read_hls(hls)


@pytest.mark.parametrize("text", ["", "<profile></profile>", "<profile>", "\x00"])
def test_a_report_of_hls_in_another_form(hls, text):
    (hls / "csynth.xml").write_text(text)
    with pytest.raises(VitgenError, match="not a report as Vitis HLS writes it"):
        read_hls(hls)


@pytest.mark.parametrize("name", ["utilization.rpt", "hierarchy.rpt", "timing.rpt"])
def test_a_report_of_vivado_that_is_missing_or_another(vivado, name):
    (vivado / name).write_text("nothing of use\n")
    with pytest.raises(VitgenError, match="not a report as Vivado writes it"):
        read_vivado(vivado)
    (vivado / name).unlink()
    with pytest.raises(VitgenError, match=f"Vivado has left no report .*{name}"):
        read_vivado(vivado)


def test_a_hierarchy_without_the_accelerator(vivado):
    text = reports.HIERARCHY_RPT.replace("vit_top_0  ", "vit_toq_0  ")
    (vivado / "hierarchy.rpt").write_text(text)
    with pytest.raises(VitgenError, match="vit_top_0"):
        read_vivado(vivado)
