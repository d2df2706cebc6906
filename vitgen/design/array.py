"""Widths inside the Verilog of the multiplier array, which the longest dot product decides."""

import functools

from vitgen.design.engine import Engine
from vitgen.design.lanes import Border, layout_for


def longest_k(engine: Engine) -> int:
    """The longest dot product that the array meets: of a layer, of QK^T or over the keys."""
    return max(engine.max_k, engine.max_tokens, engine.max_head_dim)


def _borders(act_bits: int) -> list[Border]:
    """Of both modes."""
    return [b for bits in (4, 8) for b in layout_for("dsp48", bits, act_bits).borders]


@functools.cache
def carry_bits(max_k: int, act_bits: int = 8) -> int:
    """Signed bits of what a lane gets from those below, over products of up to ``max_k``."""
    return max(max(border.steps(max_k)) for border in _borders(act_bits)).bit_length() + 1


@functools.cache
def step_bits(length: int, max_k: int, act_bits: int = 8) -> int:
    """Bits of the wrapping counters of one DSP in a chain of ``length``.

    They count carries downwards. Each is read once in ``length + 1`` beats at least, so they need not
    tell more steps apart than as many beats make.
    """
    steps = [border.steps(max(length, 2) + 1) for border in _borders(act_bits)]
    needed = max(max((up - 1).bit_length(), down.bit_length()) + 1 for up, down in steps)
    return min(needed, carry_bits(max_k, act_bits))


def open_tiles(array: str, pot_rows: int) -> int:
    """Tiles that the array holds whose rows have not all left, the one it works on apart."""
    if array != "dsp48":
        return 1
    return 2 if pot_rows > 8 else 4


def pot_sum_bits(max_k: int, act_bits: int = 8) -> int:
    """Signed bits of a power-of-two accumulator, whose weights are at most 64; at least the 16 that a
    product takes."""
    return max(16, (64 * max_k << (act_bits - 1)).bit_length() + 1)


def pot_cell_bits(pot_rows: int, max_k: int, act_bits: int = 8) -> tuple[int, int]:
    """Bits of the accumulator of one power-of-two row, and the upper ones that its rows count on.

    The accumulator wraps around. Its upper bits, of which a product moves half a unit, are shown
    once in ``beats`` of them at least and counted by one counter for all rows. ``(pot_sum_bits, 0)``
    where that saves nothing.
    """
    whole = pot_sum_bits(max_k, act_bits)
    beats = 2 * max(pot_rows, 2) + 1
    upper = (beats + 1).bit_length()
    cell = max(16, act_bits + 6 + upper)
    return (cell, cell - act_bits - 6) if cell < whole else (whole, 0)
