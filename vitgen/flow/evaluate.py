"""Accuracy of the networks of a build, kept in its report."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from vitgen.errors import VitgenError
from vitgen.flow.build import Build, open_build
from vitgen.flow.images import labelled_images
from vitgen.flow.lowering import model_of
from vitgen.flow.request import digest_folder
from vitgen.ir import Graph
from vitgen.models.config import config as model_config


def evaluate(path: Path, data: Path | None, *, console: Console | None = None) -> dict[str, Any]:
    """Float, fake-quantized and integer network on a folder, or on the held-out digits.

    The result also goes into ``fidelity.json`` and the report of the build; the same images are not
    evaluated twice.

    Returns
    -------
    dict : as :func:`vitgen.lower.fidelity.evaluate`.

    Raises
    ------
    VitgenError : no build, no images, or synthetic weights: they have no accuracy.
    """
    directory, request = open_build(path)
    if request.checkpoint is None:
        raise VitgenError(
            f"{path} was built with synthetic weights, which have no accuracy.",
            "Build with --checkpoint.",
        )
    config = model_config(request.model)
    count, samples = labelled_images(config, data)
    shown = console or Console(quiet=True)
    run = Build(directory, request, shown)

    def produce(graph: Graph) -> dict[str, Any]:
        from vitgen.lower.fidelity import evaluate as compare
        from vitgen.lower.prepare import float_twin

        directory.check(request.describe())  # the very checkpoint that was lowered
        model = model_of(run.settled)
        with Progress(console=shown, transient=True) as progress:
            task = progress.add_task("evaluating", total=count)
            return compare(
                graph, float_twin(model), model, samples,
                lambda done: progress.update(task, completed=done),
            )  # fmt: skip

    with directory.locked():
        run.prepare()
        result = run.evaluate(produce, "digits" if data is None else digest_folder(data))
        run.report()
    return result
