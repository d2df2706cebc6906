"""A folder of JPEG and PNG images, read one at a time."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from vitgen.errors import VitgenError

SUFFIXES = (".jpg", ".jpeg", ".png")


class ImageFolder:
    """Images of a folder: one subfolder per class, or all in one place without labels.

    Parameters
    ----------
    path : the folder. Classes are numbered in the order of their folders' names, as ImageNet's
        synsets are.

    Attributes
    ----------
    classes : names of the class folders, empty where there are none.
    files : images in order, with their class (None without classes).

    Raises
    ------
    VitgenError : the path is no folder, or holds no image.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise VitgenError(f"{path} is not a folder.", "Give a folder of JPEG or PNG images.")
        self.path = path
        folders = sorted(p for p in path.iterdir() if p.is_dir())
        self.classes = [folder.name for folder in folders if _images(folder)]
        self.files: list[tuple[Path, int | None]]
        if self.classes:
            self.files = [
                (file, label)
                for label, name in enumerate(self.classes)
                for file in _images(path / name)
            ]
        else:
            self.files = [(file, None) for file in _images(path)]
        if not self.files:
            raise VitgenError(
                f"{path} holds no image.", f"Put {', '.join(SUFFIXES)} files in it."
            )

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


def _images(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_file() and p.suffix.lower() in SUFFIXES)


def read_image(path: Path) -> NDArray[np.uint8]:
    """A JPEG or PNG file as ``uint8 (height, width, 3)``.

    Raises
    ------
    VitgenError : it cannot be read as an image.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise VitgenError(f"{path} cannot be read as an image: {error}.", "Remove it.") from error
