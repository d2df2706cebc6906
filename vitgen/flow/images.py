"""Which images a build calibrates with, verifies with and keeps as golden."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitgen.data import Digits, ImageFolder, canvases, digits, photographs
from vitgen.emit.host import Picture
from vitgen.errors import VitgenError
from vitgen.flow.request import BuildRequest
from vitgen.ir import Graph
from vitgen.models.config import VitConfig
from vitgen.models.config import config as model_config
from vitgen.reference.preprocess import normalise, preprocess

_CREDIT_DIGITS = """sample.png: a digit of the "Optical Recognition of Handwritten Digits" data set by
E. Alpaydin and C. Kaynak (UCI Machine Learning Repository, CC BY 4.0), as scikit-learn carries it."""

_CREDIT_PHOTOGRAPH = """sample.png: the centre of china.jpg, a photograph that scikit-learn carries,
"some rights reserved by danielbuechele" under CC BY 2.0
(https://creativecommons.org/licenses/by/2.0/), cropped and made smaller."""

_CREDIT_FOLDER = "sample.png: the first image of the folder that the build was calibrated with."


def digits_of(config: VitConfig) -> tuple[Digits, Digits] | None:
    """Training part and held-out third of scikit-learn's digits as a model reads them: 8 x 8, or on
    canvases of 24 x 24, one channel, ten classes. None for other models."""
    loaders = {(8, 1, 10): digits, (24, 1, 10): canvases}
    load = loaders.get((config.image, config.channels, config.classes))
    return None if load is None else load()


def _sources(
    config: VitConfig, folder: Path | None, count: int, seed: int, training: bool
) -> Iterable[NDArray[Any]]:
    if folder is not None:
        found = ImageFolder(folder).sample(count, seed) if training else _images(folder)
        return (with_channels(image, config.channels) for image in found)
    parts = digits_of(config)
    if parts is not None:
        return iter(parts[0 if training else 1].images)
    crops = photographs(config.image, count, seed)
    return [with_channels(crop, config.channels) for crop in crops]


def _images(folder: Path) -> Iterator[NDArray[np.uint8]]:
    return (image for image, _ in ImageFolder(folder))


def with_channels(image: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """A colour image as the model takes it: colour, or grey as the mean of the channels."""
    if channels == 1:
        return np.rint(image.mean(axis=2, keepdims=True)).astype(np.uint8)
    if channels != 3:
        raise VitgenError(
            f"The model takes images with {channels} channels.", "Use a model with 1 or 3."
        )
    return image


def calibration_batch(
    config: VitConfig, folder: Path | None, count: int, seed: int
) -> NDArray[np.float32]:
    """``(count, C, H, W)``, normalised, for post-training calibration."""
    meta = {
        "image": [config.channels, config.image, config.image],
        "patch": config.patch,
        "mean": config.mean,
        "std": config.std,
        "input_scale": 1.0,  # of no consequence: nothing is quantized here
    }
    chosen = islice(_sources(config, folder, count, seed, training=True), count)
    return np.stack([normalise(meta, np.asarray(image)) for image in chosen]).astype(np.float32)


def labelled_images(
    config: VitConfig, folder: Path | None
) -> tuple[int, Iterable[tuple[NDArray[Any], int | None]]]:
    """Number and images with their class: of a folder, or the held-out digits.

    Raises
    ------
    VitgenError : no folder is given for a model that does not read digits, or the folder's classes
        are not the model's.
    """
    if folder is not None:
        found = ImageFolder(folder)
        _check_classes(config, found)
        return len(found), ((with_channels(i, config.channels), c) for i, c in found)
    parts = digits_of(config)
    if parts is None:
        raise VitgenError(
            f"There is no test set for {config.name}.", "Give a folder of images with --data."
        )
    part = parts[1]
    return len(part.labels), zip(part.images, (int(c) for c in part.labels), strict=True)


def _check_classes(config: VitConfig, folder: ImageFolder) -> None:
    """Class folders are numbered by name: a part of the classes would get wrong numbers."""
    labels = [label for _, label in folder.files if label is not None]
    if labels and max(labels) >= config.classes:
        raise VitgenError(
            f"{folder.path} has an image of class {max(labels)}; {config.name} has "
            f"{config.classes} classes, counted from 0.",
            "Evaluate on images of the model's classes.",
        )
    if folder.classes and not folder.labelled and len(folder.classes) != config.classes:
        raise VitgenError(
            f"{folder.path} has {len(folder.classes)} class folders, {config.name} has "
            f"{config.classes} classes.",
            "Write labels.txt in the folder: a line with the class number of each class folder.",
        )


def verification_images(
    graph: Graph, request: BuildRequest, count: int | None
) -> list[NDArray[np.int8]]:
    """Integer patches to verify with; None for all test digits, or one photograph.

    Raises
    ------
    VitgenError : there are fewer images than ``count``.
    """
    config = model_config(request.model)
    wanted = 1 if count is None else count
    parts = digits_of(config)
    if count is None and parts is not None and request.calibrate is None:
        wanted = len(parts[1].images)
    sources = islice(_sources(config, request.calibrate, wanted, request.seed, False), wanted)
    batch = [preprocess(graph.meta, np.asarray(image)) for image in sources]
    if len(batch) < wanted:
        raise VitgenError(
            f"--images is {count}, but there are {len(batch)}.", f"Give at most {len(batch)}."
        )
    return batch


def sample_picture(request: BuildRequest) -> Picture:
    """The first verification image as a PNG file of the model's size or larger."""
    config = model_config(request.model)
    source = next(iter(_sources(config, request.calibrate, 1, request.seed, False)))
    pixels = np.asarray(source)
    if np.issubdtype(pixels.dtype, np.floating):  # a digit, (1, H, W) in 0..1
        pixels = np.rint(pixels[0] * 255).astype(np.uint8)[..., None]
    file = BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(file, "PNG")
    if request.calibrate is not None:
        return Picture(file.getvalue(), _CREDIT_FOLDER)
    credit = _CREDIT_PHOTOGRAPH if digits_of(config) is None else _CREDIT_DIGITS
    return Picture(file.getvalue(), credit)
