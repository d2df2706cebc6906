"""What the accelerator said of some images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Predictions:
    """Logits of images, and the classes that they mean.

    Parameters
    ----------
    logits : ``int64 (n, classes)``, as the accelerator wrote them.
    scale : what 1 stands for.
    names : of the classes; None where nobody gave any, then they are called by number.
    """

    def __init__(self, logits: np.ndarray, scale: float, names: Sequence[str] | None) -> None:
        self.logits = logits
        self.scale = scale
        self.names = names

    def __len__(self) -> int:
        return len(self.logits)

    def __repr__(self) -> str:
        return f"Predictions({', '.join(self.labels)})"

    @property
    def indices(self) -> np.ndarray:
        """Class of every image, ``int64 (n,)``; of equal logits the first."""
        return np.argmax(self.logits, axis=1)

    @property
    def labels(self) -> list[str]:
        """Name of the class of every image."""
        return [self._name(index) for index in self.indices]

    @property
    def probabilities(self) -> np.ndarray:
        """Softmax of the scaled logits, ``float64 (n, classes)``; rows sum to 1."""
        real = self.logits * self.scale
        power = np.exp(real - real.max(axis=1, keepdims=True))
        return power / power.sum(axis=1, keepdims=True)

    def top(self, count: int = 5) -> list[list[tuple[str, float]]]:
        """For every image the ``count`` likeliest classes: name and probability, likeliest first."""
        order = np.argsort(-self.logits, axis=1, kind="stable")[:, :count]
        return [
            [(self._name(index), float(row[index])) for index in best]
            for best, row in zip(order, self.probabilities, strict=True)
        ]

    def _name(self, index: int) -> str:
        return str(index) if self.names is None else self.names[index]
