"""The report as one page: no network, no script, light and dark, fit for paper."""

import functools
from collections.abc import Mapping
from typing import Any

import jinja2
from markupsafe import Markup

from vitgen.report import charts, comparison_chart, pareto, roofline
from vitgen.report.comparison import Row
from vitgen.report.folding import by_bound, by_role, fold_items
from vitgen.report.format import (
    ENERGY_NAMES,
    count,
    explored,
    next_step,
    percent,
    resource_names,
    short,
    significant,
    size,
    synthesis_lines,
    taken,
    verdict,
)
from vitgen.resources import templates_dir

TEMPLATE = "report/report.html.j2"


@functools.cache
def _environment() -> jinja2.Environment:
    """Unlike the one of ``emit``, this one escapes: names come from the user."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_dir()),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,
        auto_reload=False,
    )
    shown = dict(
        count=count, percent=percent, short=short, significant=significant, size=size,
    )  # fmt: skip
    environment.filters.update(shown)
    return environment


def render_html(report: Mapping[str, Any]) -> str:
    """The page of a report (:class:`vitgen.report.schema.Report`).

    The same report gives the same bytes.
    """
    layers = report["layers"]
    compared = [Row.from_json(row) for row in report["comparison"]]
    pictures = {
        "layers": charts.cycles_by_layer(layers),
        "roles": charts.shares(by_role(layers), "Cycles by kind of layer", "cycles"),
        "bounds": charts.shares(by_bound(layers), "Cycles by what limits the layer", "cycles"),
        "causes": charts.shares(charts.causes(report), "What the array does", "cycles"),
        "traffic": charts.traffic(report),
        "resources": charts.resources(report),
        "roofline": roofline.render(report["roofline"]),
        "pareto": pareto.of_report(report),
        "comparison": comparison_chart.render(
            compared, clock_mhz=report["clock_mhz"], board=report["board"]
        ),
    }
    return _environment().get_template(TEMPLATE).render(
        report=report,
        picture={name: Markup(svg) for name, svg in pictures.items()},
        roles_legend=charts.roles_legend(layers),
        items_legend=charts.items_legend(report),
        compared=compared,
        compared_legend=comparison_chart.legend(compared),
        items=fold_items(report["items"]),
        verdicts=_verdicts(report),
        resource_names=resource_names(report["resources"]),
        taken={name: taken(resource) for name, resource in report["resources"].items()},
        cycles=_cycles(report),
        next_step=None if report["next_step"] is None else next_step(report["next_step"]),
        synthesis_lines=synthesis_lines(report),
        sqnr=_sqnr(report["fidelity"]),
        explored=explored(report["exploration"]) if report["exploration"] else [],
        frontier=[pareto.said(point) for point in report["pareto"] if point["frontier"]],
        energy_names=ENERGY_NAMES,
    )  # fmt: skip


def _cycles(report: Mapping[str, Any]) -> int:
    """The cycles that ``fps`` comes from."""
    cycles = report["cycles"]
    return int(cycles["rtl"] if report["fps_from"] == "rtl" else cycles["estimated"])


def _verdicts(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Sentences on each level with a state: "good", "bad" or "none"."""
    found = []
    for name, title in (("csim", "C-sim"), ("rtl", "RTL")):
        level = report["verification"][name]
        if level is None:
            state = "none"
        else:
            state = "good" if level["values"] and not level["mismatches"] else "bad"
        found.append((state, verdict(level, title)))
    return found


def _sqnr(fidelity: Mapping[str, Any] | None) -> list[tuple[str, float]]:
    """Ops with a measured SQNR, the worst first."""
    if fidelity is None:
        return []
    measured = [(op, value) for op, value in fidelity["sqnr_db"].items() if value is not None]
    return sorted(measured, key=lambda pair: pair[1])
