"""Softmax, GELU and LayerNorm as the integers compute them, in float and with gradients.

The polynomials are I-BERT's with HeatViT's gains (HeatViT eqs. 11-14); ``vitgen.arith`` holds the
integer functions that these follow.
"""

import math

import torch
from torch import Tensor, nn

from vitgen.arith.gelu import A as GELU_A
from vitgen.arith.gelu import B as GELU_B
from vitgen.arith.layernorm import NORMAL_FRACTION

EXP_FRACTION = 2.0**14  # the integer exponential has 14 fractional bits, truncated
NORMAL_ONE = 2.0**NORMAL_FRACTION
LN2 = math.log(2.0)
MAX_DISTANCE = 16.0


def _largest(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Maximum along the last axis, of what ``mask`` leaves; no gradient."""
    scores = scores.detach()
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -math.inf)
    return scores.amax(dim=-1, keepdim=True)


def masked_softmax(scores: Tensor, mask: Tensor | None) -> Tensor:
    """Softmax along the last axis over the keys that ``mask`` leaves.

    Parameters
    ----------
    mask : broadcastable, 1 for a key that counts and 0 for one that does not, at least one 1 in a row;
        exponentials are multiplied by it, so that a gradient reaches it. None: all count.
    """
    if mask is None:
        return scores.softmax(dim=-1)
    # A key that does not count may lie above the maximum of the others.
    terms = torch.exp((scores - _largest(scores, mask)).clamp(max=0.0)) * mask
    return terms / terms.sum(dim=-1, keepdim=True)


def poly_softmax(scores: Tensor, delta2: float = 1.0, mask: Tensor | None = None) -> Tensor:
    """Softmax along the last axis: a quadratic for the fraction of the exponent, a shift.

    The gradient is that of the polynomial between its steps; the truncation passes it through.
    ``mask`` as :func:`masked_softmax` has it.
    """
    distance = (_largest(scores, mask) - scores).clamp(min=0.0, max=MAX_DISTANCE)
    halvings = torch.floor(distance.detach() / LN2)
    base = 1.353 - (distance - halvings * LN2)
    terms = (0.3585 * base * base + 0.344) * torch.exp2(-halvings)
    exact = terms.detach()
    terms = terms + (torch.floor(exact * EXP_FRACTION) / EXP_FRACTION - exact)
    if mask is not None:
        terms = terms * mask
    return terms * (delta2 / terms.sum(dim=-1, keepdim=True))


class RoundedNorm(nn.LayerNorm):
    """LayerNorm whose normalised value has the fractional bits of the integer one."""

    def forward(self, x: Tensor) -> Tensor:
        """Along the last axis; the rounding passes the gradient through."""
        normal = nn.functional.layer_norm(x, self.normalized_shape, eps=self.eps)
        exact = normal.detach()
        rounded = torch.floor(exact * NORMAL_ONE + 0.5) / NORMAL_ONE
        return (normal + (rounded - exact)) * self.weight + self.bias


def poly_gelu(x: Tensor, delta1: float = 1.0) -> Tensor:
    """``x/2 * (1 + L(x / sqrt 2))`` with the second-order ``L`` and its gain ``delta1``."""
    knee = -GELU_B * math.sqrt(2.0)
    distance = x.abs().clamp(max=knee) - knee
    level = (GELU_A / 2 * distance * distance + 1.0) * delta1
    return 0.5 * x * (1.0 + torch.sign(x) * level)


def plan_sigmoid(x: Tensor) -> Tensor:
    """Sigmoid in straight pieces (PLAN; HeatViT eq. 14): slopes 1/4, 1/8, 1/32 and 0."""
    size = x.abs()
    upper = torch.where(
        size >= 2.375, size / 32 + 27 / 32, torch.where(size >= 1, size / 8 + 5 / 8, size / 4 + 0.5)
    ).clamp(max=1.0)
    return torch.where(x < 0, 1 - upper, upper)
