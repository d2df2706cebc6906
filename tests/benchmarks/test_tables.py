"""Tables and the page: figures are those of the results, marks say what they rest on."""

import copy

import pytest

from benchmarks.support import page, tables
from benchmarks.support.results import ROWS, Row, measure
from vitgen.report.comparison import Row as Design
from vitgen.report.published import Figure


@pytest.fixture
def measured(tmp_path, runner):
    """Results of a row as they are after all steps, nothing of its report simulated."""
    return measure(ROWS[0], tmp_path, runner, say=str)


@pytest.fixture
def simulated(measured):
    """The same with a simulation and a count."""
    record = copy.deepcopy(measured)
    report = record["report"]
    report |= {"fps_from": "rtl", "fps": 37.5}
    report["cycles"]["rtl"] = 4_000_000
    for name, found in (("dsp", 2300), ("lut", 240_001), ("bram36", 500)):
        report["resources"][name]["synthesized"] = found
    report["modules"] = [
        dict(
            name="multiply", kind="process", copies=2, dsp=900, lut=70_000, ff=0, bram36=0, uram=0
        ),
        dict(name="fifo", kind="fifo", copies=9, dsp=0, lut=10, ff=0, bram36=0, uram=0),
    ]
    return record


def cells(table, row=1):
    return dict(zip(table[0], table[row], strict=True))


def test_estimates_are_marked(measured):
    row = cells(tables.whole_images([(ROWS[0], measured)]))
    assert (row["model"], row["bits"], row["published"], row["target"]) == (
        "deit_b", "4/8", "56.8", "60",
    )  # fmt: skip
    for name in ("frames/s", "cycles", "DSP", "LUT", "BRAM36", "ideal beats", "busy lanes"):
        assert row[name].startswith("~"), name
    assert f"{measured['report']['cycles']['estimated']:,}" in row["cycles"]


def test_measured_figures_are_not_marked_and_a_full_board_is(simulated):
    row = cells(tables.whole_images([(ROWS[0], simulated)]))
    assert (row["frames/s"], row["cycles"]) == ("37.5", "4,000,000")
    assert row["DSP"] == "2,300 (91 %) > 90 %"
    assert row["LUT"] == "240,001 (88 %)" and row["BRAM36"] == "500 (55 %)"
    assert "~" not in "".join(row.values())


def test_unverified_published_figures_are_marked(measured):
    mixed_small = next(row for row in ROWS if row.published == "ava_mixed_s")
    assert cells(tables.whole_images([(mixed_small, measured)]))["published"] == "156 ?"
    beyond = cells(tables.whole_images([(Row("vit_digits", "4/8"), measured)]))
    assert (beyond["published"], beyond["target"]) == ("–", "–")


def test_times_say_where_a_run_was_resumed(measured):
    row = cells(tables.times([(ROWS[0], measured)]))
    assert (row["to C++"], row["C++ to RTL"], row["both"]) == ("3.0 s", "2.0 s", "5 s")
    assert (row["C-sim, compiling"], row["C-sim, image"], row["MAC/s"]) == (
        "7.0 s",
        "1.0 s",
        "200 M",
    )
    assert row["peak GiB"] == "0.5"
    measured["steps"]["rtl"]["resumed"] = True
    del measured["steps"]["count"]
    row = cells(tables.times([(ROWS[0], measured)]))
    assert row["C++ to RTL"] == "≥ 2.0 s" and row["both"] == "≥ 5 s" and row["yosys"] == "–"


def test_cycles_by_cause_are_shares_of_the_estimate(simulated):
    table = tables.causes([(ROWS[0], simulated)])
    shares = [float(row[1].removesuffix(" %")) for row in table[1:-3]]
    assert sum(shares) == pytest.approx(100, abs=0.05 * len(shares))
    assert table[-3][1] == f"{simulated['report']['cycles']['estimated']:,}"
    assert table[-2][1] == "4,000,000"
    efficiency = simulated["report"]["efficiency"]
    useful = float(table[-1][1].removesuffix(" %")) / 100
    assert useful * efficiency["ideal"] == pytest.approx(efficiency["busy_lanes"], abs=1e-3)


@pytest.mark.parametrize("resource", ["dsp", "lut"])
def test_the_account_sums_to_the_bill(measured, simulated, resource):
    table = tables.account([(ROWS[0], measured)], resource)
    parts = [int(row[1].replace(",", "")) for row in table[1:]]
    estimated = measured["report"]["resources"][resource]["estimated"]
    assert sum(parts[:-1]) == parts[-1] == estimated
    both = tables.account([(ROWS[0], simulated), (ROWS[0], measured)], resource)
    counted = simulated["report"]["resources"][resource]["synthesized"]
    assert both[-1][1:] == [f"{counted:,}", "–"]


def test_the_heaviest_modules(measured, simulated):
    assert tables.heaviest_modules(measured) == []
    assert tables.heaviest_modules(simulated)[1:] == [
        ["`multiply`", "2", "140,000", "1,800"], ["`fifo`", "9", "90", "0"]
    ]  # fmt: skip


def test_a_layer_by_both():
    side = dict(
        compile_seconds=12.0,
        seconds=0.25,
        mac_per_second=3e7,
        multipliers=192,
        cycles=37_824,
        dsp=192,
    )
    record = {
        "hls4ml": {**side, "estimated": ["cycles", "dsp"]},
        "vitgen": {**side, "cycles": None, "estimated": []},
    }
    found = {row[0]: row[1:] for row in tables.layer(record)}
    assert found["C-sim of the layer"] == ["250.00 ms"] * 2
    assert found["C-sim, MAC/s"] == ["30 M"] * 2 and found["multipliers"] == ["192", "192"]
    assert found["cycles"] == ["~37,824", "not measured"] and found["DSP"] == ["~192", "192"]


def test_compared_designs():
    figures = {
        "fps": Figure(25.9, "stated"), "equal_fps": Figure(25.9, "unverified"),
        "efficiency": Figure(0.72, "derived"), "dsp": Figure(1964, "estimated"),
    }  # fmt: skip
    table = tables.compared([Design("one", "Net", "", "X", "", True, figures)], 150.0)
    row = cells(table)
    assert (row["design"], row["bits"], row["frames/s"]) == ("**one**", "–", "25.9")
    assert (row["at 150 MHz"], row["efficiency"], row["DSP"]) == ("25.9 ?", "72 %", "~1,964")
    assert row["W"] == row["MHz"] == "–"


def test_markdown_and_terminal_hold_the_same_cells(measured):
    table = tables.times([(ROWS[0], measured)])
    lines = tables.markdown(table).splitlines()
    assert len(lines) == 3 and len({line.count("|") for line in lines}) == 1
    assert [cell.strip() for cell in lines[2].strip("|").split("|")] == table[1]
    assert tables.rich_table(table).row_count == 1 and tables.markdown([]) == ""


def test_blocks_of_the_page_are_replaced_and_nothing_else():
    text = (
        "a\n<!-- table: one -->\nold\n\nolder\n<!-- end -->\nb\n<!-- table: two -->\n<!-- end -->\n"
    )
    made = page.fill(text, {"one": "| new |", "two": ""})
    assert made == (
        "a\n<!-- table: one -->\n| new |\n<!-- end -->\nb\n<!-- table: two -->\n<!-- end -->\n"
    )
    assert page.fill(made, {"one": "| new |", "two": ""}) == made
    with pytest.raises(SystemExit, match="three"):
        page.fill(text, {"one": "", "two": "", "three": ""})
    with pytest.raises(SystemExit, match="two"):
        page.fill(text, {"one": ""})


def test_the_page_has_a_place_for_every_table(measured):
    blocks = page.blocks([(ROWS[0], measured)], [], None)
    assert page.fill(page.PAGE.read_text(), blocks) != page.PAGE.read_text()
    assert "estimate" in blocks["state"] and "not been run" in blocks["layer"]
