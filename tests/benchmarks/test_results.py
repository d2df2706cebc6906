"""Results are kept step by step: what a killed run measured is not measured again."""

import json

import pytest

from benchmarks.support import results
from benchmarks.support.results import ROWS, STEPS, Row, chosen, estimated, measure
from vitgen.report.published import published

ROW = Row("deit_t", "4/8")


def run(tmp_path, runner, **settings):
    lines = []
    record = measure(ROW, tmp_path, runner, say=lines.append, **settings)
    return record, lines


def test_all_steps_once(tmp_path, runner, estimate):
    record, _ = run(tmp_path, runner)
    assert runner.steps() == list(STEPS)
    assert {folder for *_, folder in runner.ran} == {tmp_path / "deit_t_4-8"}
    assert record["report"] == estimate and record["started"] is None
    assert not any(step["resumed"] for step in record["steps"].values())
    again, lines = run(tmp_path, runner)
    assert runner.steps() == list(STEPS) and again == record
    assert all("done before" in line for line in lines)


@pytest.mark.parametrize("killed", STEPS)
def test_a_killed_run_resumes_and_says_so(tmp_path, runner, killed):
    runner.fails = killed
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, runner)
    before = list(STEPS[: STEPS.index(killed)])
    assert runner.steps() == before
    assert results.best(ROW, tmp_path) is None
    runner.fails = None
    record, _ = run(tmp_path, runner)
    assert runner.steps() == list(STEPS)
    # Part of the interrupted step was done before: its time is not that of the whole.
    assert [name for name, step in record["steps"].items() if step["resumed"]] == [killed]


def test_the_count_may_come_later(tmp_path, runner):
    without = [step for step in STEPS if step != "count"]
    run(tmp_path, runner, steps=without)
    assert runner.steps() == without
    run(tmp_path, runner)
    assert runner.steps() == [*without, "count", "report"]


def test_another_vitgen_starts_over(tmp_path, runner, monkeypatch):
    run(tmp_path, runner)
    left = tmp_path / "deit_t_4-8" / "build" / "file"
    left.parent.mkdir(parents=True)
    left.touch()
    monkeypatch.setattr(results, "tool_digest", lambda: "other")
    assert results.best(ROW, tmp_path) is None
    run(tmp_path, runner)
    assert runner.steps() == list(STEPS) * 2 and not left.exists()


@pytest.mark.parametrize("text", ["", "{", '{"format": 0}', "[]"])
def test_a_damaged_file_counts_for_nothing(tmp_path, runner, text):
    path = results.path_of(ROW, tmp_path)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    run(tmp_path, runner)
    assert runner.steps() == list(STEPS)


def test_what_was_measured_goes_before_an_estimate(tmp_path, runner):
    record = estimated(ROW, tmp_path, runner, say=str)
    assert estimated(ROW, tmp_path, runner, say=str) == record
    assert runner.steps() == ["estimate"]
    assert results.best(ROW, tmp_path) == record
    runner.fails = "count"
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, runner)
    assert results.best(ROW, tmp_path) == record  # half a measurement is none
    runner.fails = None
    measured, _ = run(tmp_path, runner)
    assert results.best(ROW, tmp_path) == measured
    assert json.loads(results.path_of(ROW, tmp_path).read_text()) == measured


def test_rows_by_their_labels():
    assert chosen([]) == list(ROWS)
    assert chosen(["deit_b:8/8", "vit_digits:4/8"]) == [ROWS[1], Row("vit_digits", "4/8")]
    with pytest.raises(SystemExit, match="MODEL:BITS"):
        chosen(["deit_b"])


def test_rows_name_published_designs_of_their_model():
    known = {design.key: design for design in published()}
    for row in ROWS:
        if row.published:
            assert (known[row.published].vitgen, known[row.published].bits) == (row.model, row.bits)
