"""The output scale of softmax: which power of two serves the values that attention weighs.

Rounding makes a small probability zero or too large, in every key alike, and saturation takes weight
from the largest. How much either costs depends on the values: what they have in common is lost with
the sum of a row, what sets one apart with its own probability. So the error that counts is that of
the weighted values, not that of the probabilities.
"""

import torch
from torch import Tensor

from vitgen.arith.softmax import MAX_SHIFT


class ShiftObserver:
    """Squared error of the weighted values for every shift, over any number of batches.

    Parameters
    ----------
    scale : real value of code 1 at shift 0.
    limit : largest code.

    Attributes
    ----------
    values : ``(B, keys, heads * D)``, what the next probabilities weigh; set before every
        :meth:`update`.
    errors : float64 ``(8,)``, by shift.
    """

    def __init__(self, scale: float, limit: int) -> None:
        self.scale, self.limit = scale, limit
        self.values: Tensor | None = None
        self.errors = torch.zeros(MAX_SHIFT + 1, dtype=torch.float64)

    def update(self, probabilities: Tensor) -> None:
        """Count a batch ``(B, heads, tokens, keys)``, at least 0."""
        assert self.values is not None
        heads = probabilities.shape[1]
        values = self.values.detach().unflatten(-1, (heads, -1)).transpose(1, 2)
        exact = probabilities.detach()
        for shift in range(MAX_SHIFT + 1):
            scale = self.scale * 2.0**-shift
            # Half up, as the integers round.
            error = (
                (exact / scale).add_(0.5).floor_().clamp_(max=self.limit).mul_(scale).sub_(exact)
            )
            self.errors[shift] += float((error @ values).double().square_().sum())

    def best(self) -> int:
        """The largest shift of the least error."""
        return int((self.errors == self.errors.min()).nonzero().max())
