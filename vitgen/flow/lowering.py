"""The first step of a build: weights, calibration, integers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vitgen import lower, models, quant
from vitgen.flow.images import calibration_batch
from vitgen.flow.request import BuildRequest
from vitgen.ir import Graph
from vitgen.models.config import config as model_config

if TYPE_CHECKING:
    from vitgen.models.vit import Vit

CALIBRATION_IMAGES = 16


def prepare(request: BuildRequest) -> Vit:
    """The quantized model of a request, calibrated: its weights come from the checkpoint or a seed.

    A quantized checkpoint keeps the scales and rows that it was trained with.
    """
    from vitgen.quant.calibration import act_quantizers

    config = model_config(request.model)
    model = models.create(config, request.quant(), request.seed)
    if request.checkpoint is not None:
        models.load_into(model, models.load_checkpoint(request.checkpoint))
    model.eval()
    if not all(bool(q.ready) for q in act_quantizers(model).values()):
        images = calibration_batch(config, request.calibrate, CALIBRATION_IMAGES, request.seed)
        quant.calibrate(model, images)
    return model


def lower_request(request: BuildRequest) -> Graph:
    """The integer graph of a request."""
    return lower.lower(prepare(request), request.name)
