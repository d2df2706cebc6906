"""Frames per second and resources of a request, without building."""

from pathlib import Path
from typing import Any

from rich.console import Console

from vitgen.errors import VitgenError
from vitgen.flow.directory import write_whole
from vitgen.flow.precision import settle
from vitgen.flow.request import BuildRequest
from vitgen.lower.outline import outline
from vitgen.models.config import config as model_config
from vitgen.report.pareto import picture
from vitgen.report.summary import summarize


def estimate(
    request: BuildRequest, *, pareto: Path | None = None, console: Console | None = None
) -> dict[str, Any]:
    """The report that a build of ``request`` would start from, nothing verified.

    No weights are made: they shape no figure of the hardware.

    Parameters
    ----------
    pareto : file for a picture of the designs from small to large; with it the report lists them.
    console : progress goes there; None is quiet.

    Raises
    ------
    VitgenError : bad input, nothing fits, or no design meets the target.
    """
    asked = request.describe()
    if pareto is not None and pareto.suffix != ".svg":
        raise VitgenError(f"--pareto is {pareto}.", "Give a file that ends in .svg.")
    if request.architecture().keep:
        raise VitgenError(
            f"{request.name} has token selectors, which the accelerator cannot be scheduled for yet.",
            "Estimate it without keep rates.",
        )
    shown = console or Console(quiet=True)
    with shown.status(f"looking at {request.name}") as status:
        settled = settle(request, lambda what: status.update(what))
        design = settled.design()
        assert design is not None  # a request without a checkpoint is always searched
        status.update("looking at designs from small to large" if pareto else "timing the design")
        points = settled.pareto() if pareto is not None else []
        graph = outline(model_config(request.model), settled.request.quant(), request.name)
        report = summarize(
            graph, design, request=asked, verification={}, fidelity=None, weights="synthetic",
            exploration=settled.record, pareto=points,
        )  # fmt: skip
    if pareto is not None:
        write_whole(pareto, picture(report).encode())
    return report
