"""Memories of the accelerator and what they take of block RAM, LUT RAM or flip-flops."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from vitgen.design.engine import BANKS, BEAT_BITS, Engine
from vitgen.design.lanes import ACCUMULATOR_BITS
from vitgen.design.netlist import Per, banks, streams
from vitgen.design.turning import turn

LUTRAM_DEPTH = 64
"""Up to this many words a memory is LUT RAM; beyond, it is block RAM."""

# An UltraRAM has one shape (UG573). One that replaces less than two block RAMs stands empty for the
# better part, and serves a wider bank of another design better.
ULTRA_WIDTH, ULTRA_DEPTH = 72, 4096
ULTRA_LEAST_BRAM18 = 4

# Widths and depths of a simple dual-port RAM: RAMB36E2 and its half, RAMB18E2 (UG573).
BRAM36_SHAPES = ((72, 512), (36, 1024), (18, 2048), (9, 4096), (4, 8192), (2, 16384), (1, 32768))
BRAM18_SHAPES = ((36, 512), (18, 1024), (9, 2048), (4, 4096), (2, 8192), (1, 16384))

# What yosys 0.70 weighs: a bit of a multiplexer's input against blocks of 257 and 129 (memory_libmap), and
# the narrowest shape for the last bits of a word, as its choices for 36 sizes show.
MUX_COST = 0.51
LEAST_REST = 9
_BLOCKS = ((BRAM36_SHAPES, 2, 257), (BRAM18_SHAPES, 1, 129))  # shapes, halves, cost

PARAM_BITS = 32 + 18 + 16 + 1 + 1  # bias, multiplier, destination, keep, gate
ADDRESS_BITS = 16
TERM_LANE_BITS = 15
SUM_LANE_BITS = 25
DMA_REQUEST_BITS = 1 + 28 + 28
NORM_STATS_LANE_BITS = 26 + 50  # sum of 1,024 features, their variance times 2^20
NORM_ROOT_LANE_BITS = 26 + 5 + 17  # sum, half length, reciprocal root

# Widths of the command structures, as docs/accelerator.md lists their fields.
COMMAND_BITS = {
    "gather_command": 1 + 24 + 4,
    "replay_command": 1 + 12 + 10 + 13,
    "key_command": 1 + 16 + 13 + 12 + 10 + 10 + 13,
    "turn_command": 1 + 16 + 13 + 10 + 10,
    "value_command": 1 + 10 + 10,
    "select_command": 1 + 2 + 24,
    "record_command": 1 + 1 + 24,
    "param_command": 1 + 1 + 12 + 10 + 11 + 16 + 13 + 18 + 13,
    "norm_param_command": 1 + 10 + 11 + 16 + 13,
    "load_command": 1 + 1 + 10 + 13 + 16 + 13,
    "store_command": 1 + 24,
    "feed_command": 1 + 1 + 16 + 13 + 13 + 12 + 10 + 1 + 13 + 13 + 1,
    "array_command": 1 + 24 + 13 + 1 + 10 + 9,
    "requant_command": 1 + 24 + 6 + 5 + 1 + 3,
    "gelu_command": 1 + 24 + 4 + 9 + 17 + 6 + 5,
    "softmax_command": 1 + 10 + 10 + 4 + 5 + 3,
    "residual_command": 1 + 1 + 24 + 10 + 11 + 16 + 13 + 13,
    "norm_command": 1 + 13 + 10 + 50 + 6 + 5,
    "act_write_command": 1 + 2 + 24 + 13,
    "write_command": 1 + 24,
    "prob_write_command": 1 + 16 + 13 + 10 + 10,
}


def type_widths(engine: Engine) -> dict[str, int]:
    """Bits of every C++ type of the netlist's streams and banks."""
    lanes = engine.group_lanes
    return COMMAND_BITS | {
        "done_t": 1,
        "beat_t": BEAT_BITS,
        "dma_request": DMA_REQUEST_BITS,
        "row_word": engine.row_word_bits,
        "act_word": engine.act_word_bits,
        "post_word": engine.post_word_bits,
        "acc_word": lanes * ACCUMULATOR_BITS,
        "term_word": lanes * TERM_LANE_BITS,
        "sum_word": lanes * SUM_LANE_BITS,
        "norm_stats_word": lanes * NORM_STATS_LANE_BITS,
        "norm_root_word": lanes * NORM_ROOT_LANE_BITS,
        "tagged_act": engine.act_word_bits + ADDRESS_BITS,
        "tagged_post": engine.post_word_bits + ADDRESS_BITS,
        "record_t": PARAM_BITS,
        "param": PARAM_BITS,
    }


@lru_cache(maxsize=65536)
def bram18(width: int, depth: int) -> int:
    """Halves of a 36 Kb block RAM that hold ``depth`` words of ``width`` bits, as yosys lays them out: a
    grid of equal blocks in one aspect ratio, in a grid of halves the last bits of a word in another
    where that is cheaper. Words behind words cost a multiplexer, for which yosys gives a block away."""
    return min(_grids(width, depth))[1]


def _grids(width: int, depth: int) -> Iterator[tuple[float, int]]:
    """Costs as yosys weighs them, and halves."""
    for blocks in _BLOCKS:
        for shape in blocks[0]:
            yield _grid(width, depth, shape, blocks)
            full = width - width % shape[0]
            if 0 < full < width and blocks[1] == 1:
                cost, halves = _grid(full, depth, shape, blocks)
                narrower = [s for s in blocks[0] if s[0] >= LEAST_REST]
                more, rest = min(_grid(width - full, depth, s, blocks) for s in narrower)
                yield cost + more, halves + rest


def _grid(
    width: int, depth: int, shape: tuple[int, int], blocks: tuple[object, int, int]
) -> tuple[float, int]:
    rows = -(-depth // shape[1])
    number = rows * -(-width // shape[0])
    return number * blocks[2] + MUX_COST * (rows - 1) * width, number * blocks[1]


def uram(width: int, depth: int) -> int:
    """RAMs of 288 kbit that hold ``depth`` words of ``width`` bits."""
    return -(-width // ULTRA_WIDTH) * -(-depth // ULTRA_DEPTH)


def lutram_luts(width: int, depth: int) -> int:
    """LUTs of a simple dual-port LUT RAM: RAM32M16 holds 32 x 14 bits in 8 LUTs, RAM64M8 64 x 7."""
    per_block = 14 if depth <= 32 else 7
    return 8 * -(-width // per_block) * -(-depth // 64)


def stored_bits(bits: int) -> int:
    """Width of a local RAM of a process for words of ``bits``: the RTL's words are as wide as the
    C++ types in memory."""
    return -(-bits // 64) * 64 if bits > 32 else max(8, 1 << (bits - 1).bit_length())


@dataclass(frozen=True)
class Memory:
    """A memory, or a stream, and how often it exists.

    Parameters
    ----------
    name, copies : ``copies`` equal ones.
    width, depth : bits of a word, words.
    fifo : whether it is a stream (pointers and flags beside the words).
    ultra : whether it lies in RAMs of 288 kbit.
    """

    name: str
    copies: int
    width: int
    depth: int
    fifo: bool
    ultra: bool = False

    @property
    def bram18(self) -> int:
        """Halves of block RAMs, all copies."""
        if self.ultra or self.depth <= LUTRAM_DEPTH:
            return 0
        return self.copies * bram18(self.width, self.depth)

    @property
    def uram(self) -> int:
        """RAMs of 288 kbit, all copies."""
        return self.copies * uram(self.width, self.depth) if self.ultra else 0

    @property
    def lut(self) -> int:
        """LUTs of words and control, all copies."""
        outside = self.ultra or self.depth > LUTRAM_DEPTH
        words = 0 if outside else lutram_luts(self.width, self.depth)
        return self.copies * (words + self._control.lut)

    @property
    def ff(self) -> int:
        """Flip-flops of pointers and of words on their way out, all copies."""
        return self.copies * self._control.ff

    @property
    def _control(self) -> "Control":
        """What stands around the words, as yosys counts it in ``stream_fifo.sv`` (widths 1 to 960,
        depths 2 to 1,000) and ``process_ram.sv`` (16 to 540 bits, 17 to 3,840 words)."""
        deep = self.depth > LUTRAM_DEPTH
        if not self.fifo:
            # LUT RAM has its read register in flip-flops.
            return Control(2, 1 if deep else self.width + 1)
        places, count = (self.depth - 1).bit_length(), self.depth.bit_length()
        wraps = self.depth & (self.depth - 1) != 0  # pointers are compared with the last place
        if deep:
            return Control(3 * places + 3 + 5 * wraps, count + 2 * places + 1)
        return Control(3 * count + 5 + 6 * wraps, count + 3 * places)


@dataclass(frozen=True)
class Control:
    """LUTs and flip-flops around the words of a memory."""

    lut: int
    ff: int


def memories(engine: Engine) -> list[Memory]:
    """Banks, buffers inside processes and streams, the banks first."""
    widths = type_widths(engine)
    copies = {Per.ACCELERATOR: 1, Per.GROUP: engine.groups, Per.PORT: engine.weight_ports}
    found = [
        Memory(
            f"bank.{bank.name}", engine.groups, widths[bank.type], bank.depth, False,
            bank.name in engine.ultra_banks,
        )
        for bank in banks(engine)
    ]
    shape = turn(engine)
    element = shape.features * engine.act_bits
    found += [
        Memory("weight_replay", 1, stored_bits(engine.row_word_bits), engine.replay_depth, False),
        Memory("value_replay", 1, stored_bits(engine.row_word_bits), engine.max_tokens, False),
        Memory("param_replay", 1, stored_bits(PARAM_BITS), engine.max_tile_rows, False),
        Memory("norm_replay", 1, stored_bits(PARAM_BITS), engine.max_features, False),
        Memory("turned_tiles", 2 * shape.rams, stored_bits(element), shape.depth, False),
    ]
    found += [
        Memory(stream.name, copies[stream.per], widths[stream.type], stream.depth, True)
        for stream in streams(engine)
    ]
    return found


def ultra_banks(engine: Engine, available: int) -> tuple[str, ...]:
    """The banks of ``engine`` that ``available`` RAMs of 288 kbit hold, those first that save the most
    block RAM for each; none that would leave its own nearly empty."""
    widths = type_widths(engine)
    worth = []
    for bank in banks(engine):
        width = widths[bank.type]
        saved, need = bram18(width, bank.depth), uram(width, bank.depth)
        if bank.depth > LUTRAM_DEPTH and saved >= ULTRA_LEAST_BRAM18 * need:
            worth.append((-saved / need, engine.groups * need, bank.name))
    taken = set()
    for _, need, name in sorted(worth):
        if need <= available:
            available -= need
            taken.add(name)
    return tuple(name for name in BANKS if name in taken)
