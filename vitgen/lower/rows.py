"""Quantized rows of Brevitas layers."""

import numpy as np
import torch

from vitgen.ir import FIXED, POT
from vitgen.lower.numbers import Rows
from vitgen.models.stem import fold
from vitgen.quant.weights import RowQuant, row_quantizer


def rows_of(layer: torch.nn.Linear | torch.nn.Conv2d, bias: bool = True) -> Rows:
    """Quantized rows of a Brevitas layer; a convolution's features in its weight's order.

    Parameters
    ----------
    bias : False for a bias that is added elsewhere.
    """
    return _rows(row_quantizer(layer), layer.weight, layer.bias if bias else None)


def head_means(heads: int, size: int) -> Rows:
    """The rows of a layer that takes the mean of every head's features: ones, scaled."""
    return Rows(
        np.eye(heads, dtype=np.int8).repeat(size, axis=1),
        np.full(heads, 1.0 / size),
        np.full(heads, FIXED, dtype=np.uint8),
        np.full(heads, 8, dtype=np.uint8),
        np.zeros(heads),
    )


def folded_rows(conv: torch.nn.Conv2d, norm: torch.nn.BatchNorm2d) -> Rows:
    """Quantized rows of a convolution and the BatchNorm behind it."""
    return _rows(row_quantizer(conv), *fold(conv, norm))


def _rows(quantizer: RowQuant, weight: torch.Tensor, bias: torch.Tensor | None) -> Rows:
    codes, scale = quantizer.integers(weight)
    pot = quantizer.pot_rows.numpy()
    wide = quantizer.wide_rows.numpy() & ~pot
    return Rows(
        codes.numpy(),
        scale.numpy(),
        np.where(pot, POT, FIXED).astype(np.uint8),
        np.where(wide, 8, 4).astype(np.uint8),
        np.zeros(len(pot)) if bias is None else bias.detach().double().numpy(),
    )
