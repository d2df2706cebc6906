"""Cycles of one instruction: the formulas that the timeline and the search share.

A test compares both levels with simulated RTL of the open road.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from vitgen.boards import Board
from vitgen.design import depths
from vitgen.design.cost_work import Load, Norm, Product, TokenCount, Work, work_of
from vitgen.design.engine import BEAT_BITS, Engine, turn_gap
from vitgen.design.isa import Route, RowSource, Source
from vitgen.design.lanes import products_per_dsp
from vitgen.design.latencies import (
    ARRAY_LATENCY,
    AWAIT_CYCLES,
    COMMAND_LATENCY,
    DEAL_CYCLES,
    EXP_LATENCY,
    GELU_LATENCY,
    OPERAND_DEAL_CYCLES,
    REQUANT_LATENCY,
    RESIDUAL_LATENCY,
    RESIDUAL_SETTLE,
    SCALE_LATENCY,
    SLOT_LATENCY,
    SLOT_SETTLE,
    STORE_LATENCY,
    TURN_LATENCY,
    WEIGHT_LATENCY,
    WRITE_LATENCY,
    reciprocal_cycles,
    root_cycles,
    sub_words,
)
from vitgen.design.turning import turn
from vitgen.errors import DoesNotFit

BEAT_BYTES = BEAT_BITS // 8


@dataclass(frozen=True)
class Road:
    """What the DRAM gives, in cycles of the accelerator's clock.

    Parameters
    ----------
    weight_beat : cycles per beat of each weight port while all of them stream.
    beat : cycles per beat of a port that streams alone.
    latency : cycles from a request to its first beat.
    """

    weight_beat: float = 1.0
    beat: float = 1.0
    latency: int = 64

    @classmethod
    def of(cls, board: Board, clock_mhz: float, weight_ports: int) -> "Road":
        """The road of ``board``.

        Raises
        ------
        DoesNotFit : the board has fewer ports.
        """
        if weight_ports > board.dram.ports:
            raise DoesNotFit(
                f"The engine reads weights over {weight_ports} DRAM ports, {board.name} has "
                f"{board.dram.ports}.",
                f"Set weight_ports to {board.dram.ports} or less.",
            )
        weights = board.bytes_per_cycle(weight_ports, clock_mhz)
        return cls(
            weight_beat=max(1.0, weight_ports * BEAT_BYTES / weights),
            beat=max(1.0, BEAT_BYTES / board.bytes_per_cycle(1, clock_mhz)),
            latency=round(board.dram.latency_cycles * max(1.0, clock_mhz / board.clock_mhz)),
        )


@dataclass(frozen=True)
class Breakdown:
    """Cycles of an instruction that runs alone, no weight there before it begins.

    Parameters
    ----------
    ideal : beats in which the array multiplies (for a load, beats moved; for a norm, words).
    drain : cycles in which the array stands still because its accumulators shift out.
    results : cycles in which it waits for the unit behind it to take the rows of the tile before.
    fetch : cycles in which it waits for weights (or for values to be transposed).
    fill, tail : from the command to the first beat, and from the last beat to the last result.
    """

    ideal: float = 0.0
    drain: float = 0.0
    results: float = 0.0
    fetch: float = 0.0
    fill: float = 0.0
    tail: float = 0.0

    @property
    def total(self) -> float:
        """All of them."""
        return self.busy + self.fill + self.tail

    @property
    def busy(self) -> float:
        """Cycles in which the array belongs to this instruction."""
        return self.ideal + self.drain + self.results + self.fetch


def drain_gap(engine: Engine, product: Product) -> int:
    """Cycles between two tiles of a product in which the array does not multiply: also of a short one,
    whose power-of-two rows need the port of all of them, used or not."""
    per_dsp = products_per_dsp(engine.array, 8 if product.wide else 4, engine.act_bits)
    used = -(-product.fixed_rows // per_dsp)
    gap = turn_gap(engine.array, engine.dsp_rows, used, product.pot_rows)
    return gap if engine.array == "hls" else max(gap, engine.pot_rows - product.k)


def await_cycles(source: Source) -> int:
    """Cycles from a completion to the commands that waited for it: dispatch collects completions of
    one process after the other."""
    return AWAIT_CYCLES - int(source)


def result_beats(engine: Engine, product: Product) -> int:
    """Beats in which the rows of a tile pass the slowest unit on their way."""
    beats = product.tile_rows * sub_words(engine, engine.requant_lanes)
    kept = min(product.tile_rows, -(-product.limit // product.row_tiles))
    if product.route is Route.GELU:
        beats = max(beats, kept * sub_words(engine, engine.gelu_lanes))
    elif product.route is Route.SOFTMAX:
        beats = max(beats, kept * sub_words(engine, engine.softmax_lanes))
    return beats


def word_cycles(engine: Engine, product: Product, road: Road) -> float:
    """Cycles in which one word of weights comes from DRAM."""
    return engine.weight_steps(8 if product.wide else 4) * road.weight_beat


def turn_cycles(engine: Engine, product: Product) -> int:
    """Cycles in which ``value_turn`` transposes a head: one key group is written to a tile while the
    one before it is read from the other, so each costs the longer of the two, and the keys of the last
    are extra."""
    shape = turn(engine)
    key_groups = -(-product.k // engine.group_lanes)
    last = (product.k - 1) % engine.group_lanes + 1
    fill, read = shape.fill_cycles(product.fixed_rows), shape.read_cycles(engine.group_lanes)
    return fill + (key_groups - 1) * max(fill, read) + shape.read_cycles(last)


@dataclass(frozen=True)
class ProductTimes:
    """How a product occupies the array.

    Parameters
    ----------
    tile : cycles per tile whose operands stand ready.
    gap : of these, the drain.
    floor : of these at least, because its results leave no faster.
    word : cycles per weight word from DRAM (0 for activations).
    prefetch : words that come ahead of a row tile while the one before it drains and is replayed.
    after : cycles after the last tile before another instruction can begin: the array in C++ drains
        its last tile alone.
    """

    tile: float
    gap: int
    floor: int
    word: float
    prefetch: float
    after: int

    def first_pass(self, product: Product, prefetched: float) -> float:
        """Cycles of a row tile's first token tile, ``prefetched`` words waiting in the FIFO."""
        beats = max(float(product.k), (product.k - prefetched) * self.word)
        return max(beats + self.gap, self.floor)


def product_times(engine: Engine, product: Product, road: Road) -> ProductTimes:
    """The times of a product, whatever stands before it."""
    gap, floor = drain_gap(engine, product), result_beats(engine, product)
    tile = float(max(product.k + gap, floor))
    after = 0
    if engine.array == "hls":
        after = product.tile_rows  # those that wait for the requantizer have a place in its FIFO
    if product.source is not RowSource.WEIGHTS:
        return ProductTimes(tile, gap, floor, 0.0, 0.0, after)
    word = word_cycles(engine, product, road)
    idle = (product.slots - 1) * tile + gap
    ahead = min(float(engine.weight_fifo), idle / word)
    return ProductTimes(tile, gap, floor, word, min(ahead, float(product.k)), after)


def array_cycles(product: Product, times: ProductTimes, prefetched: float) -> float:
    """Cycles of the whole product; ``prefetched`` of its words are there already."""
    tiles = product.tiles * times.tile + times.after
    if not times.word:
        return tiles
    steady = times.first_pass(product, times.prefetch) - times.tile
    surplus = prefetched - times.prefetch
    if surplus > 0:  # a FIFO deeper than a row tile hides the first of many waits
        return tiles + max(0.0, product.row_tiles * steady - surplus * times.word)
    first = times.first_pass(product, prefetched) - times.tile
    return tiles + first + (product.row_tiles - 1) * steady


def _product_breakdown(engine: Engine, product: Product, road: Road) -> Breakdown:
    times = product_times(engine, product, road)
    busy = array_cycles(product, times, 0.0)
    tiles = product.tiles
    fetch = busy - tiles * times.tile - times.after
    if product.source is RowSource.VALUES:
        fetch = float(max(0, turn_cycles(engine, product) - product.k))
    drain = float(tiles * times.gap + times.after)
    left = times.floor
    if product.route is Route.SOFTMAX:  # rows of no key leave behind the last score
        none = product.row_tiles * product.tile_rows - product.limit
        left -= none * sub_words(engine, engine.requant_lanes)
    tail = max(0.0, float(left - times.gap - times.after)) + REQUANT_LATENCY
    fill = float(DEAL_CYCLES + COMMAND_LATENCY + ARRAY_LATENCY)
    if product.source is RowSource.WEIGHTS:  # the first weights come from DRAM
        fill = float(DEAL_CYCLES + road.latency + WEIGHT_LATENCY)
    else:
        fill += OPERAND_DEAL_CYCLES
        if product.source is RowSource.VALUES:
            fill += TURN_LATENCY - COMMAND_LATENCY - ARRAY_LATENCY
    if product.route is Route.GELU:
        tail += GELU_LATENCY
    elif product.route is Route.SOFTMAX:
        words = product.limit * sub_words(engine, engine.softmax_lanes)
        tail += 2 * words + EXP_LATENCY + reciprocal_cycles(engine) + SCALE_LATENCY
    elif product.route is Route.RESIDUAL:
        tail += RESIDUAL_LATENCY
    elif product.route is Route.STORE:
        tail += road.latency + STORE_LATENCY
    return Breakdown(
        ideal=float(product.ideal_beats),
        drain=drain,
        results=tiles * times.tile + times.after - product.ideal_beats - drain,
        fetch=fetch,
        fill=fill,
        tail=tail + WRITE_LATENCY,
    )


class NormUnit:
    """The LayerNorm of an engine in time: when it has taken a slot, and when it has scaled it.

    While a slot waits for its roots, words of the next are summed as far as the FIFO has room; the
    others follow the scaling word by word.
    """

    def __init__(self, engine: Engine, features: int) -> None:
        sub = sub_words(engine, engine.norm_lanes)
        self.words = features * sub
        self._room = min((depths.norm_words(engine).depth - features) * sub, self.words)
        self._root = root_cycles(engine)
        self._lanes = engine.group_lanes
        self._summed = self._scaling = self._scaled = float("-inf")

    @property
    def period(self) -> int:
        """Cycles from slot to slot while the residual stream keeps pace."""
        return self.words + max(self._lanes, self._root - self._room)

    @property
    def latency(self) -> int:
        """Cycles from a slot's first word to its last result."""
        return 2 * self.words + self._root + SCALE_LATENCY

    def take(self, offered: float) -> tuple[float, float]:
        """A slot whose words are offered from ``offered`` on: when the last is summed, and scaled."""
        begins = max(offered, self._summed + self._lanes)
        self._summed = max(begins + self.words, self._scaling + self.words - self._room)
        self._scaling = max(self._summed + self._root, self._scaled)
        self._scaled = self._scaling + self.words
        return self._summed, self._scaled


def norm_ends(engine: Engine, norm: Norm) -> tuple[float, float]:
    """Cycles from the first idle beat of the residual stream to the last word summed, and scaled, of
    a LayerNorm that runs alone."""
    unit, summed, scaled = NormUnit(engine, norm.features), 0.0, 0.0
    for _ in range(norm.slots):
        summed, scaled = unit.take(summed + RESIDUAL_SETTLE)
    return summed, scaled


def norm_cycles(engine: Engine, norm: Norm) -> float:
    """Cycles from the first idle beat of the residual stream to the last result."""
    return norm_ends(engine, norm)[1] + SCALE_LATENCY


def exposed_norm(engine: Engine, features: int, slots: int, before: float, after: float) -> float:
    """About the cycles for which the array waits for a LayerNorm that runs slot by slot.

    Parameters
    ----------
    before, after : cycles of a tile of the products that bring and take its slots.
    """
    unit = NormUnit(engine, features)
    latency = unit.latency + RESIDUAL_SETTLE + SLOT_SETTLE + WRITE_LATENCY + SLOT_LATENCY
    period = max(float(unit.period + RESIDUAL_SETTLE), before)
    first = latency - (slots - 1) * before
    return max(0.0, first, latency + (slots - 1) * (period - before - after))


def load_beats(engine: Engine, load: Load) -> int:
    """DRAM beats of a load."""
    beats = engine.post_load_beats if load.residual else engine.act_load_beats
    return load.slots * engine.groups * load.features * beats


def breakdown(engine: Engine, work: Work, road: Road) -> Breakdown:
    """Cycles of ``work`` alone."""
    if isinstance(work, Product):
        return _product_breakdown(engine, work, road)
    fill = float(DEAL_CYCLES + COMMAND_LATENCY)
    if isinstance(work, Norm):
        words = float(work.slots * work.features * sub_words(engine, engine.norm_lanes))
        tail = norm_cycles(engine, work) - words + WRITE_LATENCY
        return Breakdown(ideal=words, fill=fill, tail=tail)
    if isinstance(work, Load):
        beats = load_beats(engine, work)
        return Breakdown(
            ideal=float(beats),
            fetch=beats * (road.beat - 1.0),
            fill=DEAL_CYCLES + road.latency,
            tail=float(WRITE_LATENCY + (RESIDUAL_LATENCY if work.residual else 0)),
        )
    return Breakdown(fill=float(DEAL_CYCLES))


def instruction_cycles(
    engine: Engine,
    fields: Mapping[str, int],
    registers: Mapping[int, int],
    road: Road | None = None,
) -> Breakdown:
    """Cycles of one instruction that runs alone.

    Parameters
    ----------
    fields : values by name of :data:`vitgen.design.isa.FIELDS`.
    registers : tokens in each register.
    road : the DRAM; None for ports of a beat per cycle.
    """
    counts = {n: TokenCount(tokens, engine.slots(tokens)) for n, tokens in registers.items()}
    return breakdown(engine, work_of(engine, fields, counts), road or Road())
