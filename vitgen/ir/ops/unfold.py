"""Unfolding of a feature map: the windows of a convolution as tokens, for a linear layer to read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from vitgen.ir.ops.base import Op
from vitgen.ir.tensor import Interval, Tensor


@dataclass(frozen=True, eq=False)
class Unfold(Op):
    """Token ``lead + oy*out_width + ox`` holds the window of output pixel ``(oy, ox)``.

    Input: a map ``(height * width, channels)``, pixel ``(y, x)`` being token ``y*width + x``. Output:
    ``(lead + out_height * out_width, kernel * kernel * channels)``; feature
    ``(ky*kernel + kx)*channels + c`` is channel c of the map at
    ``(oy*stride - padding + ky, ox*stride - padding + kx)``, and 0 outside the map. The first
    ``lead`` tokens are zero. A linear layer on it is a convolution.

    Parameters
    ----------
    height, width : of the map, at least 1.
    kernel : side of a window, at least 1.
    stride : distance of two windows, at least 1.
    padding : zeros around the map, 0 to ``kernel - 1``.
    lead : zero tokens before the windows, at least 0 (1 where a class token follows).
    """

    kind: ClassVar[str] = "unfold"

    height: int
    width: int
    kernel: int
    stride: int
    padding: int
    lead: int

    @property
    def out_height(self) -> int:
        """Windows from top to bottom."""
        return (self.height + 2 * self.padding - self.kernel) // self.stride + 1

    @property
    def out_width(self) -> int:
        """Windows from left to right."""
        return (self.width + 2 * self.padding - self.kernel) // self.stride + 1

    def check(self, inputs: Sequence[Tensor], output: Tensor) -> Interval:
        (x,) = inputs
        self.require(
            min(self.height, self.width, self.kernel, self.stride) >= 1 and self.lead >= 0,
            f"height {self.height}, width {self.width}, kernel {self.kernel}, stride {self.stride} "
            f"and lead {self.lead} make no windows.",
            "The lead is at least 0, the others at least 1.",
        )
        self.require(
            0 <= self.padding < self.kernel,
            f"the padding is {self.padding} for a kernel of {self.kernel}.",
            f"It runs from 0 to {self.kernel - 1}, so that every window meets the map.",
        )
        self.require(
            x.shape == (self.height * self.width, x.features),
            f"{x.name} has shape {x.shape}, not a map of {self.height} x {self.width} tokens.",
            "Check the order of the layers.",
        )
        self.require(
            self.kernel <= min(self.height, self.width) + 2 * self.padding,
            f"a kernel of {self.kernel} does not fit a map of {self.height} x {self.width} with "
            f"padding {self.padding}.",
            "Use a smaller kernel or a larger image.",
        )
        tokens = self.lead + self.out_height * self.out_width
        features = self.kernel * self.kernel * x.features
        self.require(
            output.shape == (tokens, features),
            f"the output has shape {output.shape}, not {(tokens, features)}.",
            "Check the model's configuration.",
        )
        self.require(
            (output.bits, output.scale) == (x.bits, x.scale),
            f"the output has {output.bits} bits of scale {output.scale}, {x.name} {x.bits} bits of "
            f"{x.scale}.",
            "Unfolding copies integers.",
        )
        return x.interval.union(Interval(0, 0)) if self.padding or self.lead else x.interval
