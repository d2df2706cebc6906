"""The mean of all tokens, beside each token's own features."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from vitgen.arith.selection import MAX_TOKENS
from vitgen.ir.ops.base import Op
from vitgen.ir.tensor import Interval, Tensor


@dataclass(frozen=True, eq=False)
class Pool(Op):
    """Of every head, a token's own K features and behind them their means over all tokens.

    Input ``(tokens, heads * K)``, output ``(tokens, heads * 2K)``.

    Parameters
    ----------
    heads : at least 1.
    """

    kind: ClassVar[str] = "pool"

    heads: int

    def check(self, inputs: Sequence[Tensor], output: Tensor) -> Interval:
        (x,) = inputs
        self.require(
            self.heads >= 1 and len(x.shape) == 2 and x.features % self.heads == 0,
            f"{x.name} of shape {x.shape} does not divide into {self.heads} heads.",
            "Choose a width that is a multiple of the head count.",
        )
        self.require(
            x.tokens <= MAX_TOKENS,
            f"{x.tokens} tokens are too many.",
            f"A mean is taken of up to {MAX_TOKENS}.",
        )
        self.require(
            output.shape == (x.tokens, 2 * x.features)
            and (output.bits, output.scale) == (x.bits, x.scale),
            f"the output is {output.shape} of {output.bits} bits and scale {output.scale}, "
            f"{x.name} {x.shape} of {x.bits} bits and {x.scale}.",
            "Pooling doubles the features and changes nothing else.",
        )
        return x.interval
