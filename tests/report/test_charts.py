"""Geometry of the pictures: lengths are proportional, nothing leaves the picture or overlaps."""

import re
import xml.etree.ElementTree as ET

import pytest

from tests.report.conftest import MODULES
from vitgen.report import charts, roofline
from vitgen.report.folding import by_role, fold_items, fold_rows
from vitgen.report.svg import (
    GLYPH,
    TEXT,
    Bar,
    BarStyle,
    Segment,
    bars,
    element,
    number,
    shorten,
    ticks,
)

NS = "{http://www.w3.org/2000/svg}"


def parse(svg):
    return ET.fromstring(svg.replace("<svg ", f'<svg xmlns="{NS[1:-1]}" ', 1))


def groups(svg):
    """Rectangles of each bar: (x, width, class)."""
    return [
        [(float(r.get("x")), float(r.get("width")), r.get("class")) for r in g.iter(f"{NS}rect")]
        for g in parse(svg).iter(f"{NS}g")
    ]


def texts(svg):
    """Boxes of the level texts: left, right, baseline, text."""
    boxes = []
    for t in parse(svg).iter(f"{NS}text"):
        if t.get("transform"):
            continue
        wide = len(t.text) * GLYPH
        x, y = float(t.get("x")), float(t.get("y"))
        left = x - {"start": 0, "middle": wide / 2, "end": wide}[t.get("text-anchor")]
        boxes.append((left, left + wide, y, t.text))
    return boxes


def assert_apart(boxes):
    for i, (left, right, y, text) in enumerate(boxes):
        for other_left, other_right, other_y, other in boxes[:i]:
            close = abs(y - other_y) < TEXT and left < other_right and other_left < right
            assert not close, f"{text!r} lies on {other!r}"


def widths(pairs_of_bar):
    return [sum(w for _, w, _ in bar) for bar in pairs_of_bar]


def test_bars_are_proportional_and_stacked():
    rows = [
        Bar("a", "3", (Segment(1.0, 0), Segment(2.0, 1))),
        Bar("b", "6", (Segment(6.0, 2),), mark=6.0),
        Bar("none", "0", (Segment(0.0, 3),)),
    ]
    style = BarStyle(width=500, left=100, right=100)
    first, second, empty = groups(bars(rows, "t", style=style))
    assert first == [(100, 50, "c0"), (150, 100, "c1")]
    assert second == [(100, 300, "c2")] and empty == []
    half = groups(bars(rows, "t", style=style, top=12.0))
    assert widths(half) == [75, 150, 0]


def test_elements_escape():
    svg = element("text", text="a<b & c", x=1.25, data_name='"<')
    assert svg == '<text x="1.2" data-name="&quot;&lt;">a&lt;b &amp; c</text>'
    evil = bars([Bar("<script>", "&", (Segment(1.0, 0, "</title><script>"),))], "<svg>")
    assert "<script" not in evil
    parse(evil)


def test_numbers_and_ticks():
    assert [number(v) for v in (-0.01, 1.0, 2.26)] == ["0", "1", "2.3"]
    assert ticks(241_427.0) == [0, 50_000, 100_000, 150_000, 200_000]
    assert ticks(0.0) == [0.0] and ticks(1.0)[-1] == 1.0
    for top in (0.013, 1.0, 6.0, 7.0, 99.0, 12345.0):
        assert 2 <= len(ticks(top)) <= 7 and ticks(top)[-1] <= top * 1.0001
    assert shorten("abcdef", 4 * GLYPH) == "abc…" and shorten("abcd", 4 * GLYPH) == "abcd"


def test_cycles_per_layer(deit):
    svg = charts.cycles_by_layer(deit["layers"])
    cells = fold_rows(deit["layers"])
    found = widths(groups(svg))
    scale = max(found) / max(sum(row.values()) for _, row in cells)
    for wide, (_, row) in zip(found, cells, strict=True):
        assert wide == pytest.approx(sum(row.values()) * scale, abs=0.5)
    assert len(charts.roles_legend(deit["layers"])) == 8


@pytest.mark.parametrize("depth", [1, 12, 24, 60])
def test_labels_do_not_overlap(deit, depth):
    block = [layer for layer in deit["layers"] if layer["name"].startswith("blocks.0.")]
    layers = [
        {**layer, "name": layer["name"].replace(".0.", f".{index}.", 1)}
        for index in range(depth)
        for layer in block
    ]
    svg = charts.cycles_by_layer(layers)
    assert len(groups(svg)) == depth
    boxes = texts(svg)
    assert_apart(boxes)
    width = float(parse(svg).get("width"))
    assert all(left >= 0 and right <= width for left, right, _, _ in boxes)


@pytest.mark.parametrize("name", ["deit", "tiny"])
def test_every_picture_fits_its_frame(name, request):
    report = request.getfixturevalue(name)
    for svg in (
        charts.cycles_by_layer(report["layers"]),
        charts.shares(by_role(report["layers"]), "t", "cycles"),
        charts.shares(charts.causes(report), "t", "cycles"),
        charts.traffic(report),
        charts.resources(report),
        roofline.render(report["roofline"]),
    ):
        root = parse(svg)
        width, height = float(root.get("width")), float(root.get("height"))
        assert_apart(texts(svg))
        for left, right, y, text in texts(svg):
            assert 0 <= left and right <= width and 0 < y < height, text
        for bar in groups(svg):
            for x, wide, _ in bar:
                assert x >= 0 and x + wide <= width


def test_resources_are_shares_of_the_board(deit):
    style_room = 900.0 - 70 - 200
    shown = ("dsp", "lut", "ff", "bram36")  # the board has no URAM
    assert deit["resources"]["uram"]["available"] == 0 and "URAM" not in charts.resources(deit)
    resources = [deit["resources"][name] for name in shown]
    top = max(1.0, *(r["estimated"] / r["available"] for r in resources))
    for bar, name in zip(groups(charts.resources(deit)), shown, strict=True):
        resource = deit["resources"][name]
        share = resource["estimated"] / resource["available"]
        assert sum(w for _, w, _ in bar) == pytest.approx(share / top * style_room, abs=1)
    assert len(charts.items_legend(deit)) == len(fold_items(deit["items"])) == 8


def test_ultra_ram_is_shown_where_the_board_has_some(deit):
    deit["resources"]["uram"] = {"estimated": 24, "synthesized": None, "available": 96}
    deit["items"][-1]["uram"] += 24
    svg = charts.resources(deit)
    assert "24 of 96" in svg and len(groups(svg)) == 5
    assert sum(cells["uram"] for _, cells in fold_items(deit["items"])) == 24


def test_resources_beyond_the_board_stay_in_the_picture(deit):
    for item in deit["items"]:
        item["lut"] *= 3
    deit["resources"]["lut"]["estimated"] *= 3
    lut = groups(charts.resources(deit))[1]
    assert lut[-1][0] + lut[-1][1] <= 900 - 200 + 1


def test_synthesized_bars_are_whole(make_deit):
    report = make_deit(modules=MODULES)
    bar = groups(charts.resources(report))[1]
    assert [name for _, name in charts.items_legend(report)] == ["all modules, yosys's count"]
    assert "control" not in charts.resources(report)
    assert len(bar) == 1 and bar[0][1] == pytest.approx((900.0 - 70 - 200) / 2)


@pytest.mark.parametrize("name", ["deit", "tiny"])
def test_roofline(name, request):
    line = request.getfixturevalue(name)["roofline"]
    plane = roofline.plane_of(line)
    svg = roofline.render(line)
    (dot,) = parse(svg).iter(f"{NS}circle")
    point = line["point"]
    assert float(dot.get("cx")) == pytest.approx(plane.at_x(point["mac_per_byte"]), abs=0.1)
    assert float(dot.get("cy")) == pytest.approx(plane.at_y(point["mac_per_cycle"]), abs=0.1)
    # No design is above its roofs.
    assert point["mac_per_cycle"] <= line["peak_mac_per_cycle"]
    assert point["mac_per_cycle"] <= point["mac_per_byte"] * line["dram_bytes_per_cycle"]
    for roof in line["compute"] + line["memory"]:
        assert roof["label"] in svg
    assert re.search(r"MAC per byte of DRAM traffic.*MAC per cycle", svg)


@pytest.mark.parametrize("intensity", [0.01, 1.0, 50.0, 300.0, 1e5])
@pytest.mark.parametrize("rate", [3.0, 500.0, 3800.0, 7600.0])
def test_roofline_labels_wherever_the_point_is(deit, intensity, rate):
    line = {**deit["roofline"], "point": {"mac_per_byte": intensity, "mac_per_cycle": rate}}
    boxes = texts(roofline.render(line))
    assert_apart(boxes)
    assert all(0 <= left and right <= 900 for left, right, _, _ in boxes)


def test_logarithmic_ticks():
    assert roofline.log_ticks(0.9, 11.0) == [1, 2, 5, 10]
    assert roofline.log_ticks(0.9, 1e5) == [1, 10, 100, 1000, 1e4, 1e5]
