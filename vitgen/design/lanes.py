"""The packing table: how many products one DSP48E2 gives, and what makes them exact.

A DSP multiplies a 27-bit operand by an 18-bit one and adds to 48 bits. The wide port takes the sum of
several weights, each shifted to the offset of its lane; the other takes one activation, so that lane
``i`` of the accumulator holds ``S_i = sum(w_i * a)`` at its offset:
``P = sum(S_i << offset_i)``. Lanes are narrower than the sums, which spill into the lane above; three
ways to undo that:

* **none**: one lane.
* **borrow**: a lane holds the longest sum. A negative one borrows 1 from the lane above, which its
  sign bit gives back. Such lanes take two weights of 4 bits, 23 bits apart, if they are narrow
  (never the lowest code): the form of the array ``hls``, which plain C++ can say.
* **canary**: lanes as narrow as a product, or narrower. ``c = floor(sum below / 2^offset)`` is what a
  lane got from below. A product moves it in the direction of its own sign by a step or a few, so its
  lowest bits say by how much; and these are the lowest bits of ``P >> offset`` less those of the
  lane's own sum, which one-bit or two-bit products in LUTs keep. Small counters in the LUTs beside the
  DSP count ``c`` modulo a power of two; one in LUT RAM makes those of a whole chain complete.
  The idea of canaries is FINN's (github.com/Xilinx/finn, ``finn-rtllib/mvu``), which takes two bits of
  products everywhere and whole counters; with the sign, one bit is enough where a lane holds a product.

Four products of 4-bit weights and 6-bit activations overlap by one bit in two lanes: two bits of canary
there. Two weights times two activations (offsets 10 and 20) would need no canary, but each product must
then be taken apart and added in LUTs: 84 LUTs a DSP, against 21 and a share of a chain's counters.
The offsets leave the wide port's sign: ``-8 * (2^22 + ...)`` lies above ``-2^26``.
"""

import functools
from dataclasses import dataclass

WEIGHT_PORT_BITS = 27
ACT_PORT_BITS = 18
PRODUCT_BITS = 48  # accumulator of a DSP
ACCUMULATOR_BITS = 27
"""Bits of a sum that leaves the array."""


@dataclass(frozen=True)
class Border:
    """Where a lane begins above others.

    Parameters
    ----------
    offset : lowest bit of the lane.
    up, down : most that one product of the lanes below adds and takes away.
    """

    offset: int
    up: int
    down: int

    def steps(self, products: int) -> tuple[int, int]:
        """Most that as many products carry into the lane, and take back."""
        return -(-products * self.up >> self.offset), -(-products * self.down >> self.offset)

    @property
    def canary_bits(self) -> int:
        """Bits that tell the steps of one product apart, its sign known."""
        return max(self.steps(1)).bit_length()

    @property
    def carries_at_once(self) -> bool:
        """Whether the first product may carry upwards already; downwards it always may."""
        return self.up >> self.offset > 0


@dataclass(frozen=True)
class Layout:
    """Lanes of one DSP for a pair of widths.

    Parameters
    ----------
    weight_bits : of a weight, signed.
    act_bits : of the widest activation, signed; narrower ones are exact too.
    offsets : lowest bit of every weight in the wide port, ascending.
    correction : "none", "borrow" or "canary" (see the module).
    narrow : weights are within ``+-(2**(weight_bits-1) - 1)``; else any code is exact.
    """

    weight_bits: int
    act_bits: int
    offsets: tuple[int, ...]
    correction: str
    narrow: bool = False

    @property
    def products(self) -> int:
        """Products of one activation per DSP and beat."""
        return len(self.offsets)

    @property
    def weight_range(self) -> tuple[int, int]:
        """Least and greatest weight."""
        half = 1 << (self.weight_bits - 1)
        return -half + self.narrow, half - 1

    @property
    def product_bits(self) -> int:
        """Signed bits of one product."""
        return self.weight_bits + self.act_bits - self.narrow

    def _extremes(self, offsets: tuple[int, ...]) -> tuple[int, int]:
        """Most that one product of the packed weights adds and takes away."""
        low, high = (limit * sum(1 << o for o in offsets) for limit in self.weight_range)
        half = 1 << (self.act_bits - 1)
        return max(-low * half, high * (half - 1)), max(-low * (half - 1), high * half)

    @functools.cached_property
    def borders(self) -> tuple[Border, ...]:
        """Of the lanes but the lowest."""
        return tuple(
            Border(offset, *self._extremes(self.offsets[:index]))
            for index, offset in enumerate(self.offsets)
            if index
        )

    @property
    def fields(self) -> list[tuple[int, int]]:
        """Lowest bit of every lane and the bit above it, in the wide port."""
        return list(zip(self.offsets, (*self.offsets[1:], WEIGHT_PORT_BITS), strict=True))

    @property
    def accumulations(self) -> int:
        """Longest dot product that is exact whatever its operands."""
        bounds = [
            _most(self._extremes((0,)), ACCUMULATOR_BITS),
            _most(self._extremes(self.offsets), PRODUCT_BITS),
        ]
        if self.correction == "borrow":
            gaps = zip(self.offsets, self.offsets[1:], strict=False)
            lane = min(above - below for below, above in gaps)
            bounds.append(_most(self._extremes((0,)), lane))
        return min(bounds)


def _most(extremes: tuple[int, int], bits: int) -> int:
    """How often a signed number of ``bits`` holds the steps of ``up`` and of ``down``."""
    up, down = extremes
    return min(((1 << (bits - 1)) - 1) // up, (1 << (bits - 1)) // down)


KAPPA: dict[str, tuple[Layout, ...]] = {
    "dsp48": (
        Layout(4, 6, (0, 8, 15, 22), "canary"),
        Layout(4, 8, (0, 11, 22), "canary"),
        Layout(8, 8, (0, 18), "canary"),
    ),
    "hls": (
        Layout(4, 8, (0, 23), "borrow", narrow=True),
        Layout(8, 8, (0,), "none"),
    ),
}
"""Layouts of each form of the array, the most products first for equal weights."""


@functools.cache
def layout_for(array: str, weight_bits: int, act_bits: int) -> Layout:
    """The layout with the most products per DSP for these widths.

    Parameters
    ----------
    array : "dsp48" or "hls".
    weight_bits : 4 or 8.
    act_bits : 4 to 8.
    """
    return next(
        layout
        for layout in KAPPA[array]
        if layout.weight_bits == weight_bits and act_bits <= layout.act_bits
    )


def products_per_dsp(array: str, weight_bits: int, act_bits: int) -> int:
    """Products of one DSP and beat."""
    return layout_for(array, weight_bits, act_bits).products
