// ap_int and ap_uint for the open road to RTL: thin classes over clang's _BitInt.
//
// The part of the published ap_int interface that the emitted C++ uses, with its width rules; what
// is not here does not compile. Compared op by op with the Apache-licensed ap_int that the C-sim
// takes from hls4ml (tests/rtl/test_ap_int.py).
//
// Copy constructors are written out on purpose: they make the classes non-trivial, so that values
// are passed by reference and dissolve into SSA values of their exact width. As trivial classes they
// would be coerced to the registers of the host's calling convention.
#ifndef VITGEN_RTL_AP_INT_H
#define VITGEN_RTL_AP_INT_H

#ifndef __clang__
#error "vitgen/rtl/include/ap_int.h needs clang 16 or later"
#endif

#define AP_INLINE __attribute__((always_inline)) inline

namespace ap {

template <int W, bool S>
struct bits {
  static_assert(W > 1, "a signed value has at least two bits");
  typedef _BitInt(W) type;
};
template <int W>
struct bits<W, false> {
  static_assert(W > 0, "a value has at least one bit");
  typedef unsigned _BitInt(W) type;
};

// Width and sign of the integers of C++, as operands.
template <int W, bool S>
struct shape {
  static constexpr int width = W;
  static constexpr bool is_signed = S;
};
template <class T>
struct native;
template <> struct native<bool> : shape<1, false> {};
template <> struct native<char> : shape<8, (char(-1) < 0)> {};
template <> struct native<signed char> : shape<8, true> {};
template <> struct native<unsigned char> : shape<8, false> {};
template <> struct native<short> : shape<16, true> {};
template <> struct native<unsigned short> : shape<16, false> {};
template <> struct native<int> : shape<32, true> {};
template <> struct native<unsigned> : shape<32, false> {};
template <> struct native<long> : shape<8 * sizeof(long), true> {};
template <> struct native<unsigned long> : shape<8 * sizeof(long), false> {};
template <> struct native<long long> : shape<64, true> {};
template <> struct native<unsigned long long> : shape<64, false> {};

// What a value converts to by itself, in an index or a switch: the smallest integer that holds it,
// the low 64 bits at most.
template <int BYTES, bool S>
struct plain { typedef long long type; };
template <int BYTES>
struct plain<BYTES, false> { typedef unsigned long long type; };
template <> struct plain<1, true> { typedef signed char type; };
template <> struct plain<1, false> { typedef unsigned char type; };
template <> struct plain<2, true> { typedef short type; };
template <> struct plain<2, false> { typedef unsigned short type; };
template <> struct plain<3, true> { typedef int type; };
template <> struct plain<3, false> { typedef unsigned type; };
template <> struct plain<4, true> { typedef int type; };
template <> struct plain<4, false> { typedef unsigned type; };

constexpr int larger(int a, int b) { return a > b ? a : b; }

// Bits in which both operands keep their value.
constexpr int common(int w, bool s, int w2, bool s2) {
  return larger(w + (s2 && !s), w2 + (s && !s2));
}

// What two operands of a comparison become: a type that holds both, but for numbers of both signs with
// 32 bits or more of which the signed one is no wider. Those compare as unsigned numbers, about as in
// C: a negative number is above all others, and equal to one of the same low bits unless both have
// the same width below 64.
template <int W, bool S, int W2, bool S2, int ORDER>
struct compared {
  static constexpr int wide = larger(W, W2);
  static constexpr bool exact = wide < 32 || (W == W2 && W < 64 && !ORDER);
  static constexpr bool wraps = S != S2 && !exact && (S ? W2 >= W : W >= W2);
  typedef typename bits<wraps ? wide + ORDER : common(W, S, W2, S2), !wraps && (S || S2)>::type type;
};

}  // namespace ap

template <int W, bool S>
struct ap_range_ref;
template <int W, bool S>
struct ap_bit_ref;
template <int W>
struct ap_part;
template <int W, bool S, int W2, bool S2>
struct ap_concat_ref;

template <int W, bool S>
struct ap_int_base {
  typedef typename ap::bits<W, S>::type value_type;
  typedef typename ap::bits<W, false>::type raw_type;
  static constexpr int width = W;

  value_type V;

  ap_int_base() = default;
  AP_INLINE ap_int_base(const ap_int_base& other) : V(other.V) {}
  template <int W2, bool S2>
  AP_INLINE ap_int_base(const ap_int_base<W2, S2>& other) : V((value_type)other.V) {}
  template <class T, int = ap::native<T>::width>
  AP_INLINE ap_int_base(T other) : V((value_type)other) {}
  template <int W2, bool S2>
  AP_INLINE ap_int_base(const ap_range_ref<W2, S2>& other) : V((value_type)other.get().V) {}
  template <int W2, bool S2>
  AP_INLINE ap_int_base(const ap_bit_ref<W2, S2>& other) : V((value_type)(bool)other) {}
  template <int W2, bool S2, int W3, bool S3>
  AP_INLINE ap_int_base(const ap_concat_ref<W2, S2, W3, S3>& other)
      : V((value_type)other.get().V) {}

  AP_INLINE ap_int_base& operator=(const ap_int_base& other) {
    V = other.V;
    return *this;
  }

  // By reference: by value, wide integers would be passed in memory of another layout.
  static AP_INLINE ap_int_base of(const value_type& value) {
    ap_int_base made;
    made.V = value;
    return made;
  }

  AP_INLINE operator typename ap::plain<(W + 7) / 8, S>::type() const {
    return (typename ap::plain<(W + 7) / 8, S>::type)V;
  }
  AP_INLINE int to_int() const { return (int)V; }
  AP_INLINE unsigned to_uint() const { return (unsigned)V; }
  AP_INLINE long long to_int64() const { return (long long)V; }
  AP_INLINE unsigned long long to_uint64() const { return (unsigned long long)V; }

  AP_INLINE ap_range_ref<W, S> range(int high, int low) { return {*this, high, low}; }
  AP_INLINE ap_part<W> range(int high, int low) const {
    const raw_type all = ~(raw_type)0;
    ap_part<W> part;
    part.V = (raw_type)(((raw_type)V >> low) & (all >> (W - 1 - (high - low))));
    return part;
  }
  template <int W2, bool S2>
  AP_INLINE ap_concat_ref<W, S, W2, S2> concat(ap_int_base<W2, S2>& low) {
    return {*this, low};
  }
  // Constant, as it must be: what is assigned to a number of its own would be lost.
  template <int W2, bool S2>
  AP_INLINE const ap_int_base<W + W2, false> concat(const ap_int_base<W2, S2>& low) const {
    typedef ap_int_base<W + W2, false> result;
    typedef typename ap_int_base<W2, S2>::raw_type raw2_type;
    typedef typename result::raw_type wide;
    return result::of((wide)((wide)(raw_type)V << W2 | (wide)(raw2_type)low.V));
  }
  AP_INLINE ap_bit_ref<W, S> operator[](int index) { return {*this, index}; }
  AP_INLINE bool operator[](int index) const { return (bool)(((raw_type)V >> index) & 1); }

  // In unsigned numbers: they wrap, where an overflow of signed ones is undefined.
  AP_INLINE ap_int_base& operator++() {
    V = (value_type)(raw_type)((raw_type)V + (raw_type)1);
    return *this;
  }
  AP_INLINE ap_int_base& operator--() {
    V = (value_type)(raw_type)((raw_type)V - (raw_type)1);
    return *this;
  }
  AP_INLINE ap_int_base operator++(int) {
    const ap_int_base before = *this;
    ++*this;
    return before;
  }
  AP_INLINE ap_int_base operator--(int) {
    const ap_int_base before = *this;
    --*this;
    return before;
  }

  AP_INLINE bool operator!() const { return V == 0; }
  AP_INLINE ap_int_base operator~() const { return of((value_type)~V); }
  AP_INLINE auto operator-() const { return ap_int_base<1, false>(0) - *this; }

  // A shift by a negative amount is one in the other direction; the amount counts with 32 bits.
  AP_INLINE ap_int_base left(unsigned amount) const {
    return of(amount < (unsigned)W ? (value_type)((raw_type)V << amount) : (value_type)0);
  }
  AP_INLINE ap_int_base right(unsigned amount) const {
    const value_type beyond = V < 0 ? (value_type)-1 : (value_type)0;
    return of(amount < (unsigned)W ? (value_type)(V >> amount) : beyond);
  }

#define AP_COMPOUND(op)                                       \
  template <class T>                                          \
  AP_INLINE ap_int_base& operator op##=(const T& other) {     \
    *this = ap_int_base(*this op other);                      \
    return *this;                                             \
  }
  AP_COMPOUND(+)
  AP_COMPOUND(-)
  AP_COMPOUND(*)
  AP_COMPOUND(/)
  AP_COMPOUND(%)
  AP_COMPOUND(&)
  AP_COMPOUND(|)
  AP_COMPOUND(^)
  AP_COMPOUND(<<)
  AP_COMPOUND(>>)
#undef AP_COMPOUND
};

#define AP_CLASS(name, S)                                                           \
  template <int W>                                                                  \
  struct name : ap_int_base<W, S> {                                                 \
    typedef ap_int_base<W, S> base;                                                 \
    name() = default;                                                               \
    AP_INLINE name(const name& other) : base((const base&)other) {}                 \
    template <int W2, bool S2>                                                      \
    AP_INLINE name(const ap_int_base<W2, S2>& other) : base(other) {}               \
    template <class T, int = ap::native<T>::width>                                  \
    AP_INLINE name(T other) : base(other) {}                                        \
    template <int W2, bool S2>                                                      \
    AP_INLINE name(const ap_range_ref<W2, S2>& other) : base(other) {}              \
    template <int W2, bool S2>                                                      \
    AP_INLINE name(const ap_bit_ref<W2, S2>& other) : base(other) {}                \
    template <int W2, bool S2, int W3, bool S3>                                     \
    AP_INLINE name(const ap_concat_ref<W2, S2, W3, S3>& other) : base(other) {}     \
    AP_INLINE name& operator=(const name& other) {                                  \
      this->V = other.V;                                                            \
      return *this;                                                                 \
    }                                                                               \
  };
AP_CLASS(ap_int, true)
AP_CLASS(ap_uint, false)
#undef AP_CLASS

// Bits high..low of a constant value.
template <int W>
struct ap_part : ap_int_base<W, false> {};

// Bits high..low of a value, to be read or written.
template <int W, bool S>
struct ap_range_ref {
  ap_int_base<W, S>& value;
  int high, low;

  AP_INLINE ap_int_base<W, false> get() const {
    return ((const ap_int_base<W, S>&)value).range(high, low);
  }
  template <int W2, bool S2>
  AP_INLINE const ap_range_ref& operator=(const ap_int_base<W2, S2>& part) const {
    typedef typename ap_int_base<W, S>::raw_type raw_type;
    typedef typename ap_int_base<W, S>::value_type value_type;
    const raw_type mask = (raw_type)(~(raw_type)0 >> (W - 1 - (high - low)));
    const raw_type kept = (raw_type)((raw_type)value.V & ~(raw_type)(mask << low));
    value.V = (value_type)(kept | (raw_type)(((raw_type)part.V & mask) << low));
    return *this;
  }
  template <class T, int = ap::native<T>::width>
  AP_INLINE const ap_range_ref& operator=(T part) const {
    return *this = ap_int_base<ap::native<T>::width, ap::native<T>::is_signed>(part);
  }
};

// One bit of a value, to be read or written.
template <int W, bool S>
struct ap_bit_ref {
  ap_int_base<W, S>& value;
  int index;

  AP_INLINE operator bool() const { return ((const ap_int_base<W, S>&)value)[index]; }
  AP_INLINE const ap_bit_ref& operator=(bool bit) const {
    value.range(index, index) = ap_int_base<1, false>(bit);
    return *this;
  }
};

// Two values behind each other, `low` below, to be read or written.
template <int W, bool S, int W2, bool S2>
struct ap_concat_ref {
  ap_int_base<W, S>& high;
  ap_int_base<W2, S2>& low;

  AP_INLINE ap_int_base<W + W2, false> get() const {
    return ((const ap_int_base<W, S>&)high).concat((const ap_int_base<W2, S2>&)low);
  }
  template <int W3, bool S3>
  AP_INLINE const ap_concat_ref& operator=(const ap_int_base<W3, S3>& value) const {
    const ap_int_base<W + W2, false> both = value;
    low.V = (typename ap_int_base<W2, S2>::value_type)both.V;
    high.V = (typename ap_int_base<W, S>::value_type)(both.V >> W2);
    return *this;
  }
  AP_INLINE const ap_concat_ref& operator=(const ap_concat_ref& other) const {
    return *this = other.get();
  }
  template <int W3, bool S3, int W4, bool S4>
  AP_INLINE const ap_concat_ref& operator=(const ap_concat_ref<W3, S3, W4, S4>& other) const {
    return *this = other.get();
  }
  template <class T, int W3 = ap::native<T>::width>
  AP_INLINE const ap_concat_ref& operator=(T value) const {
    return *this = ap_int_base<W3, ap::native<T>::is_signed>(value);
  }
};

template <int W, bool S, int W2, bool S2>
AP_INLINE ap_concat_ref<W, S, W2, S2> operator,(ap_int_base<W, S>& a, ap_int_base<W2, S2>& b) {
  return {a, b};
}
template <int W, bool S, int W2, bool S2>
AP_INLINE auto operator,(const ap_int_base<W, S>& a, const ap_int_base<W2, S2>& b)
    -> const ap_int_base<W + W2, false> {
  return a.concat(b);
}
template <int W, bool S, int W2, bool S2, int W3, bool S3>
AP_INLINE auto operator,(const ap_concat_ref<W, S, W2, S2>& a, const ap_int_base<W3, S3>& b)
    -> const ap_int_base<W + W2 + W3, false> {
  return ((const ap_int_base<W + W2, false>&)a.get()).concat(b);
}
template <int W, bool S, int W2, bool S2, int W3, bool S3>
AP_INLINE auto operator,(const ap_int_base<W3, S3>& a, const ap_concat_ref<W, S, W2, S2>& b)
    -> const ap_int_base<W + W2 + W3, false> {
  return a.concat((const ap_int_base<W + W2, false>&)b.get());
}
// The width of a range is no constant, and a comma that is no operator of a class drops its left
// side: convert ranges and bits to ap_uint first.
#define AP_NO_CONCAT(...)                           \
  template <class T, int W, bool S>                 \
  void operator,(const T&, const __VA_ARGS__&) = delete; \
  template <class T, int W, bool S>                 \
  void operator,(const __VA_ARGS__&, const T&) = delete;
AP_NO_CONCAT(ap_range_ref<W, S>)
AP_NO_CONCAT(ap_bit_ref<W, S>)
#undef AP_NO_CONCAT
template <class T, int W>
void operator,(const T&, const ap_part<W>&) = delete;
template <class T, int W>
void operator,(const ap_part<W>&, const T&) = delete;

// Both operands are brought to the type of the result, in which nothing is lost.
#define AP_BINARY(op, WIDTH, SIGNED)                                                          \
  template <int W, bool S, int W2, bool S2>                                                   \
  AP_INLINE auto operator op(const ap_int_base<W, S>& a, const ap_int_base<W2, S2>& b) {      \
    typedef ap_int_base<(WIDTH), (SIGNED)> result;                                            \
    typedef typename result::value_type type;                                                 \
    return result::of((type)((type)a.V op (type)b.V));                                        \
  }
AP_BINARY(+, ap::common(W, S, W2, S2) + 1, S || S2)
AP_BINARY(-, ap::common(W, S, W2, S2) + 1, true)
AP_BINARY(*, W + W2, S || S2)
AP_BINARY(&, ap::common(W, S, W2, S2), S || S2)
AP_BINARY(|, ap::common(W, S, W2, S2), S || S2)
AP_BINARY(^, ap::common(W, S, W2, S2), S || S2)
#undef AP_BINARY

// A quotient or remainder may be narrower than an operand: divide first, then cut.
#define AP_DIVISION(op, WIDTH, SIGNED)                                                        \
  template <int W, bool S, int W2, bool S2>                                                   \
  AP_INLINE auto operator op(const ap_int_base<W, S>& a, const ap_int_base<W2, S2>& b) {      \
    typedef ap_int_base<(WIDTH), (SIGNED)> result;                                            \
    typedef typename ap::bits<ap::common(W, S, W2, S2) + 1, S || S2>::type wide;              \
    return result::of((typename result::value_type)((wide)a.V op (wide)b.V));                 \
  }
AP_DIVISION(/, W + S2, S || S2)
AP_DIVISION(%, W < W2 + (!S2 && S) ? W : W2 + (!S2 && S), S)
#undef AP_DIVISION

#define AP_COMPARE(op, ORDER)                                                                 \
  template <int W, bool S, int W2, bool S2>                                                   \
  AP_INLINE bool operator op(const ap_int_base<W, S>& a, const ap_int_base<W2, S2>& b) {      \
    typedef typename ap::compared<W, S, W2, S2, ORDER>::type type;                            \
    return (type)a.V op (type)b.V;                                                            \
  }
AP_COMPARE(==, 0)
AP_COMPARE(!=, 0)
AP_COMPARE(<, 1)
AP_COMPARE(<=, 1)
AP_COMPARE(>, 1)
AP_COMPARE(>=, 1)
#undef AP_COMPARE

#define AP_SHIFT(op, forward, backward)                                                       \
  template <int W, bool S, int W2>                                                            \
  AP_INLINE ap_int_base<W, S> operator op(const ap_int_base<W, S>& a,                         \
                                          const ap_int_base<W2, false>& amount) {             \
    return a.forward((unsigned)amount.V);                                                     \
  }                                                                                           \
  template <int W, bool S, int W2>                                                            \
  AP_INLINE ap_int_base<W, S> operator op(const ap_int_base<W, S>& a,                         \
                                          const ap_int_base<W2, true>& amount) {              \
    typedef typename ap::bits<W2, false>::type magnitude;                                     \
    return amount.V < 0 ? a.backward((unsigned)(magnitude)-(magnitude)amount.V)               \
                        : a.forward((unsigned)(magnitude)amount.V);                           \
  }
AP_SHIFT(<<, left, right)
AP_SHIFT(>>, right, left)
#undef AP_SHIFT

// A native integer is an operand of its own width.
#define AP_NATIVE_RIGHT(op)                                                                   \
  template <int W, bool S, class T, int W2 = ap::native<T>::width>                            \
  AP_INLINE auto operator op(const ap_int_base<W, S>& a, T b) {                               \
    return a op ap_int_base<W2, ap::native<T>::is_signed>(b);                                 \
  }
#define AP_NATIVE(op)                                                                         \
  AP_NATIVE_RIGHT(op)                                                                         \
  template <int W, bool S, class T, int W2 = ap::native<T>::width>                            \
  AP_INLINE auto operator op(T a, const ap_int_base<W, S>& b) {                               \
    return ap_int_base<W2, ap::native<T>::is_signed>(a) op b;                                 \
  }
AP_NATIVE(+)
AP_NATIVE(-)
AP_NATIVE(*)
AP_NATIVE(/)
AP_NATIVE(%)
AP_NATIVE(&)
AP_NATIVE(|)
AP_NATIVE(^)
AP_NATIVE(==)
AP_NATIVE(!=)
AP_NATIVE(<)
AP_NATIVE(<=)
AP_NATIVE(>)
AP_NATIVE(>=)
AP_NATIVE_RIGHT(<<)
AP_NATIVE_RIGHT(>>)
#undef AP_NATIVE
#undef AP_NATIVE_RIGHT

#endif
