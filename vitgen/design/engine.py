"""The parameters of an accelerator: everything that shapes the hardware, nothing of a model's data."""

import dataclasses
from dataclasses import dataclass, fields
from typing import Any

from vitgen.design.lanes import ACCUMULATOR_BITS, KAPPA, layout_for, products_per_dsp
from vitgen.errors import VitgenError

LANES_PER_PROCESS = 256
"""Multipliers of one process of the array ``hls``: beyond, HLS tools take hours or give up."""

POST_BITS = 16  # requantized words on their way to softmax, GELU and the residual stream
POT_CODE_BITS = 4
BEAT_BITS = 128  # one DRAM beat
MAX_WORD_BITS = 1024  # ap_int's default limit


BANKS = ("residual", "act", "prob", "key", "value", "key_twin")
"""Activation RAMs of a token group."""

CHAIN_LENGTH = 16
"""Most DSPs of a cascade that the sums of a tile leave through, one a cycle (array ``dsp48``)."""


def drain_chains(dsp_rows: int) -> int:
    """Cascades of every token lane: the fewest of at most ``CHAIN_LENGTH`` DSPs."""
    return -(-dsp_rows // CHAIN_LENGTH)


def turn_gap(array: str, dsp_rows: int, used: int, pot_rows: int) -> int:
    """Cycles between two tiles in which the array does not multiply.

    dsp48: the sums of a tile leave the cascades one DSP a cycle, and the first beat of the next tile
    takes the place of the last; sums of power-of-two rows are copied aside in one cycle. hls: the
    last beat of a tile copies its sums, which leave while the next is computed.

    Parameters
    ----------
    used : DSP rows that hold rows of the tile.
    pot_rows : power-of-two rows of the tile.
    """
    if array != "dsp48":
        return 0
    length = -(-used // drain_chains(dsp_rows))
    return max(length - 1, 1 if pot_rows else 0)


def key_groups(group_lanes: int, groups: int, wide: int) -> int:
    """Token groups of keys that one tile of QK^T takes: the largest divisor of ``groups`` that fits
    ``wide`` rows of 8 bits, 0 if not even one does."""
    return max((q for q in divisors(groups) if q * group_lanes <= wide), default=0)


def key_slots(group_lanes: int, groups: int, wide: int, tokens: int) -> int:
    """Token tiles whose keys one tile of QK^T takes.

    Parameters
    ----------
    wide : rows of 8 bits of the array.
    tokens : most tokens; where they fill one tile, there is no other.
    """
    lanes = group_lanes * groups
    return 2 if tokens > lanes and 2 * lanes <= wide else 1


def divisors(n: int) -> list[int]:
    """Divisors of ``n`` in ascending order."""
    return [d for d in range(1, n + 1) if n % d == 0]


@dataclass(frozen=True)
class Engine:
    """Shape of the hardware; two designs with equal engines emit the same bytes of ``hls/``.

    Parameters
    ----------
    array : "dsp48" (multiplier array as one RTL module) or "hls" (plain C++).
    group_lanes : token lanes of one token group (a slice of the accelerator with banks of its own).
    groups : number of token groups; ``group_lanes * groups`` tokens are processed side by side.
    dsp_rows : DSP rows of the array; each holds as many rows as
        :mod:`vitgen.design.lanes` packs for ``act_bits`` (dsp48: 3 or 4 of 4 bits, 2 of 8).
    pot_rows : power-of-two rows beside them, on LUTs; 0 for none.
    act_bits : lane width of the activation banks, 4 to 8.
    requant_lanes, gelu_lanes, softmax_lanes, norm_lanes : lanes that the unit works on per beat in
        each group; they divide ``group_lanes``.
    weight_ports : 128-bit DRAM ports that bring weights, 1 to 4.
    weight_fifo : words of weights that can wait, fetched ahead, in front of the replay buffer.
    max_k : longest dot product of a linear layer.
    replay_depth : longest one whose weights serve several token tiles (depth of the replay buffer).
    max_tokens : most tokens (and keys); at most 1,023.
    max_features : most features of a LayerNorm; at most 1,024.
    max_head_dim : most features of a head.
    max_rows : most output rows of a weight tile (records that the parameter buffer holds also cover
        ``max_features``).
    residual_depth, act_depth, prob_depth, key_depth, value_depth : words of each bank of a group.
    ultra_banks : those of :data:`BANKS`, in that order, whose words lie in RAMs of 288 kbit
        (UltraRAM) instead of block RAM.
    """

    array: str
    group_lanes: int
    groups: int
    dsp_rows: int
    pot_rows: int
    act_bits: int
    requant_lanes: int
    gelu_lanes: int
    softmax_lanes: int
    norm_lanes: int
    weight_ports: int
    weight_fifo: int
    max_k: int
    replay_depth: int
    max_tokens: int
    max_features: int
    max_head_dim: int
    residual_depth: int
    act_depth: int
    prob_depth: int
    key_depth: int
    value_depth: int
    ultra_banks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.array not in KAPPA:
            raise VitgenError(f"Unknown array {self.array!r}.", f"Choose {' or '.join(KAPPA)}.")
        for unit in ("requant", "gelu", "softmax", "norm"):
            lanes = getattr(self, f"{unit}_lanes")
            if lanes < 1 or self.group_lanes % lanes:
                raise VitgenError(
                    f"{unit}_lanes is {lanes}, which does not divide the {self.group_lanes} lanes "
                    "of a token group.",
                    f"Choose one of {divisors(self.group_lanes)}.",
                )
        for name, low, high in (
            ("group_lanes", 1, MAX_WORD_BITS // ACCUMULATOR_BITS),
            ("groups", 1, 64),
            ("act_bits", 4, 8),
            ("weight_ports", 1, 4),
            ("max_tokens", 1, 1023),
            ("max_features", 1, 1024),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise VitgenError(f"{name} is {value}.", f"It lies between {low} and {high}.")
        if self.ultra_banks != tuple(name for name in BANKS if name in self.ultra_banks):
            raise VitgenError(
                f"ultra_banks is {self.ultra_banks}.",
                f"Name some of {', '.join(BANKS)}, each once and in this order.",
            )
        if self.array == "hls":
            self._check_hls()
        if self.row_word_bits > MAX_WORD_BITS:
            raise VitgenError(
                f"A word of weights for {self.dsp_rows} DSP rows and {self.pot_rows} power-of-two "
                f"rows has {self.row_word_bits} bits.",
                f"Words end at {MAX_WORD_BITS} bits: use fewer rows and more token lanes.",
            )
        if self.attention_rows == 0:
            raise VitgenError(
                f"{self.fixed_rows(8)} rows of 8 bits hold no group of {self.group_lanes} keys.",
                "Use more DSP rows or fewer lanes in a group.",
            )

    def _check_hls(self) -> None:
        if self.dsp_rows * self.group_lanes > LANES_PER_PROCESS:
            raise VitgenError(
                f"The array hls has {self.dsp_rows} x {self.group_lanes} multipliers in a process.",
                f"{LANES_PER_PROCESS} are allowed: use fewer lanes in a group and more groups.",
            )
        longest = layout_for("hls", 4, self.act_bits).accumulations
        if self.max_k > longest:
            raise VitgenError(
                f"The array hls adds {longest} products exactly, max_k is {self.max_k}.",
                "Use the array dsp48.",
            )

    @property
    def token_lanes(self) -> int:
        """Tokens processed side by side."""
        return self.group_lanes * self.groups

    def fixed_rows(self, weight_bits: int) -> int:
        """Fixed-point rows of a tile in the mode for ``weight_bits`` (4 or 8)."""
        return self.dsp_rows * products_per_dsp(self.array, weight_bits, self.act_bits)

    def tile_rows(self, weight_bits: int) -> int:
        """Rows of a tile, power-of-two rows included."""
        return self.fixed_rows(weight_bits) + self.pot_rows

    @property
    def max_tile_rows(self) -> int:
        """Most rows that one tile can drain."""
        return max(self.tile_rows(4), self.tile_rows(8))

    @property
    def key_groups(self) -> int:
        """Token groups of keys that one tile of QK^T takes."""
        return key_groups(self.group_lanes, self.groups, self.fixed_rows(8))

    @property
    def key_slots(self) -> int:
        """Token tiles whose keys one tile of QK^T takes: two where the 8-bit rows hold them, and the keys
        lie in two banks to be read side by side."""
        return key_slots(self.group_lanes, self.groups, self.fixed_rows(8), self.max_tokens)

    @property
    def attention_rows(self) -> int:
        """Keys of one tile of QK^T."""
        return self.key_groups * self.group_lanes * self.key_slots

    def fixed_field_bits(self, weight_bits: int) -> int:
        """Bits of the fixed-point weights of one k."""
        return self.fixed_rows(weight_bits) * weight_bits

    @property
    def row_word_bits(self) -> int:
        """A word of weights of one k: power-of-two codes in the low bits, fixed weights above."""
        fixed = max(self.fixed_field_bits(4), self.fixed_field_bits(8))
        return POT_CODE_BITS * self.pot_rows + fixed

    def weight_steps(self, weight_bits: int) -> int:
        """Beats of every weight port that bring one word."""
        bits = POT_CODE_BITS * self.pot_rows + self.fixed_field_bits(weight_bits)
        return -(-bits // (BEAT_BITS * self.weight_ports))

    @property
    def act_word_bits(self) -> int:
        """An activation word: one feature of the tokens of a group."""
        return self.group_lanes * self.act_bits

    @property
    def post_word_bits(self) -> int:
        """The same with 16-bit lanes."""
        return self.group_lanes * POST_BITS

    @property
    def act_load_beats(self) -> int:
        """DRAM beats of one activation word."""
        return -(-self.act_word_bits // BEAT_BITS)

    @property
    def post_load_beats(self) -> int:
        """DRAM beats of one 16-bit word."""
        return -(-self.post_word_bits // BEAT_BITS)

    @property
    def multipliers(self) -> dict[str, int]:
        """Products per beat by kind of row: ``w4``, ``w8`` (either, not both) and ``pot``."""
        return {
            "w4": self.fixed_rows(4) * self.token_lanes,
            "w8": self.fixed_rows(8) * self.token_lanes,
            "pot": self.pot_rows * self.token_lanes,
        }

    def slots(self, tokens: int) -> int:
        """Tiles of ``token_lanes`` that hold ``tokens``."""
        return -(-tokens // self.token_lanes)

    def key_tiles(self, keys: int) -> int:
        """Tiles of QK^T that hold ``keys``."""
        return -(-keys // self.attention_rows)

    def to_json(self) -> dict[str, Any]:
        """The parameters as JSON values."""
        return dataclasses.asdict(self) | {"ultra_banks": list(self.ultra_banks)}

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> "Engine":
        """The inverse of :meth:`to_json`; unknown or missing keys raise :class:`VitgenError`."""
        names = {f.name for f in fields(cls)}
        if set(record) != names:
            raise VitgenError(
                f"Engine parameters {sorted(set(record) ^ names)} are unknown or missing.",
                "Take the keys from design.json of a build.",
            )
        return cls(**record | {"ultra_banks": tuple(record["ultra_banks"])})
