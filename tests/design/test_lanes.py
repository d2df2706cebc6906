"""The packing table against plain integers: what a DSP's bits hold, and how far they hold it."""

import itertools

import numpy as np
import pytest

from vitgen.design.array import carry_bits, step_bits
from vitgen.design.lanes import (
    ACCUMULATOR_BITS,
    KAPPA,
    PRODUCT_BITS,
    WEIGHT_PORT_BITS,
    layout_for,
    products_per_dsp,
)

LAYOUTS = [(array, layout) for array, layouts in KAPPA.items() for layout in layouts]
each_layout = pytest.mark.parametrize(
    ("array", "layout"), LAYOUTS, ids=[f"{a}-w{x.weight_bits}a{x.act_bits}" for a, x in LAYOUTS]
)


def signed(value, bits):
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def packed(weights, offsets):
    return sum(w << o for w, o in zip(weights, offsets, strict=True))


def unpacked(total, carries, layout):
    """Lanes of an accumulator, given what each got from below, as the emission reads them."""
    bits = total & ((1 << PRODUCT_BITS) - 1)
    tops = (*layout.offsets[1:], PRODUCT_BITS)
    found = []
    for lane, (low, above) in enumerate(zip(layout.offsets, tops, strict=True)):
        field = (bits >> low) & ((1 << (above - low)) - 1)
        if lane + 1 < len(layout.offsets):
            field += carries[lane] << (above - low)
        else:
            field = signed(field, above - low)
        found.append(signed(field - (carries[lane - 1] if lane else 0), ACCUMULATOR_BITS))
    return found


def carried(sums, layout):
    """What each lane but the lowest gets from those below: the definition."""
    return [packed(sums[:i], layout.offsets[:i]) >> o for i, o in enumerate(layout.offsets) if i]


class Canary:
    """The counters of one DSP, from the bits that its LUTs see."""

    def __init__(self, layout):
        self.layout = layout
        self.low_sums = [0] * len(layout.borders)
        self.carries = [0] * len(layout.borders)

    def add(self, total, weights, act):
        for i, border in enumerate(self.layout.borders):
            modulus = 1 << border.canary_bits
            low = (weights[i + 1] % modulus) * (act % modulus)
            self.low_sums[i] = (self.low_sums[i] + low) % modulus
            seen = ((total >> border.offset) - self.low_sums[i]) % modulus
            moved = (seen - self.carries[i]) % modulus
            below = packed(weights[: i + 1], self.layout.offsets[: i + 1])
            if moved and (below < 0) != (act < 0):
                moved -= modulus
            self.carries[i] += moved


def operands(layout, rng, count, kind):
    low, high = layout.weight_range
    half = 1 << (layout.act_bits - 1)
    if kind == "random":
        return rng.integers(low, high + 1, (count, layout.products)), rng.integers(
            -half, half, count
        )
    ends = [np.array([low, high]), np.array([-half, half - 1])]
    if kind == "mixed":
        return rng.choice(ends[0], (count, layout.products)), rng.choice(ends[1], count)
    weight, act = {"up": (low, -half), "down": (high, -half), "low": (low, half - 1)}[kind]
    return np.full((count, layout.products), weight), np.full(count, act)


@each_layout
def test_the_operand_fits_the_port(array, layout):
    extremes = [packed([w] * layout.products, layout.offsets) for w in layout.weight_range]
    half = 1 << (WEIGHT_PORT_BITS - 1)
    assert -half <= min(extremes) and max(extremes) < half
    assert layout.products == products_per_dsp(array, layout.weight_bits, layout.act_bits)


@each_layout
def test_every_product(array, layout):
    """All pairs of a weight and an activation in every lane, the others at their extremes."""
    low, high = layout.weight_range
    acts = range(-(1 << (layout.act_bits - 1)), 1 << (layout.act_bits - 1))
    others = list(itertools.product((low, high), repeat=layout.products - 1))
    if layout.weight_bits == 8:
        acts = [*acts][::5] + [-1, acts[-1]]
    for lane, weight, act in itertools.product(range(layout.products), range(low, high + 1), acts):
        rest = others[(weight + act) % len(others)]
        weights = [*rest[:lane], weight, *rest[lane:]]
        products = [w * act for w in weights]
        total = packed(weights, layout.offsets) * act
        if layout.correction == "canary":
            canary = Canary(layout)
            canary.add(total, weights, act)
            assert canary.carries == carried(products, layout)
        assert unpacked(total, carried(products, layout), layout) == products


@pytest.mark.parametrize("kind", ["up", "down", "low", "mixed", "random"])
@pytest.mark.parametrize("layout", KAPPA["dsp48"], ids=lambda x: f"w{x.weight_bits}a{x.act_bits}")
def test_canaries_count_every_carry(layout, kind):
    """The sums of lanes, whatever they spill, and the counters within their bits."""
    rng, longest = np.random.default_rng(1), 1500
    bits = carry_bits(longest, layout.act_bits)
    weights, acts = operands(layout, rng, longest, kind)
    canary, total, sums = Canary(layout), 0, [0] * layout.products
    for row, act in zip(weights.tolist(), acts.tolist(), strict=True):
        total += packed(row, layout.offsets) * act
        sums = [s + w * act for s, w in zip(sums, row, strict=True)]
        canary.add(total, row, act)
        assert canary.carries == carried(sums, layout)
        assert unpacked(total, canary.carries, layout) == sums
        assert all(-(1 << (bits - 1)) <= c < 1 << (bits - 1) for c in canary.carries)


@pytest.mark.parametrize("act_bits", [6, 8])
@pytest.mark.parametrize("length", [1, 2, 5, 6, 13, 14, 16])
def test_short_counters_are_read_in_time(length, act_bits):
    """``length + 1`` products from any state; a bit less would mistake some of these moves."""
    beats = max(length, 2) + 1
    bits = step_bits(length, 100_000, act_bits)
    mistaken = False
    for layout in (layout_for("dsp48", 4, act_bits), layout_for("dsp48", 8, act_bits)):
        low, high = layout.weight_range
        half = 1 << (layout.act_bits - 1)
        for i, border in enumerate(layout.borders):
            ends = [packed([w] * (i + 1), layout.offsets[: i + 1]) for w in (low, high)]
            for product in (w * a for w in ends for a in (-half, half - 1)):
                for start in (0, (1 << border.offset) - 1):
                    moved = start + beats * product >> border.offset
                    assert -(1 << (bits - 1)) <= -moved < 1 << (bits - 1)
                    mistaken |= not -(1 << (bits - 2)) <= -moved < 1 << (bits - 2)
    assert mistaken


@each_layout
def test_accumulations_are_tight(array, layout):
    """The longest product is exact at every extreme; one more step is not at some."""
    low, high = layout.weight_range
    half = 1 << (layout.act_bits - 1)

    def exact(k):
        found = []
        choices = itertools.product((low, high), repeat=layout.products)
        for weights, act in itertools.product(choices, (-half, half - 1)):
            sums = [k * w * act for w in weights]
            total = packed(sums, layout.offsets)
            if layout.correction == "borrow":
                # The sign bit of a lane is what it borrowed: no more is known.
                lane = layout.offsets[1]
                first = signed(total, lane)
                read = [first, (total >> lane) + (first < 0)]
            else:
                read = unpacked(total, carried(sums, layout), layout)
            found.append([signed(s, ACCUMULATOR_BITS) for s in read] == sums)
        return all(found)

    assert exact(layout.accumulations)
    assert not exact(layout.accumulations + 1)


def test_what_the_arrays_reach():
    """Products per DSP by the bits of weights and activations (papers: 3, 2 and 4)."""
    assert [products_per_dsp("dsp48", 4, a) for a in range(4, 9)] == [4, 4, 4, 3, 3]
    assert [products_per_dsp("dsp48", 8, a) for a in (4, 8)] == [2, 2]
    assert [products_per_dsp("hls", w, 8) for w in (4, 8)] == [2, 1]
    assert layout_for("hls", 4, 8).accumulations == 4681
