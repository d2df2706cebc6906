// Hexadecimal values of streams and banks in and out, packed as they travel.
#include <iostream>
#include <string>

template <int W>
ap_uint<W> from_hex(const std::string& text) {
  ap_uint<W> value = 0;
  for (char digit : text) {
    const int number = digit <= '9' ? digit - '0' : digit - 'a' + 10;
    value = W > 4 ? ap_uint<W>((value << (W > 4 ? 4 : 0)) | ap_uint<W>(number)) : ap_uint<W>(number);
  }
  return value;
}

template <int W>
std::string to_hex(const ap_uint<W>& value) {
  std::string text;
  for (int low = (W - 1) / 4 * 4; low >= 0; low -= 4) {
    text += "0123456789abcdef"[(value >> low).to_uint() & 15];
  }
  return text;
}

template <class T>
struct travel {
  static T in(const std::string& text) {
    T value = T();
    vitgen_pack<T>::unpack(from_hex<vitgen_pack<T>::width>(text), value);
    return value;
  }
  static std::string out(const T& value) {
    typename vitgen_pack<T>::bits_t bits;
    vitgen_pack<T>::pack(value, bits);
    return to_hex(bits);
  }
};
template <int W>
struct travel<ap_uint<W>> {
  static ap_uint<W> in(const std::string& text) { return from_hex<W>(text); }
  static std::string out(const ap_uint<W>& value) { return to_hex(value); }
};
template <int W>
struct travel<ap_int<W>> {
  static ap_int<W> in(const std::string& text) { return ap_int<W>(from_hex<W>(text)); }
  static std::string out(const ap_int<W>& value) { return to_hex(ap_uint<W>(value)); }
};

template <class F>
void each_value(F take) {
  int count;
  std::cin >> count;
  std::string text;
  for (int i = 0; i < count; ++i) {
    std::cin >> text;
    take(i, text);
  }
}

template <class T>
void get_stream(hls::stream<T>& stream) {
  each_value([&](int, const std::string& text) { stream.write(travel<T>::in(text)); });
}
template <class T, int COUNT>
void get_stream(hls::stream<T> (&streams)[COUNT]) {
  for (hls::stream<T>& stream : streams) get_stream(stream);
}
template <class T, int DEPTH>
void get_bank(T (&words)[DEPTH]) {
  each_value([&](int i, const std::string& text) { words[i] = travel<T>::in(text); });
}

template <class T>
void put_stream(const std::string& name, hls::stream<T>& stream) {
  std::cout << "stream " << name;
  while (!stream.empty()) std::cout << ' ' << travel<T>::out(stream.read());
  std::cout << '\n';
}
template <class T, int COUNT>
void put_stream(const std::string& name, hls::stream<T> (&streams)[COUNT]) {
  for (int i = 0; i < COUNT; ++i) {
    put_stream(COUNT > 1 ? name + "_" + std::to_string(i) : name, streams[i]);
  }
}
template <class T, int DEPTH>
void put_bank(const std::string& name, T (&words)[DEPTH]) {
  std::cout << "bank " << name;
  for (const T& word : words) std::cout << ' ' << travel<T>::out(word);
  std::cout << '\n';
}
