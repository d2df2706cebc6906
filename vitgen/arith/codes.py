"""The power-of-two weight code (Auto-ViT-Acc): 4 bits, sign and exponent, zero is code 0."""

import numpy as np
from numpy.typing import NDArray

from vitgen.errors import VitgenError

Int = NDArray[np.int64]

POT_MAGNITUDES = (0, 1, 2, 4, 8, 16, 32, 64)


def pot_value(code: Int) -> Int:
    """Weight of each 4-bit code: ``sign << 3 | c`` is ``(-1)**sign * 2**(c-1)``, ``c = 0`` is 0."""
    magnitude = np.asarray(POT_MAGNITUDES, dtype=np.int64)[np.asarray(code) & 7]
    value: Int = np.where(np.asarray(code) & 8, -magnitude, magnitude)
    return value


def pot_code(value: Int) -> Int:
    """Code of each power-of-two weight; the inverse of :func:`pot_value`, without a negative zero.

    Raises
    ------
    VitgenError : a value is not 0 or plus or minus a power of two up to 64.
    """
    value = np.asarray(value, dtype=np.int64)
    magnitude = np.abs(value)
    exponent = np.searchsorted(POT_MAGNITUDES, magnitude)
    exponent = np.minimum(exponent, 7)
    wrong = np.asarray(POT_MAGNITUDES, dtype=np.int64)[exponent] != magnitude
    if np.any(wrong):
        raise VitgenError(
            f"Weight {int(value[wrong].flat[0])} is not a power of two up to 64.",
            "Quantize the row with the scheme `pot`, or mark it `fixed`.",
        )
    return np.where(value < 0, exponent | 8, exponent)
