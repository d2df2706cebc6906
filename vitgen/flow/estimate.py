"""Frames per second and resources of a request, without building."""

from typing import Any

from rich.console import Console

from vitgen import boards
from vitgen.design.choice import choose_design
from vitgen.flow.request import BuildRequest
from vitgen.report.summary import summarize


def estimate(request: BuildRequest, *, console: Console | None = None) -> dict[str, Any]:
    """The report that a build of ``request`` would start from, nothing verified.

    The weights are seeded: they shape no figure of the hardware.
    """
    from vitgen.flow.lowering import lower_request

    asked = request.describe()
    shown = console or Console(quiet=True)
    with shown.status(f"quantizing and lowering {request.name}"):
        graph = lower_request(request)
    board = boards.load(request.board)
    with shown.status(f"choosing an engine for {board.name}"):
        design = choose_design(graph, board, request.clock, request.array)
    return summarize(
        graph,
        design,
        request=asked,
        verification={},
        fidelity=None,
        weights="synthetic",
    )
