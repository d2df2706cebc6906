"""Residual addition: same scale, saturating by definition."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from vitgen.ir.ops.base import Op
from vitgen.ir.tensor import Interval, Tensor, full_range


@dataclass(frozen=True, eq=False)
class Add(Op):
    """``clamp(a + b)`` to the symmetric range of the output; inputs ``(stream, increment)``."""

    kind: ClassVar[str] = "add"

    def check(self, inputs: Sequence[Tensor], output: Tensor) -> Interval:
        a, b = inputs
        self.require(
            a.shape == b.shape == output.shape,
            f"shapes {a.shape}, {b.shape} and {output.shape} differ.",
            "A residual addition keeps its shape.",
        )
        self.require(
            a.scale == b.scale == output.scale,
            f"scales {a.scale}, {b.scale} and {output.scale} differ.",
            "The residual stream has one scale.",
        )
        bound = full_range(output.bits)
        # Both ends are clamped on both sides: a sum may lie outside the range altogether.
        low, high = (
            min(max(x + y, bound.lo), bound.hi)
            for x, y in zip(a.interval, b.interval, strict=True)
        )
        return Interval(low, high)
