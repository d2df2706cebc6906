// hls::stream for the open road to RTL: a port of the generated process.
//
// A read or write is one volatile access at the start of the stream object: the compiler keeps it in
// its place and under its condition, and the translator makes it a receive or a send. Values travel
// with their exact width; a struct as vitgen_pack puts its members together (vitgen/rtl/structs.py).
#ifndef VITGEN_RTL_HLS_STREAM_H
#define VITGEN_RTL_HLS_STREAM_H

#include <ap_int.h>

// Marks the body of a pipelined loop. It cannot be duplicated, nor does the compiler take a loop with a
// convergent call apart into loops inside each other: one loop stays one loop.
extern "C" void vitgen_pipeline(int interval) __attribute__((noduplicate, convergent, nothrow));

template <class T>
struct vitgen_pack;

namespace hls {

template <class T>
struct payload {
  static constexpr int width = vitgen_pack<T>::width;
  typedef typename vitgen_pack<T>::bits_t bits_t;
  typedef typename bits_t::value_type raw;
  static AP_INLINE void pack(const T& value, raw& bits) {
    bits_t packed;
    vitgen_pack<T>::pack(value, packed);
    bits = packed.V;
  }
  static AP_INLINE void unpack(const raw& bits, T& value) {
    bits_t packed;
    packed.V = bits;
    vitgen_pack<T>::unpack(packed, value);
  }
};

template <int W, bool S>
struct number_payload {
  static constexpr int width = W;
  typedef typename ap::bits<W, S>::type raw;
  static AP_INLINE void pack(const ap_int_base<W, S>& value, raw& bits) { bits = value.V; }
  static AP_INLINE void unpack(const raw& bits, ap_int_base<W, S>& value) { value.V = bits; }
};
template <int W>
struct payload<ap_uint<W>> : number_payload<W, false> {};
template <int W>
struct payload<ap_int<W>> : number_payload<W, true> {};

template <class T, int DEPTH = 0>
struct stream;

template <class T>
struct stream<T, 0> {
  typedef typename payload<T>::raw raw;
  // Every stream has the same size, by which elements of arrays of streams are told apart.
  static constexpr int SIZE = 4096;
  char port[SIZE] __attribute__((aligned(64)));
  static_assert(sizeof(raw) <= SIZE, "a value of a stream has at most 4,096 bytes");

  AP_INLINE T read() {
    const raw bits = *(volatile raw*)port;
    T value;
    payload<T>::unpack(bits, value);
    return value;
  }
  AP_INLINE void write(const T& value) {
    raw bits;
    payload<T>::pack(value, bits);
    *(volatile raw*)port = bits;
  }
};

template <class T, int DEPTH>
struct stream : stream<T, 0> {};

// Bits of a parameter of a process: of a stream's values, of a bank's words, of a number; how many
// streams it is, and the bytes from one element to the next.
template <class P>
struct port_width;
template <class T>
struct port_width<stream<T>&> {
  static constexpr int value = payload<T>::width;
  static constexpr int number = 0;
  static constexpr int count = 1;
  static constexpr int size = sizeof(stream<T>);
};
template <class T, int COUNT>
struct port_width<stream<T> (&)[COUNT]> {
  static constexpr int value = payload<T>::width;
  static constexpr int number = 0;
  static constexpr int count = COUNT;
  static constexpr int size = sizeof(stream<T>);
};
template <int W>
struct port_width<ap_uint<W>*> {
  static constexpr int value = W;
  static constexpr int number = 0;
  static constexpr int count = 1;
  static constexpr int size = sizeof(ap_uint<W>);
};
template <int W>
struct port_width<const ap_uint<W>*> : port_width<ap_uint<W>*> {};
template <int W>
struct port_width<ap_uint<W>> {
  static constexpr int value = W;
  static constexpr int number = 1;
  static constexpr int count = 1;
  static constexpr int size = sizeof(ap_uint<W>);
};

// Tells the translator what LLVM's types, rounded to bytes, do not.
template <class... P>
struct port_widths {
  struct {
    int width, number, count, size;
  } values[sizeof...(P)];
};
template <class... P>
constexpr port_widths<P...> port_widths_of(void (*)(P...)) {
  return {{{port_width<P>::value, port_width<P>::number, port_width<P>::count,
            port_width<P>::size}...}};
}

}  // namespace hls

#endif
