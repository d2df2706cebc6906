"""Integer parameters of single ops from the real numbers of the model. Free of torch."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitgen.arith import quantize_multipliers
from vitgen.arith.layernorm import BIAS_BITS, NORMAL_FRACTION
from vitgen.arith.requant import ACCUMULATOR_BITS, MULTIPLIER_BITS
from vitgen.errors import OverflowRefused
from vitgen.ir import Linear, Tensor
from vitgen.lower.numbers import Float, Norm, Rows

MAX_NORM_SHIFT = 24


def multipliers(op: str, real: Float) -> tuple[NDArray[np.int64], int]:
    """Integer multipliers and shift of ``op``; a refusal names it."""
    try:
        return quantize_multipliers(real)
    except OverflowRefused as error:
        raise OverflowRefused(f"Op {op}: {error.problem}", error.remedy) from error


def multiplier(op: str, real: float) -> tuple[int, int]:
    """One multiplier and its shift."""
    mult, shift = multipliers(op, np.asarray([real], dtype=np.float64))
    return int(mult[0]), shift


def linear_op(
    op: str,
    x: Tensor,
    rows: Rows,
    scale: float,
    tokens: int | None = None,
    divisor: float = 1.0,
    relu: bool = False,
    heads: int = 1,
) -> Linear:
    """A linear layer from ``x`` to a tensor of this scale.

    Parameters
    ----------
    scale : real value of 1 in the output.
    tokens, relu, heads : as :class:`vitgen.ir.Linear` has them.
    divisor : of what the layer computes, its bias included; it goes into the multipliers.

    Raises
    ------
    OverflowRefused : a bias or multiplier does not fit; :class:`Linear` proves the accumulator.
    """
    accumulator = x.scale * rows.scale
    bias = np.rint(rows.bias / accumulator)
    largest = float(np.abs(bias).max(initial=0.0))
    if not largest < 2.0 ** (ACCUMULATOR_BITS - 1):
        raise OverflowRefused(
            f"Op {op}: a bias is {largest:.4g} in the accumulator's scale, beyond the "
            f"2**{ACCUMULATOR_BITS - 1} of the hardware.",
            "The row's weights are far smaller than its bias: check the checkpoint.",
        )
    mult, shift = multipliers(op, accumulator / (scale * divisor))
    return Linear(
        op,
        (x.name,),
        f"{op}.out",
        weight=rows.codes,
        row_scheme=rows.scheme,
        row_bits=rows.bits,
        bias=bias.astype(np.int32),
        mult=mult.astype(np.int32),
        shift=shift,
        tokens=tokens,
        relu=relu,
        heads=heads,
    )


def layernorm_parameters(op: str, norm: Norm, scale_in: float, scale_out: float) -> dict[str, Any]:
    """Epsilon, gain, bias and shift of an integer LayerNorm.

    The shift is the largest up to 24 for which every gain stays below ``2**17`` and every bias
    below ``2**31``.

    Raises
    ------
    OverflowRefused : none does.
    """
    gamma, beta = norm.gamma / scale_out, norm.beta / scale_out
    features = len(gamma)
    epsilon = max(1, round(features**2 * norm.eps / scale_in**2))
    for shift in range(MAX_NORM_SHIFT, 0, -1):
        gain = np.rint(gamma * 2.0 ** (shift - NORMAL_FRACTION))
        bias = np.rint(beta * 2.0**shift)
        fits = np.abs(gain).max() < 2**MULTIPLIER_BITS and np.abs(bias).max() < 2**BIAS_BITS
        if fits:
            return {
                "epsilon": epsilon,
                "gain": gain.astype(np.int32),
                "bias": bias.astype(np.int32),
                "shift": shift,
            }
    raise OverflowRefused(
        f"Op {op}: a gain of {float(np.abs(gamma).max()):.4g} or a bias of "
        f"{float(np.abs(beta).max()):.4g} output steps does not fit the hardware.",
        "Calibrate again: the norm's output range is far too small for its gain.",
    )
