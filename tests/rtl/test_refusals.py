"""What the open road cannot translate is refused, with the function, the construct and a way out."""

import pytest

from tests.rtl.engines import ENGINES
from vitgen.emit import emit_hls
from vitgen.errors import VitgenError
from vitgen.rtl import clang
from vitgen.rtl.clang import compile_process
from vitgen.rtl.llvm import parse_function
from vitgen.rtl.translate import translate

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


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ("out.write(in.read() + in.read());", "two accesses of one stream"),
        ("out.write(in.read()); out.write(0);", "two accesses of one stream"),
        ("const beat_t a = in.read(); out.write(ap_uint<64>(a) / ap_uint<9>(i + 1));",
         "division by a variable"),
        ("beat_t large[400]; large[i] = in.read(); out.write(large[i / 2]);", "registers"),
        ("out.write(in.read() + outside(i));", "is called, not inlined"),
        ("static beat_t kept; kept += in.read(); out.write(kept);",
         "memory that is no stream, bank or local array"),
    ],
)  # fmt: skip
def test_outside_of_the_form(body, what):
    with pytest.raises(VitgenError, match=what) as refused:
        translate_body(body, before='extern "C" int outside(int);')
    assert "kernel" in str(refused.value)


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
