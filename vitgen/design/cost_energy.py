"""Energy of an image by item. An estimate, and a lower one: what nobody published is left empty."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from vitgen.boards import Board, Provenance
from vitgen.design.cost import Estimate
from vitgen.design.cost_work import Load, Norm, Product, Task
from vitgen.design.engine import POST_BITS, Engine
from vitgen.design.isa import Route, RowSource
from vitgen.design.lanes import products_per_dsp

TABLE = Path(__file__).with_name("energy.toml")
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Coefficient:
    """Energy of an event or power, with its source; ``value`` is None where nothing is known."""

    value: float | None
    unit: str
    origin: Provenance


@cache
def coefficients() -> dict[str, Coefficient]:
    """The table by name of the event."""
    found = {}
    for name, entry in tomllib.loads(TABLE.read_text()).items():
        value = None if entry["value"] == UNKNOWN else float(entry["value"])
        origin = Provenance(entry["trust"], entry["source"])
        found[name] = Coefficient(value, entry["unit"], origin)
    return found


@dataclass(frozen=True)
class Events:
    """What happens in an image.

    Parameters
    ----------
    dsp_beats, pot_beats : beats in which a DSP slice, or a power-of-two row of a token lane, multiplies.
    ram_bits : bits that pass the ports of activation banks and replay buffers: operands of every beat,
        weights of every beat, results once, LayerNorms twice.
    dram_bytes : between accelerator and DRAM.
    """

    dsp_beats: int
    pot_beats: int
    ram_bits: int
    dram_bytes: int


def _product_bits(engine: Engine, work: Product) -> int:
    """Bits through RAMs for a product."""
    words = engine.groups * work.ideal_beats
    operands = words * engine.act_word_bits
    rows = engine.row_word_bits * work.ideal_beats
    bits = POST_BITS if work.route is Route.RESIDUAL else engine.act_bits
    results = 0 if work.route is Route.STORE else work.limit * work.slots * engine.token_lanes * bits
    return operands + rows + results


def events(engine: Engine, tasks: Sequence[Task], dram_bytes: int) -> Events:
    """The events of a program on ``engine``."""
    dsp = pot = ram = 0
    lanes = engine.token_lanes
    for work in (task.work for task in tasks):
        if isinstance(work, Product):
            wide = work.wide or work.source is not RowSource.WEIGHTS
            per_dsp = products_per_dsp(engine.array, 8 if wide else 4, engine.act_bits)
            dsp += work.ideal_beats * lanes * -(-work.fixed_rows // per_dsp)
            pot += work.ideal_beats * lanes * work.pot_rows
            ram += _product_bits(engine, work)
        elif isinstance(work, Norm):
            ram += work.features * work.slots * lanes * (2 * POST_BITS + engine.act_bits)
        elif isinstance(work, Load):
            bits = POST_BITS if work.residual else engine.act_bits
            ram += work.features * work.slots * lanes * bits
    return Events(dsp, pot, ram, dram_bytes)


def energy(found: Estimate, tasks: Sequence[Task], board: Board, cycles: float) -> dict[str, Any]:
    """Energy of an image, as a report has it.

    Parameters
    ----------
    tasks : those that ``found`` timed.
    cycles : of an image.

    Returns
    -------
    dict : ``items``, each with ``name``, ``count`` of its events (None for power), ``millijoules``
        (None where nothing is known), ``coefficient``, ``unit``, ``trust`` and ``source``; their sum
        ``millijoules``; ``watts``, the sum over the time of an image.
    """
    seen = events(found.engine, tasks, found.traffic.total)
    seconds = cycles / (found.clock_mhz * 1e6)
    counts: dict[str, int | None] = {
        "dsp_beat": seen.dsp_beats,
        "pot_beat": seen.pot_beats,
        "ram_bit": seen.ram_bits,
        "dram_byte": seen.dram_bytes,
        "static_lut": board.resources.lut,
        "clock_routing": None,
        "processor": None,
    }
    items: list[dict[str, Any]] = []
    total = 0.0
    for name, one in coefficients().items():
        count = counts[name]
        joules = None
        if one.value is not None and count is not None:
            joules = count * one.value * (1e-12 if one.unit == "pJ" else 1e-6 * seconds)
            total += joules * 1e3
        items.append(
            {
                "name": name,
                "count": count,
                "millijoules": None if joules is None else joules * 1e3,
                "coefficient": one.value,
                "unit": one.unit,
                "trust": one.origin.trust,
                "source": one.origin.source,
            }
        )
    return {"items": items, "millijoules": total, "watts": total * 1e-3 / seconds}
