"""How ``value_turn`` lays the values of a token group out, to read them by token.

An element is ``features`` neighbouring features of one token. Element ``q`` of token ``t`` lies in RAM
``(q + t) % rams``, with ``t`` counted modulo ``lanes``: so the elements of ``lanes`` neighbouring tokens
are written side by side, and ``rams`` neighbouring elements of one token are read side by side.
"""

from dataclasses import dataclass
from functools import lru_cache

from vitgen.design.engine import Engine

ELEMENT_FEATURES = 4
"""Words of the bank that are collected before their lanes are written one part after the other: with
more, fewer and wider RAMs behind shorter rotations, but more registers before them."""

TILE_DEPTH = 64
"""Words that a RAM of LUTs holds at the price of 33."""


@dataclass(frozen=True)
class Turn:
    """Shape of the tile that ``value_turn`` writes and of the one that it reads.

    Parameters
    ----------
    features : of an element, at most :data:`ELEMENT_FEATURES`; as many steps write them.
    lanes : of a token group that are written in a step.
    rams : of a tile, each an element wide.
    pieces : of a row, ``rams`` elements each, read one after the other.
    """

    features: int
    lanes: int
    rams: int
    pieces: int

    @property
    def depth(self) -> int:
        """Words of a RAM."""
        return self.pieces * self.lanes * self.features

    def fill_cycles(self, features: int) -> int:
        """Cycles to write ``features`` words of a token group: an element is written while the words
        of the next one come."""
        return (-(-features // self.features) + 1) * self.features

    def read_cycles(self, tokens: int) -> int:
        """Cycles to read the rows of ``tokens``."""
        return self.pieces * tokens


@lru_cache(maxsize=4096)
def turn_of(group_lanes: int, rows: int) -> Turn:
    """The fewest RAMs with which a token group of ``rows`` features leaves as fast as it comes, in LUT
    RAM as far as it goes."""
    features = min(ELEMENT_FEATURES, group_lanes)
    lanes, elements = -(-group_lanes // features), -(-rows // features)
    for rams in range(lanes, max(lanes, elements) + 1):
        turn = Turn(features, lanes, rams, -(-elements // rams))
        read = turn.read_cycles(group_lanes)
        if turn.depth <= TILE_DEPTH and read <= turn.fill_cycles(rows):
            return turn
    return Turn(features, lanes, max(lanes, elements), 1)


def turn(engine: Engine) -> Turn:
    """The shape for an engine."""
    return turn_of(engine.group_lanes, min(engine.max_head_dim, engine.fixed_rows(8)))
