"""The page and the screen: the facts are there, nothing from outside is code, equal bytes."""

import copy
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from tests.report.conftest import EXACT, FIRST, MODULES
from vitgen.report.html import render_html
from vitgen.report.terminal import BAR, bar, show, show_estimate

EVIL = "<script>alert(1)</script>[red]&"
VOID = {"meta", "br", "img", "link"}


class Balance(HTMLParser):
    """Open and close tags must match; collects tags and attributes."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes = [], set(), []

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def parsed(page):
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    return balance


def screen(call, *arguments, width=100, encoding="utf-8"):
    """What ``call`` prints."""
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    console = Console(file=file, width=width, highlight=False, force_terminal=False)
    call(*arguments, console)
    file.flush()
    return raw.getvalue().decode(encoding)


def text_of(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


@pytest.mark.parametrize("name", ["deit", "tiny"])
def test_page_stands_alone(name, request):
    page = render_html(request.getfixturevalue(name))
    found = parsed(page)
    assert not found.tags & {"script", "link", "img", "iframe", "object"}
    assert not any(key in ("src", "href", "srcset") for key, _ in found.attributes)
    assert "http" not in page and "url(" not in page and "@import" not in page
    assert "prefers-color-scheme: dark" in page and "@media print" in page
    assert len(page) < 200_000


def test_page_says_the_facts(deit, tiny):
    text = text_of(render_html(deit))
    for fact in (
        "0 mismatches in 9,812,345 values of 514 tensors over 1 image", "RTL: not run",
        f"{deit['fps']:.1f}", f"{deit['cycles']['estimated']:,}", "synthetic", "block 11",
        f"{deit['resources']['dsp']['estimated']:,} of 2,520", "60.8 MB", "4 weight ports",
        "unverified", "group_lanes", "no RTL of this design was simulated",
    ):  # fmt: skip
        assert fact in text
    text = text_of(render_html(tiny))
    assert "C-sim: not run" in text and "99.66 %" in text and "lowest 31.5 dB" in text
    assert "None" not in text and "null" not in text


def test_page_tells_a_failure(make_deit):
    wrong = {**EXACT, "mismatches": 12, "first": FIRST}
    page = render_html(make_deit(verification={"csim": wrong}))
    assert 'class="verdict bad"' in page and "expected 12, got -3" in page
    assert 'class="verdict good"' not in page


def test_names_are_no_code(deit):
    deit["model"] = deit["bits"] = EVIL
    deit["request"] = {EVIL: EVIL}
    deit["layers"][3]["name"] = EVIL
    deit["roofline"]["compute"][0]["label"] = EVIL
    deit["fidelity"] = dict(images=7, top1_agreement=None, top1=None, sqnr_db={EVIL: 1.0})
    page = render_html(deit)
    assert "script" not in parsed(page).tags
    assert "&lt;script&gt;" in page
    assert EVIL in screen(show, deit, Path("build/x"))


@pytest.mark.parametrize("name", ["deit", "tiny"])
def test_equal_reports_give_equal_bytes(name, request):
    report = request.getfixturevalue(name)
    assert render_html(report) == render_html(copy.deepcopy(report))


def test_screen(deit, tmp_path):
    (tmp_path / "hls").mkdir()
    (tmp_path / "report.html").write_text("")
    text = screen(show, deit, tmp_path)
    for fact in (
        "deit_b 4/8 mixed on zcu102 at 150 MHz, dsp48 array, synthetic weights", "17.6 GMAC",
        "C-sim: 0 mismatches in 9,812,345 values of 514 tensors over 1 image", "RTL: not run",
        f"{deit['fps']:.1f} frames/s (estimated)", "blocks.*.mlp.fc1", "report.html", "hls",
    ):  # fmt: skip
        assert fact in text
    assert "data/" not in text  # it is not there
    dsp = deit["resources"]["dsp"]["estimated"]
    share = re.escape(f"{100 * dsp / 2520:.1f} %")
    assert re.search(rf"DSP +{dsp:,} +2,520 +█+░+ +{share} +estimated", text)
    assert len(text.splitlines()) <= 30
    assert all(len(row) <= 80 for row in screen(show, deit, tmp_path, width=80).splitlines())


def test_screen_tells_the_first_difference(make_deit):
    wrong = make_deit(verification={"csim": {**EXACT, "mismatches": 12, "first": FIRST}})
    text = " ".join(screen(show, wrong, Path("build/x"), width=200).split())
    assert "12 values wrong" in text and "row 17 column 4, expected 12, got -3" in text


def test_screen_of_an_estimate(tiny, deit):
    text = " ".join(screen(show_estimate, tiny, width=200).split())
    assert "nothing was built, simulated or compared" in text and "trained" not in text
    assert "Binding: LUT" in text and "Next: +" in text and "would hold it" in text
    tiny["next_step"] |= {"beyond_board": ["lut"], "beyond_limit": {"lut": 1234, "dsp": 5}, "boards": []}
    text = screen(show_estimate, tiny, width=400)
    assert "1,234 LUT more than the board has" in text and "5 DSP more than allowed" in text
    assert "no board known to vitgen holds it" in text
    assert "would bring nothing" in screen(show_estimate, deit)


def test_fidelity_on_the_screen(tiny):
    assert "99.66 % of 599 images" in screen(show, tiny, Path("build/x"))
    tiny["fidelity"]["top1_agreement"] = None
    assert "fidelity" not in screen(show, tiny, Path("build/x"))


def test_plain_terminals(deit):
    text = screen(show, deit, Path("build/x"), encoding="ascii")
    assert "#" * 10 in text


@pytest.mark.parametrize(("share", "full"), [(0, 0), (0.5, BAR // 2), (1, BAR), (7.0, BAR)])
def test_bar(share, full):
    assert bar(share).plain == "█" * full + "░" * (BAR - full)


def test_counted_modules_are_listed_and_the_count_is_called_yosys(make_deit):
    report = make_deit(modules=MODULES)
    page = render_html(report)
    for module in MODULES:
        assert f"<td>{module['name']}</td>" in page
    assert "yosys's count of the RTL, module by module, not Vivado's" in page.replace("&#39;", "'")
    out = io.StringIO()
    show(report, Path("nowhere"), Console(file=out, width=120))
    assert "137,040" in out.getvalue() and "yosys's count" in out.getvalue()
