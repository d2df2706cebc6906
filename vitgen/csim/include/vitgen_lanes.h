// Lanes of words for the C-sim, in place of those of types.h: out of the 64-bit limbs that ap_uint keeps
// its bits in. A shift of a wide word costs the limbs of the whole word for every lane.
#ifndef VITGEN_LANES_H
#define VITGEN_LANES_H

#include <ap_int.h>

#include <cstdint>

namespace vitgen_csim {

constexpr int LIMB_BITS = 64;

template <int LANE_BITS>
constexpr std::uint64_t lane_mask() {
  static_assert(LANE_BITS > 0 && LANE_BITS <= LIMB_BITS, "a lane spans two limbs at most");
  return ~std::uint64_t(0) >> (LIMB_BITS - LANE_BITS);
}

// Lane `lane` of a word; it lies within the word.
template <int LANE_BITS, int WORD_BITS>
inline ap_uint<LANE_BITS> unsigned_lane(const ap_uint<WORD_BITS>& word, int lane) {
  const int low = lane * LANE_BITS;
  const int limb = low / LIMB_BITS;
  const int offset = low % LIMB_BITS;
  std::uint64_t bits = std::uint64_t(word.V.get_pVal(limb)) >> offset;
  if (offset + LANE_BITS > LIMB_BITS) {
    bits |= std::uint64_t(word.V.get_pVal(limb + 1)) << (LIMB_BITS - offset);
  }
  return ap_uint<LANE_BITS>(bits & lane_mask<LANE_BITS>());
}

// Puts the low bits of a value into a lane, which lies within the word.
template <int LANE_BITS, int WORD_BITS, typename VALUE>
inline void set_lane(ap_uint<WORD_BITS>& word, int lane, const VALUE& value) {
  const std::uint64_t mask = lane_mask<LANE_BITS>();
  const std::uint64_t bits = ap_uint<LANE_BITS>(value).to_uint64();
  const int low = lane * LANE_BITS;
  const int limb = low / LIMB_BITS;
  const int offset = low % LIMB_BITS;
  const std::uint64_t first = std::uint64_t(word.V.get_pVal(limb));
  word.V.set_pVal(limb, (first & ~(mask << offset)) | bits << offset);
  if (offset + LANE_BITS > LIMB_BITS) {
    const int above = LIMB_BITS - offset;
    const std::uint64_t second = std::uint64_t(word.V.get_pVal(limb + 1));
    word.V.set_pVal(limb + 1, (second & ~(mask >> above)) | bits >> above);
  }
}

}  // namespace vitgen_csim

#endif
