"""Thresholds of token selectors that nobody trained: those that give the asked keep rates."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from vitgen.errors import VitgenError
from vitgen.quant.calibration import image_batches
from vitgen.quant.weights import frozen_weights

if TYPE_CHECKING:
    from vitgen.models.selector import Selector, Stream
    from vitgen.models.vit import Vit

SIZE = 64  # images at once

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
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), frozen_weights(model):
            streams = [model.embed(batch) for batch in image_batches(model, images, SIZE)]
            if not streams:
                raise VitgenError("There are no calibration images.", "Give at least one.")
            patches = (model.config.tokens - 1) * sum(len(stream.x) for stream in streams)
            # Block by block: what reaches a selector depends on the thresholds before it.
            for block in model.block_list()[: max(model.config.kept, default=-1) + 1]:
                if block.selector is not None:
                    rate = model.config.kept[block.selector.block]
                    _settle(block.selector, streams, rate * patches)
                    streams = [block.selector(stream)[0] for stream in streams]
                streams = [
                    replace(stream, x=block(stream.x, stream.mask)) for stream in streams
                ]
    finally:
        model.train(training)


def _settle(selector: Selector, streams: list[Stream], count: float) -> None:
    chosen = [selector.decide(stream, None) for stream in streams]
    scores = torch.cat([one.score[one.candidates] for one in chosen])
    threshold = threshold_for(scores, min(round(count), len(scores)))
    # Up to the grid of the integer scores, so that no rounding lets a token in.
    selector.threshold.fill_(math.ceil(threshold / STEP) * STEP)
