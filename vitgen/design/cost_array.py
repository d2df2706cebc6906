"""What the multiplier array takes, part by part; coefficients as yosys counts it."""

from collections.abc import Iterator
from dataclasses import dataclass

from vitgen.design.array import carry_bits, open_tiles, pot_cell_bits, pot_sum_bits, step_bits
from vitgen.design.cost_memory import lutram_luts
from vitgen.design.engine import POT_CODE_BITS, drain_chains
from vitgen.design.lanes import Border, layout_for


@dataclass(frozen=True)
class Cost:
    """Resources of one instance of something."""

    dsp: float = 0.0
    lut: float = 0.0
    ff: float = 0.0


Part = tuple[str, int, Cost]
"""Name, number and cost of one."""

LUTRAM_WORDS = 32  # entries of the buffer behind a cascade and of the counters of a chain

# Counted by yosys 0.70 (``vitgen resources``) of arrays of 4 to 25 lanes, 6 to 28 DSP rows and up to 28
# power-of-two rows, for products of up to 128, 400 and 3,072. Cells are what their LUTs say; the rest
# are least squares.
TWO_BIT_CANARY = 2.5  # LUTs of a canary of two bits beyond the counter's
COUNTER = Cost(
    0, 1, 0
)  # of a chain's lane, with a LUT a bit and this for a bit of the cells' counters:
COUNTER_STEP = 1.25
POT_COUNTER_STEP = 0.35  # counted upwards
POT_CELL = Cost(0, 12, 11)  # besides a LUT and a flip-flop a bit
ROW_BIT = Cost(0, 2.5, 2.4)  # of a DSP row's weights
POT_ROW_BIT = Cost(0, 3.3, 2.4)
TOKEN_LANE = Cost(0, 40, 103)
EMITTED = 20  # LUTs of a token lane for each lane above others in a DSP
POT_TOKEN_LANE = Cost(0, 35, 20)
GROUP = Cost(0, 250, 190)

# The same cells in C++, sums copied to registers that shift; what the engine of 4 lanes of 5 + 2 rows
# takes beyond them is put on its lanes.
HLS_CELL = Cost(1, 2 * 24.4, 2 * 24.8)
HLS_POT_CELL = Cost(0, 106, 59)
HLS_ROW_BIT = Cost(0, 5.5, 4.7)
HLS_TOKEN_LANE = Cost(0, 478, 266)


def mux_luts(words: int) -> int:
    """LUTs of a bit chosen out of so many words."""
    if words < 2:
        return 0
    blocks = -(-words // 16)
    return -(-words // 4) + (0 if blocks == 1 else blocks - 1)


def canary_luts(border: Border, bits: int) -> float:
    """LUTs beside a DSP for a lane above others, its counter ``bits`` wide."""
    low = border.canary_bits
    if not border.carries_at_once:
        return low + bits // 2
    return low + 2 + max(0, bits - low - 2) + (TWO_BIT_CANARY if low == 2 else 0)


def array_parts(
    array: str, grid: tuple[int, int, int, int], max_k: int, act_bits: int
) -> Iterator[Part]:
    """The parts of all groups.

    Parameters
    ----------
    grid : group_lanes, groups, dsp_rows, pot_rows.
    max_k : longest product.
    act_bits : of an activation.
    """
    group_lanes, groups, dsp_rows, pot_rows = grid
    lanes = group_lanes * groups
    fixed_bits = dsp_rows * max(
        bits * layout_for(array, bits, act_bits).products for bits in (4, 8)
    )
    pot_bits = POT_CODE_BITS * pot_rows
    if array != "dsp48":
        yield "array.dsp_rows", dsp_rows * lanes, HLS_CELL
        yield "array.pot_rows", pot_rows * lanes, HLS_POT_CELL
        yield "array.token_lanes", lanes, HLS_TOKEN_LANE
        yield "array.row_bits", groups * (fixed_bits + pot_bits), HLS_ROW_BIT
        yield "array.groups", groups, Cost(1)
        return
    borders = layout_for(array, 4, act_bits).borders
    chains = drain_chains(dsp_rows)
    length = -(-dsp_rows // chains)
    step, carry = step_bits(length, max_k, act_bits), carry_bits(max_k, act_bits)
    # The signs of products and the lowest bits of sums, two lanes in a LUT.
    canaries = sum(canary_luts(border, step) for border in borders)
    single = sum(border.canary_bits == 1 for border in borders)
    cell = -(-len(borders) // 2) + -(-single // 2) + canaries
    cell_ff = len(borders) * (step + 1) + 2 * (len(borders) - single)
    yield "array.dsp_rows", dsp_rows * lanes, Cost(1, cell, cell_ff)
    carries = len(borders) * carry
    counter = COUNTER.lut + carry + COUNTER_STEP * step
    counted = len(borders) * (counter + step * mux_luts(length))
    ram = lutram_luts(carries * group_lanes, LUTRAM_WORDS)
    drained = lutram_luts(48 * group_lanes, LUTRAM_WORDS) + ram
    yield "array.counters", chains * lanes, Cost(0, counted, len(borders) * (carry + step))
    yield "array.chains", chains * groups, Cost(0, ram + drained, 0)
    token_lane = Cost(0, TOKEN_LANE.lut + EMITTED * len(borders), TOKEN_LANE.ff)
    yield "array.token_lanes", lanes, token_lane
    yield "array.drained", lanes, Cost(0, (48 + carries) * mux_luts(chains), 0)
    yield "array.row_bits", groups * fixed_bits, ROW_BIT
    yield "array.groups", groups, GROUP
    if pot_rows:
        yield from _pot_parts(grid, max_k, act_bits)
        yield "array.pot_token_lanes", lanes, POT_TOKEN_LANE
        yield "array.pot_row_bits", groups * pot_bits, POT_ROW_BIT


def _pot_parts(grid: tuple[int, int, int, int], max_k: int, act_bits: int) -> Iterator[Part]:
    """Accumulators of power-of-two rows, where their sums pass, and the RAM behind."""
    group_lanes, groups, _, pot_rows = grid
    lanes = group_lanes * groups
    whole = pot_sum_bits(max_k, act_bits)
    bits, step = pot_cell_bits(pot_rows, max_k, act_bits)
    yield "array.pot_rows", pot_rows * lanes, Cost(0, POT_CELL.lut + bits, POT_CELL.ff + bits)
    count = whole - bits + step
    counter = COUNTER.lut + count + POT_COUNTER_STEP * step if step else 0
    passing = bits * mux_luts(pot_rows)
    yield "array.pot_passing", lanes, Cost(0, passing + counter, bits + count + step)
    tiles = open_tiles("dsp48", pot_rows)
    places = 1 << (max(pot_rows - 1, 1).bit_length())
    rams = lutram_luts(whole * group_lanes, max(32, tiles * places))
    if step:
        rams += lutram_luts(count * group_lanes, max(32, places))
    yield "array.pot_memory", groups, Cost(0, rams, 0)
