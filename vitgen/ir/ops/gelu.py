"""GELU, a polynomial with a gain."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vitgen.arith import gelu
from vitgen.arith.gelu import DELTA_ONE, knee
from vitgen.ir.ops.base import Op
from vitgen.ir.tensor import Interval, Tensor


@dataclass(frozen=True, eq=False)
class Gelu(Op):
    """``arith.gelu``; the input's ``fraction`` is its binary point.

    Parameters
    ----------
    delta : gain of the polynomial in units of 1/256: 256 for I-BERT's, 128 for HeatViT's.
    mult, shift : requantization, see :func:`vitgen.arith.gelu.gelu`.
    """

    kind: ClassVar[str] = "gelu"

    delta: int
    mult: int
    shift: int

    def check(self, inputs: Sequence[Tensor], output: Tensor) -> Interval:
        (x,) = inputs
        self.require(
            x.fraction is not None and 8 <= x.fraction <= 12,
            f"the input has {x.fraction} fractional bits.",
            "GELU takes 8 to 12.",
        )
        assert x.fraction is not None
        self.require(
            0 <= self.delta <= DELTA_ONE,
            f"delta is {self.delta}/{DELTA_ONE}.",
            "delta lies between 0 and 1.",
        )
        self.require(output.shape == x.shape, f"the shape changes to {output.shape}.", "Keep it.")
        self.require_requant(self.mult, self.shift)
        # Beyond the knee the function is linear, so its extremes are at the interval's ends or
        # between the knees.
        bend = knee(x.fraction)
        lo, hi = max(x.interval.lo, -bend), min(x.interval.hi, bend)
        points = np.concatenate([np.arange(lo, hi + 1), np.asarray(x.interval)]).astype(np.int64)
        values = gelu(points, x.fraction, self.delta, self.mult, self.shift, output.bits)
        return Interval(int(values.min()), int(values.max()))
