"""What a search chooses from: shapes of the array and widths of the units."""

from dataclasses import dataclass

from vitgen.design.engine import MAX_WORD_BITS, Engine, divisors
from vitgen.design.instance import engine_for
from vitgen.design.lanes import ACCUMULATOR_BITS
from vitgen.design.needs import Needs

MAX_SLOTS = 16
MAX_GROUPS = 24
LANE_CHOICES = 4  # widths of a unit worth trying: a quarter of the widest and less never pays
LANE_WASTE = 1.06  # token lanes beyond what the slots need
FIFOS = (32, 512, 1024, 2048, 4096)  # one LUT RAM, then whole depths of block RAMs


@dataclass(frozen=True)
class Limits:
    """Bounds that a search keeps besides the board's.

    Parameters
    ----------
    max_multipliers : most products per beat of the array, power-of-two rows included.
    max_token_lanes : most tokens side by side.
    min_row_tiles : fewest tiles that the narrowest layers of the blocks have.
    min_token_tiles : fewest tiles of tokens.
    min_groups : fewest token groups.
    busy_floor : share of useful lanes below which a larger engine must pay: under it, twice the
        lanes must give more than 1.4 times the frames. It keeps small models on small engines.
    """

    max_multipliers: int | None = None
    max_token_lanes: int | None = None
    min_row_tiles: int = 1
    min_token_tiles: int = 1
    min_groups: int = 1
    busy_floor: float = 0.5


SIMULATED = Limits(max_multipliers=256, min_row_tiles=3, min_token_tiles=3, min_groups=2)
"""For a small model whose RTL is simulated: few lanes, and enough tiles and groups that every loop
turns."""


@dataclass(frozen=True)
class Grid:
    """Rows and token lanes of the array."""

    group_lanes: int
    groups: int
    dsp_rows: int
    pot_rows: int

    @property
    def token_lanes(self) -> int:
        """Tokens side by side."""
        return self.group_lanes * self.groups

    @property
    def sizes(self) -> tuple[int, int, int, int]:
        """All four."""
        return self.group_lanes, self.groups, self.dsp_rows, self.pot_rows


@dataclass(frozen=True)
class Lanes:
    """Lanes of the units, per group."""

    requant: int
    gelu: int
    softmax: int
    norm: int

    @property
    def widths(self) -> tuple[int, int, int, int]:
        """All four."""
        return self.requant, self.gelu, self.softmax, self.norm


def unit_lanes(group_lanes: int) -> list[int]:
    """Widths that a unit of a group may have, the widest first."""
    return divisors(group_lanes)[::-1][:LANE_CHOICES]


def build(
    needs: Needs,
    array: str,
    grid: Grid,
    lanes: Lanes,
    weight_ports: int,
    weight_fifo: int,
    uram: int = 0,
) -> Engine:
    """The engine of these choices, its banks in up to ``uram`` RAMs of 288 kbit; raises VitgenError
    where they break a rule of it."""
    return engine_for(
        needs,
        array=array,
        group_lanes=grid.group_lanes,
        groups=grid.groups,
        dsp_rows=grid.dsp_rows,
        pot_rows=grid.pot_rows,
        requant_lanes=lanes.requant,
        gelu_lanes=lanes.gelu,
        softmax_lanes=lanes.softmax,
        norm_lanes=lanes.norm,
        weight_ports=weight_ports,
        weight_fifo=weight_fifo,
        uram=uram,
    )


def token_grids(tokens: int, limits: Limits) -> list[tuple[int, int]]:
    """``(group_lanes, groups)`` that hold ``tokens`` in a few slots with little waste."""
    found = set()
    widest = min(tokens, MAX_WORD_BITS // ACCUMULATOR_BITS)
    most = limits.max_token_lanes or tokens
    for slots in range(limits.min_token_tiles, max(MAX_SLOTS, limits.min_token_tiles) + 1):
        lanes = -(-tokens // slots)
        for group in range(1, widest + 1):
            groups = -(-lanes // group)
            if not limits.min_groups <= groups <= MAX_GROUPS or group * groups > most:
                continue
            if groups > 1 and group * groups > lanes * LANE_WASTE:
                continue
            if -(-tokens // (group * groups)) >= limits.min_token_tiles:
                found.add((group, groups))
    return sorted(found)
