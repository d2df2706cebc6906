#include "registry.h"

#include "vitgen_csim.h"

namespace vitgen_csim {

registry& names() {
  static registry only;
  return only;
}

unsigned registry::depth(const std::string& name) {
  auto found = depths_.find(name);
  if (found == depths_.end()) found = depths_.find(name.substr(0, name.find('[')));
  if (found == depths_.end()) return 0;
  found->second.used = true;
  return found->second.depth;
}

std::vector<std::string> registry::take_unused_depths() {
  std::vector<std::string> unused;
  for (auto& [name, said] : depths_) {
    if (!said.used) unused.push_back(name);
    said.used = true;
  }
  return unused;
}

void registry::set_tap(const std::string& name) {
  tap& record = taps_[name];
  record.bytes.clear();
  record.count = 0;
}

tap* registry::find_tap(const std::string& name) {
  const auto found = taps_.find(name);
  return found == taps_.end() ? nullptr : &found->second;
}

std::vector<std::string> split_arguments(const char* text, std::size_t count) {
  std::vector<std::string> parts(1);
  int nesting = 0;
  for (; *text; ++text) {
    const char c = *text;
    if (c == '(' || c == '[' || c == '{') ++nesting;
    if (c == ')' || c == ']' || c == '}') --nesting;
    if (c == ',' && nesting == 0) {
      parts.emplace_back();
    } else if (c != ' ') {
      parts.back() += c;
    }
  }
  // Commas of template arguments: those of the function are joined again; an argument with some
  // (never a stream) would leave the names in front of it shifted, so none are given.
  while (parts.size() > count + 1) {
    parts[0] += "," + parts[1];
    parts.erase(parts.begin() + 1);
  }
  parts.resize(count + 1);
  return parts;
}

}  // namespace vitgen_csim

using vitgen_csim::names;

extern "C" {

void vitgen_csim_depth(const char* name, unsigned depth) {
  if (depth == 0) {
    vitgen_csim::fail(std::string("stream ") + name + " was given the depth 0");
    return;
  }
  names().set_depth(name, depth);
}

void vitgen_csim_tap(const char* name) { names().set_tap(name); }

std::int64_t vitgen_csim_tap_count(const char* name) {
  const auto* tap = names().find_tap(name);
  return tap && tap->seen ? static_cast<std::int64_t>(tap->count) : -1;
}

std::size_t vitgen_csim_tap_value_bytes(const char* name) {
  const auto* tap = names().find_tap(name);
  return tap ? tap->value_bytes : 0;
}

const unsigned char* vitgen_csim_tap_data(const char* name) {
  const auto* tap = names().find_tap(name);
  return tap && tap->count ? tap->bytes.data() : nullptr;
}

}  // extern "C"
