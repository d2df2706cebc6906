"""``report.json``: what was built, what it is expected to do, and what was shown of it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from vitgen import __version__, boards
from vitgen.boards import Board
from vitgen.design.choice import Design
from vitgen.design.cost import Estimate, estimate
from vitgen.design.cost_cycles import Road
from vitgen.design.cost_energy import energy
from vitgen.design.cost_workload import Workload
from vitgen.design.engine import Engine
from vitgen.design.search import UTILISATION
from vitgen.design.steps import LinearStep, Step, fuse
from vitgen.errors import VitgenError
from vitgen.ir import Graph
from vitgen.report.comparison import beside
from vitgen.report.layers import PROGRAM, layer_rows
from vitgen.report.schema import Level, check

LEAST_IMAGES = 100
"""No agreement figure from fewer images."""

_LARGER = 8  # rows by which the next larger array may exceed the chosen one
_WORTH = 1.01  # frames that count as an improvement
_NOT_ESTIMATED_FROM = ("ps.", "pynq.", "power.")  # entries of a board file beside its figures
_PARAMETERS = ("weight", "bias", "gain")  # constants of ops that a float model has too


@dataclass(frozen=True)
class Subject:
    """What a report is about.

    Parameters
    ----------
    model, bits, scheme : as asked for.
    params : parameters of the model.
    steps : its steps, in order.
    """

    model: str
    bits: str
    scheme: str
    params: int
    steps: Sequence[Step]

    @classmethod
    def of(cls, graph: Graph) -> "Subject":
        """The subject that a lowered network is."""
        params = sum(
            array.size
            for op in graph.ops
            for name, array in op.arrays()
            if name in _PARAMETERS
        )
        params += sum(data.size for data in graph.constants.values())
        steps = fuse(graph)
        scheme = str(graph.meta.get("scheme") or _scheme(steps))
        return cls(graph.name, str(graph.meta.get("bits", "")), scheme, params, steps)


def _rows(steps: Sequence[Step]) -> dict[str, int]:
    rows = dict.fromkeys(("w4", "w8", "pot"), 0)
    for step in steps:
        if isinstance(step, LinearStep):
            for kind, count in step.rows_by_kind.items():
                rows[kind] += count
    return rows


def _scheme(steps: Sequence[Step]) -> str:
    rows = _rows(steps)
    if not rows["pot"]:
        return "fixed"
    return "mixed" if rows["w4"] else "pot"


def summarize(
    graph: Graph,
    design: Design,
    *,
    request: Mapping[str, Any],
    verification: Mapping[str, Any],
    fidelity: Mapping[str, Any] | None,
    weights: str,
    modules: Sequence[Mapping[str, Any]] = (),
    synthesis: Mapping[str, Any] | None = None,
    exploration: Mapping[str, Any] | None = None,
    pareto: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The report of a build, in the form of :class:`vitgen.report.schema.Report`.

    Parameters
    ----------
    request : what was asked for, as JSON values.
    verification : by level ("csim", "rtl") what was compared; None or absent: nothing was. A level
        with a clock also has ``cycles`` of an image, which replace the estimate in ``fps``, and
        ``cycles_by_op``.
    fidelity : ``images``, ``top1_agreement``, ``top1`` and ``sqnr_db``, what there is of them.
    weights : "trained" or "synthetic".
    modules : of the RTL with what each takes (:class:`vitgen.report.schema.Module`), where yosys
        counted them.
    synthesis : what Vitis HLS ("hls") and Vivado ("vivado") reported, None or absent where they did
        not run (:class:`vitgen.report.schema.Synthesis`, without ``met``).
    exploration : what the search decided (:class:`vitgen.report.schema.Exploration`); None where nothing
        was left to it.
    pareto : designs beside the chosen one (:class:`vitgen.report.schema.DesignPoint`).
    """
    return compose(
        Subject.of(graph), design, request=request, verification=verification, fidelity=fidelity,
        weights=weights, modules=modules, synthesis=synthesis, exploration=exploration, pareto=pareto,
    )  # fmt: skip


def compose(
    subject: Subject,
    design: Design,
    *,
    request: Mapping[str, Any],
    verification: Mapping[str, Any] | None = None,
    fidelity: Mapping[str, Any] | None = None,
    weights: str = "synthetic",
    modules: Sequence[Mapping[str, Any]] = (),
    synthesis: Mapping[str, Any] | None = None,
    exploration: Mapping[str, Any] | None = None,
    pareto: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """:func:`summarize` for a model that need not have weights."""
    board = boards.load(design.board)
    engine, clock = design.engine, float(design.clock_mhz)
    workload = Workload(subject.steps)
    found = estimate(engine, workload, board, clock)
    tasks = workload.tasks(engine)
    verified = _verification(verification or {})
    rtl = (verified["rtl"] or {}).get("cycles")
    cycles = found.cycles if rtl is None else float(rtl)
    vendor = _synthesis(synthesis or {})
    road = Road.of(board, clock, engine.weight_ports)
    report: dict[str, Any] = {
        "vitgen": __version__,
        "model": subject.model,
        "bits": subject.bits,
        "scheme": subject.scheme,
        "array": engine.array,
        "board": board.name,
        "clock_mhz": clock,
        "weights": weights,
        "macs": found.macs,
        "params": subject.params,
        "rows": _rows(subject.steps),
        "cycles": {"estimated": round(found.cycles), "rtl": rtl},
        "cycles_by_cause": _causes(found),
        "fps": clock * 1e6 / cycles,
        "fps_from": "estimated" if rtl is None else "rtl",
        "latency_ms": cycles / clock / 1e3,
        "efficiency": {
            "ideal": found.timeline.ideal / cycles,
            "busy_lanes": found.macs / (found.lanes * cycles),
        },
        "resources": _resources(found, board, modules, vendor["vivado"]),
        "resources_from": "yosys" if modules else None,
        "items": [asdict(item) for item in found.bill.items],
        "modules": [dict(module) for module in modules],
        "synthesis": vendor,
        "binding": {"resource": design.binding, "shares": dict(design.shares)},
        "next_step": _next_step(found, workload, board),
        "exploration": None if exploration is None else dict(exploration),
        "pareto": [dict(point) for point in pareto],
        "energy": energy(found, tasks, board, cycles),
        "dram_bytes_per_image": {"total": found.traffic.total, **asdict(found.traffic)},
        "verification": verified,
        "fidelity": None if fidelity is None else _fidelity(fidelity),
        "layers": layer_rows(
            found, tasks, road, _layer_cycles((verification or {}).get("rtl"))
        ),
        "engine": engine.to_json(),
        "roofline": _roofline(found, board, cycles),
        "comparison": [],
        "board_figures": {
            key: {"value": board.value(key), "trust": p.trust, "source": p.source}
            for key, p in board.provenance.items()
            if not key.startswith(_NOT_ESTIMATED_FROM)
        },
        "request": dict(request),
    }
    report["comparison"] = [row.to_json() for row in beside(report)]
    check(report)
    return report


def _causes(found: Estimate) -> dict[str, int]:
    """Cycles by cause as integers with the exact sum: rounded where the running total is."""
    causes: dict[str, int] = {}
    running = 0.0
    where = {**found.timeline.where, "dram": found.cycles - found.timeline.cycles}
    for cause, cycles in where.items():
        rounded = round(running + cycles) - round(running)
        running += cycles
        if rounded:
            causes[cause] = rounded
    return causes


def _synthesis(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of the vendor's tools, and whether the timing is met."""
    vivado = figures.get("vivado")
    if vivado is not None:
        slacks = (vivado["timing"]["wns_ns"], vivado["timing"]["whs_ns"])
        vivado = {**vivado, "met": all(slack is None or slack >= 0 for slack in slacks)}
    return {"hls": figures.get("hls"), "vivado": vivado}


def _resources(
    found: Estimate,
    board: Board,
    modules: Sequence[Mapping[str, Any]],
    vivado: Mapping[str, Any] | None,
) -> dict[str, dict[str, int | None]]:
    stock = board.resources.to_dict()

    def counted(name: str) -> int | None:
        if not modules:
            return None
        return math.ceil(sum(module["copies"] * module[name] for module in modules))

    return {
        name: {
            "estimated": need,
            "synthesized": counted(name),
            "vivado": None if vivado is None else math.ceil(vivado["resources"][name]),
            "available": stock[name],
        }
        for name, need in found.bill.totals().items()
    }


def _larger(engine: Engine) -> list[Engine]:
    """Engines with more rows, powers of two in the same ratio, nothing else changed."""
    engines = []
    for dsp_rows in range(engine.dsp_rows + 1, engine.dsp_rows + _LARGER + 1):
        pot_rows = round(engine.pot_rows * dsp_rows / engine.dsp_rows)
        try:
            engines.append(replace(engine, dsp_rows=dsp_rows, pot_rows=pot_rows))
        except VitgenError:  # words end at 1,024 bits
            break
    return engines


def _next_step(found: Estimate, workload: Workload, board: Board) -> dict[str, Any] | None:
    """The smallest array of more rows that is faster; None where rows alone bring nothing."""
    stock = board.resources.to_dict()
    for engine in _larger(found.engine):
        larger = estimate(engine, workload, board, found.clock_mhz)
        if larger.fps >= found.fps * _WORTH:
            totals = larger.bill.totals()
            beyond = {
                name: need - int(stock[name] * UTILISATION)
                for name, need in totals.items()
                if need > stock[name] * UTILISATION
            }
            return {
                "dsp_rows": engine.dsp_rows,
                "pot_rows": engine.pot_rows,
                "more_rows": engine.dsp_rows - found.engine.dsp_rows,
                "fps": larger.fps,
                "gain_fps": larger.fps - found.fps,
                "resources": totals,
                "beyond_limit": beyond,
                "beyond_board": [name for name, need in totals.items() if need > stock[name]],
                "boards": _boards_with(larger, found.clock_mhz),
            }
    return None


def _boards_with(found: Estimate, clock_mhz: float) -> list[str]:
    """Names of the boards that hold a design at its clock within what a search may use, the one with
    the fewest LUTs first."""
    holding = []
    for name in boards.names():
        board = boards.load(name)
        stock = board.resources.to_dict()
        fits = all(need <= stock[r] * UTILISATION for r, need in found.bill.totals().items())
        if fits and clock_mhz <= board.max_clock_mhz and found.engine.weight_ports <= board.dram.ports:
            holding.append((board.resources.lut, name))
    return [name for _, name in sorted(holding)]


def _layer_cycles(level: Mapping[str, Any] | None) -> Callable[[str], int | None]:
    """Simulated cycles of a layer; what has no op of its own there is the program's."""
    if level is None or level.get("cycles_by_op") is None:
        return lambda name: None
    by_op: Mapping[str, int] = level["cycles_by_op"]
    control = sum(
        cycles for op, cycles in by_op.items() if op == "stop" or op.startswith("set_tokens.")
    )
    return lambda name: control if name == PROGRAM else by_op.get(name, 0)


def _verification(levels: Mapping[str, Any]) -> dict[str, Any]:
    verified: dict[str, Any] = {}
    for level in ("csim", "rtl"):
        record = levels.get(level)
        verified[level] = record and {
            "cycles": None, **{key: record[key] for key in Level.model_fields if key in record}
        }  # fmt: skip
    return verified


def _finite(value: Any) -> float | None:
    """A figure, None where it is absent or not a finite number (the SQNR of equal tensors)."""
    return float(value) if value is not None and math.isfinite(value) else None


def _fidelity(record: Mapping[str, Any]) -> dict[str, Any]:
    images = int(record.get("images") or 0)
    agreement = _finite(record.get("top1_agreement")) if images >= LEAST_IMAGES else None
    top1 = record.get("top1")
    names = ("float", "fake_quantized", "integer")
    return {
        "images": images,
        "top1_agreement": agreement,
        "top1": None if top1 is None else {name: _finite(top1.get(name)) for name in names},
        "sqnr_db": {op: _finite(v) for op, v in (record.get("sqnr_db") or {}).items()},
    }


def _roofline(found: Estimate, board: Board, cycles: float) -> dict[str, Any]:
    engine, clock = found.engine, found.clock_mhz
    products = engine.multipliers
    narrow = found.lanes == products["w4"] + products["pot"]
    pot = " and powers of two" if engine.pot_rows else ""
    compute = [(f"{'4' if narrow else '8'}-bit weights{pot}", found.lanes)]
    if products["w8"] != found.lanes:
        compute.append(("attention (8-bit rows)", products["w8"]))
    dram = board.dram.usable_mb_per_s / clock
    ports = board.bytes_per_cycle(engine.weight_ports, clock)
    count = engine.weight_ports
    memory = [("DRAM, all ports", dram)]
    if ports < dram:
        memory.append((f"{count} weight port{'s' if count > 1 else ''}", ports))
    return {
        "peak_mac_per_cycle": found.lanes,
        "dram_bytes_per_cycle": dram,
        "compute": [{"label": label, "per_cycle": float(rate)} for label, rate in compute],
        "memory": [{"label": label, "per_cycle": float(rate)} for label, rate in memory],
        "point": {
            "mac_per_byte": found.macs / found.traffic.total,
            "mac_per_cycle": found.macs / cycles,
        },
    }
