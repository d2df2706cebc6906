"""All shapes of the array at once, with a lower bound of their cycles, as arrays of numbers."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from vitgen.design.cost_resources import bill, grid_cost, lane_items
from vitgen.design.cost_stem import StemShape
from vitgen.design.cost_workload import (
    LinearShape,
    NormShape,
    ScoreShape,
    ValueShape,
    Workload,
)
from vitgen.design.engine import (
    LANES_PER_PROCESS,
    MAX_WORD_BITS,
    POT_CODE_BITS,
    key_groups,
    key_slots,
    turn_gap,
)
from vitgen.design.lanes import products_per_dsp
from vitgen.design.needs import Needs
from vitgen.design.search_space import FIFOS, Grid, Lanes, Limits, build, token_grids
from vitgen.design.variants import Variant
from vitgen.errors import VitgenError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

CHUNK = 4096  # entries that are looked at together


@dataclass(frozen=True)
class Frames:
    """Token lanes and DSP rows that fit, one entry each.

    Parameters
    ----------
    group, groups, dsp_rows : as an engine has them.
    dsp, lut : slices and LUTs of the engine with the narrowest units and no power-of-two rows.
    pot_lut : LUTs of a power-of-two row.
    """

    group: Ints
    groups: Ints
    dsp_rows: Ints
    dsp: Floats
    lut: Floats
    pot_lut: Floats

    @property
    def token_lanes(self) -> Ints:
        """Tokens side by side."""
        return self.group * self.groups


@dataclass(frozen=True)
class Shapes:
    """Shapes of the array for some variants, one entry each.

    Parameters
    ----------
    variant : index of the variant.
    frame : index into ``frames``.
    pot_rows : power-of-two rows.
    lanes : products per beat.
    bound : least cycles of an image.
    dsp, lut : least slices and LUTs.
    """

    frames: Frames
    variant: Ints
    frame: Ints
    pot_rows: Ints
    lanes: Ints
    bound: Floats
    dsp: Floats
    lut: Floats

    def grid(self, index: int) -> Grid:
        """One of them."""
        frames, frame = self.frames, self.frame[index]
        return Grid(
            int(frames.group[frame]), int(frames.groups[frame]), int(frames.dsp_rows[frame]),
            int(self.pot_rows[index]),
        )  # fmt: skip

    def undominated(self, order: Ints) -> Iterator[int]:
        """Entries in this order, without those that take as much as an earlier one with the same token
        lanes: at least its DSP rows, and at least its LUTs."""
        least: dict[int, list[float]] = {}
        frame = self.frame
        group, groups, dsp_rows = (
            column[frame] for column in (self.frames.group, self.frames.groups, self.frames.dsp_rows)
        )
        for start in range(0, len(order), CHUNK):
            part = order[start : start + CHUNK]
            columns = (part, group[part], groups[part], dsp_rows[part], self.lut[part])
            for index, own, others, rows, lut in zip(*(c.tolist() for c in columns), strict=True):
                taken = least.setdefault(own * MAX_WORD_BITS + others, [math.inf] * MAX_WORD_BITS)
                if lut < taken[rows]:
                    place = rows
                    while place < MAX_WORD_BITS and lut < taken[place]:
                        taken[place] = lut
                        place += 1
                    yield index

    def __len__(self) -> int:
        return len(self.variant)


def _over(a: Ints | int, b: Ints | int) -> Ints:
    """Division, rounded up."""
    return np.asarray(-(-np.asarray(a, np.int64) // b))


def rows_per_dsp(array: str, act_bits: int) -> dict[int, int]:
    """Rows of a DSP by the bits of their weights."""
    return {bits: products_per_dsp(array, bits, act_bits) for bits in (4, 8)}


def _row_bits(per_dsp: dict[int, int]) -> int:
    """Bits of a word of weights for a DSP row."""
    return max(bits * rows for bits, rows in per_dsp.items())


def rest_cost(
    needs: Needs, array: str, group: int, groups: int, dsp_rows: int
) -> tuple[float, float]:
    """Slices and LUTs beside rows and lanes: control, memories and DMA of one of the smallest engines
    with these token lanes."""
    try:
        lanes = Lanes(1, 1, 1, 1)
        engine = build(needs, array, Grid(group, groups, dsp_rows, 0), lanes, 1, FIFOS[0])
    except VitgenError:
        return 0.0, 0.0
    whole, units = bill(engine), lane_items(engine)
    return (
        float(whole.dsp - sum(item.dsp for item in units)),
        float(whole.lut - sum(item.lut for item in units)),
    )


def frames_of(array: str, needs: Needs, stock: dict[str, float], limits: Limits) -> Frames:
    """Token lanes and DSP rows within the slices and LUTs of ``stock``."""
    per_dsp = rows_per_dsp(array, needs.act_bits)
    cost_of = partial(grid_cost, array, max_k=needs.max_k, act_bits=needs.act_bits)
    found = []
    for group, groups in token_grids(needs.tokens, limits):
        lanes = group * groups
        least = -(-group // per_dsp[8])
        most = min(int(stock["dsp"]) // lanes, MAX_WORD_BITS // _row_bits(per_dsp))
        if array == "hls":
            most = min(most, LANES_PER_PROCESS // group)
        if least > most:
            continue
        slope = (
            cost_of((group, groups, least, 64)).lut
            - cost_of((group, groups, least, 0)).lut
        ) / 64
        rest = rest_cost(needs, array, group, groups, least)
        for dsp_rows in range(least, most + 1):
            cost = cost_of((group, groups, dsp_rows, 0))
            dsp, lut = cost.dsp + rest[0], cost.lut + rest[1]
            if dsp > stock["dsp"] or lut > stock["lut"]:
                break
            found.append((group, groups, dsp_rows, dsp, lut, slope))
    columns = np.array(found, dtype=np.float64).reshape(-1, 6).T
    whole = columns[:3].astype(np.int64)
    return Frames(whole[0], whole[1], whole[2], columns[3], columns[4], columns[5])


def pot_choices(workload: Workload, dsp_rows: Ints, per_dsp: int) -> tuple[Ints, Ints]:
    """Power-of-two rows that let both kinds of rows finish together in some layer.

    Returns
    -------
    entries, pot_rows : pairs of an entry of ``dsp_rows`` and a number of rows; 0 where the model has
        none.
    """
    every = np.arange(len(dsp_rows))
    found = []
    for shape in workload.shapes:
        if isinstance(shape, LinearShape) and shape.pot:
            tiles = np.maximum(1, _over(shape.w4, dsp_rows * per_dsp))
            found += [_over(shape.pot, tiles), _over(shape.pot, tiles + 1)]
    if not found:
        return every, np.zeros_like(every)
    span = MAX_WORD_BITS
    keys = np.unique(np.concatenate([every * span + np.minimum(p, span - 1) for p in found]))
    return keys // span, keys % span


def key_rows(group_lanes: int, groups: int, wide: int, tokens: int) -> int:
    """Keys of one tile of scores, with ``wide`` rows of 8 bits."""
    fitting = max(1, key_groups(group_lanes, groups, wide))
    return group_lanes * fitting * key_slots(group_lanes, groups, wide, tokens)


class Bounds:
    """Least cycles of a workload on a grid: units wide enough, weights there, nothing in the way."""

    def __init__(
        self,
        array: str,
        per_dsp: dict[int, int],
        group: Ints,
        groups: Ints,
        dsp_rows: Ints,
        tokens: int,
    ) -> None:
        self._array, self._group, self._dsp_rows = array, group, dsp_rows
        self._token_lanes = group * groups
        self._narrow, self._wide = dsp_rows * per_dsp[4], dsp_rows * per_dsp[8]
        columns = (group.tolist(), groups.tolist(), self._wide.tolist())
        keys = np.array([key_rows(*one, tokens) for one in zip(*columns, strict=True)], dtype=np.int64)
        self._keys = keys
        used = _over(keys, per_dsp[8])
        self._score_gap = self._gaps(np.minimum(used, dsp_rows), False)
        self._gap = {pot: self._gaps(dsp_rows, pot) for pot in (False, True)}

    def _gaps(self, used: Ints, pot: bool) -> Ints:
        pairs = zip(self._dsp_rows.tolist(), used.tolist(), strict=True)
        return np.array([turn_gap(self._array, d, u, int(pot)) for d, u in pairs], dtype=np.int64)

    def _slots(self, tokens: int) -> Ints:
        return _over(tokens, self._token_lanes)

    def common(self, workload: Workload) -> Floats:
        """Cycles that power-of-two rows do not change, ``(entries,)``."""
        total = np.zeros(len(self._group))
        for shape, count in workload.shapes.items():
            if isinstance(shape, ScoreShape):
                tiles = _over(shape.keys, self._keys)
                total += count * self._slots(shape.tokens) * tiles * (shape.head_dim + self._score_gap)
            elif isinstance(shape, ValueShape):
                tiles = _over(shape.head_dim, self._wide)
                total += count * self._slots(shape.tokens) * tiles * shape.keys
            elif isinstance(shape, NormShape):
                slots = self._slots(shape.tokens)
                if shape.between:  # the last slots of the product before it are hidden
                    hidden = (slots - 1) * (shape.between[0] + self._gap[True])
                    total += count * np.maximum(0, 2 * shape.features - hidden)
                else:
                    total += count * (slots + 1) * shape.features
        return total

    def linear(self, workload: Workload, entries: Ints, pot_rows: Ints) -> Floats:
        """Cycles of the linear layers and the stem, for pairs of an entry and its rows."""
        narrow, wide = self._narrow[entries], self._wide[entries]
        gap = np.where(pot_rows > 0, self._gap[True][entries], self._gap[False][entries])
        total = np.zeros(len(entries))
        for shape, count in workload.shapes.items():
            if isinstance(shape, LinearShape):
                w8 = np.where(pot_rows > 0, shape.w8, shape.w8 + shape.pot)
                tiles = _over(shape.w4, narrow) + _over(w8, wide)
                tiles = np.maximum(tiles, _over(shape.rows, narrow + pot_rows))
                total += count * self._slots(shape.tokens)[entries] * tiles * (shape.k + gap)
            elif isinstance(shape, StemShape):
                cycles = stem_cycles(shape, narrow + pot_rows, wide, gap)
                total += count * self._slots(shape.tokens)[entries] * cycles
        return total


def stem_cycles(shape: StemShape, project_rows: Ints, conv_rows: Ints, gap: Ints) -> Ints:
    """Least cycles of a stem per token tile."""
    result, project = shape.stem.result, shape.project.op
    found = _over(project.rows, project_rows) * (result.all_words + gap)
    for stage in shape.stem.stages:
        tiles = _over(stage.rows, np.maximum(1, conv_rows - 1))
        found = found + stage.target.side**2 * tiles * (stage.k + gap)
    return found


def shapes_of(
    variants: Sequence[Variant], array: str, stock: dict[str, float], limits: Limits
) -> Shapes:
    """All shapes within ``stock`` and ``limits`` that are worth a look, for every variant."""
    needs = variants[0].needs
    frames = frames_of(array, needs, stock, limits)
    per_dsp = rows_per_dsp(array, needs.act_bits)
    bounds = Bounds(array, per_dsp, frames.group, frames.groups, frames.dsp_rows, needs.tokens)
    common = bounds.common(variants[0].workload)
    parts = []
    for index, variant in enumerate(variants):
        frame, pot_rows = _admitted(variant, per_dsp, frames, stock, limits)
        bound = common[frame] + bounds.linear(variant.workload, frame, pot_rows)
        parts.append((np.full(len(frame), index), frame, pot_rows, bound))
    variant_of, frame, pot_rows, bound = (
        np.concatenate([part[place] for part in parts]) for place in range(4)
    )
    rows = np.array([per_dsp[4 if v.workload.narrow else 8] for v in variants])
    lanes = (frames.dsp_rows[frame] * rows[variant_of] + pot_rows) * frames.token_lanes[frame]
    return Shapes(
        frames, variant_of, frame, pot_rows, lanes, bound, frames.dsp[frame],
        frames.lut[frame] + frames.pot_lut[frame] * pot_rows,
    )  # fmt: skip


def _admitted(
    variant: Variant,
    per_dsp: dict[int, int],
    frames: Frames,
    stock: dict[str, float],
    limits: Limits,
) -> tuple[Ints, Ints]:
    """Frames and their power-of-two rows that neither the board nor a limit forbids."""
    workload = variant.workload
    frame, pot_rows = pot_choices(workload, frames.dsp_rows, per_dsp[4])
    dsp_rows = frames.dsp_rows[frame]
    rows = dsp_rows * per_dsp[4 if workload.narrow else 8] + pot_rows
    good = frames.lut[frame] + frames.pot_lut[frame] * pot_rows <= stock["lut"]
    good &= dsp_rows * _row_bits(per_dsp) + pot_rows * POT_CODE_BITS <= MAX_WORD_BITS
    good &= _over(variant.needs.residual_words, rows) >= limits.min_row_tiles
    if limits.max_multipliers:
        good &= rows * frames.token_lanes[frame] <= limits.max_multipliers
    if workload.stems:  # the gate of a convolution and another row
        good &= dsp_rows * per_dsp[8] >= 2
    return frame[good], pot_rows[good]
