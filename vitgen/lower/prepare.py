"""From a configuration, weights and images to a model that can be lowered."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vitgen import models, quant
from vitgen.models.checkpoint import SELECTOR
from vitgen.models.config import VitConfig
from vitgen.models.vit import Vit
from vitgen.quant import QuantConfig
from vitgen.quant.calibration import act_quantizers


def prepare(
    config: VitConfig,
    quantization: QuantConfig,
    seed: int,
    checkpoint: Path | None,
    images: Callable[[], NDArray[np.float32]],
    tell: Callable[[str], None] = lambda _: None,
) -> Vit:
    """A quantized model in evaluation mode, calibrated.

    A quantized checkpoint keeps the scales and rows that it was trained with; float weights, or
    seeded ones, are calibrated, and so are the thresholds of token selectors without trained weights.

    Parameters
    ----------
    seed : of the weights where there is no checkpoint.
    images : called where calibration is needed: ``(N, C, H, W)``, normalised.
    tell : gets a line for the user where something of the checkpoint is left out.

    Raises
    ------
    VitgenError : the checkpoint does not fit the model.
    """
    model = models.create(config, quantization, seed)
    selected = False
    if checkpoint is not None:
        state = models.load_checkpoint(checkpoint)
        selected = any(SELECTOR in key for key in state)
        ignored = models.load_into(model, state)
        if ignored:
            tell(
                f"{checkpoint.name}: {', '.join(ignored)} left out; the class token alone answers."
            )
    model.eval()
    if not all(bool(quantizer.ready) for quantizer in act_quantizers(model).values()):
        batch = torch.from_numpy(images())
        if selected or not config.keep:
            quant.calibrate(model, batch)
            return model
        # Ranges depend on which tokens go on, and scores on the ranges.
        quant.calibrate_thresholds(model, batch)
        quant.calibrate(model, batch)
        quant.calibrate_thresholds(model, batch)
    return model


def float_twin(model: Vit) -> Vit:
    """The same weights without any quantization, in evaluation mode."""
    twin = models.create(model.config, None)
    models.load_into(twin, model.state_dict())
    return twin.eval()
