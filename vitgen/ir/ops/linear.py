"""Linear layer with mixed rows: fixed point of 4 or 8 bits, and powers of two."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vitgen.arith import pot_code, requant
from vitgen.errors import VitgenError
from vitgen.ir.ops.base import Array, Op
from vitgen.ir.tensor import Interval, Tensor

FIXED = 0
POT = 1
SCHEME_NAMES = {FIXED: "fixed", POT: "pot"}


@dataclass(frozen=True, eq=False)
class Linear(Op):
    """``y[n, r] = requant(sum_k x[n, k] * weight[r, k] + bias[r], mult[r], shift)``.

    With ``relu``, ``y[n, r]`` is the larger of that and 0. With several heads the same layer runs on
    each: on features ``h*K .. (h+1)*K - 1`` of the input, K being those of the weight, into
    ``h*R .. (h+1)*R - 1`` of the output.

    Parameters
    ----------
    weight : ``int8 (rows, features)``; a fixed row of b bits stays within ``+-(2**(b-1) - 1)``, a
        power-of-two row holds 0 and plus or minus 1, 2, 4 .. 64.
    row_scheme : ``uint8 (rows,)``, ``FIXED`` or ``POT`` (Auto-ViT-Acc's row-wise mixed scheme).
    row_bits : ``uint8 (rows,)``, 4 or 8; power-of-two rows are 4.
    bias : ``int32 (rows,)`` in the accumulator's scale.
    mult : ``int32 (rows,)``, below ``2**17``; ``shift``: one for the layer.
    tokens : tokens computed, counted from token 0 (1 for a classifier on CLS); None for all.
    relu : negative results become 0.
    heads : slices of the input's features that share the layer, at least 1.
    """

    kind: ClassVar[str] = "linear"

    weight: Array
    row_scheme: Array
    row_bits: Array
    bias: Array
    mult: Array
    shift: int
    tokens: int | None = None
    relu: bool = False
    heads: int = 1

    def count_of(self, inputs: Sequence[Tensor]) -> str | None:
        return self.first_tokens(inputs, self.tokens)

    @property
    def rows(self) -> int:
        """Output features of a head."""
        return int(self.weight.shape[0])

    def _check_rows(self) -> None:
        for scheme, bits, limit in ((FIXED, 4, 7), (FIXED, 8, 127)):
            chosen = (self.row_scheme == scheme) & (self.row_bits == bits)
            largest = int(np.abs(self.weight[chosen].astype(np.int64)).max(initial=0))
            self.require(
                largest <= limit,
                f"a {bits}-bit fixed row holds a weight of magnitude {largest}.",
                f"Magnitudes up to {limit} are allowed.",
            )
        power = self.row_scheme == POT
        self.require(
            bool(np.all(self.row_bits[power] == 4)),
            "a power-of-two row is not 4 bits wide.",
            "Only 4-bit power-of-two codes exist.",
        )
        try:
            pot_code(self.weight[power])
        except VitgenError as error:
            raise VitgenError(f"Op {self.name}: {error.problem}", error.remedy) from None
        known = power | ((self.row_scheme == FIXED) & np.isin(self.row_bits, (4, 8)))
        self.require(
            bool(np.all(known)),
            f"row {int(np.argmin(known))} has an unknown scheme or width.",
            "Use fixed rows of 4 or 8 bits, or power-of-two rows of 4.",
        )

    def accumulator(self, x: Tensor) -> tuple[Array, Array]:
        """Exact lower and upper bound of every row's accumulator, ``int64 (rows,)`` each."""
        weight = self.weight.astype(np.int64)
        positive = np.maximum(weight, 0).sum(axis=1)
        negative = np.minimum(weight, 0).sum(axis=1)
        bias = self.bias.astype(np.int64)
        low = positive * x.interval.lo + negative * x.interval.hi + bias
        high = positive * x.interval.hi + negative * x.interval.lo + bias
        return low, high

    def partial_sums(self, x: Tensor) -> Interval:
        """Holds every sum of some of the products of any row, before the bias is added.

        Wider than :meth:`accumulator` without its bias where the input's interval leaves out zero.
        """
        low, high = min(x.interval.lo, 0), max(x.interval.hi, 0)
        positive = np.maximum(self.weight, 0).sum(axis=1, dtype=np.int64)
        negative = np.minimum(self.weight, 0).sum(axis=1, dtype=np.int64)
        least = positive * low + negative * high
        most = positive * high + negative * low
        return Interval(int(least.min()), int(most.max()))

    def check(self, inputs: Sequence[Tensor], output: Tensor) -> Interval:
        (x,) = inputs
        rows, features = self.weight.shape
        for label, array in (("row_scheme", self.row_scheme), ("row_bits", self.row_bits),
                             ("bias", self.bias), ("mult", self.mult)):
            self.require(
                array.shape == (rows,),
                f"{label} has shape {array.shape} for {rows} rows.",
                "Give one entry per row.",
            )
        self.require(
            self.heads >= 1 and len(x.shape) == 2 and self.heads * features == x.features,
            f"the weight takes {features} features, {x.name} has shape {x.shape} in {self.heads} "
            "heads.",
            "Check the order of the layers.",
        )
        tokens = x.tokens if self.tokens is None else self.tokens
        self.require(
            output.shape == (tokens, self.heads * rows) and 1 <= tokens <= x.tokens,
            f"the output has shape {output.shape}, not {(tokens, self.heads * rows)}.",
            "Check the model's configuration.",
        )
        self._check_rows()
        self.require_requant(self.mult, self.shift)
        low, high = self.accumulator(x)
        self.require_accumulator(Interval(int(low.min()), int(high.max())))
        self.require_accumulator(self.partial_sums(x))
        mult = self.mult.astype(np.int64)
        ends = [requant(end, mult, self.shift, output.bits) for end in (low, high)]
        least, most = int(min(e.min() for e in ends)), int(max(e.max() for e in ends))
        return Interval(max(least, 0), max(most, 0)) if self.relu else Interval(least, most)

    def macs(self, inputs: Sequence[Tensor]) -> int:
        (x,) = inputs
        return (self.tokens or x.tokens) * self.heads * int(self.weight.size)
