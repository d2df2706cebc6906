"""Requantization: an exact accumulator times a rational scale, rounded half up and clamped."""

import numpy as np
from numpy.typing import NDArray

from vitgen.errors import OverflowRefused

Int = NDArray[np.int64]

ACCUMULATOR_BITS = 27
"""Signed width of every accumulator including its bias: ``|acc| < 2**26``."""

MULTIPLIER_BITS = 17
"""A multiplier is below ``2**17`` in magnitude, so that one 27x18 DSP multiplies it."""

MAX_SHIFT = 40


def symmetric_limit(bits: int) -> int:
    """Largest magnitude of a symmetric ``bits``-wide tensor: ``2**(bits-1) - 1``."""
    return (1 << (bits - 1)) - 1


def clamp(value: Int, bits: int) -> Int:
    """Clamp to the symmetric range of ``bits``: ``-limit .. limit``."""
    limit = symmetric_limit(bits)
    return np.clip(value, -limit, limit)


def requant(acc: Int, mult: Int | int, shift: int, bits: int) -> Int:
    """``clamp((acc * mult + 2**(shift-1)) >> shift)``, that is, rounded half up.

    Parameters
    ----------
    acc : accumulators with their bias, ``|acc| < 2**26``.
    mult : broadcastable multipliers, ``|mult| < 2**17``.
    shift : 1 to 40.
    bits : width of the result; the most negative code is never produced.
    """
    return clamp((acc * mult + (1 << (shift - 1))) >> shift, bits)


def quantize_multipliers(
    scales: NDArray[np.float64], max_shift: int = MAX_SHIFT
) -> tuple[Int, int]:
    """Integer multipliers and the one shift with ``mult / 2**shift`` nearest to ``scales``.

    The shift is the largest for which every multiplier stays below ``2**17``: it is shared by all
    rows, because a shift that varies by row costs five times the LUTs of a constant one.

    Parameters
    ----------
    scales : real factors of any shape, any sign.
    max_shift : upper bound of the shift, at most 40.

    Returns
    -------
    mult : ``int64``, the shape of ``scales``, ``|mult| < 2**17``.
    shift : 1 to ``max_shift``.

    Raises
    ------
    OverflowRefused : a scale is not finite, or too large for a shift of 1.
    """
    largest = float(np.max(np.abs(scales), initial=0.0))
    if not np.isfinite(largest):
        raise OverflowRefused(
            f"A requantization scale is {largest}.", "Check the calibration data and the weights."
        )
    # Half a step over the limit rounds to the even number above it.
    beyond = (1 << MULTIPLIER_BITS) - 0.5
    shift = max_shift
    while shift > 1 and largest * 2.0**shift >= beyond:
        shift -= 1
    if largest * 2.0**shift >= beyond:
        raise OverflowRefused(
            f"A requantization scale of {largest:.6g} does not fit {MULTIPLIER_BITS} bits.",
            "Calibrate again: an output range is far too small for what the layer produces.",
        )
    return np.rint(np.asarray(scales, dtype=np.float64) * 2.0**shift).astype(np.int64), shift
