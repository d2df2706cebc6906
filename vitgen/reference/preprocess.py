"""From an image to the integers that a graph reads, patches or pixels; NumPy and Pillow, no torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitgen.arith import symmetric_limit
from vitgen.errors import VitgenError

Real = NDArray[np.float64]

INPUT_BITS = 8
CROP_DIVISOR = (7, 8)
"""The part of a resized photograph that the crop keeps along its short side, 7/8 = 224/256."""

MAX_ASPECT = 100
"""Longest side over the shortest: beyond it, covering the crop would take gigabytes."""

FORMS = ("patches", "pixels")
"""What tokens of the input are: patches behind a zero token, or pixels (a convolution reads them)."""

DIGIT_LEVELS = 16
"""Brightest value of a pixel in scikit-learn's digits."""


@dataclass(frozen=True)
class ImageFormat:
    """What ``Graph.meta`` says of the images.

    Parameters
    ----------
    channels, height, width : ``meta["image"]``.
    patch : side of a square patch in pixels, a divisor of both sides.
    mean, std : per channel, of pixel values in 0..1.
    input_scale : normalised value of 1 in the patches.
    form : one of :data:`FORMS`; ``patches`` where meta has no ``input_form``.
    """

    channels: int
    height: int
    width: int
    patch: int
    mean: Real
    std: Real
    input_scale: float
    form: str

    @classmethod
    def of(cls, meta: Mapping[str, Any]) -> "ImageFormat":
        """Read and check ``meta``; raises :class:`VitgenError` on what cannot be used."""
        try:
            channels, height, width = (int(extent) for extent in meta["image"])
            mean, std = (np.asarray(meta[key], dtype=np.float64) for key in ("mean", "std"))
            patch, scale = int(meta["patch"]), float(meta["input_scale"])
        except (KeyError, TypeError, ValueError) as error:
            raise VitgenError(
                f"The model's image format cannot be read: {error!r}.",
                "State image, patch, mean, std and input_scale in the graph's meta.",
            ) from error
        form = meta.get("input_form", "patches")
        if form not in FORMS:
            raise VitgenError(
                f"The model's image format has the input form {form!r}.",
                f"Known forms: {', '.join(FORMS)}.",
            )
        sound = (
            min(channels, height, width, patch) >= 1
            and height % patch == width % patch == 0
            and mean.shape == std.shape == (channels,)
            and bool(np.all(np.isfinite(mean)) and np.all(np.isfinite(std)) and np.all(std > 0))
            and np.isfinite(scale)
            and scale > 0
        )
        if not sound:
            raise VitgenError(
                f"The model's image format does not hold together: image "
                f"{(channels, height, width)}, patch {patch}, mean {mean.tolist()}, "
                f"std {std.tolist()}, input_scale {scale}.",
                "Patches divide the image, mean and std have one positive entry per channel.",
            )
        return cls(channels, height, width, patch, mean, std, scale, form)


def fit_image(pixels: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize and centre-crop a photograph, as timm and the DeiT authors evaluate.

    An image of the right size is returned as it is. Any other is scaled, bicubic and antialiased
    (Pillow), until it just covers ``height * 8/7`` by ``width * 8/7`` (rounded down: 256 for 224),
    and its centre is cut out.

    Parameters
    ----------
    pixels : ``(H, W, C)``, C 1 or 3.
    height, width : of the result.

    Raises
    ------
    VitgenError : the image is far too narrow.
    """
    tall, wide = pixels.shape[:2]
    if (tall, wide) == (height, width):
        return pixels
    if max(tall, wide) > MAX_ASPECT * min(tall, wide):
        raise VitgenError(
            f"A photograph of {wide} x {tall} pixels is more than {MAX_ASPECT} times as long as wide.",
            "Cut out the part to look at.",
        )
    part, whole = CROP_DIVISOR
    cover_tall, cover_wide = height * whole // part, width * whole // part
    if cover_tall * wide >= cover_wide * tall:  # the height decides
        size = (cover_tall, max(cover_wide, cover_tall * wide // tall))
    else:
        size = (max(cover_tall, cover_wide * tall // wide), cover_wide)
    photograph = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    resized = photograph.resize(size[::-1], Image.Resampling.BICUBIC)
    top, left = round((size[0] - height) / 2), round((size[1] - width) / 2)
    cut = resized.crop((left, top, left + width, top + height))
    return np.asarray(cut, dtype=np.uint8).reshape(height, width, pixels.shape[2])


def digit_image(digit: NDArray[Any]) -> Real:
    """``(1, H, W)`` in 0..1 of one of scikit-learn's digits, ``(H, W)`` with values 0 to 16.

    Raises
    ------
    VitgenError : another shape, or a value outside 0..16.
    """
    digit = np.asarray(digit, dtype=np.float64)
    if digit.ndim != 2 or not digit.size or not np.all((digit >= 0) & (digit <= DIGIT_LEVELS)):
        raise VitgenError(
            f"A digit of shape {digit.shape} is not a grey image of values 0 to {DIGIT_LEVELS}.",
            "Pass one entry of sklearn.datasets.load_digits().images.",
        )
    return digit[None] / DIGIT_LEVELS


def unit_range(image: NDArray[Any], form: ImageFormat) -> Real:
    """The image as float64 ``(C, H, W)`` in 0..1, of the size that the model takes."""
    expected = (form.channels, form.height, form.width)
    if image.dtype == np.uint8:
        pixels = image[..., None] if image.ndim == 2 else image
        if pixels.ndim != 3 or not pixels.size or pixels.shape[2] != form.channels:
            raise VitgenError(
                f"A photograph of shape {image.shape} has not (height, width, {form.channels}).",
                f"Convert it to {form.channels} channels of 8 bits.",
            )
        fitted = fit_image(pixels, form.height, form.width)
        return np.moveaxis(fitted, 2, 0).astype(np.float64) / 255.0
    if not np.issubdtype(image.dtype, np.floating) or image.shape != expected:
        raise VitgenError(
            f"An image of {image.dtype} and shape {image.shape} is neither uint8 (height, width, "
            f"{form.channels}) nor floating point {expected}.",
            "Convert it to one of the two.",
        )
    if not np.all((image >= 0) & (image <= 1)):
        raise VitgenError(
            "A floating-point image has values outside 0..1 or that are no numbers.",
            "Scale it to 0..1 (digit_image does so for scikit-learn's digits).",
        )
    return image.astype(np.float64)


def patches_of(image: NDArray[Any], patch: int) -> NDArray[Any]:
    """Rows of non-overlapping patches: row ``1 + u*(W/p) + v``, column ``c*p*p + i*p + j``.

    Parameters
    ----------
    image : ``(C, H, W)``, both sides multiples of ``patch``.
    patch : p, side of a patch.

    Returns
    -------
    rows : ``(1 + H/p * W/p, C*p*p)`` of the same type; row 0, the CLS token's, is zero.
    """
    channels, height, width = image.shape
    grid = image.reshape(channels, height // patch, patch, width // patch, patch)
    rows = grid.transpose(1, 3, 0, 2, 4).reshape(-1, channels * patch * patch)
    return np.concatenate([np.zeros_like(rows[:1]), rows])


def pixels_of(image: NDArray[Any]) -> NDArray[Any]:
    """``(C, H, W)`` to ``(H*W, C)``: row ``y*W + x`` holds the channels of pixel (y, x)."""
    return np.ascontiguousarray(image.reshape(len(image), -1).T)


def normalise(meta: Mapping[str, Any], image: NDArray[Any]) -> Real:
    """The image as a float network takes it: ``(pixel - mean) / std``, float64 ``(C, H, W)``.

    Parameters and errors as of :func:`preprocess`; ``input_scale`` is not used.
    """
    form = ImageFormat.of(meta)
    unit = unit_range(np.asarray(image), form)
    normalised: Real = (unit - form.mean[:, None, None]) / form.std[:, None, None]
    return normalised


def preprocess(meta: Mapping[str, Any], image: NDArray[Any]) -> NDArray[np.int8]:
    """Integer patches, or pixels, of one image.

    ``q = clip(rint((pixel - mean) / std / input_scale), -127, 127)``, in float64, halves to even.

    Parameters
    ----------
    meta : ``Graph.meta``: ``image`` ``[C, H, W]``, ``patch``, ``mean``, ``std``, ``input_scale``,
        and ``input_form``, ``patches`` where it is absent.
    image : ``uint8 (h, w, C)`` of any size (or ``(h, w)`` where C is 1), fitted by
        :func:`fit_image`; or floating point ``(C, H, W)`` in 0..1.

    Returns
    -------
    tokens : ``int8``, -127 to 127: patches ``(tokens, C*p*p)``, see :func:`patches_of`, or pixels
        ``(H*W, C)``, see :func:`pixels_of`.

    Raises
    ------
    VitgenError : the image has another type, channel count, size or range, or is empty; or ``meta``
        does not describe an image.
    """
    form = ImageFormat.of(meta)
    normal = normalise(meta, image)
    limit = symmetric_limit(INPUT_BITS)
    quantized = np.clip(np.rint(normal / form.input_scale), -limit, limit).astype(np.int8)
    return pixels_of(quantized) if form.form == "pixels" else patches_of(quantized, form.patch)
