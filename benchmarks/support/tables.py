"""Tables of the benchmarks, as titles and cells: for the terminal and for ``docs/performance.md``.

``~`` marks what the cost model estimates, ``?`` what rests on an unverified published figure.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from benchmarks.support.results import Row
from vitgen.report.comparison import Row as Design
from vitgen.report.folding import ITEM_NAMES, fold_items, totals
from vitgen.report.format import CAUSES, RESOURCE_NAMES, count, percent, significant
from vitgen.report.published import Figure, published

Cells = list[list[str]]
Measured = Sequence[tuple[Row, Mapping[str, Any]]]
"""Rows of the benchmark with their results."""

LIMIT = 0.9  # share of the board that a design may take


def _marked(figure: Figure | None, show: Any = significant) -> str:
    if figure is None:
        return "–"
    if figure.trust == "unverified":
        return f"{show(figure.value)} ?"
    return f"~{show(figure.value)}" if figure.trust == "estimated" else str(show(figure.value))


def whole_images(results: Measured) -> Cells:
    """The table of the targets: published, target, ours, resources and efficiency."""
    known = {design.key: design for design in published()}
    rows = [["model", "bits", "published", "target", "frames/s", "cycles", "DSP", "LUT", "BRAM36",
             "ideal beats", "busy lanes"]]  # fmt: skip
    for row, result in results:
        report = result["report"]
        peer = known[row.published].figures["fps"] if row.published else None
        simulated = report["fps_from"] == "rtl"
        mark = "" if simulated else "~"
        cycles = report["cycles"]["rtl" if simulated else "estimated"]
        cells = [row.model, row.bits, _marked(peer), f"{row.target:g}" if row.target else "–",
                 f"{mark}{significant(report['fps'])}", f"{mark}{count(cycles)}"]  # fmt: skip
        for name in ("dsp", "lut", "bram36"):
            cells.append(_resource(report["resources"][name]))
        efficiency = report["efficiency"]
        cells += [f"{mark}{percent(efficiency[name])}" for name in ("ideal", "busy_lanes")]
        rows.append(cells)
    return rows


def _resource(resource: Mapping[str, Any]) -> str:
    """Count and share of the board; a share beyond :data:`LIMIT` is marked."""
    counted = resource["synthesized"]
    need = resource["estimated"] if counted is None else counted
    share = need / resource["available"]
    text = f"{'~' if counted is None else ''}{count(need)} ({percent(share, 0)})"
    return f"{text} > {percent(LIMIT, 0)}" if share > LIMIT else text


def times(results: Measured) -> Cells:
    """Seconds of each step, and the most memory that any took; ≥ where a killed run went on."""
    titles = ["model", "bits", "to C++", "C++ to RTL", "both", "C-sim, compiling", "C-sim, image",
              "MAC/s", "RTL simulation", "yosys", "peak GiB"]  # fmt: skip
    rows = [titles]
    for row, result in results:
        steps = result["steps"]
        if "estimate" in steps:  # nothing was run
            continue

        def seconds(step: str, key: str = "seconds", steps: Mapping[str, Any] = steps) -> str:
            found = steps.get(step)
            if found is None:
                return "–"
            digits = 0 if found[key] >= 10 else 1
            return f"{'≥ ' if found['resumed'] else ''}{found[key]:.{digits}f} s"

        road = "–"
        if "build" in steps and "rtl" in steps:
            resumed = steps["build"]["resumed"] or steps["rtl"]["resumed"]
            total = steps["build"]["wall_seconds"] + steps["rtl"]["seconds"]
            road = f"{'≥ ' if resumed else ''}{total:.0f} s"
        csim = steps.get("csim")
        rate = f"{csim['mac_per_second'] / 1e6:.0f} M" if csim else "–"
        peak = max((step["peak_gib"] for step in steps.values() if "peak_gib" in step), default=0.0)
        rows.append([row.model, row.bits, seconds("build", "wall_seconds"), seconds("rtl"), road,
                     seconds("csim", "compile_seconds"), seconds("csim", "image_seconds"), rate,
                     seconds("simulate"), seconds("count"), f"{peak:.1f}"])  # fmt: skip
    return rows


def causes(results: Measured) -> Cells:
    """Cycles of an image by what the array does in them, in percent; a column for each row."""
    reports = [result["report"] for _, result in results]
    names = list(CAUSES)
    names += sorted({cause for r in reports for cause in r["cycles_by_cause"]} - set(names))
    rows = [["the array", *(f"{row.model} {row.bits}" for row, _ in results)]]
    for cause in names:
        found = [report["cycles_by_cause"].get(cause, 0) for report in reports]
        if any(found):
            title = CAUSES.get(cause, f"waits for {cause}")
            shares = [
                percent(cycles / report["cycles"]["estimated"])
                for cycles, report in zip(found, reports, strict=True)
            ]
            rows.append([title, *shares])
    rows.append(
        ["all, cycles of the cost model", *(count(r["cycles"]["estimated"]) for r in reports)]
    )
    simulated = [r["cycles"]["rtl"] for r in reports]
    if any(simulated):
        rows.append(["all, RTL simulation", *("–" if n is None else count(n) for n in simulated)])
    shares = [r["efficiency"]["busy_lanes"] / r["efficiency"]["ideal"] for r in reports]
    rows.append(["useful lanes while it multiplies", *(percent(share) for share in shares)])
    return rows


def bound_by(results: Measured) -> Cells:
    """Roofs and the design: what the array, attention and DRAM would allow, MAC per cycle."""
    rows = [["model", "bits", "array's roof", "roof of attention", "DRAM's roof at this intensity",
             "reached", "binding resource", "next larger array"]]  # fmt: skip
    for row, result in results:
        report = result["report"]
        roof = report["roofline"]
        attention = min(item["per_cycle"] for item in roof["compute"])
        memory = min(item["per_cycle"] for item in roof["memory"])
        step = report["next_step"]
        further = "–"
        if step is not None:
            over = ", ".join(RESOURCE_NAMES[name] for name in step["beyond_board"])
            further = f"{significant(step['fps'])} frames/s" + (f", lacks {over}" if over else "")
        binding = report["binding"]
        name = binding["resource"]
        rows.append([
            row.model, row.bits, count(roof["peak_mac_per_cycle"]), count(attention),
            count(memory * roof["point"]["mac_per_byte"]), count(roof["point"]["mac_per_cycle"]),
            f"{RESOURCE_NAMES.get(name, name)} {percent(binding['shares'][name], 0)}", further,
        ])  # fmt: skip
    return rows


def account(results: Measured, resource: str) -> Cells:
    """DSPs or LUTs by part of the machine, a column for each row: yosys's where it counted."""
    rows = [["part", *(f"{row.model} {row.bits}" for row, _ in results)]]
    columns = [_parts(result["report"], resource) for _, result in results]
    for name in ITEM_NAMES:
        if any(column.get(name) for column in columns):
            rows.append([name, *(count(column.get(name, 0)) for column in columns)])
    rows.append(["all, estimated", *(count(sum(column.values())) for column in columns)])
    counted = [result["report"]["resources"][resource]["synthesized"] for _, result in results]
    if any(n is not None for n in counted):
        rows.append(["all, yosys", *("–" if n is None else count(n) for n in counted)])
    return rows


def _parts(report: Mapping[str, Any], resource: str) -> dict[str, float]:
    return {name: cells[resource] for name, cells in fold_items(report["items"])}


def heaviest_modules(result: Mapping[str, Any], most: int = 12) -> Cells:
    """The modules of the RTL that take most LUTs, as yosys counts them; empty where it did not."""
    modules = result["report"]["modules"]
    if not modules:
        return []
    luts = totals((module["name"], module["copies"] * module["lut"]) for module in modules)
    dsps = dict(totals((m["name"], m["copies"] * m["dsp"]) for m in modules))
    copies = {module["name"]: module["copies"] for module in modules}
    rows = [["module", "copies", "LUT", "DSP"]]
    for name, lut in luts[:most]:
        rows.append([f"`{name}`", count(copies[name]), count(lut), count(dsps.get(name, 0))])
    return rows


def compared(designs: Iterable[Design], clock_mhz: float) -> Cells:
    """Designs beside each other."""
    rows = [["design", "model", "bits", "device", "MHz", "frames/s", f"at {clock_mhz:g} MHz",
             "MAC/cycle", "MAC/cycle/DSP", "GOPS/DSP", "efficiency", "DSP", "LUT", "BRAM36", "W"]]  # fmt: skip
    share = lambda value: percent(value, 0)
    shown = (("clock_mhz", lambda v: f"{v:g}"), ("fps", significant), ("equal_fps", significant),
             ("mac_per_cycle", count), ("mac_per_cycle_dsp", significant),
             ("gops_per_dsp", significant), ("efficiency", share), ("dsp", count), ("lut", count),
             ("bram36", lambda v: f"{v:g}"), ("watts", significant))  # fmt: skip
    for design in designs:
        cells = [f"**{design.name}**" if design.ours else design.name, design.model,
                 design.bits or "–", design.device]  # fmt: skip
        rows.append([*cells, *(_marked(design.figures.get(key), show) for key, show in shown)])
    return rows


def layer(record: Mapping[str, Any]) -> Cells:
    """One linear layer by hls4ml and by vitgen."""
    rows = [["", "hls4ml", "vitgen"]]
    for title, key, show in (
        ("compiling the C++", "compile_seconds", lambda v: f"{v:.1f} s"),
        ("C-sim of the layer", "seconds", lambda v: f"{1e3 * v:.2f} ms"),
        ("C-sim, MAC/s", "mac_per_second", lambda v: f"{v / 1e6:.0f} M"),
        ("multipliers", "multipliers", count),
        ("cycles", "cycles", count),
        ("DSP", "dsp", count),
    ):
        cells = []
        for side in ("hls4ml", "vitgen"):
            value = record[side][key]
            mark = "~" if key in record[side]["estimated"] else ""
            cells.append("not measured" if value is None else f"{mark}{show(value)}")
        rows.append([title, *cells])
    return rows


def rich_table(cells: Cells, title: str = "") -> Table:
    """For the terminal."""
    table = Table(box=None, pad_edge=False, header_style="dim", title=title, title_justify="left")
    for index, name in enumerate(cells[0]):
        table.add_column(name, justify="left" if index < 2 else "right")
    for row in cells[1:]:
        table.add_row(*(Text(cell.replace("**", "").replace("`", "")) for cell in row))
    return table


def markdown(cells: Cells) -> str:
    """For a page: the first column left, the others right."""
    if not cells:
        return ""
    lines = ["| " + " | ".join(row) + " |" for row in cells]
    lines.insert(1, "|-|" + "-:|" * (len(cells[0]) - 1))
    return "\n".join(lines)
