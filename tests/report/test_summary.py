"""report.json: complete, consistent, and silent where nothing was measured."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.report.conftest import BOARD, EXACT, FIDELITY, FIRST, MODULES
from vitgen.csim.compare import Difference, Result
from vitgen.design.cost import Workload, estimate
from vitgen.design.steps import fuse
from vitgen.report.format import synthesis_lines
from vitgen.report.schema import Report, check
from vitgen.report.summary import summarize

# What the design of the project asks of report.json, at least.
REQUIRED = {
    "model", "bits", "scheme", "array", "board", "clock_mhz", "weights", "macs", "params", "cycles",
    "fps", "fps_from", "latency_ms", "efficiency", "resources", "dram_bytes_per_image",
    "verification", "fidelity", "layers",
}  # fmt: skip


@pytest.mark.parametrize("name", ["deit", "tiny"])
def test_schema(name, request):
    report = request.getfixturevalue(name)
    assert set(report) >= REQUIRED and set(report) == set(Report.model_fields)
    check(report)
    assert json.loads(json.dumps(report, allow_nan=False)) == report


def test_the_manual_names_every_key():
    root = Path(__file__).parents[2]
    named = re.findall(r"^\| `([^`]+)` \|", (root / "docs/report.md").read_text(), re.MULTILINE)
    assert named == list(Report.model_fields)


def test_known_figures_of_deit_b(deit):
    assert deit["macs"] == 17_564_418_048
    assert deit["rows"] == {"w4": 62208, "w8": 1768, "pot": 20736}
    assert deit["fps"] == pytest.approx(150e6 / deit["cycles"]["estimated"], rel=1e-5)
    assert deit["latency_ms"] == pytest.approx(1e3 / deit["fps"])
    # Each weight once: 4 bits in the blocks, 8 in embedding and head, and what padding adds.
    weights = 85e6 / 2 + 768 * 1768
    assert weights < deit["dram_bytes_per_image"]["weights"] < 1.5 * weights
    assert deit["roofline"]["peak_mac_per_cycle"] == (3 * 48 + 48) * 40
    assert deit["resources"]["dsp"]["available"] == BOARD.resources.dsp
    assert deit["board_figures"]["resources.lut"]["trust"] == "stated"
    assert not any(key.startswith(("ps.", "pynq.", "power.")) for key in deit["board_figures"])


def test_estimate_is_the_cost_models(tiny, tiny_build):
    graph, design = tiny_build
    found = estimate(design.engine, Workload(fuse(graph)), BOARD, 150.0)
    assert tiny["cycles"] == {"estimated": round(found.cycles), "rtl": None}
    assert {k: v["estimated"] for k, v in tiny["resources"].items()} == found.bill.totals()
    assert tiny["efficiency"]["ideal"] == pytest.approx(found.ideal)
    assert tiny["macs"] == graph.macs
    for part in ("products", "drain"):
        total = sum(layer["parts"][part] for layer in tiny["layers"])
        assert total == found.timeline.where[part]


def test_parameters_are_what_the_float_model_has(tiny, tiny_build):
    width, mlp, classes, patch, tokens, depth = 24, 40, 3, 6, 9, 2
    block = 4 * width * (width + 1) + mlp * (width + 1) + width * (mlp + 1) + 4 * width
    ends = width * (patch + 1) + 2 * width + classes * (width + 1) + tokens * width
    assert tiny["params"] == depth * block + ends


@pytest.mark.parametrize("name", ["deit", "tiny"])
def test_layers_share_out_every_cycle(name, request):
    report = request.getfixturevalue(name)
    for layer in report["layers"]:
        assert sum(layer["parts"].values()) == layer["cycles"]["estimated"]
        assert layer["cycles"]["rtl"] is None
    assert sum(layer["share"] for layer in report["layers"]) == pytest.approx(1)
    assert len({layer["name"] for layer in report["layers"]}) == len(report["layers"])


def test_bounds_name_what_limits(deit):
    bound = {layer["name"]: layer["bound"] for layer in deit["layers"]}
    assert bound["blocks.3.mlp.fc1"] == "array"
    assert bound["norm"] == "LayerNorm"  # the others run beside products
    assert bound["load.image"] == "load"


def test_starved_units_become_the_bound(tiny_build):
    graph, design = tiny_build
    slow = replace(design.engine, group_lanes=8, groups=1, gelu_lanes=1, requant_lanes=8,
                   softmax_lanes=8, norm_lanes=8, dsp_rows=16)  # fmt: skip
    report = summarize(
        graph, replace(design, engine=slow), request={}, verification={}, fidelity=None,
        weights="synthetic",
    )  # fmt: skip
    bound = {layer["name"]: layer["bound"] for layer in report["layers"]}
    assert bound["blocks.1.mlp.fc1"] == "GELU"


def test_what_nobody_measured_is_null(make_deit):
    report = make_deit()
    assert report["verification"] == {"csim": None, "rtl": None}
    assert report["fidelity"] is None and report["cycles"]["rtl"] is None
    assert all(r["synthesized"] is None for r in report["resources"].values())
    assert report["fps_from"] == "estimated"
    assert report["resources_from"] is None and report["modules"] == []


def test_no_agreement_from_few_images(make_deit):
    report = make_deit(fidelity={**FIDELITY, "images": 99})
    assert report["fidelity"]["top1_agreement"] is None
    assert report["fidelity"]["sqnr_db"]["embed"] is None  # equal tensors have no ratio
    report = make_deit(fidelity={"images": 100, "top1_agreement": 1.0})
    assert report["fidelity"] == {
        "images": 100, "top1_agreement": 1.0, "top1": None, "sqnr_db": {}
    }  # fmt: skip


def test_simulated_cycles_replace_the_estimate(make_deit):
    report = make_deit(verification={"rtl": {**EXACT, "cycles": 3_000_000}})
    assert report["fps_from"] == "rtl" and report["fps"] == 50.0
    assert report["cycles"]["rtl"] == 3_000_000 != report["cycles"]["estimated"]


def test_simulated_cycles_by_layer(make_deit, deit):
    """What the simulation counted of an op is its layer's; control is the program's."""
    names = [layer["name"] for layer in deit["layers"] if layer["name"] != "program"]
    by_op = {name: 100_000 + i for i, name in enumerate(names)}
    by_op |= {"set_tokens.0": 100, "set_tokens.1": 10, "stop": 1}
    level = {**EXACT, "cycles": sum(by_op.values()), "cycles_by_op": by_op, "instructions": []}
    report = make_deit(verification={"rtl": level})
    for layer in report["layers"]:
        want = 111 if layer["name"] == "program" else by_op[layer["name"]]
        assert layer["cycles"]["rtl"] == want
    assert report["verification"]["rtl"] == {**EXACT, "cycles": level["cycles"]}
    with pytest.raises(ValueError, match="simulated cycles of layers"):
        make_deit(verification={"rtl": {**level, "cycles": level["cycles"] + 1}})


def test_synthesis_stands_beside_the_estimate(make_deit):
    report = make_deit(modules=MODULES)
    found = {name: r["synthesized"] for name, r in report["resources"].items()}
    assert found == {"dsp": 1_920, "lut": 137_040, "ff": 50_001, "bram36": 2, "uram": 0}
    assert report["resources_from"] == "yosys" and report["modules"] == MODULES


def test_modules_must_sum_to_what_is_reported(make_deit):
    report = make_deit(modules=MODULES)
    report["resources"]["lut"]["synthesized"] += 1
    with pytest.raises(ValueError, match="lut of modules sum to 137040, not 137041"):
        check(report)


def test_takes_what_the_csim_returns(make_deit):
    result = Result(1, 2, 30, 4, Difference(**FIRST)).to_json()
    assert make_deit(verification={"csim": result})["verification"]["csim"]["first"] == FIRST
    assert asdict(Difference(**FIRST)) == FIRST


def test_the_next_step_is_faster_or_absent(deit, tiny):
    assert deit["next_step"] is None  # a word of weights has no room for the rows that would help
    step = tiny["next_step"]
    assert step["dsp_rows"] > tiny["engine"]["dsp_rows"] and step["fps"] > tiny["fps"]
    assert step["resources"]["lut"] > tiny["resources"]["lut"]["estimated"]
    assert step["beyond_board"] == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("fps"), "fps"),
        (lambda r: r.update(when="today"), "when"),
        (lambda r: r.update(fps_from="guess"), "fps_from"),
        (lambda r: r.update(fps=float("nan")), "fps"),
        (lambda r: r["layers"].pop(), "cycles of layers"),
        (lambda r: r["layers"][5].update(dram_bytes=0), "dram_bytes of layers"),
        (lambda r: r["cycles_by_cause"].update(products=1), "cycles_by_cause"),
    ],
)
def test_check_refuses(deit, change, message):
    change(deit)
    with pytest.raises(ValueError, match=message):
        check(deit)


HLS = {
    "tool": "vitis_hls 2023.1",
    "clock_ns": {"target": 6.67, "estimated": 4.9},
    "latency": {"min": 12, "max": None},
    "resources": {"dsp": 4, "lut": 9, "ff": 8, "bram18": 2, "uram": 0},
    "modules": [],
    "loops": [{"module": "gelu", "loop": "a", "ii": 2, "target": 1, "depth": 9}],
    "missed": [{"module": "gelu", "loop": "a", "ii": 2, "target": 1, "depth": 9}],
}
PLACED = {"dsp": 40, "lut": 900, "ff": 800, "bram36": 2.5, "uram": 0}


def vivado(wns, whs):
    slack = {"wns_ns": wns, "tns_ns": 0.0, "setup_failing": 3, "whs_ns": whs, "hold_failing": 1}
    return {"tool": "vivado 2024.1", "road": "open", "resources": PLACED, "accelerator": PLACED,
            "timing": slack}  # fmt: skip


@pytest.mark.parametrize(
    "wns, whs, met", [(0.1, 0.0, True), (None, None, True), (-0.1, 0.1, False), (0.1, -0.1, False)]
)
def test_figures_of_the_vendor_stand_beside_the_others(make_deit, wns, whs, met):
    report = make_deit(modules=MODULES, synthesis={"hls": HLS, "vivado": vivado(wns, whs)})
    assert report["synthesis"]["hls"] == HLS
    assert report["synthesis"]["vivado"] == vivado(wns, whs) | {"met": met}
    assert {k: r["vivado"] for k, r in report["resources"].items()} == dict(
        dsp=40, lut=900, ff=800, bram36=3, uram=0
    )
    assert report["resources_from"] == "yosys"
    lines = synthesis_lines(report)
    assert lines[:2] == [
        "vitis_hls 2023.1: 0 of 1 loop at their interval",
        "  gelu, loop a: II 2 where the pragma asks for II 1",
    ]
    assert "40 DSP, 900 LUT, 800 FF, 2.5 BRAM36" in lines[2] and "URAM" not in lines[2]
    assert ("NOT met" in lines[3]) == (not met) and ("4 endpoints fail" in lines[3]) == (not met)


def test_without_the_vendor_there_are_no_figures_of_it(tiny):
    assert tiny["synthesis"] == {"hls": None, "vivado": None}
    assert all(r["vivado"] is None for r in tiny["resources"].values())
    assert synthesis_lines(tiny) == []
