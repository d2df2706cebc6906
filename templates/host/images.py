"""From a picture to the bytes of the image buffer, as the model was trained and the engine reads.

Every step is that of vitgen's own reference, integer for integer.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from .errors import BadImage

FORMATS = ("JPEG", "PNG")
CROP_DIVISOR = (7, 8)
"""A photograph is scaled until it covers 8/7 of the model's size; the centre is cut out."""

MAX_ASPECT = 100
LIMIT = 127


class Preprocessor:
    """Makes image buffers.

    Parameters
    ----------
    record : ``image`` of the deployment.
    """

    def __init__(self, record: dict[str, Any]) -> None:
        self.channels, self.height, self.width = record["image"]
        self.patch = record["patch"]
        self.pixels = record["input_form"] == "pixels"
        self.mean = np.asarray(record["mean"], dtype=np.float64)[:, None, None]
        self.std = np.asarray(record["std"], dtype=np.float64)[:, None, None]
        self.scale = float(record["input_scale"])
        self.layout = record["layout"]
        self.region = record["region"]

    def pack(self, image: Any) -> np.ndarray:
        """The image buffer of one image, ``uint8 (bytes,)``.

        Raises
        ------
        BadImage : see :meth:`unit_range`.
        """
        return self.lay_out(self.tokens(image))

    def tokens(self, image: Any) -> np.ndarray:
        """Integers that the model reads, ``int8``: patches ``(1 + patches, C*p*p)`` behind a zero
        token, or pixels ``(H*W, C)`` where a convolution reads them."""
        normal = (self.unit_range(image) - self.mean) / self.std
        quantized = np.clip(np.rint(normal / self.scale), -LIMIT, LIMIT).astype(np.int8)
        if self.pixels:
            return np.ascontiguousarray(quantized.reshape(self.channels, -1).T)
        p = self.patch
        grid = quantized.reshape(self.channels, self.height // p, p, self.width // p, p)
        rows = grid.transpose(1, 3, 0, 2, 4).reshape(-1, self.channels * p * p)
        return np.concatenate([np.zeros_like(rows[:1]), rows])

    def unit_range(self, image: Any) -> np.ndarray:
        """The image as float64 ``(C, H, W)`` in 0..1, of the model's size.

        Parameters
        ----------
        image : path of a JPEG or PNG file; PIL image; ``uint8`` array ``(h, w)``, ``(h, w, 1)``,
            ``(h, w, 3)`` or ``(h, w, 4)`` (transparency is dropped) of any size; or floating-point
            array ``(C, H, W)``, for one channel also ``(H, W)``, of the model's size in 0..1.

        Raises
        ------
        BadImage : it is none of these, cannot be read, is empty or far too narrow.
        """
        if isinstance(image, (str, os.PathLike)):
            return self._fit(self._with_channels(_read(Path(image))))
        if isinstance(image, Image.Image):
            with _reading("The image"):
                pixels = _to_rgb(image, "The image")  # it may not have been loaded yet
            return self._fit(self._with_channels(pixels))
        if not isinstance(image, np.ndarray):
            raise BadImage(
                f"An image is a {type(image).__name__}.",
                "Pass a path, a PIL image or a NumPy array.",
            )
        if image.dtype == np.uint8:
            return self._fit(self._with_channels(self._array_pixels(image)))
        return self._floating(image)

    def _array_pixels(self, image: np.ndarray) -> np.ndarray:
        pixels = image[..., None] if image.ndim == 2 else image
        if pixels.ndim != 3 or not pixels.size or pixels.shape[2] not in (1, 3, 4):
            raise BadImage(
                f"An array of bytes of shape {image.shape} is no image.",
                "Pass (height, width), or (height, width, channels) with 1, 3 or 4 channels.",
            )
        return pixels[..., :3]

    def _floating(self, image: np.ndarray) -> np.ndarray:
        expected = (self.channels, self.height, self.width)
        shaped = image[None] if image.ndim == 2 else image
        if not np.issubdtype(image.dtype, np.floating) or shaped.shape != expected:
            raise BadImage(
                f"An array of {image.dtype} and shape {image.shape} is neither uint8 (height, "
                f"width, channels) nor floating point {expected}.",
                "Convert it to one of the two.",
            )
        if not np.all((image >= 0) & (image <= 1)):
            raise BadImage(
                "A floating-point image has values outside 0..1 or that are no numbers.",
                "Scale it to 0..1.",
            )
        return shaped.astype(np.float64)

    def _with_channels(self, pixels: np.ndarray) -> np.ndarray:
        """Colour or grey as the model takes it; grey is the mean of the channels."""
        if pixels.shape[2] == self.channels:
            return pixels
        if self.channels not in (1, 3):
            raise BadImage(
                f"The model takes {self.channels} channels, which no picture has.",
                "Pass floating-point arrays.",
            )
        if self.channels == 1:
            return np.rint(pixels.mean(axis=2, keepdims=True)).astype(np.uint8)
        return np.repeat(pixels[..., :1], self.channels, axis=2)

    def _fit(self, pixels: np.ndarray) -> np.ndarray:
        """Scale a photograph (bicubic, antialiased) and cut out its centre; 0..1, channels first."""
        tall, wide = pixels.shape[:2]
        if (tall, wide) != (self.height, self.width):
            pixels = self._crop(pixels, tall, wide)
        return np.moveaxis(pixels, 2, 0).astype(np.float64) / 255.0

    def _crop(self, pixels: np.ndarray, tall: int, wide: int) -> np.ndarray:
        if max(tall, wide) > MAX_ASPECT * min(tall, wide):
            raise BadImage(
                f"A photograph of {wide} x {tall} pixels is more than {MAX_ASPECT} times as long "
                "as wide.",
                "Cut out the part to look at.",
            )
        part, whole = CROP_DIVISOR
        cover_tall, cover_wide = self.height * whole // part, self.width * whole // part
        if cover_tall * wide >= cover_wide * tall:  # the height decides
            size = (cover_tall, max(cover_wide, cover_tall * wide // tall))
        else:
            size = (max(cover_tall, cover_wide * tall // wide), cover_wide)
        photograph = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        resized = photograph.resize(size[::-1], Image.Resampling.BICUBIC)
        top, left = round((size[0] - self.height) / 2), round((size[1] - self.width) / 2)
        cut = resized.crop((left, top, left + self.width, top + self.height))
        return np.asarray(cut, dtype=np.uint8).reshape(self.height, self.width, self.channels)

    def lay_out(self, tokens: np.ndarray) -> np.ndarray:
        """Tokens ``(tokens, features)`` spread over the lanes of the engine, ``uint8 (bytes,)``."""
        if self.region is not None:
            tokens = _regions(self.region, tokens)
        groups, group_lanes = self.layout["groups"], self.layout["group_lanes"]
        bits, word_bytes = self.layout["bits"], self.layout["word_bytes"]
        count, features = tokens.shape
        slots = -(-count // (groups * group_lanes))
        padded = np.zeros((slots * groups * group_lanes, features), dtype=np.int8)
        padded[:count] = tokens
        lanes = padded.reshape(slots, groups, group_lanes, features).transpose(0, 1, 3, 2)
        packed = np.ascontiguousarray(lanes).view(np.uint8)
        if bits != 8:
            low = np.unpackbits(packed[..., None], axis=-1, bitorder="little")[..., :bits]
            packed = np.packbits(low.reshape(*packed.shape[:3], -1), axis=-1, bitorder="little")
        words = np.zeros((*packed.shape[:3], word_bytes), dtype=np.uint8)
        words[..., : packed.shape[-1]] = packed
        return words.reshape(-1)


def _regions(region: dict[str, Any], pixels: np.ndarray) -> np.ndarray:
    """What every token reads of an image ``(size*size, channels)``: the square around its patch,
    row by row, each pixel's channels and, where ``flagged``, a 1; outside the image all is 0.

    The first token reads nothing.
    """
    size, channels, side = region["size"], region["channels"], region["side"]
    origin, pitch = region["origin"], region["pitch"]
    low = -min(origin, 0)
    high = max(0, origin + side - pitch)
    cells = np.zeros((size + low + high,) * 2 + (channels + region["flagged"],), dtype=np.int8)
    inside = cells[low : low + size, low : low + size]
    inside[..., :channels] = pixels.reshape(size, size, channels)
    if region["flagged"]:
        inside[..., channels] = 1
    grid = size // pitch
    tokens = np.zeros((region["patches"] + 1, side * side * cells.shape[2]), dtype=np.int8)
    for index in range(region["patches"]):
        row, column = divmod(index, grid)
        y, x = row * pitch + origin + low, column * pitch + origin + low
        tokens[index + 1] = cells[y : y + side, x : x + side].reshape(-1)
    return tokens


def _read(path: Path) -> np.ndarray:
    """A JPEG or PNG file, whatever its name, as ``uint8 (h, w, 3)``."""
    with _reading(str(path)), Image.open(path, formats=FORMATS) as image:
        return _to_rgb(image, str(path))


@contextmanager
def _reading(name: str) -> Iterator[None]:
    try:
        yield
    # A damaged PNG raises SyntaxError, a damaged header ValueError.
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadImage(
            f"{name} cannot be read as an image: {error}.", "Pass a JPEG or PNG file."
        ) from error


def _to_rgb(image: Image.Image, name: str) -> np.ndarray:
    if image.mode.startswith(("I", "F")):
        raise BadImage(
            f"{name} has grey pixels of more than 8 bits.",
            "Convert it to 8 bits: that needs a range.",
        )
    pixels = np.asarray(image.convert("RGB"))
    if not pixels.size:
        raise BadImage(f"{name} has {image.width} x {image.height} pixels.", "Pass another one.")
    return pixels


def each(images: Any) -> Iterator[Any]:
    """The images of an argument: one, an iterable of them, or an array ``(n, h, w, channels)``."""
    if isinstance(images, (str, os.PathLike, Image.Image)):
        yield images
    elif isinstance(images, np.ndarray):
        if images.ndim == 4:
            yield from images
        else:
            yield images
    elif isinstance(images, Iterable):
        yield from images
    else:
        yield images  # refused with its type
