"""Which rows are powers of two and which have 8 bits: by variance, alike in every head."""

import torch
from torch import Tensor

from vitgen.quant.config import LayerQuant


def assign_rows(weight: Tensor, layer: LayerQuant, heads: int = 1) -> tuple[Tensor, Tensor]:
    """See :func:`vitgen.quant.assign_rows` (Auto-ViT-Acc: low variance to power of two)."""
    rows = int(weight.shape[0])
    pot, wide = layer.shares(rows, heads)
    per_head = rows // heads
    variance = weight.detach().reshape(rows, -1).var(dim=1, correction=0)
    order = variance.reshape(heads, per_head).argsort(dim=1, stable=True)
    rank = order.argsort(dim=1)
    pot_rows = (rank < pot).reshape(rows)
    wide_rows = (rank >= per_head - wide).reshape(rows)
    return pot_rows, wide_rows


def no_rows(rows: int) -> Tensor:
    """A mask of no rows."""
    return torch.zeros(rows, dtype=torch.bool)
