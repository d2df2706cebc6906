"""Least cycles of a shape of the array by the widths of its units, all widths at once."""

from functools import lru_cache
from itertools import product as every
from typing import NamedTuple

import numpy as np

from vitgen.design.closed_form import unit_costs
from vitgen.design.cost_stem import StemShape
from vitgen.design.cost_workload import (
    LinearShape,
    NormShape,
    ScoreShape,
    ValueShape,
    Workload,
)
from vitgen.design.engine import turn_gap
from vitgen.design.isa import Route
from vitgen.design.search_grids import Floats, key_rows, rows_per_dsp, stem_cycles
from vitgen.design.search_space import Grid, unit_lanes


class Widths(NamedTuple):
    """Every choice of widths for a group of token lanes, one entry each.

    Parameters
    ----------
    requant, gelu, softmax, norm : words that a unit works on a word.
    dsp, lut : beyond the narrowest units.
    """

    requant: Floats
    gelu: Floats
    softmax: Floats
    norm: Floats
    dsp: Floats
    lut: Floats


@lru_cache(maxsize=4096)
def widths_of(array: str, group_lanes: int, groups: int) -> Widths:
    """The choices for these token lanes."""
    costs = unit_costs(array, group_lanes, groups)
    choices = list(every(unit_lanes(group_lanes), repeat=4))
    requant, gelu, softmax, norm = np.array(
        [[group_lanes // w for w in widths] for widths in choices], np.float64
    ).T
    dsp = [sum(cost[w].dsp for cost, w in zip(costs, ws, strict=True)) for ws in choices]
    lut = [sum(cost[w].lut for cost, w in zip(costs, ws, strict=True)) for ws in choices]
    return Widths(requant, gelu, softmax, norm, np.array(dsp), np.array(lut))


def least_cycles(workload: Workload, array: str, act_bits: int, grid: Grid) -> Floats:
    """Cycles that no engine of this grid falls below, by the choices of :func:`widths_of`: the array
    multiplies and drains, and every unit passes the words that the model has, whatever they wait for."""
    widths = widths_of(array, grid.group_lanes, grid.groups)
    per_dsp = rows_per_dsp(array, act_bits)
    narrow, wide = grid.dsp_rows * per_dsp[4], grid.dsp_rows * per_dsp[8]
    gap = turn_gap(array, grid.dsp_rows, grid.dsp_rows, grid.pot_rows)
    tokens = max((s.keys for s in workload.shapes if isinstance(s, ScoreShape)), default=1)
    keys = key_rows(grid.group_lanes, grid.groups, wide, tokens)
    score_gap = turn_gap(array, grid.dsp_rows, min(grid.dsp_rows, -(-keys // per_dsp[8])), 0)
    results = np.maximum(widths.requant, widths.gelu)
    scores = np.maximum(widths.requant, widths.softmax)
    total = np.zeros(len(widths.dsp))
    for shape, count in workload.shapes.items():
        slots = -(-shape.tokens // grid.token_lanes)
        if isinstance(shape, LinearShape):
            w8 = shape.w8 if grid.pot_rows else shape.w8 + shape.pot
            tiles = max(
                -(-shape.w4 // narrow) + -(-w8 // wide),
                -(-shape.rows // (narrow + grid.pot_rows)),
            )
            words = results if shape.route is Route.GELU else widths.requant
            busy = float(slots * tiles * (shape.k + gap))
            total += count * np.maximum(busy, slots * shape.rows * words)
        elif isinstance(shape, ScoreShape):
            busy = float(slots * -(-shape.keys // keys) * (shape.head_dim + score_gap))
            total += count * np.maximum(busy, slots * shape.keys * scores)
        elif isinstance(shape, ValueShape):
            busy = float(slots * -(-shape.head_dim // wide) * shape.keys)
            total += count * np.maximum(busy, slots * shape.head_dim * widths.requant)
        elif isinstance(shape, NormShape):
            if shape.between:  # the last slots of the product before it are hidden
                tile = np.maximum(
                    shape.between[0] + gap, (narrow + grid.pot_rows) * widths.requant
                )
                alone = 2 * shape.features * widths.norm
                total += count * np.maximum(0, alone - (slots - 1) * tile)
            else:
                total += count * shape.features * (slots * widths.norm + 1)
        elif isinstance(shape, StemShape):
            rows = np.array([narrow + grid.pot_rows]), np.array([wide]), np.array([gap])
            total += count * slots * stem_cycles(shape, *rows)[0]
    return total
