// Runs processes in turn: one runs until it cannot go on, then the next ready one does.
#ifndef VITGEN_CSIM_SCHEDULER_H
#define VITGEN_CSIM_SCHEDULER_H

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "context.h"
#include "vitgen_csim.h"

namespace vitgen_csim {

enum class waits_for { nothing, value, room, children };

struct process {
  process_id id = 0;
  std::string name;
  std::unique_ptr<task> work;
  context registers;
  stack own;
  // A process that starts processes of its own waits for them at the end of its streams' scope.
  process* parent = nullptr;
  std::vector<process*> noted;
  std::size_t children = 0;

  waits_for waiting = waits_for::nothing;
  stream_base* stream = nullptr;
  process* next_ready = nullptr;
  bool cancelled = false;
  bool ended = false;
};

// Thrown through a process that is given up, so that its locals are destroyed.
struct cancellation {};

class scheduler {
 public:
  void spawn(const std::string& name, std::unique_ptr<task> work);
  void bind(const std::string& text, stream_base& stream);
  // Runs the caller's noted processes to their end.
  void join() noexcept;
  void stream_dies(stream_base& stream) noexcept;

  void await_value(stream_base& stream);
  void await_room(stream_base& stream, const void* value, std::size_t bytes);
  void give_way();

  void fail(const std::string& what);
  std::string take_report();
  stack_pool& stacks() { return stacks_; }

 private:
  static void coroutine();

  process* find(process_id id);
  std::string label(process_id id);
  void release(std::vector<process*>& noted);
  void name_arrays();
  void adopt_name(stream_base& stream, const std::string& name);
  void claim(stream_base& stream, process_id stream_base::*end, const char* doing);
  void block(waits_for what, stream_base* stream);
  void ready(process* woken);
  void wake(process*& waiting);
  void next();
  void end(process& self);
  void retire(process& self);
  void run_all();
  void give_up();
  std::string blocked();

  std::vector<std::unique_ptr<process>> processes_;
  process_id first_id_ = 1;
  process* running_ = nullptr;
  context root_;
  std::vector<process*> noted_;
  std::vector<std::pair<stream_base*, std::string>> unnumbered_;

  process* ready_head_ = nullptr;
  process* ready_tail_ = nullptr;
  std::size_t live_ = 0;
  bool ran_ = false;
  bool failed_ = false;
  bool giving_up_ = false;
  std::string report_;
  stack_pool stacks_;
};

}  // namespace vitgen_csim

#endif
