"""Integer tensors as the graph knows them: shape, width, scale and proven interval, no data."""

from dataclasses import dataclass
from typing import NamedTuple

from vitgen.arith import symmetric_limit
from vitgen.errors import OverflowRefused, VitgenError


class Interval(NamedTuple):
    """Every value of a tensor lies in ``lo .. hi``, both included."""

    lo: int
    hi: int

    @property
    def magnitude(self) -> int:
        """Largest absolute value."""
        return max(abs(self.lo), abs(self.hi))

    def union(self, other: "Interval") -> "Interval":
        """Smallest interval that holds both."""
        return Interval(min(self.lo, other.lo), max(self.hi, other.hi))


def full_range(bits: int) -> Interval:
    """The symmetric range of a signed tensor: the most negative code is never used."""
    limit = symmetric_limit(bits)
    return Interval(-limit, limit)


@dataclass(frozen=True)
class Tensor:
    """A tensor of signed integers.

    Parameters
    ----------
    name : unique in its graph; letters, digits, ``_`` and ``.``.
    shape : ``(tokens, features)``, or ``(heads, tokens, keys)`` for attention scores.
    bits : signed width, 4 to 16.
    scale : real value of 1; informational, no integer depends on it.
    interval : proven at lowering, never wider than the symmetric range of ``bits``.
    fraction : fractional bits where the binary point is fixed (``scale == 2**-fraction``), else None.
    count : the compaction that says at run time how many of the tokens (and keys) there are, the shape
        being the most; None where all are always there.
    """

    name: str
    shape: tuple[int, ...]
    bits: int
    scale: float
    interval: Interval
    fraction: int | None = None
    count: str | None = None

    def __post_init__(self) -> None:
        if not 4 <= self.bits <= 16:
            raise OverflowRefused(
                f"Tensor {self.name} is {self.bits} bits wide.", "Widths from 4 to 16 are supported."
            )
        if len(self.shape) not in (2, 3) or min(self.shape) < 1:
            raise VitgenError(
                f"Tensor {self.name} has shape {self.shape}.",
                "A tensor has two or three axes, none of them empty.",
            )
        bound = full_range(self.bits)
        if self.interval.lo > self.interval.hi:
            raise VitgenError(
                f"Tensor {self.name} has the empty interval {self.interval.lo}..{self.interval.hi}.",
                "State the lower end first.",
            )
        if self.interval.lo < bound.lo or self.interval.hi > bound.hi:
            raise OverflowRefused(
                f"Tensor {self.name} reaches {self.interval.lo}..{self.interval.hi}, outside the "
                f"{bound.lo}..{bound.hi} of {self.bits} bits.",
                "Give it more bits or a larger scale.",
            )

    @property
    def tokens(self) -> int:
        """Length of the token axis."""
        return self.shape[-2]

    @property
    def features(self) -> int:
        """Length of the last axis: features, or keys of a score tensor."""
        return self.shape[-1]

    @property
    def elements(self) -> int:
        """Number of integers."""
        count = 1
        for extent in self.shape:
            count *= extent
        return count
