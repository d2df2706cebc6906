// Compares the results of both on the words of standard input, eight at a time.
#include <cstdio>
#include <vector>

typedef unsigned long long u64;
extern "C" u64 run_ours(const u64* words, u64* results);
extern "C" u64 run_theirs(const u64* words, u64* results);

int main() {
  u64 words[8];
  std::vector<u64> ours(1 << 20), theirs(1 << 20);
  u64 compared = 0;
  while (std::fread(words, sizeof words, 1, stdin) == 1) {
    const u64 count = run_ours(words, ours.data());
    if (run_theirs(words, theirs.data()) != count) return std::puts("different counts"), 1;
    for (u64 i = 0; i < count; ++i) {
      if (ours[i] != theirs[i]) {
        std::printf("result %llu: %llx, not %llx, for %llx\n", i, ours[i], theirs[i], words[0]);
        return 1;
      }
    }
    compared += count;
  }
  std::printf("%llu equal\n", compared);
}
