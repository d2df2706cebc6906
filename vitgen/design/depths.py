"""Depths of the FIFOs, computed: one rule per kind of stream.

==============  =========  ======================================================================
kind            guards     depth
==============  =========  ======================================================================
hand over       rate       cycles from a word's entry to its place being free again
drained rows    rate       the same, and the rows that the requantizer takes while the array turns
residual rows   rate       the same as the first, and a tile of every other slot, up to a block RAM
normalized rows rate       the same as the first, and what a LayerNorm takes between two slots
slot reports    deadlock   slots of a LayerNorm whose reader has not begun
commands        rate       instructions under way in the stages before a process, and the next one
completions     deadlock   what the scheduler's waits leave uncollected, and what is dealt meanwhile
bursts          rate       a DRAM burst that is read and one that arrives
token tile      deadlock   words of a tile that wait for a number of all of them;
                rate       and those that come while that number is worked out
one per tile    rate       a tile's number that is used and the next one
head            rate       the values of a head, which is transposed while another is multiplied
request of run  rate       the one for the whole program, and the stop
weights         rate       chosen by the search: block RAM for cycles of waiting
==============  =========  ======================================================================

A FIFO that guards the rate may be of any depth without a deadlock: all processes take their commands
in the order of the program, so what blocks waits for something earlier alone. Two kinds of streams
break that order and need their depth. Where a unit sends all words of a tile one way and a number of
all of them another way (the maximum, the sum, the variance), its reader waits for the number while
the words wait in the FIFO. And completions run backwards, from a process to ``dispatch``, which may
wait for another process at that time.
"""

from dataclasses import dataclass
from enum import Enum

from vitgen.design.engine import Engine
from vitgen.design.isa import DONE_DEPTH
from vitgen.design.latencies import (
    ARRAY_LATENCY,
    MAX_LATENCY,
    RESIDUAL_SETTLE,
    reciprocal_cycles,
    sub_words,
    variance_wait,
)

BURST_BEATS = 16

OFFER_CYCLES = 1  # from a word's entry into a FIFO to its offer
RETURN_CYCLES = 1  # from its leaving to the offer of its place
RAM_OFFER_CYCLES = 2  # the first of these where the words are in block RAM

STAGES = ("fetched", "multiplied", "requantized")
"""What happens to an instruction before its last process writes it: one of each can be under way."""

LUTRAM_WORDS = 32
"""Words that LUT RAM holds at the price of one."""

BLOCK_ROW = 512
"""Words by which a block RAM of full width grows."""


class Guard(Enum):
    """What goes wrong below a bound."""

    DEADLOCK = "deadlock"
    RATE = "rate"


@dataclass(frozen=True)
class Bound:
    """A computed depth.

    Parameters
    ----------
    guards : of the first term: no depth below it works, or it costs cycles.
    terms : ``(words, what they are)``; the depth is their sum.
    """

    guards: Guard
    terms: tuple[tuple[int, str], ...]

    @property
    def depth(self) -> int:
        """Words that the FIFO holds."""
        return sum(words for words, _ in self.terms)

    @property
    def spare(self) -> int:
        """Words of the terms behind the first, which guard the rate alone."""
        return sum(words for words, _ in self.terms[1:])

    @property
    def why(self) -> str:
        """The sum in words and numbers."""
        sums = " + ".join(f"{words} {what}" for words, what in self.terms)
        return f"{sums} ({self.guards.value})"


def _rate(*terms: tuple[int, str]) -> Bound:
    return Bound(Guard.RATE, terms)


HAND_OVER = _rate(
    (OFFER_CYCLES, "cycle until a word is offered"),
    (RETURN_CYCLES, "until its place is free again"),
)
COMMANDS = _rate((len(STAGES), f"instructions {', '.join(STAGES)}"), (1, "that comes next"))
COMMAND_DEPTH = COMMANDS.depth
COMPLETIONS = Bound(
    Guard.DEADLOCK,
    (
        (DONE_DEPTH - 2, "that the waits leave uncollected"),
        (1, "of the instruction"),
        (1, "of the next, dealt before its waits"),
    ),
)
BURSTS = _rate((BURST_BEATS, "beats of a burst that is read"), (BURST_BEATS, "of one that arrives"))
RUN_REQUESTS = _rate((1, "request for the program"), (1, "stop"))
ONE_PER_TILE = _rate((1, "of the token tile in work"), (1, "of the next"))


def drained_rows(engine: Engine) -> Bound:
    """Rows between the array and the requantizer, which takes several beats for each.

    The array in C++ begins no other instruction before the rows of the last tile have left.
    """
    sub = sub_words(engine, engine.requant_lanes)
    turned = (-(-ARRAY_LATENCY // sub), "rows requantized while the array turns")
    if engine.array != "hls" or sub == 1:
        return _rate(*HAND_OVER.terms, turned)
    left = -(-engine.max_tile_rows * (sub - 1) // sub)
    return _rate(*HAND_OVER.terms, turned, (left, "that are left when the last of a tile leaves"))


def residual_rows(engine: Engine) -> Bound:
    """Rows on their way to the residual bank, which may be loaded, or send a slot to a LayerNorm, when
    they come: a tile of every other slot, as far as one row of block RAMs holds them."""
    slots = engine.slots(engine.max_tokens)
    held = min(engine.max_tile_rows * max(1, slots - 1), BLOCK_ROW - HAND_OVER.depth)
    return _rate(
        *HAND_OVER.terms, (held, "rows that come while the bank is loaded or a slot is sent")
    )


def normalized_rows(engine: Engine) -> Bound:
    """Residual words on their way to a LayerNorm, which takes some after the residual process has
    turned to the next slot, and none while the variances of a slot's lanes pass one after the other:
    as many as LUT RAM holds at the price of the first."""
    cycles = RESIDUAL_SETTLE + engine.group_lanes
    waiting = -(-cycles // sub_words(engine, engine.norm_lanes))
    waiting = min(waiting, LUTRAM_WORDS - HAND_OVER.depth)
    return _rate(*HAND_OVER.terms, (waiting, "words for the time between two slots"))


def slot_reports(engine: Engine) -> Bound:
    """Slots that a LayerNorm has written and no product has read: its reader may begin when the last
    is there, and the LayerNorm does not wait for it."""
    slots = engine.slots(engine.max_tokens)
    return Bound(Guard.DEADLOCK, ((slots, "slots of a LayerNorm"), (1, "of the next")))


def _tile(words: int, what: str, cycles: int, sub: int) -> Bound:
    """A token tile in front of its second pass, and what comes until that begins.

    Parameters
    ----------
    words : of a tile.
    cycles : from the last word of a tile to the moment from which its second pass takes words.
    sub : beats per word of the unit that writes.
    """
    spare = -(-cycles // sub)
    if words > BLOCK_ROW or words + spare > BLOCK_ROW:  # not worth another row of block RAMs
        spare = min(spare, -(-words // BLOCK_ROW) * BLOCK_ROW - words)
    return Bound(Guard.DEADLOCK, ((words, what), (spare, "that come until it is there")))


def scores(engine: Engine) -> Bound:
    """Scores that wait for the maximum of their token tile."""
    sub = sub_words(engine, engine.softmax_lanes)
    return _tile(engine.max_tokens, "keys of a token tile for their maximum",
                 MAX_LATENCY + RAM_OFFER_CYCLES, sub)  # fmt: skip


def terms(engine: Engine) -> Bound:
    """Exponentials that wait for the reciprocal of their sum."""
    sub = sub_words(engine, engine.softmax_lanes)
    return _tile(engine.max_tokens, "keys of a token tile for the reciprocal of their sum",
                 reciprocal_cycles(engine) + RAM_OFFER_CYCLES, sub)  # fmt: skip


def norm_words(engine: Engine) -> Bound:
    """Words of a LayerNorm that wait for their variance."""
    sub = sub_words(engine, engine.norm_lanes)
    return _tile(engine.max_features, "features of a token tile for their variance",
                 variance_wait(engine) + RAM_OFFER_CYCLES, sub)  # fmt: skip


def turned_rows(engine: Engine) -> Bound:
    """Transposed values."""
    return _rate((engine.max_tokens, "keys of a head, transposed while another is multiplied"))


def weight_words(engine: Engine) -> Bound:
    """Weights fetched ahead while a tile is replayed for its other token tiles."""
    return _rate((engine.weight_fifo, "words fetched ahead, the search's choice"))
