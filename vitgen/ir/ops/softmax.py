"""Softmax over the keys of a score tensor."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from vitgen.arith.softmax import MAX_KEYS, MAX_SHIFT
from vitgen.ir.ops.base import Op
from vitgen.ir.tensor import Interval, Tensor


@dataclass(frozen=True, eq=False)
class Softmax(Op):
    """``arith.softmax`` along the keys; the input's ``fraction`` is its binary point.

    Parameters
    ----------
    shift : 0 to 7, see :func:`vitgen.arith.softmax.softmax`.
    group : length of the pieces of the last axis that are softmaxed each by itself; None for the whole.
    """

    kind: ClassVar[str] = "softmax"

    shift: int = 0
    group: int | None = None

    def check(self, inputs: Sequence[Tensor], output: Tensor) -> Interval:
        (x,) = inputs
        self.require(
            x.fraction is not None and 8 <= x.fraction <= 12,
            f"the scores have {x.fraction} fractional bits.",
            "Softmax takes 8 to 12.",
        )
        self.require(
            0 <= self.shift <= MAX_SHIFT,
            f"the shift is {self.shift}.",
            f"Shifts of probabilities run from 0 to {MAX_SHIFT}.",
        )
        self.require(
            self.group is None
            or (len(x.shape) == 2 and self.group >= 1 and x.features % self.group == 0),
            f"groups of {self.group} do not divide {x.shape}.",
            "Give the classes of a head, of features alone.",
        )
        keys = x.features if self.group is None else self.group
        self.require(
            keys <= MAX_KEYS,
            f"{keys} keys are too many.",
            f"The sum of the exponentials is exact up to {MAX_KEYS} keys.",
        )
        self.require(
            output.shape == x.shape and output.bits <= 8,
            f"the output is {output.shape} of {output.bits} bits for {x.shape}.",
            "Softmax keeps its shape and gives at most 8 bits.",
        )
        return Interval(0, (1 << (output.bits - 1)) - 1)
