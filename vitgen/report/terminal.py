"""The report on one screen of a terminal."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from vitgen.report.folding import heaviest
from vitgen.report.format import (
    RESOURCE_NAMES,
    count,
    energy_line,
    explored,
    next_step,
    percent,
    plural,
    resource_names,
    short,
    significant,
    size,
    synthesis_lines,
    taken,
    verdict,
)

BAR = 24  # characters of a full bar

FILES = (
    ("report.html", "the same in pictures"),
    ("report.json", "the same for programs"),
    ("hls/", "the accelerator as Vitis HLS C++"),
    ("rtl/", "the accelerator, or its multiplier array, as SystemVerilog"),
    ("data/", "program, weights, golden image and logits"),
    ("scripts/", "from here to the bitstream"),
    ("host/", "driver for PYNQ and notebook"),
    ("bitstream/vit_top.bit", "the bitstream, by Vivado"),
)


def show(report: Mapping[str, Any], directory: Path, console: Console | None = None) -> None:
    """Print the report of a build.

    Parameters
    ----------
    directory : the build's; files are listed as far as they exist.
    console : where to; None is standard output.
    """
    out = console or Console(highlight=False)
    out.print(_built(report, weights=True))
    for line in _verdicts(report):
        out.print(line)
    out.print()
    _figures(report, out)
    out.print(_files(directory))


def show_estimate(report: Mapping[str, Any], console: Console | None = None) -> None:
    """Print an estimate: the same summary of a design that nothing was built or compared of."""
    out = console or Console(highlight=False)
    out.print(_built(report, weights=False))
    out.print("An estimate: nothing was built, simulated or compared.", style="yellow")
    out.print()
    _figures(report, out)
    for line in explored(report["exploration"]) if report["exploration"] else ():
        out.print(Text(f"{line}."))
    binding = report["binding"]
    share = binding["shares"][binding["resource"]]
    title = RESOURCE_NAMES.get(binding["resource"], binding["resource"])
    out.print(Text(f"Binding: {title}, {percent(share)} of what the search may use."))
    if report["next_step"] is not None:
        out.print(Text(f"Next: {next_step(report['next_step'])}."))
    else:
        out.print(Text("Next: a few more rows of the array would bring nothing."))
    out.print(Text(f"Energy: {energy_line(report['energy'])}."))


def _built(report: Mapping[str, Any], *, weights: bool) -> Text:
    """What was built. Names come from the user, so nothing here is markup."""
    line = Text()
    line.append(report["model"], style="bold")
    line.append(f" {report['bits']} {report['scheme']} on {report['board']} at ")
    line.append(f"{report['clock_mhz']:g} MHz, {report['array']} array")
    if weights:
        line.append(f", {report['weights']} weights")
    line.append(f"; {short(report['macs'])}MAC, {short(report['params'])} parameters", style="dim")
    return line


def _verdicts(report: Mapping[str, Any]) -> list[Text]:
    lines = []
    for name, title in (("csim", "C-sim"), ("rtl", "RTL")):
        level = report["verification"][name]
        if level is None:
            lines.append(Text(verdict(level, title), style="dim"))
        else:
            wrong = level["mismatches"] or not level["values"]
            lines.append(Text(verdict(level, title), style="bold red" if wrong else "bold green"))
    fidelity = report["fidelity"]
    if fidelity is not None and fidelity["top1_agreement"] is not None:
        agreement = percent(fidelity["top1_agreement"], 2)
        over = plural(fidelity["images"], "image")
        lines.append(Text(f"fidelity: same top-1 as the fake-quantized network, {agreement} of {over}"))
    return lines


def _figures(report: Mapping[str, Any], out: Console) -> None:
    """Speed, resources and the heaviest layers."""
    cycles, efficiency = report["cycles"], report["efficiency"]
    source = report["fps_from"]
    number = cycles["rtl"] if source == "rtl" else cycles["estimated"]
    speed = Text()
    speed.append(f"{significant(report['fps'])} frames/s", style="bold")
    speed.append(f" ({'RTL simulation' if source == 'rtl' else 'estimated'}), ")
    speed.append(f"{significant(report['latency_ms'])} ms, {count(number)} cycles an image\n")
    speed.append(f"array multiplies in {percent(efficiency['ideal'])} of the cycles, ", style="dim")
    speed.append(f"{percent(efficiency['busy_lanes'])} of its lanes do useful work; ", style="dim")
    traffic = size(report["dram_bytes_per_image"]["total"])
    speed.append(f"{traffic} of DRAM traffic an image", style="dim")
    out.print(speed)
    out.print()
    out.print(_resources(report, "utf" in (out.encoding or "").lower()))
    for line in synthesis_lines(report):
        out.print(Text(line))
    out.print(_layers(report))


def bar(share: float, blocks: bool = True) -> Text:
    """A bar of :data:`BAR` characters; red beyond full, yellow from nine tenths."""
    full = min(BAR, max(0, round(share * BAR)))
    colour = "red" if share > 1 else "yellow" if share > 0.9 else "green"
    filled, empty = ("█", "░") if blocks else ("#", ".")
    return Text(filled * full, style=colour) + Text(empty * (BAR - full), style="dim")


def _resources(report: Mapping[str, Any], blocks: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for title, justify in (
        ("resource", "left"), ("taken", "right"), ("of board", "right"), ("", "left"),
        ("share", "right"), ("", "left"),
    ):  # fmt: skip
        table.add_column(title, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    for name, title in resource_names(report["resources"]).items():
        resource = report["resources"][name]
        need, source = taken(resource)
        stock = resource["available"]
        share = need / stock if stock else float(need > 0)
        table.add_row(
            title, count(need), count(stock), bar(share, blocks), percent(share),
            Text(source, style="dim"),
        )  # fmt: skip
    return table


def _layers(report: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("\nheaviest layers")
    simulated = report["cycles"]["rtl"] is not None
    titles = ["times", "cycles", "share"]
    if simulated:
        titles[1:2] = ["estimated", "RTL"]
    for title in titles:
        table.add_column(f"\n{title}", justify="right")
    table.add_column("\nlimited by")
    for entry in heaviest(report["layers"]):
        # Beside simulated cycles stand the estimated ones that are told apart in the same way.
        keys = ("completed", "rtl") if simulated else ("cycles",)
        table.add_row(
            Text(entry["name"]), count(entry["times"]), *(count(entry[key]) for key in keys),
            percent(entry["share"]), Text(entry["bound"]),
        )  # fmt: skip
    return table


def _files(directory: Path) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, what in FILES:
        path = directory / name
        if path.exists():
            # A path is no markup, and stays whole where the terminal is narrow.
            table.add_row(Text(str(path), overflow="fold"), Text(what, style="dim"))
    return table
