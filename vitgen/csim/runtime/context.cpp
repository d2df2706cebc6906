#include "context.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#define VITGEN_CSIM_ASAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VITGEN_CSIM_ASAN
#endif
#endif
#ifdef VITGEN_CSIM_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace vitgen_csim {
namespace {

// Wider than a page: a frame that skips one page must still hit the guard. Frames that skip more
// are stopped by -fstack-clash-protection, which the C-sim compiles with.
constexpr std::size_t guard_bytes = std::size_t{64} << 10;

context* left = nullptr;  // the context that was switched away from last

}  // namespace

stack_pool::~stack_pool() { unmap_free(); }

void stack_pool::unmap_free() {
  for (const stack& unused : free_) munmap(unused.bottom - guard_bytes, unused.bytes + guard_bytes);
  free_.clear();
}

void stack_pool::set_bytes(std::size_t bytes) {
  const std::size_t page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  unmap_free();
  bytes_ = (bytes + page - 1) / page * page;
}

stack stack_pool::take() {
  stack taken;
  // A stack of another size can come back after set_bytes: it serves if it is large enough.
  while (!free_.empty() && taken.bottom == nullptr) {
    const stack candidate = free_.back();
    free_.pop_back();
    if (candidate.bytes >= bytes_) {
      taken = candidate;
    } else {
      munmap(candidate.bottom - guard_bytes, candidate.bytes + guard_bytes);
    }
  }
  if (taken.bottom == nullptr) {
    void* mapped = mmap(nullptr, bytes_ + guard_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (mapped == MAP_FAILED) throw std::bad_alloc();
    mprotect(mapped, guard_bytes, PROT_NONE);
    taken = {static_cast<unsigned char*>(mapped) + guard_bytes, bytes_};
  }
#ifdef VITGEN_CSIM_ASAN
  // Red zones of the frames that stood here before.
  __asan_unpoison_memory_region(taken.bottom, taken.bytes);
#endif
  return taken;
}

#ifdef VITGEN_CSIM_UCONTEXT

namespace {
void swap_registers(context& from, context& to) { swapcontext(&from.state, &to.state); }
}  // namespace

void prepare_context(context& fresh, const stack& on, void (*entry)()) {
  getcontext(&fresh.state);
  fresh.state.uc_stack.ss_sp = on.bottom;
  fresh.state.uc_stack.ss_size = on.bytes;
  fresh.state.uc_link = nullptr;
  makecontext(&fresh.state, entry, 0);
  fresh.bottom = on.bottom;
  fresh.bytes = on.bytes;
}

#else

// void vitgen_csim_swap(void** save_sp, void* load_sp): the registers that a call preserves go on
// the stack, then the stacks are exchanged. swapcontext does the same and a system call for the
// signal mask, which no process changes; nor does one change rounding or the vector control words.
extern "C" void vitgen_csim_swap(void** save_sp, void* load_sp);

#if defined(__x86_64__)
// The jump through a register instead of `ret` keeps the branch predictor's return stack right.
asm(R"(
.text
.p2align 4
.globl vitgen_csim_swap
.hidden vitgen_csim_swap
.type vitgen_csim_swap, @function
vitgen_csim_swap:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  popq %rcx
  jmp *%rcx
.size vitgen_csim_swap, .-vitgen_csim_swap
)");
#else
asm(R"(
.text
.p2align 4
.globl vitgen_csim_swap
.hidden vitgen_csim_swap
.type vitgen_csim_swap, %function
vitgen_csim_swap:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size vitgen_csim_swap, .-vitgen_csim_swap
)");
#endif

namespace {

void swap_registers(context& from, context& to) { vitgen_csim_swap(&from.sp, to.sp); }

#if defined(__x86_64__)
constexpr std::size_t frame_words = 8;  // six registers, the entry, a null return address
constexpr std::size_t entry_word = 6;
#else
constexpr std::size_t frame_words = 20;
constexpr std::size_t entry_word = 11;  // x30
#endif

}  // namespace

void prepare_context(context& fresh, const stack& on, void (*entry)()) {
  // The frame that the swap takes off. Both calling conventions are met: 16 bytes aligned on
  // aarch64, and on x86-64 aligned before the (null) return address.
  auto* top = reinterpret_cast<std::uintptr_t*>(on.bottom + on.bytes);
  std::uintptr_t* frame = top - frame_words;
  for (std::size_t i = 0; i < frame_words; ++i) frame[i] = 0;
  frame[entry_word] = reinterpret_cast<std::uintptr_t>(entry);
  fresh.sp = frame;
  fresh.bottom = on.bottom;
  fresh.bytes = on.bytes;
}

#endif

void entered_context([[maybe_unused]] context& self) {
#ifdef VITGEN_CSIM_ASAN
  // The bounds of the caller's own stack are learnt here, where it is left for the first time.
  const void* bottom = nullptr;
  std::size_t bytes = 0;
  __sanitizer_finish_switch_fiber(self.fake_stack, &bottom, &bytes);
  if (left != nullptr) {
    left->bottom = bottom;
    left->bytes = bytes;
  }
#endif
}

void switch_context(context& from, context& to, [[maybe_unused]] bool ends) {
  left = &from;
#ifdef VITGEN_CSIM_ASAN
  __sanitizer_start_switch_fiber(ends ? nullptr : &from.fake_stack, to.bottom, to.bytes);
#endif
  swap_registers(from, to);
  entered_context(from);
}

}  // namespace vitgen_csim
