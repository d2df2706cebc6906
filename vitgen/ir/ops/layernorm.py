"""LayerNorm over the features of each token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vitgen.arith.layernorm import BIAS_BITS, MAX_FEATURES, VARIANCE_BITS
from vitgen.arith.requant import MULTIPLIER_BITS
from vitgen.ir.ops.base import Array, Op
from vitgen.ir.tensor import Interval, Tensor, full_range


@dataclass(frozen=True, eq=False)
class LayerNorm(Op):
    """``arith.layernorm`` along the features.

    Parameters
    ----------
    epsilon : integer added to the variance, at least 1.
    gain : ``int32 (features,)``, below ``2**17`` in magnitude.
    bias : ``int32 (features,)``, in units of ``2**-shift`` of the output.
    shift : 1 to 24.
    tokens : tokens normalised, counted from token 0; None for all.
    """

    kind: ClassVar[str] = "layernorm"

    epsilon: int
    gain: Array
    bias: Array
    shift: int
    tokens: int | None = None

    def count_of(self, inputs: Sequence[Tensor]) -> str | None:
        return self.first_tokens(inputs, self.tokens)

    def check(self, inputs: Sequence[Tensor], output: Tensor) -> Interval:
        (x,) = inputs
        features = x.features
        self.require(len(x.shape) == 2, f"the input has shape {x.shape}.", "It has two axes.")
        self.require(
            features <= MAX_FEATURES,
            f"{features} features are too many.",
            f"The exact sums hold up to {MAX_FEATURES}.",
        )
        tokens = x.tokens if self.tokens is None else self.tokens
        self.require(
            self.gain.shape == self.bias.shape == (features,)
            and output.shape == (tokens, features)
            and 1 <= tokens <= x.tokens,
            f"gain {self.gain.shape}, bias {self.bias.shape} and output {output.shape} do not match "
            f"the input {x.shape}.",
            "Check the model's configuration.",
        )
        self.require(1 <= self.shift <= 24, f"the shift is {self.shift}.", "It runs from 1 to 24.")
        self.require(self.epsilon >= 1, f"epsilon is {self.epsilon}.", "It is at least 1.")
        self.require_below("a gain", int(np.abs(self.gain.astype(np.int64)).max()), MULTIPLIER_BITS)
        self.require_below("a bias", int(np.abs(self.bias.astype(np.int64)).max()), BIAS_BITS)
        largest = x.interval.magnitude
        # C * sum(x^2) - sum(x)^2 is largest for half the features at each extreme.
        self.require_below(
            "the variance", features * features * largest * largest + self.epsilon, VARIANCE_BITS
        )
        return full_range(output.bits)
