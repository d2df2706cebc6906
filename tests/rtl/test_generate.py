"""Generation of all processes of an accelerator, and its cache."""

import json

import pytest

from tests.rtl.engines import ENGINES
from vitgen.design import netlist
from vitgen.emit import emit_hls
from vitgen.errors import VitgenError
from vitgen.rtl import generate as module
from vitgen.rtl.generate import VERILOG_PROCESSES, generate, generate_all


@pytest.fixture
def files():
    return emit_hls(ENGINES["even"]).texts()


def test_every_function_once_and_the_second_time_from_the_cache(tmp_path, monkeypatch):
    found = generate_all(ENGINES["even"], cache=tmp_path)
    called = {process.function for process in netlist.processes(ENGINES["even"])}
    assert set(found) == called - VERILOG_PROCESSES
    assert {process.name for process in found.values()} == {f"{name}_process" for name in found}
    for process in found.values():
        assert f"module {process.name}(" in process.verilog
        assert process.stages >= 1 and process.registers >= process.state_bits

    def never(*arguments):
        raise AssertionError("generated again")

    monkeypatch.setattr(module, "translate_process", never)
    assert generate_all(ENGINES["even"], cache=tmp_path) == found


def test_only_what_a_process_is_made_of_counts(files, tmp_path):
    first = generate(files, "banks.h", "bank_write", cache=tmp_path)
    other = {**files, "gelu.h": files["gelu.h"] + "// another line\n"}
    assert generate(other, "banks.h", "bank_write", cache=tmp_path) == first
    assert len(list(tmp_path.iterdir())) == 1
    other = {**files, "types.h": files["types.h"] + "// another line\n"}
    generate(other, "banks.h", "bank_write", cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_a_cache_that_cannot_be_written(files, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(VitgenError, match="Cannot write to the cache"):
        generate(files, "banks.h", "bank_write", cache=tmp_path / "file")


def test_what_is_kept_is_plain_text(files, tmp_path):
    found = generate(files, "banks.h", "bank_write", cache=tmp_path)
    held = json.loads(next(tmp_path.iterdir()).read_text())
    assert held["verilog"] == found.verilog


def test_no_stage_holds_more_than_one_product(files, tmp_path):
    """Feedback of the array in C++ is longer than a product; it says so."""
    for header, function in (("requant.h", "requantize"), ("gelu.h", "gelu"),
                             ("norm.h", "norm_scale"), ("softmax.h", "softmax_exp")):  # fmt: skip
        found = generate(files, header, function, cache=tmp_path)
        assert found.period <= 1200 and found.feedback == "" and found.stages >= 5
    found = generate(files, "array.h", "multiply", cache=tmp_path)
    assert found.period > 1200 and found.feedback.startswith("from ")
