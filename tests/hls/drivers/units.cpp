// Every process of a token group but the array. In: the number of a process, then what its function
// here reads. Out: its output streams, its bank, values left in its inputs.
#include <vector>

#include "banks.h"
#include "driver.h"
#include "gelu.h"
#include "norm.h"
#include "requant.h"
#include "residual.h"
#include "softmax.h"

namespace {

void give_act(const tagged_act& tagged) {
  give(tagged.address.to_int64());
  give_signed<ACT_BITS>(tagged.lanes);
}

void give_post(const tagged_post& tagged) {
  give(tagged.address.to_int64());
  give_signed<POST_BITS>(tagged.lanes);
}

tagged_act next_act() {
  tagged_act tagged;
  tagged.address = next();
  tagged.lanes = next_word<ACT_BITS>();
  return tagged;
}

tagged_post next_post() {
  tagged_post tagged;
  tagged.address = next();
  tagged.lanes = next_word<POST_BITS>();
  return tagged;
}

void run_requantize() {
  hls::stream<requant_command> commands;
  hls::stream<acc_word> sums;
  hls::stream<param> params;
  hls::stream<tagged_act> act, key, value;
  hls::stream<tagged_post> gelu_words, residual_words;
  hls::stream<post_word> softmax_words, store_words;
  const std::int64_t count = next();
  for (std::int64_t i = 0; i < count; ++i) {
    auto command = start<requant_command>();
    command.words = next();
    command.shift = next();
    command.bits = next();
    command.relu = next();
    command.route = next();
    commands.write(command);
    for (std::int64_t word = 0; word < command.words.to_int64(); ++word) {
      sums.write(next_word<ACC_BITS>());
      params.write(next_param());
    }
  }
  stop(commands);
  requantize(commands, sums, params, act, key, value, gelu_words, softmax_words, residual_words,
             store_words);
  give_stream(act, give_act);
  give_stream(key, give_act);
  give_stream(value, give_act);
  give_stream(gelu_words, give_post);
  give_stream(softmax_words, give_signed<POST_BITS>);
  give_stream(residual_words, give_post);
  give_stream(store_words, give_signed<POST_BITS>);
  give(commands.size() + sums.size() + params.size());
}

void run_gelu() {
  hls::stream<gelu_command> commands;
  hls::stream<tagged_post> words;
  hls::stream<tagged_act> act;
  const std::int64_t count = next();
  for (std::int64_t i = 0; i < count; ++i) {
    auto command = start<gelu_command>();
    command.words = next();
    command.fraction = next();
    command.delta = next();
    command.mult = next();
    command.shift = next();
    command.bits = next();
    commands.write(command);
    for (std::int64_t word = 0; word < command.words.to_int64(); ++word) words.write(next_post());
  }
  stop(commands);
  gelu(commands, words, act);
  give_stream(act, give_act);
  give(commands.size() + words.size());
}

void run_softmax() {
  hls::stream<softmax_command> max_commands, exp_commands, recip_commands, scale_commands;
  hls::stream<post_word> words, scores, maxima;
  hls::stream<term_word> terms;
  hls::stream<sum_word> sums, reciprocals;
  hls::stream<act_word> probs;
  const std::int64_t count = next();
  for (std::int64_t i = 0; i < count; ++i) {
    auto command = start<softmax_command>();
    command.slots = next();
    command.keys = next();
    command.fraction = next();
    command.bits = next();
    command.shift = next();
    max_commands.write(command);
    exp_commands.write(command);
    recip_commands.write(command);
    scale_commands.write(command);
    const std::int64_t beats = command.slots.to_int64() * command.keys.to_int64();
    for (std::int64_t word = 0; word < beats; ++word) words.write(next_word<POST_BITS>());
  }
  stop(max_commands);
  stop(exp_commands);
  stop(recip_commands);
  stop(scale_commands);
  softmax_max(max_commands, words, scores, maxima);
  softmax_exp(exp_commands, scores, maxima, terms, sums);
  softmax_recip(recip_commands, sums, reciprocals);
  softmax_scale(scale_commands, terms, reciprocals, probs);
  give_stream(probs, give_unsigned<ACT_BITS>);
  give(max_commands.size() + exp_commands.size() + recip_commands.size() + scale_commands.size() +
       words.size() + scores.size() + maxima.size() + terms.size() + sums.size() +
       reciprocals.size());
}

// The exponentials alone, for every distance.
void run_exponential() {
  for (int distance = 0; distance <= MAX_DISTANCE; ++distance) {
    give(exponential(distance).to_int64());
  }
  give(0);
}

// The reciprocals alone, for sums that no small number of keys reaches.
void run_reciprocal() {
  hls::stream<softmax_command> commands;
  hls::stream<sum_word> sums, reciprocals;
  auto command = start<softmax_command>();
  command.slots = next();
  commands.write(command);
  stop(commands);
  for (std::int64_t slot = 0; slot < command.slots.to_int64(); ++slot) {
    sums.write(next_word<SUM_BITS>());
  }
  softmax_recip(commands, sums, reciprocals);
  give_stream(reciprocals, give_unsigned<SUM_BITS>);
  give(commands.size() + sums.size());
}

void run_norm() {
  hls::stream<norm_command> sum_commands, root_commands, scale_commands;
  hls::stream<post_word> words_in, words;
  hls::stream<norm_stats_word> stats;
  hls::stream<norm_root_word> roots;
  hls::stream<param> params;
  hls::stream<tagged_act> act;
  const std::int64_t count = next();
  for (std::int64_t i = 0; i < count; ++i) {
    auto command = start<norm_command>();
    command.slots = next();
    command.features = next();
    command.epsilon = next();
    command.shift = next();
    command.bits = next();
    sum_commands.write(command);
    root_commands.write(command);
    scale_commands.write(command);
    const std::int64_t beats = command.slots.to_int64() * command.features.to_int64();
    for (std::int64_t word = 0; word < beats; ++word) {
      words_in.write(next_word<POST_BITS>());
      params.write(next_param());
    }
  }
  stop(sum_commands);
  stop(root_commands);
  stop(scale_commands);
  norm_sum(sum_commands, words_in, words, stats);
  norm_root(root_commands, stats, roots);
  norm_scale(scale_commands, words, roots, params, act);
  give_stream(act, give_act);
  give(sum_commands.size() + root_commands.size() + scale_commands.size() + words_in.size() +
       words.size() + stats.size() + roots.size() + params.size());
}

// The reciprocal roots alone, for variances that no small number of features reaches.
void run_root() {
  hls::stream<norm_command> commands;
  hls::stream<norm_stats_word> stats;
  hls::stream<norm_root_word> roots;
  auto command = start<norm_command>();
  command.slots = next();
  commands.write(command);
  stop(commands);
  for (std::int64_t slot = 0; slot < command.slots.to_int64(); ++slot) {
    norm_stats_word word;
    for (int lane = 0; lane < GROUP_LANES; ++lane) {
      word.sum[lane] = lane - 1;
      word.variance[lane] = next();
    }
    stats.write(word);
  }
  norm_root(commands, stats, roots);
  give_stream(roots, [](const norm_root_word& word) {
    for (int lane = 0; lane < GROUP_LANES; ++lane) {
      give(word.sum[lane].to_int64());
      give(word.half_length[lane].to_int64());
      give(word.reciprocal[lane].to_int64());
    }
  });
  give(commands.size() + stats.size());
}

void run_residual() {
  hls::stream<residual_command> commands;
  hls::stream<tagged_post> sums, loads;
  hls::stream<post_word> to_norm;
  hls::stream<done_t> done;
  std::vector<post_word> bank(RESIDUAL_DEPTH, post_word(0));
  const std::int64_t count = next();
  for (std::int64_t i = 0; i < count; ++i) {
    auto command = start<residual_command>();
    command.load = next();
    command.head = next();
    command.slots = next();
    command.rows = next();
    command.base = next();
    command.stride = next();
    command.features = next();
    commands.write(command);
    for (std::int64_t left = next(); left > 0; --left) {
      (command.load ? loads : sums).write(next_post());
    }
  }
  stop(commands);
  residual(commands, sums, loads, bank.data(), bank.data(), to_norm, done);
  for (const post_word& word : bank) give_signed<POST_BITS>(word);
  give_stream(to_norm, give_signed<POST_BITS>);
  give_stream(done, [](done_t value) { give(value.to_int64()); });
  give(commands.size() + sums.size() + loads.size());
}

void give_bank(const std::vector<act_word>& bank, hls::stream<done_t>& done, std::size_t left) {
  for (const act_word& word : bank) give_signed<ACT_BITS>(word);
  give_stream(done, [](done_t value) { give(value.to_int64()); });
  give(left);
}

void run_act_write() {
  hls::stream<act_write_command> commands;
  hls::stream<tagged_act> sources[4];
  hls::stream<done_t> slot_ready, done;
  std::vector<act_word> bank(ACT_DEPTH, act_word(0));
  const std::int64_t count = next();
  for (std::int64_t i = 0; i < count; ++i) {
    auto command = start<act_write_command>();
    command.source = next();
    command.words = next();
    command.features = next();
    commands.write(command);
    for (std::int64_t left = next(); left > 0; --left) {
      sources[command.source.to_int()].write(next_act());
    }
  }
  stop(commands);
  act_write(commands, sources[WRITE_REQUANT], sources[WRITE_GELU], sources[WRITE_NORM],
            sources[WRITE_LOAD], bank.data(), slot_ready, done);
  give(slot_ready.size());
  give_bank(bank, done, commands.size() + sources[0].size() + sources[1].size() +
                            sources[2].size() + sources[3].size());
}

void run_bank_write() {
  hls::stream<write_command> commands;
  hls::stream<tagged_act> words;
  hls::stream<done_t> done;
  std::vector<act_word> bank(KEY_DEPTH, act_word(0));
  const std::int64_t count = next();
  for (std::int64_t i = 0; i < count; ++i) {
    auto command = start<write_command>();
    command.words = next();
    commands.write(command);
    for (std::int64_t word = 0; word < command.words.to_int64(); ++word) words.write(next_act());
  }
  stop(commands);
  bank_write(commands, words, bank.data(), done);
  give_bank(bank, done, commands.size() + words.size());
}

void run_prob_write() {
  hls::stream<prob_write_command> commands;
  hls::stream<act_word> probs;
  hls::stream<done_t> done;
  std::vector<act_word> bank(PROB_DEPTH, act_word(0));
  const std::int64_t count = next();
  for (std::int64_t i = 0; i < count; ++i) {
    auto command = start<prob_write_command>();
    command.base = next();
    command.stride = next();
    command.slots = next();
    command.keys = next();
    commands.write(command);
    const std::int64_t beats = command.slots.to_int64() * command.keys.to_int64();
    for (std::int64_t word = 0; word < beats; ++word) probs.write(next_word<ACT_BITS>());
  }
  stop(commands);
  prob_write(commands, probs, bank.data(), done);
  give_bank(bank, done, commands.size() + probs.size());
}

}  // namespace

int main() {
  void (*const processes[])() = {run_requantize, run_gelu,      run_softmax,    run_reciprocal,
                                 run_norm,       run_root,      run_residual,   run_act_write,
                                 run_bank_write, run_prob_write, run_exponential};
  processes[next()]();
}
