// Drives the ports of one process with random stalls: streams by lists, banks by a model of a RAM.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "verilated.h"

double sc_time_stamp() { return 0; }

using Word = std::vector<std::uint32_t>;  // 32 bits each, the lowest first

static Word from_hex(const std::string& text) {
  Word word;
  for (int end = static_cast<int>(text.size()); end > 0; end -= 8) {
    const int start = end < 8 ? 0 : end - 8;
    word.push_back(std::stoul(text.substr(start, end - start), nullptr, 16));
  }
  return word;
}

static std::string to_hex(const Word& word) {
  std::string text;
  for (auto limb = word.rbegin(); limb != word.rend(); ++limb) {
    char digits[9];
    std::snprintf(digits, sizeof digits, "%08x", *limb);
    text += digits;
  }
  return text;
}

template <class T>
void set_port(T& port, const Word& word) {
  port = 0;
  for (std::size_t i = 0; i < word.size() && i * 4 < sizeof(T); ++i) {
    port |= static_cast<T>(static_cast<std::uint64_t>(word[i]) << (32 * i));
  }
}
template <std::size_t N>
void set_port(VlWide<N>& port, const Word& word) {
  for (std::size_t i = 0; i < N; ++i) port[i] = i < word.size() ? word[i] : 0;
}
template <class T>
Word get_port(const T& port) {
  const std::uint64_t value = port;
  if (sizeof(T) <= 4) return {static_cast<std::uint32_t>(value)};
  return {static_cast<std::uint32_t>(value), static_cast<std::uint32_t>(value >> 32)};
}
template <std::size_t N>
Word get_port(const VlWide<N>& port) {
  Word word(N);
  for (std::size_t i = 0; i < N; ++i) word[i] = port[i];
  return word;
}

struct Channel {
  std::string name;
  int data_bits;  // of a write request, below its address; 0 for all else
  bool sends;
  std::function<void(const Word&)> set;
  std::function<Word()> get;
  CData* valid;
  CData* ready;
  std::deque<Word> values = {};  // to be given, or taken so far
  std::size_t wanted = 0;        // values that it is to send
  Channel* answer = nullptr;     // of a read request: where its word goes
};

static std::unique_ptr<Vbench> top(new Vbench);
static std::vector<Channel> channels;
static std::map<std::string, std::vector<Word>> banks;

template <class T>
void channel(const std::string& name, int data_bits, bool sends, T& data, CData& valid, CData& ready) {
  channels.push_back({name, data_bits, sends, [&data](const Word& word) { set_port(data, word); },
                      [&data] { return get_port(data); }, &valid, &ready});
}

static void bind(const std::string& name);

static bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

static Channel* find(const std::string& name) {
  for (Channel& one : channels) {
    if (one.name == name) return &one;
  }
  return nullptr;
}

static void read_values() {
  std::string name, text;
  std::size_t count;
  while (std::cin >> name >> count) {
    Channel& one = *find(name);
    if (one.sends && !ends_with(name, "_rd_req")) {
      one.wanted = count;
      continue;
    }
    std::vector<Word> words(count);
    for (Word& word : words) {
      std::cin >> text;
      word = from_hex(text);
    }
    if (one.sends) {
      banks[name.substr(0, name.size() - 7)] = words;
    } else {
      one.values.assign(words.begin(), words.end());
    }
  }
}

// Bits low..low+count-1.
static std::uint64_t bits_of(const Word& word, int low, int count) {
  std::uint64_t value = 0;
  for (int i = 0; i < count; ++i) {
    const int place = low + i;
    const bool bit = place / 32 < static_cast<int>(word.size()) && (word[place / 32] >> place % 32 & 1);
    value |= static_cast<std::uint64_t>(bit) << i;
  }
  return value;
}

// What the read port of the bank of a write port sees from now on; ports x_rd and x_wr are one bank.
static void write_bank(const Channel& one, const Word& request) {
  std::string bank = one.name.substr(0, one.name.size() - 7);
  if (ends_with(bank, "_wr")) bank.replace(bank.size() - 2, 2, "rd");
  const auto held = banks.find(bank);
  if (held == banks.end()) return;
  Word data;
  for (int low = 0; low < one.data_bits; low += 32) {
    data.push_back(bits_of(request, low, std::min(32, one.data_bits - low)));
  }
  const std::uint64_t address = bits_of(request, one.data_bits, 32);
  if (address < held->second.size()) held->second[address] = data;
}

static bool finished() {
  for (const Channel& one : channels) {
    if (one.sends && one.values.size() < one.wanted) return false;
  }
  return true;
}

static int simulate(const std::string& process, unsigned seed, int stall) {
  std::mt19937 random(seed);
  const auto goes = [&] { return static_cast<int>(random() % 100) >= stall; };
  bind(process);
  for (Channel& one : channels) {
    if (ends_with(one.name, "_rd_req")) {
      one.answer = find(one.name.substr(0, one.name.size() - 3) + "resp");
    }
  }
  read_values();
  top->rst = 1;
  for (Channel& one : channels) (one.sends ? *one.ready : *one.valid) = 0;
  for (int i = 0; i < 6; ++i) {
    top->clk = i & 1;
    top->eval();
  }
  top->rst = 0;
  long cycles = 0, done_at = -1, idle = 0;
  for (; idle < 300 && cycles < 400000; ++cycles) {
    top->clk = 0;
    for (Channel& one : channels) {
      if (one.sends) {
        bool room = goes();
        if (one.answer) {
          room = room && one.answer->values.size() < 2;
        }
        *one.ready = room;
      } else {
        // An offered value stays until it is taken.
        const bool offered = *one.valid;
        *one.valid = !one.values.empty() && (offered || goes());
        if (*one.valid) one.set(one.values.front());
      }
    }
    top->eval();
    std::vector<std::pair<Channel*, Word>> taken;
    for (Channel& one : channels) {
      if (*one.valid && *one.ready) taken.emplace_back(&one, one.sends ? one.get() : Word());
    }
    top->clk = 1;
    top->eval();
    for (auto& [one, word] : taken) {
      if (!one->sends) {
        one->values.pop_front();
        *one->valid = 0;
        continue;
      }
      if (one->answer) {
        const std::vector<Word>& bank = banks[one->name.substr(0, one->name.size() - 7)];
        one->answer->values.push_back(word[0] < bank.size() ? bank[word[0]] : Word{0});
      } else {
        one->values.push_back(word);
      }
    }
    for (auto& [one, word] : taken) {
      if (one->data_bits) write_bank(*one, word);
    }
    if (finished()) {
      if (done_at < 0) done_at = cycles;
      ++idle;
    }
  }
  for (const Channel& one : channels) {
    if (!one.sends || ends_with(one.name, "_rd_req")) continue;
    std::cout << one.name;
    for (const Word& word : one.values) std::cout << ' ' << to_hex(word);
    std::cout << '\n';
  }
  std::cout << "cycles " << done_at << '\n';
  return 0;
}
