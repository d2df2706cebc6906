"""A folder of JPEG and PNG images, read one at a time."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitgen.errors import VitgenError

SUFFIXES = (".jpg", ".jpeg", ".png")
FORMATS = ("JPEG", "PNG")
"""Tried whatever the name says: Pillow's other readers include some that start programs."""

LABELS = "labels.txt"

Labels = dict[str, int]


class ImageFolder:
    """Images of a folder: one subfolder per class, or all in one place.

    The classes of subfolders are numbered in the order of their names, as ImageNet's synsets are.
    A file ``labels.txt`` in the folder replaces that: a line per image or subfolder, its path within
    the folder, a space and its class, as in ImageNet's ``val.txt``. It is the way to label a flat
    folder, or a part of a model's classes. Names that start with a dot are passed over.

    Parameters
    ----------
    path : the folder.

    Attributes
    ----------
    classes : names of the class folders in order; empty for a flat folder.
    files : images in order, with their class (None where nothing gives one).
    labelled : whether ``labels.txt`` gave the classes.

    Raises
    ------
    VitgenError : the path is no folder or cannot be listed, there is no image in it or in one of the
        class folders, there are images beside class folders, or ``labels.txt`` does not hold up.
    """

    def __init__(self, path: Path) -> None:
        path = Path(path)
        if not path.is_dir():
            raise VitgenError(f"{path} is not a folder.", "Give a folder of JPEG or PNG images.")
        self.path = path
        labels = _read_labels(path / LABELS)
        self.labelled = labels is not None
        try:
            folders = sorted(p for p in path.iterdir() if p.is_dir() and not _hidden(p.name))
            loose = sorted(p for p in path.iterdir() if p.is_file() and _is_image(p.name))
            inside = [(folder, _images_below(folder)) for folder in folders]
        except OSError as error:
            raise VitgenError(f"{path} cannot be read: {error}.", "Check its permissions.") from error
        if not loose and not any(files for _, files in inside):
            raise VitgenError(f"{path} holds no image.", f"Put {', '.join(SUFFIXES)} files in it.")
        self.classes = [] if loose else [folder.name for folder in folders]
        if loose:
            _refuse_mixture(path, inside)
            self.files: list[tuple[Path, int | None]] = [(file, None) for file in loose]
        else:
            _refuse_empty(inside)
            self.files = [
                (file, label) for label, (_, files) in enumerate(inside) for file in files
            ]
        if labels is not None:
            self.files = [(file, _label_of(file, path, labels)) for file, _ in self.files]

    def __len__(self) -> int:
        return len(self.files)

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint8], int | None]]:
        """Images as ``uint8 (height, width, 3)`` of any size, with their class.

        Raises
        ------
        VitgenError : a file is not an image, or damaged.
        """
        for file, label in self.files:
            yield read_image(file), label

    def sample(self, count: int, seed: int = 0) -> Iterator[NDArray[np.uint8]]:
        """At most ``count`` images, drawn from all of the folder and so from all classes.

        The same for the same seed; in the folder's order, each once.
        """
        order = np.random.RandomState(seed).permutation(len(self.files))
        for index in np.sort(order[:count]):
            yield read_image(self.files[index][0])


def _hidden(name: str) -> bool:
    return name.startswith(".")


def _is_image(name: str) -> bool:
    return not _hidden(name) and Path(name).suffix.lower() in SUFFIXES


def _images_below(folder: Path) -> list[Path]:
    """Images of a class, at any depth."""

    def refuse(error: OSError) -> None:
        raise error

    found = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not _hidden(name)]
        found += [Path(parent, name) for name in names if _is_image(name)]
    return sorted(found)


def _refuse_mixture(path: Path, inside: list[tuple[Path, list[Path]]]) -> None:
    for folder, files in inside:
        if files:
            raise VitgenError(
                f"{path} holds images beside the folder of images {folder.name!r}.",
                "Give each class a folder, or put all images in one place.",
            )


def _refuse_empty(inside: list[tuple[Path, list[Path]]]) -> None:
    for folder, files in inside:
        if not files:
            # Passing it over would number all later classes wrongly.
            raise VitgenError(
                f"The class folder {folder} holds no image.",
                f"Put {', '.join(SUFFIXES)} files in it, or remove it.",
            )


def _read_labels(path: Path) -> Labels | None:
    """Classes by path within the folder; None where there is no such file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise VitgenError(f"{path} cannot be read: {error}.", "Write it as UTF-8 text.") from error
    labels: Labels = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, _, label = line.strip().rpartition(" ")
        if not name or not (label.isascii() and label.isdigit()):
            raise VitgenError(
                f"Line {number} of {path} is {line!r}.",
                "Write a path within the folder, a space and the number of its class.",
            )
        labels[Path(name.strip()).as_posix()] = int(label)
    return labels


def _label_of(file: Path, root: Path, labels: Labels) -> int:
    """The class of an image: its own, or that of the innermost folder that has one."""
    inner = file.relative_to(root)
    for name in (inner, *inner.parents):
        if name.as_posix() in labels:
            return labels[name.as_posix()]
    raise VitgenError(
        f"{root / LABELS} gives no class for {inner.as_posix()}.", "Add a line for it."
    )


def read_image(path: Path) -> NDArray[np.uint8]:
    """A JPEG or PNG file as ``uint8 (height, width, 3)``; transparency is dropped, as timm does.

    Raises
    ------
    VitgenError : it cannot be read as an image, or has more than 8 bits per grey pixel.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            if image.mode.startswith(("I", "F")):
                raise VitgenError(
                    f"{path} has 16-bit grey pixels.", "Convert it to 8 bits: that needs a range."
                )
            return np.asarray(image.convert("RGB"))
    # A damaged PNG raises SyntaxError, a damaged header ValueError.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise VitgenError(
            f"{path} cannot be read as an image: {error}.", "Replace it, or take it away."
        ) from error
