"""How the rows of a linear layer fill tiles: fixed rows on DSP lanes, power-of-two rows beside them.

A tile runs in one mode, 4-bit or 8-bit weights; every tile also has the power-of-two rows. Where
those are too few for a layer, rows move to the 8-bit lanes, whose range holds every power of two.
"""

from dataclasses import dataclass
from functools import lru_cache

from vitgen.design.engine import Engine


@dataclass(frozen=True)
class TileGroup:
    """Tiles of one mode, executed by one instruction.

    Parameters
    ----------
    weight_bits : 4 or 8.
    row_tiles : number of tiles.
    fixed_rows, pot_rows : rows of each kind that a tile drains (padding included).
    fixed, pot : rows of each kind that hold weights, over all tiles.
    """

    weight_bits: int
    row_tiles: int
    fixed_rows: int
    pot_rows: int
    fixed: int
    pot: int

    @property
    def last_rows(self) -> int:
        """Rows of the last tile that hold weights: those of a kind fill the tiles one after the other."""
        before = self.row_tiles - 1
        fixed = max(0, self.fixed - before * self.fixed_rows)
        return fixed + max(0, self.pot - before * self.pot_rows)


@dataclass(frozen=True)
class Tiling:
    """Tiles of a layer.

    Parameters
    ----------
    groups : at most two, the 4-bit tiles first.
    widened : power-of-two rows that run on 8-bit lanes.
    """

    groups: tuple[TileGroup, ...]
    widened: int

    @property
    def row_tiles(self) -> int:
        """Tiles of all modes."""
        return sum(group.row_tiles for group in self.groups)


def _ceil(a: int, b: int) -> int:
    return -(-a // b)


def _split(engine: Engine, w4: int, w8: int, pot: int) -> tuple[TileGroup, ...]:
    tiles = {4: _ceil(w4, engine.fixed_rows(4)), 8: _ceil(w8, engine.fixed_rows(8))}
    if pot:
        short = _ceil(pot, engine.pot_rows) - sum(tiles.values())
        if short > 0:
            tiles[8 if w8 and not w4 else 4] += short
    groups = []
    left = pot
    for bits, fixed in ((4, w4), (8, w8)):
        if not tiles[bits]:
            continue
        here = min(left, tiles[bits] * engine.pot_rows)
        left -= here
        groups.append(
            TileGroup(
                weight_bits=bits,
                row_tiles=tiles[bits],
                fixed_rows=min(engine.fixed_rows(bits), fixed),
                pot_rows=min(engine.pot_rows, here),
                fixed=fixed,
                pot=here,
            )
        )
    return tuple(groups)


@lru_cache(maxsize=65536)
def tile_rows(engine: Engine, w4: int, w8: int, pot: int) -> Tiling:
    """Fewest tiles for ``w4`` and ``w8`` fixed rows and ``pot`` power-of-two rows."""
    if pot and not engine.pot_rows:
        return Tiling(_split(engine, w4, w8 + pot, 0), pot)
    # Rows that move are free until a tile of 8-bit lanes is full: only full tiles are worth trying.
    wide = engine.fixed_rows(8)
    full = range(-w8 % wide, pot, wide)
    best: Tiling | None = None
    for widened in sorted({0, *full, pot}):
        tiling = Tiling(_split(engine, w4, w8 + widened, pot - widened), widened)
        if best is None or tiling.row_tiles < best.row_tiles:
            best = tiling
    assert best is not None
    return best
