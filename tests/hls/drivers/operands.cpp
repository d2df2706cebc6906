// The processes that bring operands: loads, weights, keys, values, records, results.
#include <cstddef>
#include <utility>

#include "attention.h"
#include "dma.h"
#include "driver.h"
#include "feed.h"
#include "load.h"
#include "params.h"
#include "rows.h"
#include "store.h"
#include "weights.h"

namespace {

enum { GATHER, REPLAY, KEYS, TURN, VALUES, SELECT, PARAMS, LOAD, STORE, FEED, READ, WRITE };

template <int BITS>
void give_bits(const ap_uint<BITS>& word) {
  ap_uint<BITS + 64> rest = word;
  for (int low = 0; low < BITS; low += 64) {
    give(static_cast<std::int64_t>(ap_uint<64>(rest).to_uint64()));
    rest >>= 64;
  }
}

template <int BITS>
void fill(hls::stream<ap_uint<BITS>>& stream) {
  for (std::int64_t left = next(); left > 0; --left) stream.write(next_bits<BITS>());
}

template <int BITS>
void show(hls::stream<ap_uint<BITS>>& stream) {
  give_stream(stream, [](const ap_uint<BITS>& word) { give_bits(word); });
}

template <class T>
void show_tagged(hls::stream<T>& stream) {
  give_stream(stream, [](const T& word) {
    give_bits(word.lanes);
    give(word.address.to_int64());
  });
}

void show_params(hls::stream<param>& stream) {
  give_stream(stream, [](const param& record) {
    give(record.bias.to_int64());
    give(record.mult.to_int64());
    give(record.address.to_int64());
    give(record.keep.to_int64());
    give(record.gate.to_int64());
  });
}

// Commands: their number, then each with its fields taken by `fields`.
template <class T, class F>
void command(hls::stream<T>& commands, F fields) {
  for (std::int64_t left = next(); left > 0; --left) {
    T one = start<T>();
    fields(one);
    commands.write(one);
  }
  stop(commands);
}

template <int DEPTH>
struct banks {
  act_word words[TOKEN_GROUPS][DEPTH];
  banks() {
    for (auto& bank : words) {
      for (auto& word : bank) word = next_word<ACT_BITS>();
    }
  }
};

template <std::size_t... I>
void read_keys(banks<KEY_DEPTH>& keys, hls::stream<key_command>& commands,
               hls::stream<row_word>& rows, hls::stream<done_t>& done, std::index_sequence<I...>) {
  if constexpr (KEY_SLOTS == 2) {
    key_read(commands, keys.words[I]..., keys.words[I]..., rows, done);
  } else {
    key_read(commands, keys.words[I]..., rows, done);
  }
}

template <std::size_t... I>
void turn(banks<VALUE_DEPTH>& values, hls::stream<turn_command>& commands,
          hls::stream<row_word>& rows, hls::stream<done_t>& done, std::index_sequence<I...>) {
  value_turn(commands, values.words[I]..., rows, done);
}

std::size_t run_gather() {
  hls::stream<gather_command> commands;
  hls::stream<beat_t> beats[WEIGHT_PORTS];
  hls::stream<row_word> words;
  command(commands, [](gather_command& c) {
    c.words = next();
    c.steps = next();
  });
  for (auto& port : beats) fill(port);
  weight_gather(commands, beats, words);
  show(words);
  std::size_t left = 0;
  for (auto& port : beats) left += port.size();
  return left;
}

std::size_t run_replay() {
  hls::stream<replay_command> commands;
  hls::stream<row_word> words, rows;
  command(commands, [](replay_command& c) {
    c.row_tiles = next();
    c.slots = next();
    c.k = next();
  });
  fill(words);
  weight_replay(commands, words, rows);
  show(rows);
  return words.size();
}

std::size_t run_keys() {
  banks<KEY_DEPTH> keys;
  hls::stream<key_command> commands;
  hls::stream<row_word> rows;
  hls::stream<done_t> done;
  command(commands, [](key_command& c) {
    c.base = next();
    c.stride = next();
    c.tiles = next();
    c.key_slots = next();
    c.slots = next();
    c.k = next();
  });
  read_keys(keys, commands, rows, done, std::make_index_sequence<TOKEN_GROUPS>());
  show(rows);
  show(done);
  return 0;
}

std::size_t run_turn() {
  banks<VALUE_DEPTH> values;
  hls::stream<turn_command> commands;
  hls::stream<row_word> rows;
  hls::stream<done_t> done;
  command(commands, [](turn_command& c) {
    c.base = next();
    c.stride = next();
    c.features = next();
    c.keys = next();
  });
  turn(values, commands, rows, done, std::make_index_sequence<TOKEN_GROUPS>());
  show(rows);
  show(done);
  return 0;
}

std::size_t run_values() {
  hls::stream<value_command> commands;
  hls::stream<row_word> turned, rows;
  command(commands, [](value_command& c) {
    c.keys = next();
    c.slots = next();
  });
  fill(turned);
  value_replay(commands, turned, rows);
  show(rows);
  return turned.size();
}

std::size_t run_select() {
  hls::stream<select_command> commands;
  hls::stream<row_word> weights, keys, values, rows[TOKEN_GROUPS];
  command(commands, [](select_command& c) {
    c.source = next();
    c.beats = next();
  });
  fill(weights);
  fill(keys);
  fill(values);
  row_select(commands, weights, keys, values, rows);
  for (auto& group : rows) show(group);
  return weights.size() + keys.size() + values.size();
}

std::size_t run_params() {
  hls::stream<record_command> splits;
  hls::stream<param_command> commands;
  hls::stream<norm_param_command> norm_commands;
  hls::stream<beat_t> beats;
  hls::stream<record_t> gemm_records, norm_records;
  hls::stream<param> gemm[TOKEN_GROUPS], norm[TOKEN_GROUPS];
  command(splits, [](record_command& c) {
    c.norm = next();
    c.records = next();
  });
  command(commands, [](param_command& c) {
    c.constant = next();
    c.row_tiles = next();
    c.slots = next();
    c.rows = next();
    c.base = next();
    c.stride = next();
    c.mult = next();
    c.limit = next();
  });
  command(norm_commands, [](norm_param_command& c) {
    c.slots = next();
    c.features = next();
    c.base = next();
    c.stride = next();
  });
  fill(beats);
  record_split(splits, beats, gemm_records, norm_records);
  param_replay(commands, gemm_records, gemm);
  norm_replay(norm_commands, norm_records, norm);
  for (auto& group : gemm) show_params(group);
  for (auto& group : norm) show_params(group);
  return beats.size() + gemm_records.size() + norm_records.size();
}

std::size_t run_load() {
  hls::stream<load_command> commands;
  hls::stream<beat_t> image, constants;
  hls::stream<tagged_act> acts[TOKEN_GROUPS];
  hls::stream<tagged_post> residuals[TOKEN_GROUPS];
  command(commands, [](load_command& c) {
    c.target = next();
    c.slots = next();
    c.features = next();
    c.base = next();
    c.stride = next();
  });
  fill(image);
  fill(constants);
  load(commands, image, constants, acts, residuals);
  for (auto& group : acts) show_tagged(group);
  for (auto& group : residuals) show_tagged(group);
  return image.size() + constants.size();
}

std::size_t run_store() {
  hls::stream<store_command> commands;
  hls::stream<post_word> words[TOKEN_GROUPS];
  hls::stream<beat_t> beats;
  command(commands, [](store_command& c) { c.words = next(); });
  for (auto& group : words) {
    for (std::int64_t left = next(); left > 0; --left) group.write(next_word<POST_BITS>());
  }
  store(commands, words, beats);
  show(beats);
  std::size_t left = 0;
  for (auto& group : words) left += group.size();
  return left;
}

std::size_t run_feed() {
  static act_word acts[ACT_DEPTH], probs[PROB_DEPTH];
  for (auto& word : acts) word = next_word<ACT_BITS>();
  for (auto& word : probs) word = next_word<ACT_BITS>();
  hls::stream<feed_command> commands;
  hls::stream<act_word> words;
  hls::stream<done_t> slot_ready, done;
  command(commands, [](feed_command& c) {
    c.source = next();
    c.base = next();
    c.stride = next();
    c.k = next();
    c.row_tiles = next();
    c.slots = next();
    c.token_outer = next();
    c.run = next();
    c.jump = next();
    c.by_slot = next();
  });
  for (std::int64_t left = next(); left > 0; --left) slot_ready.write(1);
  feed(commands, acts, probs, slot_ready, words, done);
  give_stream(words, [](const act_word& word) { give_signed<ACT_BITS>(word); });
  show(done);
  return slot_ready.size();
}

constexpr int MEMORY_BEATS = 100;

std::size_t run_read() {
  beat_t memory[MEMORY_BEATS];
  for (auto& beat : memory) beat = next_bits<BEAT_BITS>();
  hls::stream<dma_request> requests;
  hls::stream<beat_t> beats;
  command(requests, [](dma_request& c) {
    c.address = next();
    c.beats = next();
  });
  dma_read(memory, requests, beats);
  show(beats);
  return 0;
}

std::size_t run_write() {
  beat_t memory[MEMORY_BEATS];
  for (auto& beat : memory) beat = 0;
  hls::stream<dma_request> requests;
  hls::stream<beat_t> beats;
  hls::stream<done_t> done;
  command(requests, [](dma_request& c) {
    c.address = next();
    c.beats = next();
  });
  fill(beats);
  dma_write(memory, requests, beats, done);
  for (const auto& beat : memory) give_bits(beat);
  show(done);
  return beats.size();
}

}  // namespace

int main() {
  std::size_t left = 0;
  switch (next()) {
    case GATHER: left = run_gather(); break;
    case REPLAY: left = run_replay(); break;
    case KEYS: left = run_keys(); break;
    case TURN: left = run_turn(); break;
    case VALUES: left = run_values(); break;
    case SELECT: left = run_select(); break;
    case PARAMS: left = run_params(); break;
    case LOAD: left = run_load(); break;
    case STORE: left = run_store(); break;
    case FEED: left = run_feed(); break;
    case READ: left = run_read(); break;
    case WRITE: left = run_write(); break;
    default: return 4;
  }
  give(static_cast<std::int64_t>(left));
  return 0;
}
