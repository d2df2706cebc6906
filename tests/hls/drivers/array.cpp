// The multiplier array. In: commands; for each its numbers, row words, activation words.
// Out: accumulator words, values left.
#include "array.h"

#include "driver.h"

int main() {
  hls::stream<array_command> commands;
  hls::stream<row_word> rows;
  hls::stream<act_word> acts;
  hls::stream<acc_word> sums;
  const std::int64_t count = next();
  for (std::int64_t i = 0; i < count; ++i) {
    auto command = start<array_command>();
    command.tiles = next();
    command.k = next();
    command.wide = next();
    command.fixed_rows = next();
    command.pot_rows = next();
    commands.write(command);
    const std::int64_t beats = command.tiles.to_int64() * command.k.to_int64();
    for (std::int64_t beat = 0; beat < beats; ++beat) rows.write(next_bits<ROW_WORD_BITS>());
    for (std::int64_t beat = 0; beat < beats; ++beat) acts.write(next_word<ACT_BITS>());
  }
  stop(commands);
  multiply(commands, rows, acts, sums);
  give_stream(sums, give_signed<ACC_BITS>);
  give(commands.size() + rows.size() + acts.size());
}
