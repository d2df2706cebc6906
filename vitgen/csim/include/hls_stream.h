// hls::stream for the C-sim: a bounded FIFO between two processes.
//
// Written from the published interface only (Vitis HLS user guide, "HLS Stream Library"). Inside a
// process (see vitgen_csim.h) a read waits for a value and a write waits for room, as in hardware.
// In plain sequential code, such as the unit test of a single process, nobody else could make
// progress: there a write always succeeds, whatever the depth, and reading an empty stream throws.
//
// The depth is, in this order, what vitgen_csim_depth() says of the stream's name, the second
// template argument, or 2 as in Vitis.
#ifndef VITGEN_HLS_STREAM_H
#define VITGEN_HLS_STREAM_H

#include <cstddef>
#include <memory>
#include <utility>

#include "vitgen_csim.h"

namespace hls {

template <class T, int DEPTH = 0>
class stream;

// What processes take by reference: a stream of any depth.
template <class T>
class stream<T, 0> : public vitgen_csim::stream_base {
 public:
  stream() : stream_base(nullptr, 0) {}
  explicit stream(const char* name) : stream_base(name, 0) {}
  ~stream() { dies(); }

  void write(const T& value) {
    if (__builtin_expect(!writes_at_once(), 0)) make_room(value);
    ring_[written_++ & mask_] = value;
  }

  T read() {
    if (__builtin_expect(!reads_at_once(), 0)) await_value();
    return std::move(ring_[read_++ & mask_]);
  }

  void read(T& value) { value = read(); }

  stream& operator<<(const T& value) {
    write(value);
    return *this;
  }

  stream& operator>>(T& value) {
    value = read();
    return *this;
  }

 protected:
  stream(const char* name, unsigned depth) : stream_base(name, depth) {}

 private:
  __attribute__((noinline)) void make_room(const T& value) {
    await_room(&value, sizeof(T));
    if (size_now() >= ring_size_) grow();
  }

  // The ring is a power of two, so that counters index it by a mask. It outgrows the depth only
  // where a write may not wait.
  void grow() {
    std::size_t size = ring_size_ ? 2 * ring_size_ : 1;
    while (size < depth()) size *= 2;
    std::unique_ptr<T[]> larger(new T[size]());
    for (std::uint64_t i = read_; i != written_; ++i) {
      larger[i & (size - 1)] = std::move(ring_[i & mask_]);
    }
    ring_ = std::move(larger);
    ring_size_ = size;
    mask_ = size - 1;
  }

  std::unique_ptr<T[]> ring_;
  std::uint64_t mask_ = 0;
  std::size_t ring_size_ = 0;
};

template <class T, int DEPTH>
class stream : public stream<T, 0> {
  static_assert(DEPTH > 0, "a stream holds at least one value");

 public:
  stream() : stream<T, 0>(nullptr, DEPTH) {}
  explicit stream(const char* name) : stream<T, 0>(name, DEPTH) {}
};

}  // namespace hls

#endif
