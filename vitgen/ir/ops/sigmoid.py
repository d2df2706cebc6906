"""Sigmoid in straight pieces."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vitgen.arith.selection import SHARE_BITS, sigmoid
from vitgen.ir.ops.base import Op
from vitgen.ir.tensor import Interval, Tensor

FLAT = 5  # the real value from which on it is 1


@dataclass(frozen=True, eq=False)
class Sigmoid(Op):
    """``arith.selection.sigmoid``; the input's ``fraction`` is its binary point."""

    kind: ClassVar[str] = "sigmoid"

    def check(self, inputs: Sequence[Tensor], output: Tensor) -> Interval:
        (x,) = inputs
        self.require(
            x.fraction is not None and 8 <= x.fraction <= 12,
            f"the input has {x.fraction} fractional bits.",
            "Sigmoid takes 8 to 12.",
        )
        assert x.fraction is not None
        self.require(
            output.shape == x.shape and output.bits == SHARE_BITS,
            f"the output is {output.shape} of {output.bits} bits for {x.shape}.",
            f"Sigmoid keeps its shape and gives {SHARE_BITS} bits.",
        )
        # Not monotonic: the pieces do not quite meet.
        end = FLAT << x.fraction
        lo, hi = (min(max(bound, -end), end) for bound in x.interval)
        values = sigmoid(np.arange(lo, hi + 1), x.fraction)
        return Interval(int(values.min()), int(values.max()))
