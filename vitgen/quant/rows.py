"""Which rows are powers of two and which have 8 bits: by variance, alike in every head."""

import torch
from torch import Tensor

from vitgen.errors import VitgenError
from vitgen.quant.config import LayerQuant


def share(ratio: float, rows: int) -> int:
    """Rows that a ratio stands for, rounded half up."""
    return int(ratio * rows + 0.5)


def assign_rows(weight: Tensor, layer: LayerQuant, heads: int = 1) -> tuple[Tensor, Tensor]:
    """See :func:`vitgen.quant.assign_rows` (Auto-ViT-Acc: low variance to power of two)."""
    rows = int(weight.shape[0])
    if rows % heads:
        raise VitgenError(
            f"{rows} rows do not divide into {heads} heads.", "Give the layer's head count."
        )
    per_head = rows // heads
    variance = weight.detach().reshape(rows, -1).var(dim=1, correction=0)
    order = variance.reshape(heads, per_head).argsort(dim=1, stable=True)
    rank = order.argsort(dim=1)
    pot = share(layer.pot_ratio, per_head)
    wide = per_head if layer.weight_bits == "8" else share(layer.wide_ratio, per_head)
    # Two ratios that add up to 1 may round up to one row more than there are.
    wide = min(wide, per_head - pot)
    pot_rows = (rank < pot).reshape(rows)
    wide_rows = (rank >= per_head - wide).reshape(rows)
    return pot_rows, wide_rows


def no_rows(rows: int) -> Tensor:
    """A mask of no rows."""
    return torch.zeros(rows, dtype=torch.bool)
