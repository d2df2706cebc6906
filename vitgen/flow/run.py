"""Pictures through the driver of a build, on a simulated device or on the board."""

from __future__ import annotations

import signal
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from vitgen import ir
from vitgen.data.folder import read_image
from vitgen.errors import FoundWrong, VitgenError
from vitgen.flow.build import Build, open_build
from vitgen.flow.directory import BuildDirectory, write_whole
from vitgen.flow.images import labelled_images, with_channels
from vitgen.models.config import config as model_config
from vitgen.reference.execute import predict
from vitgen.reference.preprocess import preprocess

DEVICES = ("csim", "rtl", "board")
SIMULATION_SECONDS = 86_400.0
"""Longest run on a simulated device, which says itself when it has stopped."""
TOP = 5


@dataclass(frozen=True)
class Picture:
    """An image to classify.

    Parameters
    ----------
    name : its path, or what it is.
    image : as the driver takes it: a path or an array.
    pixels : as the reference takes it.
    label : number of its class, where known.
    """

    name: str
    image: Any
    pixels: NDArray[Any]
    label: int | None = None


@dataclass(frozen=True)
class Answer:
    """What came of a picture.

    Parameters
    ----------
    name, label : see :class:`Picture`; the label by name.
    top : names and probabilities of the likeliest classes.
    right : whether the likeliest is the label; None without one, or with synthetic weights.
    seconds : from picture to class.
    cycles : of the accelerator; None where they are not counted.
    equal : whether every logit is the reference's.
    first_wrong : the first logit that differs: class, expected, got.
    """

    name: str
    label: str | None
    top: list[tuple[str, float]]
    right: bool | None
    seconds: float
    cycles: int | None
    equal: bool
    first_wrong: tuple[int, int, int] | None


def run(
    path: Path,
    device: str,
    files: Sequence[Path] = (),
    *,
    images: int | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Classify pictures with the driver that the build ships, and compare with the reference.

    Parameters
    ----------
    path : directory of a finished build.
    device : one of :data:`DEVICES`.
    files : JPEG or PNG files, or ``.npy`` files with ``uint8 (h, w[, channels])`` or floating point
        ``(C, H, W)`` in 0..1. None and no ``images``: the golden input of the build.
    images : so many of the held-out digits instead.
    console : progress goes there; None is quiet.

    Returns
    -------
    dict : ``device, design, images`` (:class:`Answer` each), ``accuracy`` (None without labels, or
        with synthetic weights) and
        ``mismatches`` (images with a logit that differs).

    Raises
    ------
    VitgenError : bad input, no finished build, no board, or what the driver refuses.
    FoundWrong : the accelerator stopped, or the golden logits differ.
    """
    shown = console or Console(quiet=True)
    _check(path, device)
    graph = ir.load(path)
    pictures = _pictures(path, graph.meta, files, images)
    with _accelerator(path, device, shown) as (package, accelerator):
        if not pictures:
            with shown.status(f"running the golden input on {device}"):
                answers = [_golden(path, package, accelerator)]
        else:
            answers = []
            with Progress(console=shown, transient=True) as progress:
                for picture in progress.track(pictures, description=f"classifying on {device}"):
                    tokens = preprocess(graph.meta, picture.pixels).astype(np.int64)
                    expected = predict(graph, tokens[None])[0].astype(np.int64)
                    answers.append(_answer(accelerator, picture, expected))
        design = str(accelerator.deployment["design"])
    judged = [answer.right for answer in answers if answer.right is not None]
    return {
        "device": device,
        "design": design,
        "images": [asdict(answer) for answer in answers],
        "accuracy": sum(judged) / len(judged) if judged else None,
        "mismatches": sum(not answer.equal for answer in answers),
    }


def run_notebook(path: Path, device: str, out: Path, *, console: Console | None = None) -> None:
    """Execute the build's notebook on a simulated device and write it with its outputs to ``out``.

    Raises
    ------
    VitgenError : bad input, no finished build, or no Jupyter here.
    FoundWrong : a cell failed.
    """
    from vitgen.host.notebook import run_notebook as execute

    shown = console or Console(quiet=True)
    _check(path, device)
    if device == "board":
        raise VitgenError("--notebook runs on a simulated device.", "On the board, use Jupyter.")
    if out.suffix != ".ipynb":
        raise VitgenError(f"--notebook is {out}.", "Give a file that ends with .ipynb.")
    _prepare(path, device, shown)
    with shown.status("running the notebook"):
        text = execute(path, device)
    write_whole(out, text.encode())


def _check(path: Path, device: str) -> None:
    """Refuse what is no build of ours, whole: its driver is imported."""
    if device not in DEVICES:
        raise VitgenError(f"Unknown device {device!r}.", f"Choose {', '.join(DEVICES)}.")
    if not BuildDirectory.existing(path).whole():
        raise VitgenError(
            f"The build in {path} is not finished, or its files were changed.",
            "Run the same `vitgen build` again: it goes on from there.",
        )


def _pictures(
    path: Path, meta: dict[str, Any], files: Sequence[Path], images: int | None
) -> list[Picture]:
    channels = int(meta["image"][0])
    if images is None:
        return [_picture(file, channels) for file in files]
    if files:
        raise VitgenError("Both pictures and --images are given.", "Give one of them.")
    _, request = open_build(path)
    count, found = labelled_images(model_config(request.model), None)
    if not 1 <= images <= count:
        raise VitgenError(f"--images is {images}.", f"Give 1 to {count}.")
    return [
        Picture(f"digit {index}", np.asarray(pixels), np.asarray(pixels), label)
        for index, (pixels, label) in enumerate(islice(found, images))
    ]


def _picture(file: Path, channels: int) -> Picture:
    if file.suffix != ".npy":
        return Picture(str(file), file, with_channels(read_image(file), channels))
    try:
        array = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise VitgenError(
            f"{file} cannot be read as an array: {error}.", "Save it anew."
        ) from error
    if not isinstance(array, np.ndarray):
        raise VitgenError(f"{file} is no single array.", "Save it with numpy.save.")
    return Picture(str(file), array, array)


def _prepare(path: Path, device: str, console: Console) -> None:
    """Make the RTL of a build that has none."""
    directory, request = open_build(path)
    if device != "rtl" or directory.current("rtl"):
        return
    with directory.locked():
        steps = Build(directory, request, console)
        steps.prepare()
        steps.emit_rtl()
        steps.report()


@contextmanager
def _accelerator(path: Path, device: str, console: Console) -> Iterator[tuple[ModuleType, Any]]:
    """The driver's package and its accelerator, opened; its errors become ours."""
    from vitgen.host import require_board, stand_in
    from vitgen.host.package import load_package

    if device == "board":
        require_board()
        package = load_package(path)
        with _translated(package, None), package.Accelerator() as accelerator:
            yield package, accelerator
        return
    _prepare(path, device, console)
    with _simulated(path, device, console) as simulated:
        package = load_package(path)
        with (
            _translated(package, simulated),
            package.Accelerator(str(stand_in(path)), timeout=SIMULATION_SECONDS) as accelerator,
        ):
            yield package, accelerator


@contextmanager
def _simulated(path: Path, device: str, console: Console) -> Iterator[Any]:
    """A simulated device, ended by Ctrl-C at once: the driver would wait for its run."""
    from vitgen.host import open_device

    with console.status(f"compiling the {'emitted C++' if device == 'csim' else 'RTL'}"):
        simulated = open_device(path, device)

    interrupted = False

    def interrupt(number: int, frame: Any) -> None:
        nonlocal interrupted
        interrupted = True
        simulated.close()
        raise KeyboardInterrupt

    mine = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, interrupt) if mine else None
    try:
        yield simulated
    except Exception:
        if interrupted:  # the driver has met the end of its device on its way out
            raise KeyboardInterrupt from None
        raise
    finally:
        if mine:
            signal.signal(signal.SIGINT, before)
        simulated.close()


@contextmanager
def _translated(package: ModuleType, simulated: Any) -> Iterator[None]:
    """The driver's errors as ours."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No devices found")  # the driver says it better
        try:
            yield
        except package.AcceleratorError as error:
            wrong = isinstance(error, package.DeviceFault)
            raise (FoundWrong if wrong else VitgenError)(error.problem, error.remedy) from error
        except RuntimeError as error:
            if simulated is None or simulated.failure is None:
                raise
            raise FoundWrong(
                f"The simulated accelerator stopped: {simulated.failure}",
                "This is a bug: report it.",
            ) from error


def _name(accelerator: Any, index: int) -> str:
    names = accelerator.deployment["classes"]
    return str(index) if names is None else str(names[index])


def _cycles(accelerator: Any) -> int | None:
    found = accelerator.status().get("cycles")
    return int(found) if found else None


def _answer(accelerator: Any, picture: Picture, expected: NDArray[np.int64]) -> Answer:
    begun = time.perf_counter()
    predictions = accelerator.predict([picture.image])
    seconds = time.perf_counter() - begun
    logits = predictions.logits[0]
    wrong = np.flatnonzero(logits != expected)
    first = None
    if wrong.size:
        index = int(wrong[0])
        first = (index, int(expected[index]), int(logits[index]))
    label = picture.label
    # Synthetic weights have no accuracy.
    judged = label is not None and accelerator.deployment["weights"] == "trained"
    return Answer(
        picture.name,
        None if label is None else _name(accelerator, label),
        [(name, float(share)) for name, share in predictions.top(TOP)[0]],
        int(predictions.indices[0]) == label if judged else None,
        seconds,
        _cycles(accelerator),
        first is None,
        first,
    )


def _golden(path: Path, package: ModuleType, accelerator: Any) -> Answer:
    """The golden input; :class:`FoundWrong` if a logit differs from ``data/logits.bin``."""
    from importlib import import_module

    begun = time.perf_counter()
    accelerator.self_test()
    seconds = time.perf_counter() - begun
    record = accelerator.deployment
    logits = np.fromfile(path / "data" / "logits.bin", "<i2").astype(np.int64)
    made = import_module(f"{package.__name__}.predictions").Predictions
    top = made(logits[None], record["logits"]["scale"], record["classes"]).top(TOP)[0]
    named = [(name, float(share)) for name, share in top]
    cycles = _cycles(accelerator)
    return Answer("golden input", None, named, None, seconds, cycles, True, None)
