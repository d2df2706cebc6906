"""Small accelerators in C++, as an emitted top function would be written."""

STREAMS = r"""
#include <ap_int.h>
#include <hls_stream.h>

#define TOP extern "C" __attribute__((visibility("default"))) const char*

static void produce(hls::stream<int>& out, int count) {
  for (int i = 0; i < count; ++i) out.write(i);
}
static void increment(hls::stream<int>& in, hls::stream<int>& out, int count) {
  for (int i = 0; i < count; ++i) out << in.read() + 1;
}
static void consume(hls::stream<int>& in, int count, int* out) {
  for (int i = 0; i < count; ++i) in >> out[i];
}

static void chain(int produced, int consumed, int* out) {
  hls::stream<int> first("first");
#pragma HLS stream variable=first depth=2
  hls::stream<int> second;
  PROCESS(produce, first, produced);
  PROCESS(increment, first, second, produced);
  PROCESS(consume, second, consumed, out);
}
TOP run_chain(int produced, int consumed, int* out) {
  return vitgen_csim::run([&] { chain(produced, consumed, out); });
}

// Depth as second template argument; the largest fill is seen by the consumer.
static void consume_late(hls::stream<int>& in, hls::stream<int>& go, int count, int* fill) {
  go.read();
  *fill = static_cast<int>(in.size());
  for (int i = 0; i < count; ++i) in.read();
}
static void produce_then_go(hls::stream<int>& out, hls::stream<int>& go, int before, int count) {
  for (int i = 0; i < before; ++i) out.write(i);
  go.write(1);
  for (int i = before; i < count; ++i) out.write(i);
}
static void deep(int before, int* fill) {
  hls::stream<int, 5> data("data");
  hls::stream<int> go("go");
  PROCESS(produce_then_go, data, go, before, 20);
  PROCESS(consume_late, data, go, 20, fill);
}
TOP run_deep(int before, int* fill) { return vitgen_csim::run([&] { deep(before, fill); }); }

// Command out, done back: the only cycles of the accelerator.
struct command {
  ap_uint<1> stop;
  ap_uint<24> count;
};
static void dispatch(hls::stream<command>& commands, hls::stream<ap_uint<1> >& done, int rounds,
                     int waits, int* finished) {
  for (int round = 0; round < rounds; ++round) {
    commands.write({0, static_cast<unsigned>(round)});
    for (int i = 0; i < waits; ++i) done.read();
    *finished = round + 1;
  }
  commands.write({1, 0});
}
static void obey(hls::stream<command>& commands, hls::stream<int>& data,
                 hls::stream<ap_uint<1> >& done) {
  while (true) {
    const command order = commands.read();
    if (order.stop) break;
    for (unsigned i = 0; i < order.count; ++i) data.write(static_cast<int>(i));
    done.write(1);
  }
}
static void feedback(int rounds, int waits, int* finished, int* out) {
  hls::stream<command> commands("commands");
  hls::stream<ap_uint<1> > done("done");
  hls::stream<int> data("data");
  PROCESS(dispatch, commands, done, rounds, waits, finished);
  PROCESS(obey, commands, data, done);
  PROCESS(consume, data, rounds * (rounds - 1) / 2, out);
}
TOP run_feedback(int rounds, int waits, int* finished, int* out) {
  return vitgen_csim::run([&] { feedback(rounds, waits, finished, out); });
}

static void two_readers(int* out) {
  hls::stream<int> shared("shared");
  PROCESS(produce, shared, 8);
  PROCESS(consume, shared, 4, out);
  PROCESS(consume, shared, 4, out + 4);
}
TOP run_two_readers(int* out) { return vitgen_csim::run([&] { two_readers(out); }); }

static void two_writers(int* out) {
  hls::stream<int> shared("shared");
  PROCESS(produce, shared, 4);
  PROCESS(increment, shared, shared, 4);
  PROCESS(consume, shared, 8, out);
}
TOP run_two_writers(int* out) { return vitgen_csim::run([&] { two_writers(out); }); }

// Arrays of streams, whole and by element, and an array of arrays of memory.
constexpr int GROUPS = 3;
static void scatter(hls::stream<int> (&out)[GROUPS], int count) {
  for (int i = 0; i < count; ++i) {
    for (int g = 0; g < GROUPS; ++g) out[g].write(10 * g + i);
  }
}
static void gather(hls::stream<int> (&in)[GROUPS], int count, int (*out)[64]) {
  for (int g = 0; g < GROUPS; ++g) {
    for (int i = 0; i < count; ++i) out[g][i] = in[g].read();
  }
}
static void grouped(int count, int (*out)[64]) {
  hls::stream<int> parts[GROUPS];
  hls::stream<int> inner[GROUPS];
#pragma HLS stream variable=inner depth=64
  hls::stream<int> results[GROUPS];
  PROCESS(scatter, parts, count);
  for (int g = 0; g < GROUPS; ++g) {
#pragma HLS unroll
    PROCESS(increment, parts[g], inner[g], count);
    PROCESS(increment, inner[g], results[g], count);
  }
  PROCESS(gather, results, count, out);
}
TOP run_grouped(int count, int (*out)[64]) {
  return vitgen_csim::run([&] { grouped(count, out); });
}

// Wide words and structs.
typedef ap_uint<352> wide;
struct record {
  ap_int<32> bias;
  ap_int<18> mult;
  ap_uint<1> keep;
  wide lanes;
};
static void make_records(hls::stream<record>& out, int count) {
  for (int i = 0; i < count; ++i) {
    record made;
    made.bias = -i;
    made.mult = 3 * i - 100;
    made.keep = i & 1;
    for (int lane = 0; lane < 32; ++lane) made.lanes(11 * lane + 10, 11 * lane) = lane * i;
    out.write(made);
  }
}
static void sum_records(hls::stream<record>& in, int count, long* sums) {
  for (int i = 0; i < count; ++i) {
    const record got = in.read();
    long sum = got.bias.to_long() + got.mult.to_long() + (got.keep ? 1 : 0);
    for (int lane = 0; lane < 32; ++lane) sum += got.lanes(11 * lane + 10, 11 * lane).to_long();
    sums[i] = sum;
  }
}
static void records(int count, long* sums) {
  hls::stream<record> words("words");
  PROCESS(make_records, words, count);
  PROCESS(sum_records, words, count, sums);
}
TOP run_records(int count, long* sums) { return vitgen_csim::run([&] { records(count, sums); }); }

// A process that is itself a region.
static void nested_middle(hls::stream<int>& in, hls::stream<int>& out, int count) {
  hls::stream<int> between("between");
  PROCESS(increment, in, between, count);
  PROCESS(increment, between, out, count);
}
static void nested(int count, int* out, int consumed) {
  hls::stream<int> in("in");
  hls::stream<int> result("result");
  PROCESS(produce, in, count);
  PROCESS(nested_middle, in, result, count);
  PROCESS(consume, result, consumed, out);
}
TOP run_nested(int count, int consumed, int* out) {
  return vitgen_csim::run([&] { nested(count, out, consumed); });
}

// A function that throws, among others that hold memory of their own.
static void fails(hls::stream<int>& in, int at) {
  for (int i = 0;; ++i) {
    if (in.read() == at) throw std::out_of_range("row 7 of 4");
  }
}
static void hoards(hls::stream<int>& in) {
  std::vector<int> memory(1000);
  for (int i = 0;; ++i) memory.at(i) = in.read();
}
static void throwing() {
  hls::stream<int> a("a");
  hls::stream<int> never("never");
  PROCESS(hoards, never);
  PROCESS(produce, a, 100);
  PROCESS(fails, a, 10);
}
TOP run_throwing() { return vitgen_csim::run([] { throwing(); }); }

// One process by hand, without PROCESS.
TOP run_by_hand(int count, int* out) {
  return vitgen_csim::run([&] {
    hls::stream<int> in("in");
    hls::stream<int> result("result");
    for (int i = 0; i < count; ++i) in.write(5 * i);
    increment(in, result, count);
    for (int i = 0; i < count; ++i) out[i] = result.read();
    result.read();
  });
}

// Polls instead of waiting.
static void poll(hls::stream<int>& in, int count, int* out) {
  for (int got = 0; got < count;) {
    if (!in.empty()) out[got++] = in.read();
  }
}
static void polling(int count, int* out) {
  hls::stream<int> data("data");
  PROCESS(poll, data, count, out);
  PROCESS(produce, data, count);
}
TOP run_polling(int count, int* out) { return vitgen_csim::run([&] { polling(count, out); }); }

// Scalars are copied when the process is noted; a template is a process like any other.
template <int ADD, int TIMES>
static void note(const int& value, int* out) { *out = TIMES * (value + ADD); }
static void copies(int* out) {
  for (int i = 0; i < 4; ++i) PROCESS(note<1, 2>, i, out + i);
  hls::stream<int> last("last");
}
TOP run_copies(int* out) { return vitgen_csim::run([&] { copies(out); }); }

// Endless and crashing, for the worker.
static int recurse(int depth) {
  volatile int frame[1024];
  frame[depth & 1023] = depth;
  return depth < 0 ? 0 : recurse(depth + 1) + frame[depth & 1023];
}
static void overflow(int* out) { *out = recurse(0); }
static void overflowing(int* out) {
  hls::stream<int> last("last");
  PROCESS(overflow, out);
}
TOP run_overflow(int* out) { return vitgen_csim::run([&] { overflowing(out); }); }
TOP run_forever() {
  for (volatile int i = 0;; i = i + 1) {
  }
  return "";
}
"""

# A program that visits every way through the scheduler, for the sanitizers.
MAIN = r"""
#include <cstdio>
#include <cstring>

static int expect(const char* what, const char* report, const char* wanted) {
  const bool right = *wanted ? std::strstr(report, wanted) != nullptr : *report == 0;
  if (!right) std::printf("%s: %s\n", what, report);
  return right ? 0 : 1;
}

int main() {
  int out[256] = {};
  int grouped_out[GROUPS][64] = {};
  long sums[100] = {};
  int wrong = 0;
  vitgen_csim_tap("second");
  for (int round = 0; round < 3; ++round) {
    wrong += expect("chain", run_chain(200, 200, out), "");
    wrong += expect("deadlock", run_chain(200, 201, out), "deadlock");
    wrong += expect("leftover", run_chain(200, 199, out), "leftover");
    wrong += expect("feedback", run_feedback(9, 1, out, out + 1), "");
    wrong += expect("stuck", run_feedback(9, 2, out, out + 1), "deadlock");
    wrong += expect("readers", run_two_readers(out), "already read");
    wrong += expect("writers", run_two_writers(out), "already written");
    if (round == 1) vitgen_csim_depth("inner", 64);
    wrong += expect("grouped", run_grouped(20, grouped_out), round == 0 ? "deadlock" : "");
    vitgen_csim_stack(1 << (18 + round));
    wrong += expect("records", run_records(100, sums), "");
    wrong += expect("nested", run_nested(50, 50, out), "");
    wrong += expect("nested deadlock", run_nested(50, 51, out), "deadlock");
    wrong += expect("throwing", run_throwing(), "row 7 of 4");
    wrong += expect("by hand", run_by_hand(9, out), "read of the empty stream");
    wrong += expect("polling", run_polling(50, out), "");
    wrong += expect("copies", run_copies(out), "");
  }
  wrong += vitgen_csim_tap_count("second") < 600;
  return wrong;
}
"""
