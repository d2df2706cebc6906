"""Compaction: tokens of a score go on, the others become one package; how many is known at run time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from vitgen.arith.selection import MAX_TOKENS, SCORE_FRACTION
from vitgen.ir.ops.base import Op
from vitgen.ir.tensor import Interval, Tensor


@dataclass(frozen=True, eq=False)
class Compact(Op):
    """CLS, the tokens whose score is at least ``threshold`` in their order, and the package.

    Inputs ``(stream, score)``: ``(tokens, features)`` and ``(tokens, 1)``; output as the stream, with a
    count of tokens of its own.

    Parameters
    ----------
    threshold : 0 (all tokens go on) to ``2**14`` (none does).
    """

    kind: ClassVar[str] = "compact"

    threshold: int

    def count_of(self, inputs: Sequence[Tensor]) -> str | None:
        super().count_of(inputs)
        return self.name

    def check(self, inputs: Sequence[Tensor], output: Tensor) -> Interval:
        x, score = inputs
        self.require(
            len(x.shape) == 2 and score.shape == (x.tokens, 1),
            f"scores {score.shape} do not match the stream {x.shape}.",
            "Every token has one score.",
        )
        self.require(
            x.tokens <= MAX_TOKENS,
            f"{x.tokens} tokens are too many.",
            f"A package is made of up to {MAX_TOKENS}.",
        )
        self.require(
            0 <= self.threshold <= 1 << SCORE_FRACTION,
            f"the threshold is {self.threshold}.",
            f"It lies between 0 and 2**{SCORE_FRACTION}.",
        )
        self.require(
            score.interval.lo >= 0, f"a score can be {score.interval.lo}.", "Scores are at least 0."
        )
        self.require(
            output.shape == x.shape and (output.bits, output.scale) == (x.bits, x.scale),
            f"the output is {output.shape} of {output.bits} bits and scale {output.scale}, "
            f"{x.name} {x.shape} of {x.bits} bits and {x.scale}.",
            "Compaction moves tokens; the greatest count is that of none pruned.",
        )
        # A package is a mean, rounded to within its terms.
        return x.interval
