// Stacks and the switch between them.
#ifndef VITGEN_CSIM_CONTEXT_H
#define VITGEN_CSIM_CONTEXT_H

#include <cstddef>
#include <vector>

#if !defined(VITGEN_CSIM_UCONTEXT) && !defined(__x86_64__) && !defined(__aarch64__)
#define VITGEN_CSIM_UCONTEXT
#endif
#ifdef VITGEN_CSIM_UCONTEXT
#include <ucontext.h>
#endif

namespace vitgen_csim {

// A mapping with an inaccessible guard below the usable bytes.
struct stack {
  unsigned char* bottom = nullptr;
  std::size_t bytes = 0;
};

// Mapped stacks, kept for reuse: runs are many and short.
class stack_pool {
 public:
  ~stack_pool();
  stack take();
  void give(stack used) { free_.push_back(used); }
  void set_bytes(std::size_t bytes);

 private:
  void unmap_free();

  std::vector<stack> free_;
  std::size_t bytes_ = std::size_t{8} << 20;
};

// A thread of control: the caller's own (default) or a coroutine.
struct context {
#ifdef VITGEN_CSIM_UCONTEXT
  ucontext_t state;
#else
  void* sp = nullptr;
#endif
  // For AddressSanitizer, which must know the stack that it is on.
  void* fake_stack = nullptr;
  const void* bottom = nullptr;
  std::size_t bytes = 0;
};

// Makes `fresh` call `entry` (which never returns) on `on` when it is switched to.
void prepare_context(context& fresh, const stack& on, void (*entry)());
// Leaves `from` for `to`; returns when something switches back. With `ends`, never.
void switch_context(context& from, context& to, bool ends = false);
// First act of an entry function.
void entered_context(context& self);

}  // namespace vitgen_csim

#endif
