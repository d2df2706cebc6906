"""Quantization: configuration (free of torch), Brevitas quantizers, calibration, row assignment."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from vitgen.quant.config import LayerQuant, QuantConfig

if TYPE_CHECKING:
    from torch import Tensor

    from vitgen.models.vit import Vit

__all__ = [
    "LayerQuant",
    "QuantConfig",
    "assign_rows",
    "calibrate",
    "calibrate_thresholds",
    "frozen_weights",
    "trace",
]


def calibrate(model: Vit, images: Tensor | Iterable[Tensor], keep_rows: bool = False) -> None:
    """Set every scale of a quantized model from images, and assign its rows.

    Post-training calibration: one pass in float over the activations (weights quantized), then the
    model runs fake-quantized. The shift of a softmax is the one with which the values that it weighs
    come out with the least squared error. It may be trained further (scales of quantized activations are
    parameters) and calibrated again.

    Parameters
    ----------
    model : from :func:`vitgen.models.create` with a quantization; its mode (train or eval) is kept.
    images : normalised, ``(B, C, H, W)``, or an iterable of such batches, each used once.
    keep_rows : leave the schemes and widths of rows as they are.

    Raises
    ------
    VitgenError : the model is not quantized, there are no images, their shape is another, or an
        activation is not finite.
    """
    from vitgen.quant.calibration import calibrate as implementation

    implementation(model, images, keep_rows)


def calibrate_thresholds(model: Vit, images: Tensor | Iterable[Tensor]) -> None:
    """Set the thresholds of the token selectors to give the keep rates of the configuration.

    For selectors that were not trained, whose scores mean nothing: hardware figures then do. The rates
    are means over the images; single images keep more or fewer.

    Parameters
    ----------
    model, images : as for :func:`calibrate`; a quantized model is best calibrated before and after.

    Raises
    ------
    VitgenError : there are no images, or their shape is another.
    """
    from vitgen.quant.thresholds import calibrate_thresholds as implementation

    implementation(model, images)


def assign_rows(weight: Tensor, layer: LayerQuant, heads: int = 1) -> tuple[Tensor, Tensor]:
    """Scheme and width of every row by variance, the same shares in every head.

    Parameters
    ----------
    weight : ``(rows, ...)``.
    layer : its quantization.
    heads : groups of consecutive rows that get equal shares (heads of q, k or v); 1 for others.

    Returns
    -------
    pot_rows, wide_rows : bool ``(rows,)``, power-of-two rows (lowest variance) and 8-bit rows
        (highest variance).
    """
    from vitgen.quant.rows import assign_rows as implementation

    return implementation(weight, layer, heads)


def frozen_weights(model: Vit) -> AbstractContextManager[None]:
    """Within this context weights are quantized once, for evaluation over many batches.

    The weights must not change inside it.
    """
    from vitgen.quant.weights import frozen_weights as implementation

    return implementation(model)


def trace(model: Vit, images: Tensor) -> dict[str, Tensor]:
    """Real values of every tensor that the IR has, under the IR's names, and ``logits``.

    Parameters
    ----------
    model : float or quantized.
    images : ``(B, C, H, W)``.

    Returns
    -------
    by name : each with a leading batch axis; a float model gives the unquantized values.
    """
    from vitgen.quant.tracing import trace as implementation

    return implementation(model, images)
