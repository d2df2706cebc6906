"""The first step of a build: weights, calibration, integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vitgen.flow.images import calibration_batch
from vitgen.flow.request import BuildRequest
from vitgen.ir import Graph
from vitgen.models.config import config as model_config

if TYPE_CHECKING:
    from vitgen.models.vit import Vit

CALIBRATION_IMAGES = 16


def model_of(request: BuildRequest, tell: Callable[[str], None] = lambda _: None) -> Vit:
    """The calibrated, quantized model of a request; ``tell`` gets lines for the user."""
    from vitgen.lower.prepare import prepare

    config = model_config(request.model)
    return prepare(
        config,
        request.quant(),
        request.seed,
        request.checkpoint,
        lambda: calibration_batch(config, request.calibrate, CALIBRATION_IMAGES, request.seed),
        tell,
    )


def lower_request(request: BuildRequest, tell: Callable[[str], None] = lambda _: None) -> Graph:
    """The integer graph of a request; ``tell`` gets lines for the user."""
    from vitgen import lower

    return lower.lower(model_of(request, tell), request.name)
