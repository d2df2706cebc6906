"""Widths inside the Verilog of the multiplier array, which the longest dot product decides."""

from vitgen.design.engine import Engine


def longest_k(engine: Engine) -> int:
    """The longest dot product that the array meets: of a layer, of QK^T or over the keys."""
    return max(engine.max_k, engine.max_tokens, engine.max_head_dim)


def carry_bits(max_k: int) -> int:
    """Signed bits of the carry counters, whose magnitude is at most ``k/2 + k/4096 + 1``."""
    return (max_k // 2 + max_k // 4096 + 2).bit_length() + 1


def step_bits(length: int, max_k: int) -> int:
    """Bits of the wrapping carry counters of one DSP in a chain of ``length``.

    Each is read once in ``beats`` of them at least. A carry moves by at most one in two beats, so the
    counter moves by ``beats / 2 <= 2**(bits-1) - 1``, or one more upwards.
    """
    beats = max(length, 2) + 1
    return min((beats + 1).bit_length(), carry_bits(max_k))


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
