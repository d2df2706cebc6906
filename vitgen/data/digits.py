"""scikit-learn's handwritten digits (UCI), split once and for all."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vitgen.data.samples import sample_data

LEVELS = 16  # brightest value of a pixel
HELD_OUT = 1 / 3
SPLIT_SEED = 20260101


class Digits(NamedTuple):
    """One part of the digits.

    Parameters
    ----------
    images : ``float32 (N, 1, 8, 8)``, 0..1.
    labels : ``int64 (N,)``, 0 to 9.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]


@lru_cache(maxsize=1)
def digits() -> tuple[Digits, Digits]:
    """The training part and the held-out third (599 images), each digit in its share.

    The same arrays every time; they are read-only.

    Raises
    ------
    VitgenError : scikit-learn is not installed (extra ``train``).
    """
    bunch = sample_data("digits")
    from sklearn.model_selection import train_test_split

    images = (bunch.images / LEVELS).astype(np.float32)[:, None]
    labels = bunch.target.astype(np.int64)
    x, held_x, y, held_y = train_test_split(
        images, labels, test_size=HELD_OUT, random_state=SPLIT_SEED, stratify=labels
    )
    for shared in (x, y, held_x, held_y):
        shared.setflags(write=False)
    return Digits(x, y), Digits(held_x, held_y)
