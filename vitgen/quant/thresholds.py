"""Thresholds of token selectors that nobody trained: those that give the asked keep rates."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vitgen.errors import VitgenError
from vitgen.quant.calibration import image_batches
from vitgen.quant.weights import frozen_weights

if TYPE_CHECKING:
    from vitgen.models.vit import Vit

STEP = 2.0**-14
"""Of a score in integers; a threshold is a multiple of it."""


def threshold_for(scores: Tensor, count: int) -> float:
    """The threshold that keeps as nearly ``count`` of the scores as ties allow, rather more.

    Parameters
    ----------
    scores : ``(n,)``, 0..1.
    count : 0 to n.
    """
    levels = [(int((scores >= level).sum()), float(level)) for level in scores.unique()]
    levels.append((0, float(scores.max()) + STEP if len(scores) else 0.0))
    return min(levels, key=lambda pair: (abs(pair[0] - count), -pair[0]))[1]


def calibrate_thresholds(model: Vit, images: Tensor | Iterable[Tensor]) -> None:
    """See :func:`vitgen.quant.calibrate_thresholds`."""
    batches = list(image_batches(model, images))
    if not batches:
        raise VitgenError("There are no calibration images.", "Give at least one.")
    training = model.training
    model.eval()
    patches = (model.config.tokens - 1) * len(batches)
    try:
        with torch.no_grad(), frozen_weights(model):
            for index, selector in enumerate(model.selectors()):
                chosen = [model.run(batch)[1][index] for batch in batches]
                scores = torch.cat([one.score[one.candidates] for one in chosen])
                rate = model.config.kept[selector.block]
                threshold = threshold_for(scores, min(round(rate * patches), len(scores)))
                # Up to the grid of the integer scores, so that no rounding lets a token in.
                selector.threshold.fill_(math.ceil(threshold / STEP) * STEP)
    finally:
        model.train(training)
