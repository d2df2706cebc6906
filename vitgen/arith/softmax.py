"""Softmax over integers: a quadratic for exp2's fraction, a shift, one exact reciprocal per row.

The polynomial is I-BERT's (HeatViT eq. 13): ``exp(p) = 0.3585 (p + 1.353)**2 + 0.344`` on
``(-ln 2, 0]``. HeatViT's gain ``delta2`` multiplies every output alike, so it is carried by the scale
of the output tensor (``delta2 * 2**-(bits-1) * 2**-shift``) and needs no hardware.
"""

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]

INTERNAL_FRACTION = 14
MAX_DISTANCE = (1 << 18) - 1  # just under 16.0: exp is 0 in 15 bits well before
INVERSE_LN2 = round(2**14 / np.log(2.0))  # 23637
LN2 = 11357  # ceil(ln 2 * 2**14): the remainder stays at most one step over ln 2
VERTEX = round(1.353 * 2**14)  # 22168
SCALE = round(0.3585 * 2**14)  # 5874
OFFSET = round(0.344 * 2**14)  # 5636
RECIPROCAL_BITS = 38
MAX_KEYS = 1023
MAX_SHIFT = 7  # of the output scale: 8 bits then reach down to 2**-14


def exponential(distance: Int, fraction: int) -> Int:
    """``exp(-distance / 2**fraction)`` in Q14, at most 16,389.

    Parameters
    ----------
    distance : non-negative, below ``2**17``.
    fraction : fractional bits of ``distance``, 8 to 12.
    """
    scaled = np.minimum(distance << (INTERNAL_FRACTION - fraction), MAX_DISTANCE)
    halvings = (scaled * INVERSE_LN2) >> (2 * INTERNAL_FRACTION)
    remainder = np.maximum(scaled - halvings * LN2, 0)
    base = VERTEX - remainder
    square = (base * base) >> 14
    terms: Int = (((square * SCALE) >> 14) + OFFSET) >> halvings
    return terms


def softmax(scores: Int, fraction: int, bits: int, shift: int = 0) -> Int:
    """Softmax along the last axis.

    Parameters
    ----------
    scores : 16-bit integers, real value ``scores / 2**fraction``; last axis 1 to 1,023 long.
    fraction : 8 to 12.
    bits : width of the result, 4 to 8; values ``0 .. 2**(bits-1) - 1``, which larger ones saturate at.
    shift : 0 to 7; a result of 1 stands for a probability of ``2**-(bits-1) * 2**-shift``.
    """
    distance = scores.max(axis=-1, keepdims=True) - scores
    terms = exponential(distance, fraction)
    reciprocal = (1 << RECIPROCAL_BITS) // terms.sum(axis=-1, keepdims=True)
    fall = RECIPROCAL_BITS + 1 - bits - shift
    rounded = (terms * reciprocal + (1 << (fall - 1))) >> fall
    result: Int = np.minimum(rounded, (1 << (bits - 1)) - 1)
    return result
