"""DSP slices, LUTs, flip-flops and block RAMs of an engine, item by item.

DSP slices and block RAMs follow from the structure. LUTs and flip-flops are lines through what yosys
counted of the RTL of small engines; ``tests/rtl/test_resources.py`` holds them against it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from vitgen.boards.board import Resources as Available
from vitgen.design.array import longest_k
from vitgen.design.cost_array import Cost, array_parts
from vitgen.design.cost_memory import Memory, bram18, memories
from vitgen.design.depths import BURST_BEATS
from vitgen.design.engine import BEAT_BITS, POT_CODE_BITS, Engine
from vitgen.design.lanes import products_per_dsp
from vitgen.design.netlist import READ_BURSTS, pointers
from vitgen.design.turning import turn

NOTHING = Cost()


@dataclass(frozen=True)
class Unit:
    """What a unit of a token group takes: every lane of its own, every token lane, and once;
    ``shift`` is every token lane's where the unit is narrower and words move past it."""

    lane: Cost
    token_lane: Cost
    group: Cost
    shift: Cost = NOTHING


# Everything below was counted by yosys 0.70 (``vitgen resources``: process by process, nothing shared
# between processes), the streams of the processes without registers of their own: engines of 3 groups
# x 2 lanes and 2 x 16, 2 x 20 and 2 x 25 (dsp48) and of 2 x 4 (hls, narrow units), the widest for DeiT-B
# with units of two widths. Units are least squares of relative errors: LUTs within 3 % of every
# count, flip-flops within 6 %.
# DSPs are what the structure says.

# DSPs. GELU: w*w, its coefficient, the delta, q*t, the requantizer's. Softmax: dd * 1/ln2, z * ln2,
# v*v, its coefficient; scaling. LayerNorm: x*x in the sums; C*x - S, d*R and n*g in the scaling; once
# C*Q and S*S of the variance, two slices each.
# LUTs. A lane is arithmetic. A lane of the group is what passes one at a time a single divider (sums
# and reciprocals of the softmax) or root (sums, variances and roots); where a unit is narrower than the
# group, also what shifts past it.
UNITS = {
    "requant": Unit(Cost(1, 244, 22.6), Cost(), Cost(0, 176, 259), Cost(0, 42.4, 44.2)),
    "gelu": Unit(Cost(5, 314, 144), Cost(), Cost(0, 125, 483), Cost(0, 28.1, 24.1)),
    "softmax": Unit(Cost(5, 280, 34.3), Cost(0, 154, 195), Cost(0, 1563, 852), Cost(0, 44.6, 5.4)),
    "norm": Unit(Cost(4, 348, 0), Cost(0, 234, 423), Cost(4, 1544, 2193), Cost(0, 82.4, 17.7)),
}

# Per group: feed, residual and the writers of the four banks. A token lane is 8 bits in two of them and
# the sum of 16 bits that saturates.
MOVES = Unit(Cost(), Cost(0, 62.9, 32), Cost(0, 951, 614))

DISPATCH = Cost(5, 3517, 2484)  # five products: XLS takes three of numbers of words apart by their turns
DISPATCH_GROUP = Cost(0, 49.4, 4.6)

# Once: load, gather, both replays of rows, key read, row select, the split and both replays of records,
# store. A bit of a row word is chosen in three of them, and registered in two.
SHARED = Cost(0, 1809, 1351)
SHARED_ROW_BIT = Cost(0, 3, 2)
SHARED_GROUP = Cost(0, 6, 0)
GATHER_BIT = Cost(0, 2.08, 0.97)  # of a row word of several beats: it is collected and chosen
KEY_BIT = Cost(0, 1.1, 0)  # of a tile of keys, for each three other tiles of a slot
LOAD_BIT = Cost(0, 0.83, 1.04)  # of the beats that wait for the last one of their word

# value_turn: a bit on its way through the barrels to and from the RAMs, by the stages of both; a bit of
# the words that are collected; a bit of a row.
TURN_STAGE_BIT = Cost(0, 1.05, 0)
TURN_WORD_BIT = Cost(0, 1.47, 1.72)
TURN_ROW_BIT = Cost(0, 0.2, 1.19)
TURN = Cost(0, 267, 165)

# AXI masters that read; the one that writes with the registers and the control of a run.
DMA = Cost(0, 418, 258)
REGISTERS = Cost(0, 986, 383)

KNOBS = {
    "dsp": "Use fewer dsp_rows or token lanes, or fewer lanes of gelu, softmax and norm.",
    "lut": "Use fewer pot_rows or fewer token lanes.",
    "ff": "Use fewer pot_rows or fewer token lanes.",
    "bram36": "Use more token lanes (shallower banks), a smaller weight_fifo, or a smaller model.",
    "uram": "Use fewer ultra_banks.",
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
    uram: int = 0


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

    @property
    def uram(self) -> int:
        """RAMs of 288 kbit."""
        return self._sum(lambda item: item.uram)

    def totals(self) -> dict[str, int]:
        """The totals by name."""
        return {
            "dsp": self.dsp, "lut": self.lut, "ff": self.ff, "bram36": self.bram36,
            "uram": self.uram,
        }  # fmt: skip

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


def _lane_parts(
    array: str,
    grid: tuple[int, int, int, int],
    units: tuple[int, int, int, int],
    max_k: int,
    act_bits: int,
) -> Iterator[tuple[str, int, Cost]]:
    """Name, number and cost of one: what rows and lanes decide."""
    group_lanes, groups, dsp_rows, pot_rows = grid
    lanes = group_lanes * groups
    yield from array_parts(array, grid, max_k, act_bits)
    per_dsp = {bits: products_per_dsp(array, bits, act_bits) for bits in (4, 8)}
    row_bits = dsp_rows * max(b * n for b, n in per_dsp.items()) + POT_CODE_BITS * pot_rows
    for (name, unit), width in zip(UNITS.items(), units, strict=True):
        yield name, width * groups, unit.lane
        yield f"{name}.token_lanes", lanes, unit.token_lane
        yield f"{name}.groups", groups, unit.group
        yield f"{name}.shift", lanes if width < group_lanes else 0, unit.shift
    yield "moves.token_lanes", lanes, MOVES.token_lane
    yield "moves.groups", groups, MOVES.group
    yield "dispatch.groups", groups, DISPATCH_GROUP
    yield "shared.row_bits", row_bits, SHARED_ROW_BIT
    yield "shared.groups", groups, SHARED_GROUP


def lane_items(engine: Engine) -> list[Item]:
    """Array and vector units: what the number of rows and lanes decides."""
    grid = (engine.group_lanes, engine.groups, engine.dsp_rows, engine.pot_rows)
    units = (engine.requant_lanes, engine.gelu_lanes, engine.softmax_lanes, engine.norm_lanes)
    sizes = (longest_k(engine), engine.act_bits)
    return [_item(*part) for part in _lane_parts(engine.array, grid, units, *sizes)]


def grid_cost(
    array: str,
    grid: tuple[int, int, int, int],
    units: tuple[int, int, int, int] = (1, 1, 1, 1),
    max_k: int = 1,
    act_bits: int = 8,
) -> Cost:
    """The sum of :func:`lane_items`, quickly and without an engine.

    Parameters
    ----------
    grid : group_lanes, groups, dsp_rows, pot_rows.
    units : requant_lanes, gelu_lanes, softmax_lanes, norm_lanes; by default the narrowest.
    max_k : longest product of the array; by default the shortest.
    act_bits : of an activation.
    """
    parts = list(_lane_parts(array, grid, units, max_k, act_bits))
    return Cost(
        sum(part.dsp * count for _, count, part in parts),
        sum(part.lut * count for _, count, part in parts),
        sum(part.ff * count for _, count, part in parts),
    )


def _shared_items(engine: Engine) -> list[Item]:
    """What words of several beats and tiles of several groups add to the shared processes."""
    steps = max(engine.weight_steps(4), engine.weight_steps(8))
    tiles = engine.groups // engine.key_groups
    waiting = BEAT_BITS * (engine.act_load_beats + engine.post_load_beats - 2)
    key_bits = engine.key_groups * engine.act_word_bits
    return [
        _item("shared", 1, SHARED),
        _item("shared.gather_bits", engine.row_word_bits if steps > 1 else 0, GATHER_BIT),
        _item("shared.key_bits", key_bits * -(-(tiles - 1) // 3), KEY_BIT),
        _item("shared.load_bits", waiting, LOAD_BIT),
    ]


def _turn_items(engine: Engine) -> list[Item]:
    """The barrels and registers around the RAMs of :mod:`vitgen.design.turning`."""
    shape = turn(engine)
    element_bits = shape.features * engine.act_bits
    stages = (shape.rams - 1).bit_length() + (shape.lanes - 1).bit_length()
    row_bits = 8 * min(engine.max_head_dim, engine.fixed_rows(8))
    return [
        _item("value_turn.stages", shape.rams * element_bits * stages, TURN_STAGE_BIT),
        _item("value_turn.words", shape.features * engine.act_word_bits, TURN_WORD_BIT),
        _item("value_turn.rows", row_bits, TURN_ROW_BIT),
        _item("value_turn.control", 1, TURN),
    ]


def _dma_items(engine: Engine) -> list[Item]:
    """Masters; those that read have more words under way than LUT RAM takes."""
    readers = sum(not pointer.written for pointer in pointers()) - 1 + engine.weight_ports
    words = BURST_BEATS * READ_BURSTS
    masters = Item(
        "shell.masters", readers, 0, round(DMA.lut * readers), round(DMA.ff * readers),
        readers * bram18(BEAT_BITS, words),
    )  # fmt: skip
    return [masters, _item("shell.registers", 1, REGISTERS)]


def control_items(engine: Engine) -> list[Item]:
    """The other processes, DMA and registers."""
    return [
        _item("dispatch", 1, DISPATCH),
        *_shared_items(engine),
        *_turn_items(engine),
        *_dma_items(engine),
    ]


def _memory_item(memory: Memory) -> Item:
    return Item(memory.name, memory.copies, 0, memory.lut, memory.ff, memory.bram18, memory.uram)


def bill(engine: Engine) -> Bill:
    """What ``engine`` takes, item by item."""
    stored = [_memory_item(memory) for memory in memories(engine)]
    return Bill(tuple(lane_items(engine) + control_items(engine) + stored))
