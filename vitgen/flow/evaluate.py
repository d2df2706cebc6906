"""Accuracy of the networks of a build, kept in its report."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from vitgen import ir
from vitgen.errors import VitgenError
from vitgen.flow.build import finish, open_build
from vitgen.flow.directory import write_whole
from vitgen.flow.images import labelled_images
from vitgen.flow.lowering import model_of
from vitgen.models.config import config as model_config

FIDELITY = "fidelity.json"


def evaluate(path: Path, data: Path | None, *, console: Console | None = None) -> dict[str, Any]:
    """Float, fake-quantized and integer network on a folder, or on the held-out digits.

    The result also goes into ``fidelity.json`` and the report of the build.

    Returns
    -------
    dict : as :func:`vitgen.lower.fidelity.evaluate`.

    Raises
    ------
    VitgenError : no build, no images, or synthetic weights: they have no accuracy.
    """
    from vitgen.lower.fidelity import evaluate as compare
    from vitgen.lower.prepare import float_twin

    directory, request = open_build(path)
    if request.checkpoint is None:
        raise VitgenError(
            f"{path} was built with synthetic weights, which have no accuracy.",
            "Build with --checkpoint.",
        )
    count, samples = labelled_images(model_config(request.model), data)
    shown = console or Console(quiet=True)
    with directory.locked():
        graph = ir.load(directory.path)
        model = model_of(request)
        with Progress(console=shown, transient=True) as progress:
            task = progress.add_task("evaluating", total=count)
            result = compare(
                graph, float_twin(model), model, samples,
                lambda done: progress.update(task, completed=done),
            )  # fmt: skip
        write_whole(directory.path / FIDELITY, json.dumps(result, indent=1).encode() + b"\n")
        finish(directory, request, shown)
    return result
