// The C-sim's side of the emitted C++: processes as coroutines, and the calls of a harness.
//
// Force this header (-include vitgen_csim.h) into code that starts processes by
// PROCESS(function, arguments...). A PROCESS only notes the call; the noted processes run when the
// first stream dies, that is at the closing brace of the top function, when every local is still
// alive. So streams are the last locals of a top function, behind its arrays.
// Arguments: streams, arrays and other references stay references; scalars and constant references
// to single values are copied.
//
// One simulation per operating-system process at a time: the state is global and not locked.
#ifndef VITGEN_CSIM_H
#define VITGEN_CSIM_H

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#define VITGEN_CSIM_API extern "C" __attribute__((visibility("default")))
#define VITGEN_CSIM_HIDDEN __attribute__((visibility("hidden")))

// ---- C functions of the harness and of Python (vitgen/csim/loader.py) ----

// Depth of the stream `name`, or of all elements of the array of streams `name`: what the pragma
// says. Holds for all later runs. A name that no process of the next run uses is reported, once.
VITGEN_CSIM_API void vitgen_csim_depth(const char* name, unsigned depth);
// Bytes of address space per coroutine stack (default 8 MiB; memory is taken only when touched).
VITGEN_CSIM_API void vitgen_csim_stack(std::size_t bytes);
// Records every value written from now on to the stream `name` ("rows[2]" for an element).
// A second call drops what was recorded and records on.
VITGEN_CSIM_API void vitgen_csim_tap(const char* name);
// Values recorded; -1 if no process has used a stream of this name.
VITGEN_CSIM_API std::int64_t vitgen_csim_tap_count(const char* name);
// sizeof(T) of the tapped stream; 0 before its first value.
VITGEN_CSIM_API std::size_t vitgen_csim_tap_value_bytes(const char* name);
// The recorded values as they lie in memory, one behind the other; null if there are none.
VITGEN_CSIM_API const unsigned char* vitgen_csim_tap_data(const char* name);
// Runs what is still to run; "" if all is well, else what went wrong since the last call. The text
// lives until the next call.
VITGEN_CSIM_API const char* vitgen_csim_finish();

namespace vitgen_csim {

struct process;
struct tap;
using process_id = std::uint64_t;

// The running process; 0 outside of any. Read on every stream access, hence inline and hidden: no
// call, no indirection.
extern VITGEN_CSIM_HIDDEN process_id current;

// Everything of a stream that does not depend on its value type.
class VITGEN_CSIM_HIDDEN stream_base {
 public:
  stream_base(const stream_base&) = delete;
  stream_base& operator=(const stream_base&) = delete;

  // A process that polls gives way whenever the answer is no: the others would never run else.
  bool empty() {
    if (size_now() != 0) return false;
    give_way();
    return size_now() == 0;
  }
  bool full() {
    if (size_now() < depth()) return false;
    give_way();
    return size_now() >= depth();
  }
  std::size_t size() const { return size_now(); }
  std::size_t depth() const { return depth_; }

 protected:
  stream_base(const char* name, unsigned depth);
  ~stream_base() = default;
  // To be called while the values still stand: it may run the region.
  void dies() noexcept;

  std::size_t size_now() const { return static_cast<std::size_t>(written_ - read_); }

  // One comparison covers "has room", "nobody waits for a value" and "not tapped": the limit is 0
  // whenever the slow path has something to do. Likewise the floor for reads.
  bool writes_at_once() const { return written_ - read_ < write_limit_ && writer_ == current; }
  bool reads_at_once() const { return written_ - read_ > read_floor_ && reader_ == current; }

  void await_room(const void* value, std::size_t bytes);
  void await_value();

  std::uint64_t written_ = 0;
  std::uint64_t read_ = 0;

 private:
  friend class scheduler;
  static constexpr std::uint64_t always_slow = ~std::uint64_t{0};

  void give_way();

  std::uint64_t write_limit_ = 0;
  std::uint64_t read_floor_ = 0;
  process_id writer_ = 0;
  process_id reader_ = 0;
  process* waiting_writer_ = nullptr;
  process* waiting_reader_ = nullptr;
  std::size_t depth_;
  std::string name_;
  tap* tap_ = nullptr;
};

// A noted call.
struct VITGEN_CSIM_HIDDEN task {
  virtual ~task() = default;
  virtual void run() = 0;
};

VITGEN_CSIM_HIDDEN void spawn_task(const std::string& name, std::unique_ptr<task> work);
// Gives a stream the name under which the top function passes it, unless it has one.
VITGEN_CSIM_HIDDEN void bind_stream(const std::string& text, stream_base& stream);
// ("fn<1, 2>, a, b[f(1, 2)]", 2) -> {"fn<1,2>", "a", "b[f(1,2)]"}
VITGEN_CSIM_HIDDEN std::vector<std::string> split_arguments(const char* text, std::size_t count);
VITGEN_CSIM_HIDDEN void fail(const std::string& what);

template <class A>
void bind_argument(const std::string& text, A& argument) {
  if constexpr (std::is_array_v<A>) {
    if constexpr (std::is_base_of_v<stream_base, std::remove_all_extents_t<A>>) {
      for (std::size_t i = 0; i < std::extent_v<A>; ++i) {
        bind_argument(text + "[" + std::to_string(i) + "]", argument[i]);
      }
    }
  } else if constexpr (std::is_base_of_v<stream_base, A>) {
    bind_stream(text, argument);
  }
}

// How a noted call keeps a parameter of type P until it runs.
template <class P>
struct kept {
  using value = std::remove_cv_t<std::remove_reference_t<P>>;
  static constexpr bool by_reference =
      std::is_lvalue_reference_v<P> &&
      (!std::is_const_v<std::remove_reference_t<P>> || std::is_array_v<value>);
  using type = std::conditional_t<by_reference, P, value>;
};

template <class... P>
class call final : public task {
 public:
  template <class... A>
  explicit call(void (*function)(P...), A&&... arguments)
      : function_(function), arguments_(std::forward<A>(arguments)...) {}
  void run() override { std::apply(function_, arguments_); }

 private:
  void (*function_)(P...);
  std::tuple<typename kept<P>::type...> arguments_;
};

template <class... P, class... A>
void spawn(const char* text, void (*function)(P...), A&&... arguments) {
  static_assert(sizeof...(P) == sizeof...(A), "PROCESS takes every argument of the function");
  const std::vector<std::string> texts = split_arguments(text, sizeof...(A));
  [[maybe_unused]] std::size_t i = 0;
  (bind_argument(texts.at(++i), arguments), ...);
  spawn_task(texts.at(0), std::make_unique<call<P...>>(function, std::forward<A>(arguments)...));
}

// Calls `top`, runs what it started and returns what went wrong ("" for nothing): the body of an
// extern "C" function of a harness.
template <class F>
const char* run(F&& top) {
  try {
    std::forward<F>(top)();
  } catch (const std::exception& error) {
    fail(std::string("the top function failed: ") + error.what());
  }
  return vitgen_csim_finish();
}

}  // namespace vitgen_csim

#define PROCESS(...) ::vitgen_csim::spawn(#__VA_ARGS__, __VA_ARGS__)

#endif
