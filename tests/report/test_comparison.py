"""Comparisons: arithmetic by hand, doubt goes with the figures, the picture shows it."""

import xml.etree.ElementTree as ET

import pytest

from tests.report.conftest import MODULES
from tests.report.test_charts import assert_apart, parse, texts
from vitgen.report import comparison_chart as chart
from vitgen.report.comparison import FIGURES, Row, beside, compare, our_row, published_row
from vitgen.report.html import render_html
from vitgen.report.published import Figure, Published, published

ZCU102 = dict(board="zcu102", clock_mhz=150.0)


def design(bits="8/8", board="zcu102", lut_lanes=False, **figures):
    """A published design whose figures are all stated, but those given as (value, trust)."""
    known = {}
    for name, said in figures.items():
        value, trust = said if isinstance(said, tuple) else (said, "stated")
        known[name] = Figure(float(value), trust, "paper")
    words = dict.fromkeys(("model", "device", "bits"), "stated")
    return Published(
        "key", "name", "DeiT-T", "deit_t", "ZCU102", board, bits, lut_lanes, words, known
    )


def values(row):
    return {name: (figure.value, figure.trust) for name, figure in row.figures.items()}


def test_arithmetic_of_a_published_design():
    row = published_row(design(clock_mhz=300, fps=60, gmac=2.5, dsp=500, lut=9), "zcu102", 150.0)
    assert values(row) == {
        "clock_mhz": (300, "stated"),
        "fps": (60, "stated"),
        "dsp": (500, "stated"),
        "lut": (9, "stated"),
        "equal_fps": (30, "derived"),
        "mac_per_cycle": (500, "derived"),  # 150 GMAC/s
        "mac_per_cycle_dsp": (1.0, "derived"),
        "gops_per_dsp": (0.6, "derived"),
        "efficiency": (0.5, "derived"),
    }
    assert not row.ours and row.vitgen == "deit_t"


def test_what_is_missing_stays_missing():
    assert set(published_row(design(fps=60), "zcu102", 150.0).figures) == {"fps"}
    elsewhere = published_row(design(board="", fps=60, clock_mhz=150, gmac=1), "zcu102", 150.0)
    assert "equal_fps" not in elsewhere.figures and "mac_per_cycle" in elsewhere.figures
    operations = published_row(design(gops=600, clock_mhz=300), "zcu102", 150.0).figures
    assert operations["mac_per_cycle"].value == 1000 and "fps" not in operations
    # Stated for each DSP it needs no count of DSPs; simulators have no clock.
    each = published_row(design(gops_per_dsp=0.6, clock_mhz=300), "zcu102", 150.0).figures
    assert each["mac_per_cycle_dsp"].value == 1.0 and each["gops_per_dsp"].value == 0.6
    assert "mac_per_cycle_dsp" not in published_row(design(gops_per_dsp=1), "zcu102", 150.0).figures


def test_efficiency_only_where_dsps_tell_the_lanes():
    known = dict(clock_mhz=150, fps=60, gmac=2.5, dsp=1000)
    assert published_row(design(**known), "zcu102", 150.0).figures["efficiency"].value == 0.5
    for other in (
        design(bits="4/8", **known),
        design(lut_lanes=True, **known),
        design("", **known),
    ):
        assert "efficiency" not in published_row(other, "zcu102", 150.0).figures
    stated = published_row(design(bits="", efficiency=0.9, **known), "zcu102", 150.0)
    assert values(stated)["efficiency"] == (0.9, "stated")


@pytest.mark.parametrize("name", ["clock_mhz", "fps", "gmac", "dsp"])
def test_doubt_goes_with_the_figures(name):
    known = dict(clock_mhz=150, fps=60, gmac=2.5, dsp=1000)
    row = published_row(design(**{**known, name: (known[name], "unverified")}), "zcu102", 150.0)
    doubtful = {key for key, figure in row.figures.items() if figure.trust == "unverified"}
    rests = {
        "clock_mhz": {"equal_fps", "mac_per_cycle", "mac_per_cycle_dsp", "efficiency"},
        "fps": {"equal_fps", "mac_per_cycle", "mac_per_cycle_dsp", "gops_per_dsp", "efficiency"},
        "gmac": {"mac_per_cycle", "mac_per_cycle_dsp", "gops_per_dsp", "efficiency"},
        "dsp": {"mac_per_cycle_dsp", "gops_per_dsp", "efficiency"},
    }[name]
    assert doubtful == rests | ({name} if name != "gmac" else set())


def test_ours_is_measured_where_it_was(deit, make_deit):
    row = our_row(deit)
    assert {row.figures[n].trust for n in ("fps", "dsp", "mac_per_cycle_dsp", "ideal")} == {
        "estimated"
    }
    exact = dict(images=1, tensors=1, values=1, mismatches=0, first=None, cycles=3_000_000)
    measured = our_row(make_deit(verification={"rtl": exact}, modules=MODULES))
    found = values(measured)
    assert found["fps"] == found["equal_fps"] == (50.0, "measured")
    assert found["mac_per_cycle"] == (deit["macs"] / 3_000_000, "measured")
    assert found["dsp"] == (1920, "measured") and found["lut"] == (137_040, "measured")
    assert found["mac_per_cycle_dsp"] == (deit["macs"] / 3_000_000 / 1920, "measured")
    assert found["gops_per_dsp"][0] == pytest.approx(2 * deit["macs"] * 50 / 1e9 / 1920)
    half = our_row(make_deit(verification={"rtl": exact}))
    assert values(half)["mac_per_cycle_dsp"][1] == "estimated"


def test_models_stand_together_ours_last(deit):
    rows = compare([deit], **ZCU102)
    assert len(rows) == len(published()) + 1
    models = [row.vitgen for row in rows]
    assert [m for i, m in enumerate(models) if i == 0 or models[i - 1] != m] == [
        "deit_b", "deit_s", "deit_t", ""
    ]  # fmt: skip
    assert [row.ours for row in rows if row.vitgen == "deit_b"][-2:] == [False, True]
    with pytest.raises(ValueError, match="200"):
        compare([{**deit, "clock_mhz": 200.0}], **ZCU102)


def test_a_report_has_its_peers(deit, tiny):
    assert deit["comparison"] == [row.to_json() for row in beside(deit)]
    assert {row["vitgen"] for row in deit["comparison"]} == {"deit_b"}
    assert tiny["comparison"] == [] and beside(tiny) == []
    for record in deit["comparison"]:
        assert list(record["figures"]) == list(FIGURES)
        assert Row.from_json(record).to_json() == record


def drawn(svg):
    """Class and length of the bars, by the hint that each shows."""
    ns = "{http://www.w3.org/2000/svg}"
    return {
        rect.find(f"{ns}title").text: (rect.get("class"), float(rect.get("width")))
        for rect in parse(svg).iter(f"{ns}rect")
    }


def test_the_picture(deit):
    rows = compare([deit], **ZCU102)
    svg = chart.render(rows, **ZCU102)
    bars = drawn(svg)
    assert len(bars) > 60
    assert {c for hint, (c, _) in bars.items() if hint.endswith("unverified")} == {"open"}
    assert {c for hint, (c, _) in bars.items() if hint.endswith(("stated", "derived"))} == {"c7"}
    assert {c for hint, (c, _) in bars.items() if hint.endswith("estimated")} == {"c2"}
    assert max(length for _, length in bars.values()) == chart.LENGTH
    boxes = texts(svg)
    assert_apart(boxes)
    assert all(left >= 0 and right <= chart.WIDTH for left, right, _, _ in boxes)
    said = " ".join(text for *_, text in boxes)
    assert "on U200" in said and "» " in said and said.count(" ?") > 20
    assert dict(chart.legend(rows)).keys() == {"c2", "c7", "open"}


def framed(name, model, fps):
    figures = {"equal_fps": Figure(fps, "stated")}
    return Row(name, model, "", "ZCU102", f"deit_{model[-1].lower()}", False, figures)


def test_lengths_are_proportional_within_a_model():
    rows = [
        framed("one", "DeiT-T", 25.0),
        framed("two", "DeiT-T", 100.0),
        framed("six", "DeiT-B", 5.0),
    ]
    lengths = [length for _, length in drawn(chart.render(rows, **ZCU102)).values()]
    assert lengths == [chart.LENGTH / 4, chart.LENGTH, chart.LENGTH]


def test_far_beyond_ours_is_cut(deit):
    ours = our_row(deit)
    rate = ours.figures["mac_per_cycle"].value
    far = Row(
        "far", "DeiT-B", "", "U50", "deit_b", False, {"mac_per_cycle": Figure(9 * rate, "stated")}
    )
    svg = chart.render([far, ours], **ZCU102)
    lengths = {h: length for h, (_, length) in drawn(svg).items() if "MAC/cycle:" in h}
    assert set(lengths.values()) == {chart.LENGTH} and svg.count("» ") == 1


def test_a_design_without_bars_is_left_out(deit):
    empty = Row("empty", "Net", "", "ZCU102", "", False, {"watts": Figure(3, "stated")})
    svg = chart.render([our_row(deit), empty], **ZCU102)
    assert "empty" not in svg and "Other models" not in svg


def test_a_picture_of_its_own(deit):
    rows = [
        *beside(deit),
        Row("<&>", "Net", "", "<X>", "", False, {"mac_per_cycle": Figure(1, "stated")}),
    ]
    alone = chart.standalone(chart.render(rows, **ZCU102), chart.legend(rows))
    root = ET.fromstring(alone)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert "--c7" in alone and "unverified figure" in alone and "<&>" not in alone
    assert "url(" not in alone and "<script" not in alone


def test_reports_of_models_that_nobody_published_have_no_picture(make_deit):
    report = make_deit()
    assert "Beside published designs" in render_html(report)
    assert "ME-ViT, table III" in render_html(report)
    report["comparison"] = []
    assert "Beside published designs" not in render_html(report)
