"""Values per second through a chain of three processes in the C-sim.

Run from the root of the repository: ``python -m benchmarks.csim_streams [--values N] [--json]``.
Every value crosses two streams; a depth of 2 is the worst case, as a process goes on for only two
values at a time.
"""

import argparse
import ctypes
import json
import time

from vitgen.csim import Library, compile_library

SOURCE = r"""
#include <ap_int.h>
#include <hls_stream.h>

template <class T>
static void produce(hls::stream<T>& out, int count) {
  for (int i = 0; i < count; ++i) out.write(T(i));
}
template <class T>
static void pass(hls::stream<T>& in, hls::stream<T>& out, int count) {
  for (int i = 0; i < count; ++i) out.write(in.read());
}
template <class T>
static void consume(hls::stream<T>& in, int count, long* sum) {
  T total = 0;
  for (int i = 0; i < count; ++i) total ^= in.read();
  *sum = static_cast<long>(total);
}
template <class T>
static const char* run(int count, long* sum) {
  return vitgen_csim::run([&] {
    hls::stream<T> first("first");
    hls::stream<T> second("second");
    PROCESS(produce<T>, first, count);
    PROCESS(pass<T>, first, second, count);
    PROCESS(consume<T>, second, count, sum);
  });
}
#define TOP extern "C" __attribute__((visibility("default"))) const char*
TOP run_int(int count, long* sum) { return run<int>(count, sum); }
TOP run_wide(int count, long* sum) { return run<ap_uint<352> >(count, sum); }
"""


def measure(library: Library, function: str, depth: int, values: int) -> float:
    """Values per second at the end of the chain, best of three."""
    run = library.function(function, [ctypes.c_int, ctypes.POINTER(ctypes.c_long)])
    for name in ("first", "second"):
        library.set_depth(name, depth)
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        run(values, ctypes.c_long())
        best = min(best, time.perf_counter() - start)
    return values / best


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--values", type=int, default=10_000_000)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    variants = {"assembly": (), "ucontext": ("-DVITGEN_CSIM_UCONTEXT",)}
    result = []
    for switch, extra in variants.items():
        library = Library(compile_library({"top.cpp": SOURCE}, flags=("-O2", *extra)).path)
        for function in ("run_int", "run_wide"):
            for depth in (2, 16):
                rate = measure(library, function, depth, chosen.values)
                result.append({"switch": switch, "type": function.removeprefix("run_"),
                               "depth": depth, "values_per_second": round(rate)})
    if chosen.json:
        print(json.dumps(result, indent=2))
        return
    for row in result:
        print(f"{row['switch']:>10} {row['type']:>5} depth {row['depth']:>2}: "
              f"{row['values_per_second'] / 1e6:7.1f} M values/s")


if __name__ == "__main__":
    main()
