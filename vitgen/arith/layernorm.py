"""LayerNorm from exact integer sums and a normalised reciprocal square root."""

import math

import numpy as np
from numpy.typing import NDArray

from vitgen.arith.requant import clamp

Int = NDArray[np.int64]

VARIANCE_BITS = 50  # V < 2**50
MANTISSA_BITS = 34  # V normalised to [2**32, 2**34)
RECIPROCAL_LIMIT = (1 << 17) - 1
NORMAL_FRACTION = 11  # fractional bits of the normalised value
MAX_FEATURES = 1024
BIAS_BITS = 31  # |bias| < 2**31


def reciprocal_sqrt(variance: Int) -> tuple[Int, Int]:
    """``1 / sqrt(variance)`` as ``R * 2**-(16 + h)``.

    ``h`` is half the bit length, rounded up; the variance is brought to 34 bits by an even shift, its
    integer square root (17 bits) divides ``2**33``. Relative error below ``2**-15``.

    Parameters
    ----------
    variance : 1 to ``2**50 - 1``.

    Returns
    -------
    reciprocal : ``2**16 .. 2**17 - 1``.
    half_length : 1 to 25.
    """
    flat = [int(v) for v in np.asarray(variance).ravel()]
    reciprocals, halves = [], []
    for value in flat:
        half = (value.bit_length() + 1) // 2
        shift = MANTISSA_BITS - 2 * half
        root = math.isqrt(value << shift if shift >= 0 else value >> -shift)
        reciprocals.append(min((1 << 33) // root, RECIPROCAL_LIMIT))
        halves.append(half)
    shape = np.asarray(variance).shape
    return (
        np.asarray(reciprocals, dtype=np.int64).reshape(shape),
        np.asarray(halves, dtype=np.int64).reshape(shape),
    )


def layernorm(x: Int, epsilon: int, gain: Int, bias: Int, shift: int, bits: int) -> Int:
    """LayerNorm along the last axis of C features, requantized.

    Parameters
    ----------
    x : ``(..., C)``, 16 bits, C at most 1,024.
    epsilon : added to ``V = C * sum(x**2) - sum(x)**2``, at least 1: ``round(C**2 * eps / scale**2)``.
    gain : ``(C,)``, ``gamma / scale_out * 2**(shift - 11)``, ``|gain| < 2**17``.
    bias : ``(C,)``, ``beta / scale_out * 2**shift``, ``|bias| < 2**31``.
    shift : 1 to 24.
    bits : width of the result.
    """
    features = x.shape[-1]
    total = x.sum(axis=-1, keepdims=True)
    variance = features * (x * x).sum(axis=-1, keepdims=True) - total * total + epsilon
    reciprocal, half = reciprocal_sqrt(variance)
    deviation = features * x - total
    normal_shift = half + (16 - NORMAL_FRACTION)
    normal = (deviation * reciprocal + (np.int64(1) << (normal_shift - 1))) >> normal_shift
    return clamp((normal * gain + bias + (1 << (shift - 1))) >> shift, bits)
