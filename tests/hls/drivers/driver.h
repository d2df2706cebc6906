// Values of 64 bits in from standard input, values of 64 bits out to standard output.
//
// A driver fills the streams of a process, a stop command last, calls the process and writes what
// came out and how much was left in every input.
#ifndef DRIVER_H
#define DRIVER_H

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "process.h"

inline std::int64_t next() {
  std::int64_t value;
  if (std::fread(&value, sizeof value, 1, stdin) != 1) {
    std::fputs("the input ends early\n", stderr);
    std::exit(3);
  }
  return value;
}

inline void give(std::int64_t value) { std::fwrite(&value, sizeof value, 1, stdout); }

template <int LANE_BITS>
ap_uint<GROUP_LANES * LANE_BITS> next_word() {
  ap_uint<GROUP_LANES * LANE_BITS> word = 0;
  for (int lane = 0; lane < GROUP_LANES; ++lane) {
    set_lane<LANE_BITS>(word, lane, ap_int<64>(next()));
  }
  return word;
}

// Any word, 64 bits at a time.
template <int BITS>
ap_uint<BITS> next_bits() {
  ap_uint<BITS + 64> word = 0;
  for (int low = 0; low < BITS; low += 64) word.range(low + 63, low) = ap_uint<64>(next());
  return word;
}

template <int LANE_BITS>
void give_signed(const ap_uint<GROUP_LANES * LANE_BITS>& word) {
  for (int lane = 0; lane < GROUP_LANES; ++lane) {
    give(signed_lane<LANE_BITS>(word, lane).to_int64());
  }
}

template <int LANE_BITS>
void give_unsigned(const ap_uint<GROUP_LANES * LANE_BITS>& word) {
  for (int lane = 0; lane < GROUP_LANES; ++lane) {
    give(unsigned_lane<LANE_BITS>(word, lane).to_int64());
  }
}

inline param next_param() {
  param record;
  record.bias = next();
  record.mult = next();
  record.address = next();
  record.keep = next();
  record.gate = next();
  return record;
}

// Number of values, then each by `each`.
template <class T, class F>
void give_stream(hls::stream<T>& stream, F each) {
  give(static_cast<std::int64_t>(stream.size()));
  while (stream.size() != 0) each(stream.read());
}

// A command whose fields are to be filled in: ap_int's default constructor leaves them undefined.
template <class T>
T start() {
  T command;
  command.stop = 0;
  return command;
}

template <class T>
void stop(hls::stream<T>& commands) {
  T command;
  command.stop = 1;
  commands.write(command);
}

#endif
