"""What the open road cannot translate is refused, with the function, the construct and a way out."""

import re

import pytest

from tests.rtl.engines import ENGINES
from vitgen.emit import emit_hls
from vitgen.errors import VitgenError
from vitgen.rtl import clang
from vitgen.rtl.clang import compile_process
from vitgen.rtl.llvm_reader import parse_function
from vitgen.rtl.translate import translate
from vitgen.rtl.xls import schedule

LOOP = """
#include "process.h"
{before}
inline void kernel(hls::stream<beat_t>& in, hls::stream<beat_t>& out) {{
  while (true) {{
    const beat_t count = in.read();
    for (count_t i = 0; i < count_t(count); ++i) {{
#pragma HLS pipeline II=1
      {body}
    }}
  }}
}}
"""


def translate_body(body: str, before: str = ""):
    files = dict(emit_hls(ENGINES["even"]).texts())
    files["kernel.h"] = LOOP.format(body=body, before=before)
    return translate(parse_function(compile_process(files, "kernel.h", "kernel"), "kernel"))


def test_the_form_is_translated():
    assert "top proc kernel_process" in translate_body("out.write(in.read() + i);").text


BODIES = [
    ("out.write(in.read() + in.read());", "two accesses of one stream"),
    ("out.write(in.read()); out.write(0);", "two accesses of one stream"),
    ("const beat_t a = in.read(); out.write(ap_uint<64>(a) / ap_uint<9>(i + 1));",
     "division by a variable"),
    ("beat_t large[400]; large[i] = in.read(); out.write(large[i / 2]);", "registers"),
    ("out.write(in.read() + outside(i));", "is called, not inlined"),
    ("static beat_t kept; kept += in.read(); out.write(kept);",
     "memory that is no stream, bank or local array"),
    ("ap_uint<32> a[8] = {}; a[i & 7] = in.read(); out.write(((ap_uint<8>*)a)[i & 31]);", "array"),
    ("out.write(__builtin_popcountll(in.read().to_uint64()));", "the function llvm.ctpop"),
    ("const unsigned x = in.read().to_uint(); out.write(__builtin_rotateleft32(x, x & 31));",
     "rotation by a variable"),
    ("const double x = in.read().to_uint(); out.write(ap_uint<9>((int)(x * 0.3)));",
     "the LLVM instruction"),
    ("in.read(); out.write((unsigned)(unsigned long long)&out);", "ptrtoint"),
]  # fmt: skip


WRITES = """
static __attribute__((noinline)) {result} change(ap_uint<32>* a, int i) {{
  a[i & 1] += 1;
  return {value};
}}
"""


@pytest.mark.parametrize(("result", "value"), [("void", ""), ("ap_uint<32>*", "a"), ("int", "i")])
def test_a_call_that_may_write_memory_is_never_skipped(result, value):
    """Its result is not read by anybody, or is a pointer that the caller has already."""
    body = "ap_uint<32> a[2] = {0, 0}; change(a, i); in.read(); out.write(a[0]);"
    with pytest.raises(VitgenError, match="called, not inlined"):
        translate_body(body, before=WRITES.format(result=result, value=value))


@pytest.mark.parametrize(("body", "what"), BODIES)
def test_outside_of_the_form(body, what):
    with pytest.raises(VitgenError, match=what) as refused:
        translate_body(body, before='extern "C" int outside(int);')
    assert str(refused.value).startswith("kernel.h:9: kernel: ")
    assert refused.value.remedy


def translate_text(text: str, rams: frozenset[str] = frozenset()):
    files = dict(emit_hls(ENGINES["even"]).texts())
    files["kernel.h"] = '#include "process.h"\n' + text
    return translate(parse_function(compile_process(files, "kernel.h", "kernel"), "kernel"), rams)


TEXTS = [
    (
        """inline void kernel(hls::stream<beat_t>& in, const ap_uint<8> bank[16],
                        hls::stream<beat_t>& out) {
        while (true) {
        for (count_t i = 0; i < 9; ++i) {
        #pragma HLS pipeline II=1
        const beat_t a = in.read();
        out.write(bank[a & 15] + bank[(a >> 4) & 15]);
        }}}""",
        "two accesses of one read port of a memory", 8, frozenset(),
    ),
    (
        """inline void kernel(hls::stream<beat_t>& in, hls::stream<beat_t>& out) {
        ap_uint<8> local[16];
        while (true) {
        for (count_t i = 0; i < 9; ++i) {
        #pragma HLS pipeline II=1
        const beat_t a = in.read();
        local[a & 15] = a;
        out.write(local[(a >> 4) & 15]);
        }}}""",
        "two accesses of one local memory", 8, frozenset(["local"]),
    ),
    (
        """inline void kernel(hls::stream<beat_t> (&in)[3], hls::stream<beat_t>& out) {
        ap_uint<2> from = 0;
        while (true) {
        out.write(in[from].read());
        from = from + 1;
        }}""",
        "a stream chosen at run time", 5, frozenset(),
    ),
    (
        """inline void kernel(hls::stream<beat_t>& a, hls::stream<beat_t>& b,
                        hls::stream<beat_t>& out) {
        while (true) {
        const bool first = true;
        for (beat_t i = 0; i < 9; ++i) {
        #pragma HLS pipeline II=1
        beat_t x = 0, y = 0;
        if (i & 1) { x = a.read(); if (x & 1) y = b.read(); }
        else { y = b.read(); if (y & 1) x = a.read(); }
        out.write(x + y);
        }}}""",
        "depend on each other both ways", None, frozenset(),
    ),
    (
        """inline void kernel(hls::stream<beat_t>& in, hls::stream<beat_t>& out) {
        ap_uint<8> one[4] = {}, two[4] = {};
        ap_uint<8>* held = one;
        while (true) {
        const beat_t a = in.read();
        held[a & 3] = a;
        out.write(one[(a >> 2) & 3] + two[(a >> 4) & 3]);
        held = a & 64 ? one : two;
        }}""",
        "chosen in an earlier iteration", 7, frozenset(),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "what", "line", "rams"), TEXTS)
def test_other_refusals(text, what, line, rams):
    with pytest.raises(VitgenError, match=what) as refused:
        translate_text(text, rams)
    assert str(refused.value).startswith(f"kernel.h:{line}: kernel: " if line else "kernel.h:")
    assert refused.value.remedy


SLOW = """inline void kernel(hls::stream<beat_t>& in, hls::stream<beat_t>& out) {{
  while (true) {{
    const beat_t count = in.read();
    ap_uint<32> sum = 0;
    for (count_t i = 0; i < count_t(count); ++i) {{
#pragma HLS pipeline II={interval}
      const ap_uint<32> x = in.read();
      for (int j = 0; j < {rounds}; ++j) {{
#pragma HLS unroll
        sum = sum * (sum + x) + j;
      }}
      out.write(sum);
    }}
  }}
}}
"""


def test_an_interval_that_is_out_of_reach_names_loop_and_variable():
    process = translate_text(SLOW.format(interval=1, rounds=40))
    with pytest.raises(VitgenError, match="at II=1") as refused:
        schedule(process)
    assert str(refused.value).startswith("kernel.h:7: kernel_process")
    assert "from sum to sum" in str(refused.value)


def test_a_bank_with_constant_addresses():
    """Words of two bytes: the address of word 3 is 3."""
    text = """inline void kernel(hls::stream<beat_t>& in, const ap_uint<16> bank[16],
                    hls::stream<beat_t>& out) {
    while (true) {
    in.read();
    out.write(bank[3]);
    out.write(bank[5]);
    }}"""
    literals = set(re.findall(r"literal\(value=(\d+)", translate_text(text).text))
    assert {"3", "5"} <= literals and not {"6", "10"} & literals


def test_one_stream_of_an_array_keeps_its_number():
    text = """inline void kernel(hls::stream<beat_t> (&in)[3], hls::stream<beat_t>& out) {
    while (true) {
    out.write(in[2].read());
    }}"""
    assert [channel.name for channel in translate_text(text).channels] == ["in_2", "out"]


def test_a_step_does_not_wait_for_a_branch_that_comes_together_again():
    """The loop goes on whatever the bank answers: the next step is known before."""
    text = """inline void kernel(hls::stream<beat_t>& in, const ap_uint<8> bank[16],
                    hls::stream<beat_t>& out) {
    while (true) {
    for (count_t i = 0; i < 9; ++i) {
    #pragma HLS pipeline II=1
    if (bank[i] & 1) out.write(i);
    }}}"""
    found = re.finditer(r"^  (\w+): .*? = (.*)$", translate_text(text).text, re.MULTILINE)
    nodes = {node[1]: node[2] for node in found}
    left = [text for text in nodes.values() if text.startswith("next_value(param=step,")]
    needed = set(left)
    while left:
        operands = [nodes[name] for name in re.findall(r"\bn\d+\b", left.pop())]
        left += [text for text in operands if text not in needed]
        needed.update(operands)
    assert len(needed) > 2 and any("bank_rd_resp" in text for text in nodes.values())
    assert not any("bank_rd_resp" in text for text in needed)


@pytest.mark.parametrize("body", [
    "ap_uint<8> x = in.read(); out.write((x.range(3, 0), x));",
    "const ap_uint<8> x = in.read(); ap_uint<8> y = x; out.write((y, x.range(3, 0)));",
    "ap_uint<8> x = in.read(); out.write((x[0], x));",
    "ap_uint<8> x = in.read(); const ap_uint<8> y = x; (x, y) = 3; out.write(x);",
])  # fmt: skip
def test_a_concatenation_that_would_lose_its_left_side(body):
    with pytest.raises(VitgenError, match="does not compile"):
        translate_body(body)


def test_the_interval_is_the_pragmas():
    assert translate_text(SLOW.format(interval=2, rounds=2)).interval == 2
    one = schedule(translate_text(SLOW.format(interval=1, rounds=2)))
    four = schedule(translate_text(SLOW.format(interval=4, rounds=2)))
    assert (one.interval, four.interval) == (1, 4)
    assert four.period < one.period and four.stages > one.stages
    assert one.feedback.startswith("from sum to sum") and "multiplications" in one.feedback


def test_the_strictest_of_two_loops_counts():
    loop = """for (count_t i = 0; i < 9; ++i) {{
    #pragma HLS pipeline II={interval}
    out.write(in.read() + i);
    }}
    """
    head = (
        "inline void kernel(hls::stream<beat_t>& in, hls::stream<beat_t>& out) { while (true) {\n"
    )
    process = translate_text(head + loop.format(interval=3) + loop.format(interval=2) + "}}")
    assert (process.interval, process.loop) == (2, "kernel.h:8")


def test_cpp_that_does_not_compile():
    with pytest.raises(VitgenError, match="clang does not compile kernel"):
        translate_body("out.write(in.peek());")


def test_an_unknown_process():
    files = emit_hls(ENGINES["even"]).texts()
    with pytest.raises(VitgenError):
        compile_process(files, "feed.h", "no_such_process")
    with pytest.raises(VitgenError, match="is not the name"):
        compile_process(files, "feed.h", "feed; int x")


def test_no_clang(monkeypatch):
    monkeypatch.setattr(clang.shutil, "which", lambda name: None)
    monkeypatch.setattr(clang.importlib.util, "find_spec", lambda name: None)
    clang.find_clang.cache_clear()
    try:
        with pytest.raises(VitgenError, match="No clang of version 16"):
            clang.find_clang()
    finally:
        clang.find_clang.cache_clear()


def test_a_number_in_a_loop():
    text = """inline void kernel(hls::stream<beat_t>& in, ap_uint<8> number, hls::stream<beat_t>& out) {
    while (true) {
    const beat_t a = in.read();
    if (a != 0) out.write(a + number);
    }}"""
    with pytest.raises(VitgenError, match="number is used in a loop") as refused:
        translate_text(text)
    assert str(refused.value).startswith("kernel.h:") and refused.value.remedy
