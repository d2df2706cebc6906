// Every operation of ap_int that the templates use, over many pairs of widths and signs. Compiled
// twice, with our ap_int.h and with hls4ml's, under two names (RUN); each digests its results.
#include <ap_int.h>

typedef unsigned long long u64;

// Templates of one name in two objects would become one, of either ap_int: none has a name outside.
namespace {

struct digest {
  u64* out;
  template <class T>
  void integer(T value) { *out++ = (u64)value; }
  // Width, then all bits, 32 at a time.
  template <class V>
  void number(const V& value) {
    constexpr int W = V::width;
    *out++ = W;
    const ap_uint<W> bits = value;
    for (int low = 0; low < W; low += 32) *out++ = ap_uint<32>(bits >> low).to_uint();
    // The sign that a wider number takes on.
    const ap_int<W + 40> wide = value;
    *out++ = ap_uint<32>(ap_uint<W + 40>(wide) >> (W + 4)).to_uint();
  }
};

template <class A>
A make(const u64* words) {
  A value = 0;
  for (int i = 3; i >= 0; --i) {
    for (int part = 1; part >= 0; --part) {
      const ap_uint<32> bits = (unsigned)(words[i] >> (32 * part));
      if (A::width > 32) value = A((value << (A::width > 32 ? 32 : 0)) | A(bits));
      else value = A(bits);
    }
  }
  return value;
}

template <class A, class B>
void binary(digest& to, const A& a, const B& b) {
  to.number(a + b);
  to.number(a - b);
  to.number(a * b);
  to.number(a & b);
  to.number(a | b);
  to.number(a ^ b);
  to.integer(a == b);
  to.integer(a != b);
  to.integer(a < b);
  to.integer(a <= b);
  to.integer(a > b);
  to.integer(a >= b);
  A c = a;
  c += b;
  to.number(c);
  c -= b;
  c -= b;
  to.number(c);
  c |= b;
  to.number(c);
  c = b;
  to.number(c);
}

template <class A, class B>
void concatenation(digest& to, const A& a, const B& b, const u64* words) {
  constexpr int W = A::width + B::width;
  A c = a;
  B d = b;
  to.number(ap_uint<W>((a, b)));
  to.number(ap_uint<W>((c, d)));
  to.number(ap_int<W + 9>((c, b)));
  to.number(ap_uint<W>(b.concat(a)));
  to.number(ap_uint<W + A::width>((a, b, a)));
  to.number(ap_uint<W + A::width>((c, d, c)));
  to.number(ap_uint<W + B::width>((d, (c, d))));
  (c, d) = make<ap_uint<W>>(words + 2);
  to.number(c);
  to.number(d);
  (c, d) = make<ap_int<9>>(words + 1);
  to.number(c);
  to.number(d);
  d.concat(c) = (int)words[1];
  to.number(c);
  to.number(d);
  (c, d) = (d, c);
  to.number(c);
  to.number(d);
  c = (a, b);
  to.number(c);
}

template <class A>
void unary(digest& to, const A& a, const u64* words) {
  constexpr int W = A::width;
  to.number(-a);
  to.number(~a);
  to.integer(!a);
  to.integer(a.to_int());
  to.integer(a.to_uint());
  to.integer(a.to_int64());
  to.integer(a.to_uint64());
  A c = a;
  to.number(++c);
  to.number(c++);
  to.number(--c);
  to.number(c);
  for (int n = -3; n < W + 3; n += 1 + W / 9) {
    to.number(a << n);
    to.number(a >> n);
    if (n >= 0) {
      to.number(a << ap_uint<9>(n));
      to.number(a >> ap_uint<9>(n));
    }
    to.number(a << ap_int<33>(n));
    to.number(a >> ap_int<33>(n));
    c = a;
    c >>= n;
    to.number(c);
    c <<= n;
    to.number(c);
  }
  for (int high = 0; high < W; high += 1 + W / 5) {
    for (int low = 0; low <= high; low += 1 + W / 6) {
      const ap_uint<W> part = a.range(high, low);
      to.number(part);
      c = a;
      c.range(high, low) = ap_uint<32>((unsigned)words[3]);
      to.number(c);
    }
    to.integer(a[high] ? 1 : 0);
    c = a;
    c[high] = words[2] & 1;
    to.number(c);
  }
  const int native = (int)words[1];
  binary(to, a, native);
  binary(to, a, (bool)(native & 1));
  to.number(native + a);
  to.number(native - a);
  to.number(native * a);
  to.integer(native < a);
  to.integer(native == a);
  const unsigned positive = (unsigned)words[2];
  to.number(a + positive);
  to.integer(a < positive);
  const int divisors[] = {1, 2, 3, 7, 12, 1000};
  for (int divisor : divisors) {
    to.number(a / divisor);
    to.number(a % divisor);
  }
}

template <class A>
void with(digest& to, const u64* words) {
  const A a = make<A>(words);
  unary(to, a, words);
  binary(to, a, make<ap_uint<1>>(words + 4));
  binary(to, a, make<ap_uint<6>>(words + 4));
  binary(to, a, make<ap_int<9>>(words + 4));
  binary(to, a, make<ap_uint<16>>(words + 4));
  binary(to, a, make<ap_int<32>>(words + 4));
  binary(to, a, make<ap_uint<33>>(words + 4));
  binary(to, a, make<ap_uint<45>>(words + 4));
  binary(to, a, make<ap_int<64>>(words + 4));
  binary(to, a, make<ap_uint<65>>(words + 4));
  binary(to, a, make<ap_int<128>>(words + 4));
}

}  // namespace

// `words`: eight random numbers. Returns how many results there are.
extern "C" u64 RUN(const u64* words, u64* results) {
  digest to = {results};
  with<ap_uint<1>>(to, words);
  with<ap_int<2>>(to, words);
  with<ap_uint<5>>(to, words);
  with<ap_int<8>>(to, words);
  with<ap_uint<13>>(to, words);
  with<ap_int<18>>(to, words);
  with<ap_int<27>>(to, words);
  with<ap_uint<32>>(to, words);
  with<ap_int<45>>(to, words);
  with<ap_uint<64>>(to, words);
  with<ap_int<65>>(to, words);
  with<ap_uint<96>>(to, words);
  with<ap_int<200>>(to, words);
  concatenation(to, make<ap_int<2>>(words), make<ap_uint<1>>(words + 4), words);
  concatenation(to, make<ap_uint<13>>(words), make<ap_int<27>>(words + 4), words);
  concatenation(to, make<ap_int<45>>(words), make<ap_uint<65>>(words + 4), words);
  return (u64)(to.out - results);
}
