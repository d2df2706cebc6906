#include "scheduler.h"

#include <algorithm>
#include <cctype>
#include <new>
#include <tuple>

#include "registry.h"

namespace vitgen_csim {

process_id current = 0;

namespace {

constexpr unsigned default_depth = 2;  // as in Vitis

scheduler& simulation() {
  static scheduler only;
  return only;
}

std::string title(const std::string& name) { return name.empty() ? "(unnamed)" : name; }

std::string fill(const stream_base& stream) {
  return std::to_string(stream.size()) + "/" + std::to_string(stream.depth());
}

}  // namespace

// ---- starting ----

void scheduler::spawn(const std::string& name, std::unique_ptr<task> work) {
  if (giving_up_) return;
  if (live_ == 0 && noted_.empty() && running_ == nullptr) {
    // The records of the last region were kept to name producers of leftovers.
    first_id_ += processes_.size();
    processes_.clear();
  }
  auto fresh = std::make_unique<process>();
  fresh->id = first_id_ + processes_.size();
  fresh->name = name;
  fresh->work = std::move(work);
  fresh->parent = running_;
  if (running_ != nullptr) ++running_->children;
  (running_ != nullptr ? running_->noted : noted_).push_back(fresh.get());
  processes_.push_back(std::move(fresh));
  ++live_;
}

void scheduler::release(std::vector<process*>& noted) {
  name_arrays();
  for (process* each : noted) {
    try {
      each->own = stacks_.take();
    } catch (const std::bad_alloc&) {
      fail("no address space for the stack of process " + label(each->id));
      retire(*each);
      continue;
    }
    prepare_context(each->registers, each->own, coroutine);
    ready(each);
  }
  noted.clear();
}

void scheduler::coroutine() {
  scheduler& all = simulation();
  process& self = *all.running_;
  entered_context(self.registers);
  try {
    if (!self.cancelled) self.work->run();
  } catch (const cancellation&) {
  } catch (const std::exception& error) {
    all.fail("process " + all.label(self.id) + " failed: " + error.what());
  } catch (...) {
    all.fail("process " + all.label(self.id) + " failed with an exception of unknown type");
  }
  all.join();
  all.end(self);
}

// ---- names ----

void scheduler::bind(const std::string& text, stream_base& stream) {
  if (!stream.name_.empty()) {
    adopt_name(stream, stream.name_);
    return;
  }
  const std::size_t bracket = text.find('[');
  const std::string index = bracket == std::string::npos ? "" : text.substr(bracket);
  const bool literal = std::all_of(index.begin(), index.end(), [](unsigned char c) {
    return std::isdigit(c) || c == '[' || c == ']';
  });
  if (literal) {
    adopt_name(stream, text);
  } else {
    unnumbered_.emplace_back(&stream, text.substr(0, bracket));
  }
}

// Elements passed as name[g]: the text does not tell g, but elements of one array follow each other
// in memory, and a design uses all of them.
void scheduler::name_arrays() {
  std::sort(unnumbered_.begin(), unnumbered_.end(), [](const auto& a, const auto& b) {
    return std::tie(a.second, a.first) < std::tie(b.second, b.first);
  });
  std::size_t index = 0;
  for (std::size_t i = 0; i < unnumbered_.size(); ++i) {
    const auto& [stream, base] = unnumbered_[i];
    if (i > 0 && unnumbered_[i - 1].first == stream) continue;
    index = i > 0 && unnumbered_[i - 1].second == base ? index + 1 : 0;
    if (stream->name_.empty()) adopt_name(*stream, base + "[" + std::to_string(index) + "]");
  }
  unnumbered_.clear();
}

void scheduler::adopt_name(stream_base& stream, const std::string& name) {
  stream.name_ = name;
  if (const unsigned said = names().depth(name)) stream.depth_ = said;
  stream.tap_ = names().find_tap(name);
  if (stream.tap_ != nullptr) stream.tap_->seen = true;
  stream.write_limit_ = 0;
}

process* scheduler::find(process_id id) {
  const bool known = id >= first_id_ && id - first_id_ < processes_.size();
  return known ? processes_[id - first_id_].get() : nullptr;
}

// The function's name; with a number where several processes share it.
std::string scheduler::label(process_id id) {
  const process* wanted = find(id);
  if (wanted == nullptr) return "the caller";
  std::size_t same = 0;
  std::size_t before = 0;
  for (const auto& each : processes_) {
    if (each->name != wanted->name) continue;
    ++same;
    if (each->id < id) ++before;
  }
  return same > 1 ? wanted->name + "#" + std::to_string(before) : wanted->name;
}

// ---- waiting and waking ----

// One process reads a stream and one writes it, as in hardware.
void scheduler::claim(stream_base& stream, process_id stream_base::*end, const char* doing) {
  if (current == 0 || stream.*end == current) return;
  if (find(stream.*end) != nullptr) {
    throw std::logic_error("stream " + title(stream.name_) + " is already " + doing + " by " +
                           label(stream.*end));
  }
  stream.*end = current;
}

void scheduler::await_value(stream_base& stream) {
  claim(stream, &stream_base::reader_, "read");
  if (current == 0 && stream.size() == 0) {
    join();
    if (stream.size() == 0) throw std::logic_error("read of the empty stream " + title(stream.name_));
  }
  while (stream.size() == 0) {
    stream.waiting_reader_ = running_;
    stream.write_limit_ = 0;
    block(waits_for::value, &stream);
  }
  wake(stream.waiting_writer_);
  stream.read_floor_ = 0;
}

void scheduler::await_room(stream_base& stream, const void* value, std::size_t bytes) {
  claim(stream, &stream_base::writer_, "written");
  while (current != 0 && stream.size() >= stream.depth_) {
    stream.waiting_writer_ = running_;
    stream.read_floor_ = stream_base::always_slow;
    block(waits_for::room, &stream);
  }
  wake(stream.waiting_reader_);
  stream.write_limit_ = stream.tap_ == nullptr ? stream.depth_ : 0;
  if (stream.tap_ != nullptr) {
    const auto* raw = static_cast<const unsigned char*>(value);
    stream.tap_->bytes.insert(stream.tap_->bytes.end(), raw, raw + bytes);
    stream.tap_->value_bytes = bytes;
    ++stream.tap_->count;
  }
}

void scheduler::ready(process* woken) {
  woken->waiting = waits_for::nothing;
  woken->next_ready = nullptr;
  (ready_head_ == nullptr ? ready_head_ : ready_tail_->next_ready) = woken;
  ready_tail_ = woken;
}

void scheduler::wake(process*& waiting) {
  if (waiting == nullptr) return;
  ready(waiting);
  waiting = nullptr;
}

// Goes to the next ready process, or to the caller of the simulation when there is none.
void scheduler::next() {
  process* from = running_;
  process* to = failed_ && !giving_up_ ? nullptr : ready_head_;
  if (to != nullptr) ready_head_ = to->next_ready;
  if (to == from) return;
  running_ = to;
  current = to != nullptr ? to->id : 0;
  switch_context(from != nullptr ? from->registers : root_,
                 to != nullptr ? to->registers : root_, from != nullptr && from->ended);
}

void scheduler::block(waits_for what, stream_base* stream) {
  process& self = *running_;
  if (self.cancelled && what != waits_for::children) throw cancellation{};
  self.waiting = what;
  self.stream = stream;
  next();
  if (self.cancelled && what != waits_for::children) throw cancellation{};
}

void scheduler::give_way() {
  if (running_ == nullptr) return;
  if (running_->cancelled) throw cancellation{};
  ready(running_);
  next();
}

// ---- ending ----

void scheduler::end(process& self) {
  retire(self);
  // Nobody takes a stack between here and the switch.
  stacks_.give(self.own);
  next();
}

void scheduler::retire(process& self) {
  self.work.reset();
  self.ended = true;
  --live_;
  if (self.parent != nullptr && --self.parent->children == 0 &&
      self.parent->waiting == waits_for::children) {
    ready(self.parent);
  }
}

void scheduler::join() noexcept {
  if (running_ == nullptr) {
    run_all();
    return;
  }
  release(running_->noted);
  while (running_->children != 0) block(waits_for::children, nullptr);
}

void scheduler::run_all() {
  if (live_ == 0) return;
  ran_ = true;
  release(noted_);
  while (live_ != 0) {
    if (!failed_) next();
    if (live_ == 0) break;
    if (!failed_) fail("deadlock: no process can run\n" + blocked());
    give_up();
    next();
  }
  giving_up_ = false;
}

std::string scheduler::blocked() {
  std::string lines;
  for (const auto& each : processes_) {
    if (each->ended || each->waiting == waits_for::nothing) continue;
    lines += "  " + label(each->id);
    if (each->waiting == waits_for::children) {
      lines += " waits for the processes it started\n";
      continue;
    }
    const stream_base& stream = *each->stream;
    const bool reads = each->waiting == waits_for::value;
    const process_id partner = reads ? stream.writer_ : stream.reader_;
    lines += (reads ? " waits to read " : " waits to write ") + title(stream.name_) + " (" + fill(stream) +
             ") after " + std::to_string(reads ? stream.read_ : stream.written_) +
             (reads ? " values read; " : " values written; ") +
             (reads ? "writer: " : "reader: ") +
             (find(partner) != nullptr ? label(partner) : "none so far") + "\n";
  }
  return lines;
}

// Unwinds every process that is left: by an exception at its next wait, or by not starting it.
void scheduler::give_up() {
  giving_up_ = true;
  for (const auto& each : processes_) {
    if (each->ended || each->cancelled) continue;
    each->cancelled = true;
    if (each->waiting == waits_for::value) wake(each->stream->waiting_reader_);
    if (each->waiting == waits_for::room) wake(each->stream->waiting_writer_);
  }
}

void scheduler::stream_dies(stream_base& stream) noexcept {
  join();
  if (failed_ || stream.size() == 0) return;
  report_ += "leftover: stream " + title(stream.name_) + " still holds " + std::to_string(stream.size()) +
             (stream.size() == 1 ? " value" : " values") + " (written: " +
             std::to_string(stream.written_) + ", read: " + std::to_string(stream.read_) +
             "), written by " + label(stream.writer_) + "\n";
}

void scheduler::fail(const std::string& what) {
  if (!failed_) report_ += what + "\n";
  failed_ = true;
}

std::string scheduler::take_report() {
  join();
  if (ran_ && !failed_) {
    for (const std::string& name : names().take_unused_depths()) {
      report_ += "depth given for the stream " + name + ", which no process uses\n";
    }
  }
  ran_ = failed_ = false;
  while (!report_.empty() && report_.back() == '\n') report_.pop_back();
  return std::exchange(report_, {});
}

// ---- what the headers call ----

stream_base::stream_base(const char* name, unsigned depth)
    : depth_(depth != 0 ? depth : default_depth), name_(name != nullptr ? name : "") {
  simulation();  // so that it outlives streams of static storage
}

void stream_base::dies() noexcept { simulation().stream_dies(*this); }

void stream_base::await_room(const void* value, std::size_t bytes) {
  simulation().await_room(*this, value, bytes);
}

void stream_base::await_value() { simulation().await_value(*this); }

void stream_base::give_way() { simulation().give_way(); }

void spawn_task(const std::string& name, std::unique_ptr<task> work) {
  simulation().spawn(name, std::move(work));
}

void bind_stream(const std::string& text, stream_base& stream) { simulation().bind(text, stream); }

void fail(const std::string& what) { simulation().fail(what); }

}  // namespace vitgen_csim

extern "C" {

void vitgen_csim_stack(std::size_t bytes) { vitgen_csim::simulation().stacks().set_bytes(bytes); }

const char* vitgen_csim_finish() {
  static std::string text;
  text = vitgen_csim::simulation().take_report();
  return text.c_str();
}

}  // extern "C"
