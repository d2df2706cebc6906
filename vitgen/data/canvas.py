"""Digits placed at random on a larger noisy canvas: most of such an image is of no use to a classifier."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vitgen.data.digits import Digits, digits

SIDE = 24
NOISE = 0.1
SEEDS = (20260103, 20260102)  # of the training part and of the held-out one


def place(
    images: NDArray[np.float32], rng: np.random.Generator, side: int = SIDE, noise: float = NOISE
) -> NDArray[np.float32]:
    """Each image at a place of its own on a canvas of noise.

    Parameters
    ----------
    images : ``(N, C, h, w)``, 0..1; h and w at most ``side``.
    rng : of the places and of the noise.
    side : height and width of a canvas.
    noise : standard deviation of what is added to every pixel; the sum is cut to 0..1.

    Returns
    -------
    ``(N, C, side, side)``, 0..1.
    """
    count, channels, height, width = images.shape
    canvas = np.zeros((count, channels, side, side), dtype=np.float32)
    tops = rng.integers(0, side - height + 1, count)
    lefts = rng.integers(0, side - width + 1, count)
    for index, (top, left) in enumerate(zip(tops, lefts, strict=True)):
        canvas[index, :, top : top + height, left : left + width] = images[index]
    canvas += noise * rng.standard_normal(canvas.shape, dtype=np.float32)
    return np.clip(canvas, 0, 1)


@lru_cache(maxsize=1)
def canvases() -> tuple[Digits, Digits]:
    """Both parts of :func:`vitgen.data.digits` on fixed canvases ``(N, 1, 24, 24)``.

    The same arrays every time; they are read-only.

    Raises
    ------
    VitgenError : scikit-learn is not installed (extra ``train``).
    """
    placed = []
    for part, seed in zip(digits(), SEEDS, strict=True):
        images = place(part.images, np.random.default_rng(seed))
        images.setflags(write=False)
        placed.append(Digits(images, part.labels))
    return placed[0], placed[1]
