"""The keep score of every token, from what its heads say."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from vitgen.arith.selection import SHARE_BITS, WEIGHT_SHIFT
from vitgen.ir.ops.base import Op
from vitgen.ir.tensor import Interval, Tensor

SCORE_BITS = 15


@dataclass(frozen=True, eq=False)
class Score(Op):
    """``arith.selection.keep_score``; inputs ``(classes, importance)``.

    ``classes (tokens, 2 * heads)``: for every head the probability to keep and that to drop.
    ``importance (tokens, heads)``: at least 1. Output ``(tokens, 1)``, 15 bits.
    """

    kind: ClassVar[str] = "score"

    def check(self, inputs: Sequence[Tensor], output: Tensor) -> Interval:
        classes, importance = inputs
        heads = importance.features
        self.require(
            classes.shape == (importance.tokens, 2 * heads)
            and importance.shape == (importance.tokens, heads)
            and output.shape == (importance.tokens, 1),
            f"classes {classes.shape}, importance {importance.shape} and scores {output.shape} do "
            "not match.",
            "A head has two classes and one importance, a token one score.",
        )
        self.require(
            max(classes.bits, importance.bits) <= SHARE_BITS
            and classes.interval.lo >= 0
            and importance.interval.lo >= 1,
            f"classes reach {classes.interval.lo} in {classes.bits} bits, importance "
            f"{importance.interval.lo} in {importance.bits}.",
            "Classes are at least 0, importance at least 1, both of 8 bits.",
        )
        self.require(
            output.bits == SCORE_BITS, f"the output has {output.bits} bits.", "Scores have 15."
        )
        # A weighted mean of the classes; their ends are whole, and rounding keeps within them.
        return Interval(classes.interval.lo << WEIGHT_SHIFT, classes.interval.hi << WEIGHT_SHIFT)
