"""Designs of this project beside published ones, at equal clock and on equal devices.

A comparison is a list of :class:`Row`. What a figure rests on goes with it: the result of arithmetic
carries no further than the least of its operands.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vitgen.report.published import Figure, Published, Trust, least, published

PRODUCTS_PER_DSP = 2
"""8-bit products of a DSP48E2 and cycle, by which the efficiency of published 8-bit designs is found."""

NAMES = {"deit_t": "DeiT-T", "deit_s": "DeiT-S", "deit_b": "DeiT-B"}
"""How published tables call the models of vitgen."""

FIGURES = ("clock_mhz", "fps", "equal_fps", "mac_per_cycle", "mac_per_cycle_dsp", "gops_per_dsp",
           "efficiency", "ideal", "dsp", "lut", "bram36", "watts")  # fmt: skip
"""Figures of a row, in the order of the table."""


@dataclass(frozen=True)
class Row:
    """A design in a comparison.

    Parameters
    ----------
    name, model, bits, device : what a reader is shown; ``bits`` may be empty.
    vitgen : name of vitgen's model with the same products; empty for none.
    ours : whether it is a design of this project.
    figures : what is known of :data:`FIGURES`. ``equal_fps`` are the frames per second at the clock of
        the comparison, on its board alone; ``mac_per_cycle`` counts useful products;
        ``mac_per_cycle_dsp`` is that for each DSP that the whole design takes; ``gops_per_dsp`` counts two
        operations a product, at the design's own clock; ``efficiency`` is the
        share of the lanes that do useful work, ``ideal`` that of the cycles in which the array
        multiplies.
    """

    name: str
    model: str
    bits: str
    device: str
    vitgen: str
    ours: bool
    figures: Mapping[str, Figure]

    def to_json(self) -> dict[str, Any]:
        """As JSON values, every figure of :data:`FIGURES`, None where it is not known."""
        record = asdict(self)
        record["figures"] = {
            name: None if name not in self.figures else asdict(self.figures[name])
            for name in FIGURES
        }
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> "Row":
        """The inverse of :meth:`to_json`."""
        figures = {name: Figure(**f) for name, f in record["figures"].items() if f is not None}
        return cls(**{**record, "figures": figures})


def _computed(value: float, *operands: Figure) -> Figure:
    """The result of arithmetic on figures: derived, unless an operand carries less or all were measured."""
    trust = least(*(operand.trust for operand in operands))
    return Figure(value, "derived" if trust == "stated" else trust)


def published_row(design: Published, board: str, clock_mhz: float) -> Row:
    """A published design at ``clock_mhz`` on ``board``.

    Frames per second are scaled as if the cycles were the same at either clock, and exist on an equal
    device only.
    """
    known = design.figures
    figures = {name: known[name] for name in FIGURES if name in known}
    clock, fps, dsp = (known.get(name) for name in ("clock_mhz", "fps", "dsp"))
    if clock and fps and design.board == board:
        figures["equal_fps"] = _computed(fps.value * clock_mhz / clock.value, fps, clock)
    rate = _mac_per_cycle(known)
    if rate:
        figures["mac_per_cycle"] = rate
    per_dsp = known.get("gops_per_dsp")
    if per_dsp and clock:
        # Stated for each DSP, it needs no count of them.
        figures["mac_per_cycle_dsp"] = _computed(
            per_dsp.value / 2 / clock.value * 1e3, per_dsp, clock
        )
    elif rate and dsp:
        figures["mac_per_cycle_dsp"] = _computed(rate.value / dsp.value, rate, dsp)
    operations = _gops(known)
    if operations and dsp and not per_dsp:
        figures["gops_per_dsp"] = _computed(operations.value / dsp.value, operations, dsp)
    share = figures.get("mac_per_cycle_dsp")
    all_in_dsps = design.bits == "8/8" and not design.lut_lanes
    if "efficiency" not in figures and share and all_in_dsps:
        figures["efficiency"] = _computed(share.value / PRODUCTS_PER_DSP, share)
    return Row(design.name, design.model, design.bits, design.device, design.vitgen, False, figures)


def _gops(known: Mapping[str, Figure]) -> Figure | None:
    """Operations per second in units of 10^9, two for each useful product."""
    fps, gmac = known.get("fps"), known.get("gmac")
    if fps and gmac:
        return _computed(2 * fps.value * gmac.value, fps, gmac)
    return known.get("gops")


def _mac_per_cycle(known: Mapping[str, Figure]) -> Figure | None:
    clock, operations = known.get("clock_mhz"), _gops(known)
    if clock is None or operations is None:
        return None
    return _computed(operations.value / 2 / clock.value * 1e3, operations, clock)


def our_row(report: Mapping[str, Any]) -> Row:
    """The design of a ``report.json``."""
    clock = Figure(report["clock_mhz"], "measured")
    timed: Trust = "measured" if report["fps_from"] == "rtl" else "estimated"
    figures = {
        "clock_mhz": clock,
        "fps": Figure(report["fps"], timed),
        "equal_fps": Figure(report["fps"], timed),
        "mac_per_cycle": Figure(report["roofline"]["point"]["mac_per_cycle"], timed),
        "efficiency": Figure(report["efficiency"]["busy_lanes"], timed),
        "ideal": Figure(report["efficiency"]["ideal"], timed),
    }
    for name in ("dsp", "lut", "bram36"):
        resource = report["resources"][name]
        counted = resource["synthesized"]
        found = resource["estimated"] if counted is None else counted
        figures[name] = Figure(found, "estimated" if counted is None else "measured")
    if figures["dsp"].value:
        rate, dsp = figures["mac_per_cycle"], figures["dsp"]
        each = _computed(rate.value / dsp.value, rate, dsp)
        figures["mac_per_cycle_dsp"] = each
        figures["gops_per_dsp"] = _computed(2 * each.value * clock.value / 1e3, each)
    model = report["model"]
    scheme = "" if report["scheme"] == "fixed" else f" {report['scheme']}"
    return Row(
        f"vitgen {report['bits']}{scheme}", NAMES.get(model, model), report["bits"],
        report["board"].upper(), model, True, figures,
    )  # fmt: skip


def compare(
    reports: Sequence[Mapping[str, Any]],
    *,
    board: str,
    clock_mhz: float,
    designs: Iterable[Published] | None = None,
) -> list[Row]:
    """Our designs and the published ones, models together, largest first, ours at the end of each.

    Parameters
    ----------
    reports : ours, each for ``board`` at ``clock_mhz``; others have no place in an equal comparison.
    designs : None takes all that vitgen ships.

    Raises
    ------
    ValueError : a report of another board or clock.
    """
    for report in reports:
        if (report["board"], report["clock_mhz"]) != (board, clock_mhz):
            raise ValueError(
                f"{report['model']} is on {report['board']} at {report['clock_mhz']} MHz"
            )
    rows = [
        published_row(design, board, clock_mhz)
        for design in (published() if designs is None else designs)
    ]
    rows += [our_row(report) for report in reports]
    order = list(dict.fromkeys(row.vitgen for row in rows if row.vitgen))
    return sorted(rows, key=lambda row: order.index(row.vitgen) if row.vitgen else len(order))


def beside(report: Mapping[str, Any]) -> list[Row]:
    """A design among published ones of the same model; empty where there are none."""
    peers = [design for design in published() if design.vitgen == report["model"]]
    if not peers:
        return []
    return compare([report], board=report["board"], clock_mhz=report["clock_mhz"], designs=peers)
