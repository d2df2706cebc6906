"""Bits as the hardware reads them: weight words, row records, activation words, logits.

``docs/accelerator.md`` states the layouts; everything is little-endian.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vitgen.arith import pot_code
from vitgen.design.engine import BEAT_BITS, POST_BITS, POT_CODE_BITS, Engine
from vitgen.design.tiling import TileGroup, tile_rows
from vitgen.errors import VitgenError
from vitgen.ir import POT, LayerNorm, Linear

Bytes = NDArray[np.uint8]
Int = NDArray[np.int64]

BEAT_BYTES = BEAT_BITS // 8
NO_ROW = -1


def pack_lanes(values: Int, bits: int, word_bytes: int) -> Bytes:
    """Pack the last axis into little-endian words, lane 0 in the low bits.

    Parameters
    ----------
    values : ``(..., lanes)``, signed, each within ``bits``.
    bits : lane width, 1 to 32.
    word_bytes : bytes of a word; bits beyond the lanes are 0.

    Returns
    -------
    ``uint8 (..., word_bytes)``.
    """
    lead, lanes = values.shape[:-1], values.shape[-1]
    raw = np.ascontiguousarray(values.astype("<i4")).view(np.uint8).reshape(*lead, lanes, 4)
    if bits % 8 == 0:
        packed = raw[..., : bits // 8].reshape(*lead, lanes * bits // 8)
    else:
        unpacked = np.unpackbits(raw, axis=-1, bitorder="little")[..., :bits]
        packed = np.packbits(unpacked.reshape(*lead, lanes * bits), axis=-1, bitorder="little")
    words = np.zeros((*lead, word_bytes), dtype=np.uint8)
    words[..., : packed.shape[-1]] = packed
    return words


def unpack_lanes(words: Bytes, lanes: int, bits: int) -> Int:
    """The inverse of :func:`pack_lanes`: ``uint8 (..., word_bytes)`` to ``int64 (..., lanes)``."""
    unpacked = np.unpackbits(words, axis=-1, bitorder="little")[..., : lanes * bits]
    digits = unpacked.reshape(*words.shape[:-1], lanes, bits).astype(np.int64)
    weights = np.left_shift(np.int64(1), np.arange(bits, dtype=np.int64))
    weights[-1] = -weights[-1]
    result: Int = digits @ weights
    return result


def to_slots(engine: Engine, tensor: Int) -> Int:
    """Spread ``(tokens, features)`` over the token lanes: ``(slots, groups, features, lanes)``.

    Lanes without a token hold 0.
    """
    tokens, features = tensor.shape
    slots = engine.slots(tokens)
    padded = np.zeros((slots * engine.token_lanes, features), dtype=np.int64)
    padded[:tokens] = tensor
    lanes = padded.reshape(slots, engine.groups, engine.group_lanes, features)
    return np.ascontiguousarray(lanes.transpose(0, 1, 3, 2))


def from_slots(words: Int, tokens: int) -> Int:
    """The inverse of :func:`to_slots`, tokens beyond ``tokens`` dropped."""
    slots, groups, features, lanes = words.shape
    flat = words.transpose(0, 1, 3, 2).reshape(slots * groups * lanes, features)
    return np.ascontiguousarray(flat[:tokens])


def pack_image(engine: Engine, patches: Int) -> Bytes:
    """Image patches ``(tokens, features)`` as DRAM beats, ``uint8 (beats * 16,)``."""
    word_bytes = engine.act_load_beats * BEAT_BYTES
    return pack_lanes(to_slots(engine, patches), engine.act_bits, word_bytes).reshape(-1)


def pack_constant(engine: Engine, tensor: Int) -> Bytes:
    """A 16-bit tensor ``(tokens, features)`` as DRAM beats, ``uint8 (beats * 16,)``."""
    word_bytes = engine.post_load_beats * BEAT_BYTES
    return pack_lanes(to_slots(engine, tensor), POST_BITS, word_bytes).reshape(-1)


@dataclass(frozen=True)
class RowLayout:
    """Which row of the layer stands where in the tiles of one mode.

    Parameters
    ----------
    group : the tiles.
    fixed : row numbers ``(row_tiles, fixed rows of the engine)``, ``NO_ROW`` where empty.
    pot : row numbers ``(row_tiles, power-of-two rows of the engine)``.
    """

    group: TileGroup
    fixed: Int
    pot: Int

    @property
    def drained(self) -> Int:
        """Row numbers in the order in which a tile drains them, ``(row_tiles, rows)``."""
        return np.concatenate(
            [self.fixed[:, : self.group.fixed_rows], self.pot[:, : self.group.pot_rows]], axis=1
        )


def _fill(rows: Int, tiles: int, width: int) -> Int:
    table = np.full(tiles * width, NO_ROW, dtype=np.int64)
    table[: rows.size] = rows
    return table.reshape(tiles, width)


def layout_rows(engine: Engine, op: Linear) -> list[RowLayout]:
    """Place every row of a linear layer in a tile; at most one layout per mode."""
    pot = np.flatnonzero(op.row_scheme == POT)
    fixed = op.row_scheme != POT
    w4 = np.flatnonzero(fixed & (op.row_bits == 4))
    w8 = np.flatnonzero(fixed & (op.row_bits == 8))
    tiling = tile_rows(engine, w4.size, w8.size, pot.size)
    w8 = np.sort(np.concatenate([w8, pot[pot.size - tiling.widened :]]))
    pot = pot[: pot.size - tiling.widened]
    layouts = []
    for group in tiling.groups:
        rows = w4 if group.weight_bits == 4 else w8
        here, pot = pot[: group.pot], pot[group.pot :]
        layouts.append(
            RowLayout(
                group,
                _fill(rows, group.row_tiles, engine.fixed_rows(group.weight_bits)),
                _fill(here, group.row_tiles, engine.pot_rows),
            )
        )
    return layouts


def _gather(weight: NDArray[np.int8], rows: Int) -> NDArray[np.int8]:
    """``(tiles, features, rows)`` weights, 0 where there is no row."""
    taken: NDArray[np.int8] = weight[np.maximum(rows, 0)]
    taken[rows == NO_ROW] = 0
    return taken.transpose(0, 2, 1)


def pack_weights(engine: Engine, op: Linear, layout: RowLayout) -> Bytes:
    """Weight words of one instruction, striped over the ports.

    Returns
    -------
    ``uint8 (ports, row_tiles * features * steps * 16)``: for each word, beat ``step`` of port ``p``
    holds its bits from ``128 * (step * ports + p)`` on.
    """
    group = layout.group
    tiles, features = group.row_tiles, int(op.weight.shape[1])
    steps = engine.weight_steps(group.weight_bits)
    nibbles = np.zeros((tiles, features, steps * engine.weight_ports * BEAT_BYTES * 2), np.uint8)
    if engine.pot_rows:
        codes = pot_code(_gather(op.weight, layout.pot).astype(np.int64))
        nibbles[..., : engine.pot_rows] = codes
    fixed = _gather(op.weight, layout.fixed).view(np.uint8)
    low, count = engine.pot_rows * POT_CODE_BITS // 4, fixed.shape[-1]
    if group.weight_bits == 4:
        nibbles[..., low : low + count] = fixed & 15
    else:
        nibbles[..., low : low + 2 * count : 2] = fixed & 15
        nibbles[..., low + 1 : low + 2 * count : 2] = fixed >> 4
    words = nibbles[..., 0::2] | (nibbles[..., 1::2] << 4)
    striped = words.reshape(tiles * features, steps, engine.weight_ports, BEAT_BYTES)
    return np.ascontiguousarray(striped.transpose(2, 0, 1, 3)).reshape(engine.weight_ports, -1)


def _low_bits(value: Int, width: int) -> NDArray[np.uint64]:
    return value.astype(np.uint64) & np.uint64((1 << width) - 1)


def pack_records(
    bias: Int, mult: Int, dest: Int, keep: NDArray[np.bool_], gate: NDArray[np.bool_]
) -> Bytes:
    """Row records of 16 bytes: bias 32 bits, mult 18 (signed), destination 16, keep 1, gate 1.

    Raises
    ------
    VitgenError : a destination does not fit 16 bits.
    """
    if dest.size and int(dest.max()) >= 1 << 16:
        raise VitgenError(
            f"Destination row {int(dest.max())} does not fit a record.", "Use fewer features."
        )
    words = np.zeros((bias.size, 2), dtype=np.uint64)
    words[:, 0] = (
        _low_bits(bias, 32)
        | (_low_bits(mult, 18) << np.uint64(32))
        | (_low_bits(dest, 14) << np.uint64(50))
    )
    flags = keep.astype(np.uint64) | gate.astype(np.uint64) << np.uint64(1)
    words[:, 1] = _low_bits(dest >> 14, 2) | flags << np.uint64(2)
    return words.astype("<u8").view(np.uint8).reshape(-1)


def linear_records(
    op: Linear,
    layout: RowLayout,
    keep: NDArray[np.bool_] | None = None,
    gate: NDArray[np.bool_] | None = None,
) -> Bytes:
    """Records of the rows in the order in which the tiles drain them.

    Parameters
    ----------
    keep : rows whose results are wanted; None for all rows of the layer.
    gate : rows that open and close lanes; None for no row.
    """
    rows = layout.drained.reshape(-1)
    there = rows != NO_ROW
    index = np.maximum(rows, 0)
    bias = np.where(there, op.bias[index], 0).astype(np.int64)
    mult = np.where(there, op.mult[index], 0).astype(np.int64)
    no_row = np.zeros(rows.size, dtype=np.bool_)
    return pack_records(
        bias, mult, index, there if keep is None else keep, no_row if gate is None else gate
    )


def norm_records(op: LayerNorm) -> Bytes:
    """Records of a LayerNorm: its bias and gain per feature."""
    features = np.arange(op.gain.size, dtype=np.int64)
    every = np.ones(op.gain.size, dtype=np.bool_)
    return pack_records(
        op.bias.astype(np.int64), op.gain.astype(np.int64), features, every, ~every
    )


def unpack_logits(output: Bytes, classes: int) -> Int:
    """Logits from the output buffer: 16-bit values, eight a beat."""
    return output[: 2 * classes].copy().view("<i2").astype(np.int64)
