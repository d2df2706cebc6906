"""Crops of the two photographs that scikit-learn ships, for calibration and demonstration."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vitgen.data.samples import sample_data

SHORTEST = 0.5  # of the short side that a random crop keeps


def photographs(size: int, count: int, seed: int = 0) -> list[NDArray[np.uint8]]:
    """``count`` square colour images, ``uint8 (size, size, 3)``.

    The first two are the whole photographs, cropped at the centre; the others random crops of them,
    half of them mirrored.

    Raises
    ------
    VitgenError : scikit-learn is not installed (extra ``train``).
    """
    sources = sample_data("sample_images").images
    rng = np.random.default_rng(seed)
    crops = []
    for index in range(count):
        source = sources[index % len(sources)]
        height, width = source.shape[:2]
        short = min(height, width)
        if index < len(sources):
            side, top, left = short, (height - short) // 2, (width - short) // 2
        else:
            side = int(short * rng.uniform(SHORTEST, 1.0))
            top, left = rng.integers(height - side + 1), rng.integers(width - side + 1)
        crop = Image.fromarray(source[top : top + side, left : left + side])
        pixels = np.asarray(crop.resize((size, size), Image.Resampling.BICUBIC))
        if index >= len(sources) and rng.random() < 0.5:
            pixels = pixels[:, ::-1]
        crops.append(np.ascontiguousarray(pixels))
    return crops
