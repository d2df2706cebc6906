"""The two products of attention; both operands are activations, so both run at 8 bits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from vitgen.arith import requant
from vitgen.ir.ops.base import Op
from vitgen.ir.tensor import Interval, Tensor


def _product(a: Interval, b: Interval, terms: int) -> Interval:
    corners = [x * y for x in a for y in b]
    return Interval(min(*corners, 0) * terms, max(*corners, 0) * terms)


@dataclass(frozen=True, eq=False)
class _HeadProduct(Op):
    """A batched product over heads, requantized by one multiplier and shift.

    Parameters
    ----------
    heads : number of heads; head h of a ``(tokens, features)`` tensor is columns
        ``h * head_dim .. (h+1) * head_dim - 1``.
    mult, shift : requantization of the accumulator.
    """

    kind: ClassVar[str] = "_head_product"

    heads: int
    mult: int
    shift: int

    def _require_heads(self, name: str, x: Tensor) -> None:
        self.require(
            self.heads >= 1 and len(x.shape) == 2 and x.features % self.heads == 0,
            f"{name} of shape {x.shape} do not divide into {self.heads} heads.",
            "Choose a width that is a multiple of the head count.",
        )

    def _requantized(self, acc: Interval, output: Tensor) -> Interval:
        self.require_requant(self.mult, self.shift)
        self.require_accumulator(acc)
        ends = requant(np.asarray(acc, dtype=np.int64), self.mult, self.shift, output.bits)
        return Interval(int(ends.min()), int(ends.max()))


@dataclass(frozen=True, eq=False)
class MatMulQK(_HeadProduct):
    """``y[h, n, j] = requant(sum_d q[n, h*D + d] * k[j, h*D + d])``; inputs ``(q, k)``."""

    kind: ClassVar[str] = "matmul_qk"

    def check(self, inputs: Sequence[Tensor], output: Tensor) -> Interval:
        q, k = inputs
        self._require_heads("queries", q)
        self._require_heads("keys", k)
        self.require(
            q.features == k.features,
            f"queries have {q.features} features, keys {k.features}.",
            "Check the model's configuration.",
        )
        self.require(
            output.shape == (self.heads, q.tokens, k.tokens),
            f"the output has shape {output.shape}, not {(self.heads, q.tokens, k.tokens)}.",
            "Check the model's configuration.",
        )
        return self._requantized(
            _product(q.interval, k.interval, q.features // self.heads), output
        )

    def macs(self, inputs: Sequence[Tensor]) -> int:
        q, k = inputs
        return q.tokens * k.tokens * q.features


@dataclass(frozen=True, eq=False)
class MatMulAV(_HeadProduct):
    """``y[n, h*D + d] = requant(sum_j p[h, n, j] * v[j, h*D + d])``; inputs ``(p, v)``."""

    kind: ClassVar[str] = "matmul_av"

    def check(self, inputs: Sequence[Tensor], output: Tensor) -> Interval:
        p, v = inputs
        self._require_heads("values", v)
        self.require(
            p.shape == (self.heads, p.tokens, v.tokens),
            f"probabilities {p.shape} do not match values {v.shape} in {self.heads} heads.",
            "Check the model's configuration.",
        )
        self.require(
            output.shape == (p.tokens, v.features),
            f"the output has shape {output.shape}, not {(p.tokens, v.features)}.",
            "Check the model's configuration.",
        )
        return self._requantized(_product(p.interval, v.interval, v.tokens), output)

    def macs(self, inputs: Sequence[Tensor]) -> int:
        p, v = inputs
        return p.tokens * v.tokens * v.features
