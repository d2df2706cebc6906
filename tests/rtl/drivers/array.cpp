// Drives multiply_array: words from a file into three ports, sums into another file.
// Arguments: input, output, seed, and the chance in percent that a port stalls in a cycle (command,
// row, act, sum). Input: for every port the number of words and bytes of a word (uint32 each), then the
// words. Output: for every sum the cycle of its transfer (uint64) and its bytes.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "Vmultiply_array.h"
#include "verilated.h"

namespace {

constexpr uint64_t PATIENCE = 20000;  // cycles without a transfer: a deadlock

struct Source {
  std::vector<char> bytes;
  uint32_t count = 0, size = 0, next = 0;
  bool offered = false;

  void load(FILE* file) {
    uint32_t head[2];
    if (fread(head, 4, 2, file) != 2) abort();
    count = head[0];
    size = head[1];
    bytes.resize(size_t(count) * size + 1);
    if (fread(bytes.data(), 1, size_t(count) * size, file) != size_t(count) * size) abort();
  }

  // An offered word stays; a stall delays the offer. Without a word, the port holds noise.
  template <typename PORT>
  bool offer(PORT& port, bool stall, std::mt19937& random) {
    offered = next < count && (offered || !stall);
    char* place = reinterpret_cast<char*>(&port);
    const size_t length = size < sizeof(PORT) ? size : sizeof(PORT);
    if (offered) {
      memcpy(place, &bytes[size_t(next) * size], length);
    } else if (size == sizeof(PORT)) {
      for (size_t i = 0; i + 4 < length; ++i) place[i] = char(random());
    }
    return offered;
  }

  void taken() {
    offered = false;
    ++next;
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 8) return 2;
  FILE* in = fopen(argv[1], "rb");
  FILE* out = fopen(argv[2], "wb");
  if (!in || !out) return 2;
  Source commands, rows, acts;
  for (Source* source : {&commands, &rows, &acts}) source->load(in);
  std::mt19937 random(uint32_t(atoi(argv[3])));
  int stall[4];
  for (int i = 0; i < 4; ++i) stall[i] = atoi(argv[4 + i]);
  auto stalls = [&](int port) { return int(random() % 100) < stall[port]; };

  VerilatedContext context;
  context.randReset(2);
  Vmultiply_array array(&context);
  auto edge = [&] {
    array.clock = 1;
    array.eval();
    array.clock = 0;
    array.eval();
  };
  array.clock = 0;
  array.command_valid = array.row_valid = array.act_valid = array.sum_ready = 0;
  array.reset = 1;
  for (int i = 0; i < 10; ++i) edge();
  array.reset = 0;

  uint64_t cycle = 0, moved = 0;
  while (true) {
    array.command_valid = commands.offer(array.command, stalls(0), random);
    array.row_valid = rows.offer(array.row, stalls(1), random);
    array.act_valid = acts.offer(array.act, stalls(2), random);
    array.sum_ready = !stalls(3);
    array.eval();
    const bool command = array.command_valid && array.command_ready;
    const bool row = array.row_valid && array.row_ready;
    const bool act = array.act_valid && array.act_ready;
    if (array.sum_valid && array.sum_ready) {
      fwrite(&cycle, 8, 1, out);
      fwrite(&array.sum, sizeof(array.sum), 1, out);
      moved = cycle;
    }
    const bool stopped = array.stopped;
    edge();
    if (command) commands.taken();
    if (row) rows.taken();
    if (act) acts.taken();
    if (command || row || act) moved = cycle;
    ++cycle;
    if (stopped) break;
    if (cycle - moved > PATIENCE) {
      fprintf(stderr, "deadlock at cycle %llu: %u commands, %u rows, %u acts taken\n",
              static_cast<unsigned long long>(cycle), commands.next, rows.next, acts.next);
      return 1;
    }
  }
  if (rows.next != rows.count || acts.next != acts.count) {
    fprintf(stderr, "stopped with %u of %u rows, %u of %u acts taken\n", rows.next, rows.count,
            acts.next, acts.count);
    return 1;
  }
  array.final();
  fclose(out);
  return 0;
}
