"""The picture of designs from small to large: where its points and steps lie, and what it says."""

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from vitgen.report import pareto
from vitgen.report.html import render_html
from vitgen.report.schema import check
from vitgen.report.terminal import show_estimate

STOCK = {"dsp": 2520, "lut": 274_080, "ff": 548_160, "bram36": 912, "uram": 0}


def point(fps, dsp, lut, **changes):
    resources = {"dsp": dsp, "lut": lut, "ff": lut, "bram36": 300, "uram": 0}
    return {
        "fps": fps, "resources": resources, "token_lanes": 40, "dsp_rows": 30, "pot_rows": 8,
        "pot_ratio": 0.125, "frontier": False, "chosen": False, **changes,
    }  # fmt: skip


@pytest.fixture
def points():
    rng = np.random.default_rng(2)
    found = [
        point(float(rng.integers(5, 40)), int(rng.integers(100, 2200)), int(rng.integers(3e4, 2e5)))
        for _ in range(30)
    ]
    return [*found, point(43.4, 2266, 245_360, chosen=True, frontier=True)]


@pytest.mark.parametrize("resource", ["dsp", "lut"])
def test_best_by_a_resource_by_definition(points, resource):
    expected = [
        one
        for one in points
        if not any(
            other is not one
            and other["fps"] >= one["fps"]
            and other["resources"][resource] <= one["resources"][resource]
            for other in points
        )
    ]
    found = pareto.best_by(points, resource)
    assert sorted(map(id, found)) == sorted(map(id, expected))
    assert [p["fps"] for p in found] == sorted(p["fps"] for p in found)


def test_points_lie_where_their_figures_say(points):
    root = ElementTree.fromstring(pareto.render(points, STOCK, 0.9))
    circles = root.findall("circle")
    assert len(circles) == 2 * len(points)
    tips = [circle.findtext("title") for circle in circles]
    floor, height = pareto.HEIGHT - pareto.BOTTOM, pareto.HEIGHT - pareto.BOTTOM - pareto.TOP
    for place, resource in enumerate(("dsp", "lut")):
        left = pareto.LEFT + place * (pareto.PANEL + pareto.BETWEEN)
        full = max(STOCK[resource] * 0.9, *(p["resources"][resource] for p in points)) * pareto.HEAD
        own = {
            (round(left + p["resources"][resource] / full * pareto.PANEL, 1),
             round(floor - p["fps"] / (43.4 * pareto.HEAD) * height, 1))
            for p in points
        }  # fmt: skip
        drawn = {(float(c.get("cx")), float(c.get("cy"))) for c in circles}
        assert own <= drawn
        for x, y in own:
            assert left <= x <= left + pareto.PANEL and pareto.TOP <= y <= floor
    assert tips.count(pareto.said(points[-1])) == 2
    assert len([c for c in circles if "point" in c.get("class")]) == 2
    texts = [t.text for t in root.findall("text")]
    assert texts.count("this design: 43.4") == 2 and "allowed: 2,268" in texts
    assert "allowed: 246,672" in texts


def test_steps_join_the_best_and_never_fall(points):
    root = ElementTree.fromstring(pareto.render(points, STOCK, 0.9))
    steps = [line for line in root.findall("line") if line.get("class") == "front"]
    best = [pareto.best_by(points, resource) for resource in ("dsp", "lut")]
    assert len(steps) == 2 * sum(len(found) - 1 for found in best)
    for step in steps:
        x1, y1, x2, y2 = (float(step.get(key)) for key in ("x1", "y1", "x2", "y2"))
        assert (x1 == x2 and y2 <= y1) or (y1 == y2 and x2 >= x1)


def test_a_file_of_its_own_has_its_style(points):
    text = pareto.standalone(pareto.render(points, STOCK, 0.9))
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg" and "--c0" in text
    assert not re.search(r"(href|src)=", text)


@pytest.fixture
def explored(deit, points):
    exploration = dict(
        target_fps=30.0, bits="4/8", scheme="mixed", pot_ratio=0.125, pot_ratio_from="search",
        wide_ratio=None, reason="Both kinds of lanes end together.", bound_fps=56.8,
        tried=[
            dict(
                bits="8/8", scheme="fixed", wide_ratio=None, pot_ratio=0.0, fps=28.5, bound_fps=29.0,
                met=False, resources=STOCK,
            ),
            dict(
                bits="4/8", scheme="mixed", wide_ratio=None, pot_ratio=0.125, fps=30.5,
                bound_fps=56.8, met=True, resources=STOCK,
            ),
        ],
    )  # fmt: skip
    deit |= {"exploration": exploration, "pareto": points}
    check(deit)
    return deit


def test_page_and_terminal_tell_what_was_decided(explored, capsys):
    page = render_html(explored)
    assert "Designs from small to large" in page and "this design: 43.4" in page
    assert "Energy of an image" in page and "Horowitz" in page and "unknown" in page
    for part in ("Target of 30 frames/s: met with 4/8 mixed", "8/8 fixed gives 28.5",
                 "12.5 %, by search", "Both kinds of lanes end together"):  # fmt: skip
        assert part in page
    show_estimate(explored)
    text = " ".join(capsys.readouterr().out.split())
    assert "Target of 30 frames/s" in text and "Energy: at least" in text and "an estimate" in text


def test_a_report_without_designs_has_no_empty_picture(deit):
    assert pareto.of_report(deit) == "" and "Designs from small to large" not in render_html(deit)


def test_the_next_step_says_what_is_missing(tiny, deit):
    step = tiny["next_step"]
    assert step["gain_fps"] == pytest.approx(step["fps"] - tiny["fps"])
    assert step["more_rows"] == step["dsp_rows"] - tiny["engine"]["dsp_rows"] >= 1
    for name, need in step["resources"].items():
        allowed = int(tiny["resources"][name]["available"] * 0.9)
        assert step["beyond_limit"].get(name, 0) == max(0, need - allowed)
    assert step["boards"]  # a small model fits on some
    assert deit["next_step"] is None or not deit["next_step"]["boards"]
