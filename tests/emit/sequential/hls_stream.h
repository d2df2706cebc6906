// Streams as a sequential C simulation sees them: unbounded, and nobody fills one while it is read.
#ifndef HLS_STREAM_H
#define HLS_STREAM_H
#include <deque>
#include <stdexcept>
namespace hls {
template <class T>
class stream {
 public:
  void write(const T& value) { values_.push_back(value); }
  T read() {
    if (values_.empty()) throw std::runtime_error("read while empty");
    const T value = values_.front();
    values_.pop_front();
    return value;
  }
  bool empty() const { return values_.empty(); }

 private:
  std::deque<T> values_;
};
}  // namespace hls
#endif
