"""DSP slices, LUTs, flip-flops and block RAMs of an engine, item by item.

DSP slices of the array and block RAMs follow from the structure. LUTs and flip-flops are estimates
until synthesised: where a coefficient was measured its place in ``research/engine.md`` is given,
otherwise it counts the bits of adders and registers of the unit.
"""

from collections.abc import Callable
from dataclasses import dataclass

from vitgen.boards.board import Resources as Available
from vitgen.design.cost_memory import Memory, memories
from vitgen.design.engine import Engine
from vitgen.design.netlist import Per, pointers, processes


@dataclass(frozen=True)
class Cost:
    """Resources of one instance of something."""

    dsp: float = 0.0
    lut: float = 0.0
    ff: float = 0.0


# A DSP row of one token lane (engine.md section 2): V3a, three rows of 4 bits with carry canaries,
# 32 LUT and 50 FF a cell; the switch to two rows of 8 bits adds 2.3 LUT a row. hls: V1, sums copied
# to shift registers, 24.4 LUT and 24.8 FF a product at 32 x 64, two products a cell.
ARRAY_CELL = {"dsp48": Cost(1, 32 + 3 * 2.3, 50), "hls": Cost(1, 2 * 24.4, 2 * 24.8)}

# A power-of-two row of one token lane (engine.md section 2, V4): by hand, or as XLS makes it.
POT_CELL = {"dsp48": Cost(0, 45.4, 45.7), "hls": Cost(0, 106, 59)}

# engine.md section 2: 27-bit accumulator, 18-bit multiplier, bias, constant shift, clamp. The
# program's shift is per instruction: a 45-bit barrel shifter of 6 stages, two stages a LUT.
REQUANT_LANE = Cost(1, 53 + 45 * 3, 36 + 45)

# Five products, each within 27 x 18: w*w, its coefficient, the delta, q*t, the requantizer's.
# Adders, clamps and the two shifters, counted.
GELU_LANE = Cost(5, 300, 330)

# Terms: dd * 1/ln2, z * ln2, v*v, its coefficient; scaling: e * R (15 x 26 bits). Comparison of the
# maximum, two barrel shifters (of the scaled term 12 positions of 17 bits), adders, counted.
SOFTMAX_LANE = Cost(5, 260, 300)

# Maximum, sum and reciprocal of every token lane, shifted past the lanes of the unit.
SOFTMAX_TOKEN_LANE = Cost(0, 90, 140)

# The divider of a group: 25 stages of a 26-bit subtraction and choice.
SOFTMAX_GROUP = Cost(0, 1000, 1900)

# x*x in the sums; C*x - S, d*R and n*g in the scaling; the shift by h + 5, counted.
NORM_LANE = Cost(4, 280, 300)

# Sums, variance and root of every token lane, shifted past the lanes of the unit.
NORM_TOKEN_LANE = Cost(0, 200, 315)

# The variance of a group, a lane a cycle (C*Q and S*S, 10 x 41 and 26 x 26 bits: two slices each), and
# its pipeline of 42 stages: normalisation, 17 bits of the root, 18 of its reciprocal.
NORM_GROUP = Cost(4, 1650, 2900)

# Counters, addresses and handshakes of a process, counted on the widest of them.
PROCESS = Cost(0, 110, 140)

# An AXI master with its burst logic, and the register file and dispatch: planning figures.
DMA_BUNDLE = Cost(0, 800, 1200)
DISPATCH = Cost(0, 2500, 2500)

KNOBS = {
    "dsp": "Use fewer dsp_rows or token lanes, or fewer lanes of gelu, softmax and norm.",
    "lut": "Use fewer pot_rows or fewer token lanes.",
    "ff": "Use fewer pot_rows or fewer token lanes.",
    "bram36": "Use more token lanes (shallower banks), a smaller weight_fifo, or a smaller model.",
}


@dataclass(frozen=True)
class Item:
    """A line of the bill.

    Parameters
    ----------
    name : what it is.
    count : how many there are.
    dsp, lut, ff : of all of them together.
    bram18 : halves of block RAMs, all together.
    """

    name: str
    count: int
    dsp: int = 0
    lut: int = 0
    ff: int = 0
    bram18: int = 0


@dataclass(frozen=True)
class Bill:
    """Everything an engine takes of a board."""

    items: tuple[Item, ...]

    def _sum(self, value: Callable[[Item], int]) -> int:
        return sum(value(item) for item in self.items)

    @property
    def dsp(self) -> int:
        """DSP slices."""
        return self._sum(lambda item: item.dsp)

    @property
    def lut(self) -> int:
        """LUTs, those used as RAM included."""
        return self._sum(lambda item: item.lut)

    @property
    def ff(self) -> int:
        """Flip-flops."""
        return self._sum(lambda item: item.ff)

    @property
    def bram36(self) -> int:
        """Block RAMs of 36 Kb; two halves make one."""
        return -(-self._sum(lambda item: item.bram18) // 2)

    def totals(self) -> dict[str, int]:
        """The four totals by name."""
        return {"dsp": self.dsp, "lut": self.lut, "ff": self.ff, "bram36": self.bram36}

    def shares(self, available: Available) -> dict[str, float]:
        """Totals as shares of a board's; a need of what the board lacks is infinite."""
        stock = available.to_dict()
        return {
            name: need / stock[name] if stock[name] else (float("inf") if need else 0.0)
            for name, need in self.totals().items()
        }


def _item(name: str, count: int, cost: Cost) -> Item:
    return Item(
        name, count, round(count * cost.dsp), round(count * cost.lut), round(count * cost.ff)
    )


def lane_items(engine: Engine) -> list[Item]:
    """Array and vector units: what the number of rows and lanes decides."""
    lanes, groups = engine.token_lanes, engine.groups
    return [
        _item("array.dsp_rows", engine.dsp_rows * lanes, ARRAY_CELL[engine.array]),
        _item("array.pot_rows", engine.pot_rows * lanes, POT_CELL[engine.array]),
        _item("requant", engine.requant_lanes * groups, REQUANT_LANE),
        _item("gelu", engine.gelu_lanes * groups, GELU_LANE),
        _item("softmax", engine.softmax_lanes * groups, SOFTMAX_LANE),
        _item("softmax.token_lanes", lanes, SOFTMAX_TOKEN_LANE),
        _item("norm", engine.norm_lanes * groups, NORM_LANE),
        _item("norm.token_lanes", lanes, NORM_TOKEN_LANE),
        _item("norm.groups", groups, NORM_GROUP),
        _item("softmax.groups", groups, SOFTMAX_GROUP),
    ]


def grid_cost(
    array: str,
    grid: tuple[int, int, int, int],
    units: tuple[int, int, int, int] = (1, 1, 1, 1),
) -> Cost:
    """The sum of :func:`lane_items`, quickly and without an engine.

    Parameters
    ----------
    grid : group_lanes, groups, dsp_rows, pot_rows.
    units : requant_lanes, gelu_lanes, softmax_lanes, norm_lanes; by default the narrowest.
    """
    group_lanes, groups, dsp_rows, pot_rows = grid
    lanes = group_lanes * groups
    parts = [(ARRAY_CELL[array], dsp_rows * lanes), (POT_CELL[array], pot_rows * lanes)]
    unit_costs = (REQUANT_LANE, GELU_LANE, SOFTMAX_LANE, NORM_LANE)
    parts += [(cost, count * groups) for cost, count in zip(unit_costs, units, strict=True)]
    parts += [(SOFTMAX_TOKEN_LANE, lanes), (NORM_TOKEN_LANE, lanes), (NORM_GROUP, groups)]
    parts.append((SOFTMAX_GROUP, groups))
    return Cost(
        sum(part.dsp * count for part, count in parts),
        sum(part.lut * count for part, count in parts),
        sum(part.ff * count for part, count in parts),
    )


def _turn_item(engine: Engine) -> Item:
    """Two tiles of registers; the one that leaves is loaded or shifted, a LUT a bit."""
    bits = min(engine.max_head_dim, engine.fixed_rows(8)) * engine.act_bits * engine.group_lanes
    return Item("value_turn.tiles", 2, 0, bits, 2 * bits)


def control_items(engine: Engine) -> list[Item]:
    """Processes, DMA and dispatch."""
    copies = {Per.ACCELERATOR: 1, Per.GROUP: engine.groups, Per.PORT: engine.weight_ports}
    count = sum(copies[process.per] for process in processes())
    bundles = sum(copies[pointer.per] for pointer in pointers())
    return [
        _item("processes", count, PROCESS),
        _item("dma", bundles, DMA_BUNDLE),
        _item("dispatch", 1, DISPATCH),
        _turn_item(engine),
    ]


def _memory_item(memory: Memory) -> Item:
    return Item(memory.name, memory.copies, 0, memory.lut, memory.ff, memory.bram18)


def bill(engine: Engine) -> Bill:
    """What ``engine`` takes, item by item."""
    stored = [_memory_item(memory) for memory in memories(engine)]
    return Bill(tuple(lane_items(engine) + control_items(engine) + stored))
