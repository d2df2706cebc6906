"""Designs one choice away from a design, in its shape, its units, its weight path or its model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vitgen.design.engine import Engine
from vitgen.design.search_space import FIFOS, unit_lanes
from vitgen.errors import VitgenError

if TYPE_CHECKING:
    from vitgen.design.search import Search

UNITS = ("requant_lanes", "gelu_lanes", "softmax_lanes", "norm_lanes")
Move = dict[str, int]
Candidate = tuple[Engine, int]


def _singles(search: Search, engine: Engine, variant: int) -> tuple[list[Move], list[Move]]:
    """Single choices that make a design smaller, and larger."""
    widths = unit_lanes(engine.group_lanes)
    smaller: list[Move] = [{"dsp_rows": -1}]
    larger: list[Move] = [{"dsp_rows": 1}]
    if search.variants[variant].needs.pot_rows:
        smaller.append({"pot_rows": -1})
        larger.append({"pot_rows": 1})
    for unit in UNITS:
        at = getattr(engine, unit)
        place = widths.index(at)
        smaller += [{unit: other - at} for other in widths[place + 1 : place + 2]]
        larger += [{unit: other - at} for other in widths[max(0, place - 1) : place]]
    return smaller, larger


def _ratios(search: Search) -> list[Move]:
    """Another variant, alone or with rows that follow it."""
    if len(search.variants) == 1:
        return []
    steps: list[Move] = [{"variant": step} for step in (-2, -1, 1, 2)]
    follow: list[Move] = [
        {"variant": sign * step, "pot_rows": sign * rows}
        for sign in (-1, 1)
        for step in (1, 2)
        for rows in (1, 2)
    ]
    trade: list[Move] = [
        {"variant": -sign, "pot_rows": -sign * rows, "dsp_rows": sign}
        for sign in (-1, 1)
        for rows in (1, 2, 3)
    ]
    return steps + follow + trade


def admits(search: Search, engine: Engine, variant: int) -> bool:
    """Whether the limits of a search allow an engine; that it fits is another question."""
    limits, model = search.limits, search.variants[variant]
    rows = engine.tile_rows(4 if model.workload.narrow else 8)
    if limits.max_multipliers and rows * engine.token_lanes > limits.max_multipliers:
        return False
    if -(-model.needs.residual_words // rows) < limits.min_row_tiles:
        return False
    return not model.workload.stems or engine.fixed_rows(8) >= 2


def _moved(search: Search, engine: Engine, variant: int, *moves: Move) -> Candidate | None:
    """The design after ``moves``, if there is one."""
    values: dict[str, Any] = {}
    for move in moves:
        for name, step in move.items():
            start = variant if name == "variant" else getattr(engine, name)
            values[name] = values.get(name, start) + step
    place = values.pop("variant", variant)
    if not 0 <= place < len(search.variants):
        return None
    pot_rows = values.get("pot_rows", engine.pot_rows)
    if values.get("dsp_rows", 1) < 1 or pot_rows < int(search.variants[place].needs.pot_rows > 0):
        return None
    try:
        other = replace(engine, **values)
    except VitgenError:
        return None
    return (other, place) if admits(search, other, place) else None


def neighbours(search: Search, engine: Engine, variant: int) -> Iterator[Candidate]:
    """Designs one choice away, then those with one choice less here for one more there."""
    for fifo in FIFOS:
        yield replace(engine, weight_fifo=fifo), variant
    for ports in range(1, search.ports + 1):
        yield replace(engine, weight_ports=ports), variant
    smaller, larger = _singles(search, engine, variant)
    trades = [(less, more) for less in smaller for more in larger if less.keys() != more.keys()]
    singles = [(move,) for move in (*smaller, *larger, *_ratios(search))]
    for moves in (*singles, *trades):
        other = _moved(search, engine, variant, *moves)
        if other is None:
            continue
        yield other
        if engine.weight_fifo == FIFOS[0]:  # a FIFO in block RAM leaves LUTs to the move
            yield replace(other[0], weight_fifo=FIFOS[1]), other[1]
