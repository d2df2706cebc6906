// What the harness says of streams by name: depths and taps.
#ifndef VITGEN_CSIM_REGISTRY_H
#define VITGEN_CSIM_REGISTRY_H

#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace vitgen_csim {

struct tap {
  std::vector<unsigned char> bytes;
  std::size_t value_bytes = 0;
  std::size_t count = 0;
  bool seen = false;
};

class registry {
 public:
  void set_depth(const std::string& name, unsigned depth) { depths_[name] = {depth, false}; }
  // Depth of a stream, by its own name or by that of its array; 0 if nothing was said.
  unsigned depth(const std::string& name);
  // Names of depths that no stream has asked for; each is told once.
  std::vector<std::string> take_unused_depths();

  void set_tap(const std::string& name);
  // The recorder of a stream, or null.
  tap* find_tap(const std::string& name);

 private:
  struct said_depth {
    unsigned depth;
    bool used;
  };

  std::map<std::string, said_depth> depths_;
  std::map<std::string, tap> taps_;
};

registry& names();

}  // namespace vitgen_csim

#endif
