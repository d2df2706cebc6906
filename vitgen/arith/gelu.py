"""GELU as a second-order polynomial with a gain (HeatViT eqs. 11-12; I-BERT where delta is 1)."""

import math

import numpy as np
from numpy.typing import NDArray

from vitgen.arith.requant import requant

Int = NDArray[np.int64]

# L(u) = sign(u) * delta * (a * (min(|u|, -b) + b)**2 + 1) with u = x / sqrt(2).
A = -0.2888
B = -1.769

SQUARE_FRACTION = 12  # Q12 of the squared distance to the knee
CURVATURE = round(-A / 2 * 2**16)  # a/2: the square is taken in x, not in x/sqrt(2); 9463
ONE = 1 << 14  # Q14 of L
DELTA_ONE = 256  # delta is given in units of 1/256


def knee(fraction: int) -> int:
    """``|x|`` from which on the polynomial is flat: ``1.769 * sqrt(2)`` in Q``fraction``."""
    return round(-B * math.sqrt(2.0) * (1 << fraction))


def gelu(q: Int, fraction: int, delta: int, mult: int, shift: int, bits: int) -> Int:
    """Polynomial GELU of ``q / 2**fraction``, requantized.

    Parameters
    ----------
    q : inputs of 16 bits, ``|q| < 2**15``.
    fraction : fractional bits of ``q``, 8 to 12.
    delta : gain of L in units of 1/256, 0 to 256 (256: I-BERT's GELU; HeatViT trains with 128).
    mult, shift, bits : requantization of ``g``, whose real value is ``g / 2**(fraction + 1)``.
    """
    bend = knee(fraction)
    distance = bend - np.minimum(np.abs(q), bend)
    square = (distance * distance) >> (2 * fraction - SQUARE_FRACTION)
    level = ((ONE - ((square * CURVATURE) >> 14)) * delta) >> 8
    gate = ONE + np.where(q < 0, -level, level)
    doubled = (q * gate + (1 << 13)) >> 14
    return requant(doubled, mult, shift, bits)
