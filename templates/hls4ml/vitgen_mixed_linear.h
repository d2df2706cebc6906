// A linear layer whose rows are fixed point or powers of two, requantized to its output's width.
//
// It works on codes: the bits of its input and output, read as integers. Whoever connects it chooses
// where their binary points lie. Rows come fixed ones first; `place` says where a row's output goes.
#ifndef VITGEN_MIXED_LINEAR_H_
#define VITGEN_MIXED_LINEAR_H_

#include "nnet_common.h"

namespace nnet {

// Product with a power-of-two weight, `sign << 3 | c`: c = 0 is 0, otherwise 2^(c-1).
template <int BITS> ap_int<BITS + 7> vitgen_power_product(ap_int<BITS> x, ap_uint<4> code) {
    #pragma HLS INLINE
    const ap_uint<3> c = code.range(2, 0);
    const ap_int<BITS + 7> wide = x;
    ap_int<BITS + 7> shifted = 0;
    if (c != 0)
        shifted = wide << (c - 1);
    if (code[3])
        shifted = -shifted;
    return shifted;
}

// clamp((acc * mult + 2^(shift-1)) >> shift): rounded half up, symmetric.
template <class CONFIG_T>
ap_int<CONFIG_T::out_bits> vitgen_requant(ap_int<27> acc, ap_int<18> mult) {
    #pragma HLS INLINE
    const ap_int<46> half = ap_int<46>(1) << (CONFIG_T::shift - 1);
    const ap_int<46> scaled = (ap_int<46>(acc * mult) + half) >> CONFIG_T::shift;
    const ap_int<46> limit = (ap_int<46>(1) << (CONFIG_T::out_bits - 1)) - 1;
    const ap_int<46> least = CONFIG_T::relu ? ap_int<46>(0) : ap_int<46>(-limit);
    ap_int<46> value = scaled;
    if (value > limit)
        value = limit;
    if (value < least)
        value = least;
    return value;
}

template <class data_T, class res_T, class CONFIG_T>
void vitgen_mixed_linear(data_T data[CONFIG_T::n_tokens * CONFIG_T::n_in],
                         res_T res[CONFIG_T::n_tokens * CONFIG_T::n_out],
                         typename CONFIG_T::fixed_t fixed[CONFIG_T::fixed_size],
                         typename CONFIG_T::power_t power[CONFIG_T::power_size],
                         typename CONFIG_T::offset_t offset[CONFIG_T::n_out],
                         typename CONFIG_T::mult_t mult[CONFIG_T::n_out],
                         typename CONFIG_T::place_t place[CONFIG_T::n_out]) {
    #pragma HLS ARRAY_PARTITION variable=offset complete
    #pragma HLS ARRAY_PARTITION variable=mult complete
    #pragma HLS ARRAY_PARTITION variable=place complete

Tokens:
    for (unsigned token = 0; token < CONFIG_T::n_tokens; token++) {
        #pragma HLS PIPELINE II=CONFIG_T::reuse_factor
        ap_int<27> acc[CONFIG_T::n_out];
        #pragma HLS ARRAY_PARTITION variable=acc complete
    Start:
        for (unsigned row = 0; row < CONFIG_T::n_out; row++) {
            #pragma HLS UNROLL
            acc[row] = offset[row];
        }
    Features:
        for (unsigned k = 0; k < CONFIG_T::n_in; k++) {
            #pragma HLS UNROLL
            const data_T given = data[token * CONFIG_T::n_in + k];
            ap_int<CONFIG_T::in_bits> x;
            x.range(CONFIG_T::in_bits - 1, 0) = given.range(CONFIG_T::in_bits - 1, 0);
        Fixed:
            for (unsigned row = 0; row < CONFIG_T::n_fixed; row++) {
                #pragma HLS UNROLL
                acc[row] += x * fixed[row * CONFIG_T::n_in + k];
            }
        Power:
            for (unsigned row = CONFIG_T::n_fixed; row < CONFIG_T::n_out; row++) {
                #pragma HLS UNROLL
                const ap_uint<4> code = power[(row - CONFIG_T::n_fixed) * CONFIG_T::n_in + k];
                acc[row] += vitgen_power_product<CONFIG_T::in_bits>(x, code);
            }
        }
    Finish:
        for (unsigned row = 0; row < CONFIG_T::n_out; row++) {
            #pragma HLS UNROLL
            const ap_int<CONFIG_T::out_bits> y = vitgen_requant<CONFIG_T>(acc[row], mult[row]);
            res_T result;
            result.range(CONFIG_T::out_bits - 1, 0) = y.range(CONFIG_T::out_bits - 1, 0);
            res[token * CONFIG_T::n_out + place[row]] = result;
        }
    }
}

} // namespace nnet

#endif
