"""Lanes of words in the C-sim: what ap_uint's own ranges say, for every width that a word may have."""

import subprocess
from pathlib import Path

import pytest

from vitgen.csim import SANITIZED, compile_program

SOURCE = r"""
#include <ap_int.h>
#include <vitgen_lanes.h>

#include <cstdint>
#include <cstdio>

static std::uint64_t state = 1;

static std::uint64_t next_number() {
  state = state * 6364136223846793005ull + 1442695040888963407ull;
  return state ^ state >> 33;
}

template <int LANE, int LANES>
static int check() {
  int wrong = 0;
  ap_uint<LANE * LANES> word = 0;
  for (int bit = 0; bit < LANE * LANES; ++bit) word[bit] = next_number() & 1;
  for (int lane = 0; lane < LANES; ++lane) {
    const int low = lane * LANE;
    const ap_uint<LANE> expected = word.range(low + LANE - 1, low);
    wrong += vitgen_csim::unsigned_lane<LANE>(word, lane) != expected;
    const ap_int<LANE> value = ap_int<64>(next_number());
    ap_uint<LANE * LANES> ranged = word;
    ranged.range(low + LANE - 1, low) = ap_uint<LANE>(value);
    vitgen_csim::set_lane<LANE>(word, lane, value);
    wrong += word != ranged;
    // Every other bit as it was, and none beyond the word.
    wrong += (word >> low) != (ranged >> low);
  }
  if (wrong) std::printf("%d lanes of %d bits: %d wrong\n", LANES, LANE, wrong);
  return wrong;
}

int main() {
  return check<1, 7>() + check<3, 43>() + check<4, 16>() + check<8, 25>() + check<8, 1>() +
         check<16, 20>() + check<17, 8>() + check<27, 20>() + check<33, 5>() + check<50, 3>() +
         check<64, 2>();
}
"""


@pytest.mark.parametrize(
    "flags",
    [("-O2",), pytest.param(SANITIZED, marks=pytest.mark.slow)],
    ids=["optimized", "sanitized"],
)
def test_lanes_are_ranges(cache: Path, flags: tuple[str, ...]) -> None:
    program = compile_program({"top.cpp": SOURCE}, flags=flags, cache=cache)
    assert program.warnings == ""
    done = subprocess.run([program.path], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
