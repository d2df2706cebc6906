"""Figures as text, the same on the terminal and on the page."""

import math
from collections.abc import Mapping
from typing import Any

RESOURCE_NAMES = {"dsp": "DSP", "lut": "LUT", "ff": "FF", "bram36": "BRAM36", "uram": "URAM"}
"""Resources in the order of every table."""

CAUSES = {
    "products": "array multiplies",
    "drain": "array shifts its sums out",
    "results": "waits for the units behind the array",
    "fetch": "waits for weights or transposed values",
    "load": "image and embedding are loaded",
    "layernorm": "waits for LayerNorm",
    "softmax": "waits for softmax",
    "activations": "waits for activations to be written",
    "residual": "waits for the residual stream",
    "keys": "waits for keys to be written",
    "values": "waits for values to be written",
    "tail": "last results leave",
    "dram": "DRAM as a whole",
}
"""What ``cycles_by_cause`` calls a cause, in words."""


def count(value: float) -> str:
    """A whole number with separators: ``2,983,653``."""
    return f"{value:,.0f}"


def short(value: float, digits: int = 3) -> str:
    """A count with ``digits`` significant digits and k, M or G: ``17.6 G``, ``204 k``, ``512``."""
    for power, suffix in ((9, " G"), (6, " M"), (3, " k")):
        if abs(value) >= 10**power * (1 - 0.5 * 10**-digits):
            return significant(value / 10**power, digits) + suffix
    return significant(value, digits) if value % 1 else f"{value:.0f}"


def significant(value: float, digits: int = 3) -> str:
    """``value`` with ``digits`` significant digits, never in exponent form: ``50.3``, ``3,930``."""
    if value == 0:
        return "0"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{decimals}f}"


def tick(value: float) -> str:
    """A round number without trailing zeros: ``50 k``, ``2.5 M``, ``0.1``."""
    for power, suffix in ((9, " G"), (6, " M"), (3, " k")):
        if abs(value) >= 10**power:
            return f"{value / 10**power:g}{suffix}"
    return f"{value:g}"


def size(octets: float) -> str:
    """Bytes in powers of ten: ``60.8 MB``."""
    text = short(octets)
    return f"{text}B" if " " in text else f"{text} B"


def percent(share: float, digits: int = 1) -> str:
    """``0.787`` as ``78.7 %``; what is not zero never reads 0.0 %."""
    if 0 < share < 0.5 * 10 ** -(digits + 2):
        return f"< {10**-digits:.{digits}f} %"
    return f"{100 * share:.{digits}f} %"


def plural(number: int, noun: str) -> str:
    """``1 image``, ``599 images``."""
    return f"{count(number)} {noun}{'' if number == 1 else 's'}"


def verdict(level: Mapping[str, Any] | None, name: str) -> str:
    """One sentence on what a level of verification found.

    Parameters
    ----------
    level : ``verification.csim`` or ``.rtl`` of a report; None where nothing was compared.
    name : what the level is called.
    """
    if level is None:
        return f"{name}: not run"
    compared = (
        f"{plural(level['values'], 'value')} of {plural(level['tensors'], 'tensor')} "
        f"over {plural(level['images'], 'image')}"
    )
    if not level["values"]:
        return f"{name}: nothing was compared"
    if not level["mismatches"]:
        return f"{name}: 0 mismatches in {compared}"
    found = f"{name}: {plural(level['mismatches'], 'value')} wrong in {compared}"
    first = level["first"]
    return found if first is None else f"{found}; {difference(first)}"


def difference(first: Mapping[str, Any]) -> str:
    """The first difference in words."""
    head = "" if first["head"] is None else f" head {first['head']}"
    return (
        f"first in image {first['image']} ({first['run']} run): {first['op']} wrote "
        f"{first['tensor']}{head} row {first['row']} column {first['column']}, expected "
        f"{first['expected']}, got {first['got']}"
    )


COUNTED = "yosys's count"
"""What a figure is called that was counted; Vivado's would differ."""


def resource_names(resources: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Keys and titles of the resources of a report, but those that the board lacks and nobody takes."""
    return {
        name: title
        for name, title in RESOURCE_NAMES.items()
        if resources[name]["available"] or taken(resources[name])[0]
    }


def taken(resource: Mapping[str, Any]) -> tuple[int, str]:
    """What a design takes of a resource, and where the figure is from."""
    if resource["synthesized"] is not None:
        return resource["synthesized"], COUNTED
    return resource["estimated"], "estimated"


def synthesis_lines(report: Mapping[str, Any]) -> list[str]:
    """What the vendor's tools reported, a sentence each; empty where none ran."""
    lines = []
    hls, vivado = report["synthesis"]["hls"], report["synthesis"]["vivado"]
    if hls is not None:
        kept = len(hls["loops"]) - len(hls["missed"])
        lines.append(
            f"{hls['tool']}: {kept} of {plural(len(hls['loops']), 'loop')} at their interval"
        )
        lines += [f"  {missed_loop(loop)}" for loop in hls["missed"]]
    if vivado is not None:
        takes = ", ".join(
            f"{vivado['resources'][name]:,} {title}"
            for name, title in RESOURCE_NAMES.items()
            if report["resources"][name]["available"]
        )
        lines.append(f"{vivado['tool']}, whole block design: {takes}")
        lines.append(f"{vivado['tool']}: {timing(vivado, report['clock_mhz'])}")
    return lines


def missed_loop(loop: Mapping[str, Any]) -> str:
    """A loop that Vitis HLS did not schedule as its pragma asks."""
    found = "no pipeline" if loop["ii"] is None else f"II {loop['ii']}"
    return f"{loop['module']}, loop {loop['loop']}: {found} where the pragma asks for II {loop['target']}"


def timing(vivado: Mapping[str, Any], clock_mhz: float) -> str:
    """Whether Vivado's routed design keeps its clock, and by how much."""
    found = vivado["timing"]
    worst = "no path" if found["wns_ns"] is None else f"worst slack {found['wns_ns']:.3f} ns"
    if vivado["met"]:
        return f"timing met at {clock_mhz:g} MHz, {worst}"
    failing = (found["setup_failing"] or 0) + (found["hold_failing"] or 0)
    return f"timing NOT met at {clock_mhz:g} MHz, {worst}, {plural(failing, 'endpoint')} fail"


def next_step(step: Mapping[str, Any]) -> str:
    """One sentence on the next larger array: what it brings and what it needs beyond the limit."""
    pot = f" ({step['pot_rows']} power-of-two rows)" if step["pot_rows"] else ""
    text = (
        f"+{plural(step['more_rows'], 'DSP row')} of the array{pot} = +{significant(step['gain_fps'])} "
        f"frames/s ({significant(step['fps'])})"
    )
    beyond = [
        f"{count(more)} {RESOURCE_NAMES[name]} more than "
        + ("the board has" if name in step["beyond_board"] else "allowed")
        for name, more in step["beyond_limit"].items()
    ]
    if beyond:
        text += f", needs {' and '.join(beyond)}"
    if step["boards"]:
        return f"{text}; {', '.join(step['boards'])} would hold it"
    return f"{text}; no board known to vitgen holds it"


def explored(exploration: Mapping[str, Any]) -> list[str]:
    """Sentences on what the search decided."""
    lines = []
    if exploration["target_fps"] is not None:
        said = f"{exploration['bits']} {exploration['scheme']}"
        if exploration["wide_ratio"] is not None:
            said += f" with {percent(exploration['wide_ratio'], 0)} of rows at 8 bits"
        lines.append(f"Target of {exploration['target_fps']:g} frames/s: met with {said}")
        lines += [
            f"  {one['bits']} {one['scheme']} gives {significant(one['fps'])}, and nothing exceeds "
            f"{significant(one['bound_fps'])}"
            for one in exploration["tried"]
            if not one["met"]
        ]
    if exploration["pot_ratio_from"] == "search":
        share = f"{100 * exploration['pot_ratio']:.4g} %"
        lines.append(f"Power-of-two rows: {share}, by search. {exploration['reason'].rstrip('.')}")
    return lines


ENERGY_NAMES = {
    "dsp_beat": "DSP slices that multiply",
    "pot_beat": "power-of-two rows",
    "ram_bit": "on-chip RAM",
    "dram_byte": "DRAM traffic",
    "static_lut": "static power of the logic",
    "clock_routing": "clock, routing, vector units",
    "processor": "processing system",
}
"""Items of the energy in words."""


def energy_line(energy: Mapping[str, Any]) -> str:
    """One sentence on the energy of an image."""
    missing = [ENERGY_NAMES[i["name"]] for i in energy["items"] if i["millijoules"] is None]
    text = (
        f"at least {significant(energy['millijoules'])} mJ an image (an estimate, "
        f"{significant(energy['watts'])} W)"
    )
    return f"{text}; unknown: {', '.join(missing)}" if missing else text
