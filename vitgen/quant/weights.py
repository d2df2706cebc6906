"""Weight and bias quantizers: rows of fixed point (4 or 8 bits) and of powers of two in one layer.

A Brevitas ``tensor_quant``: it returns ``(value, scale, zero_point, bit_width)`` and is injected
into ``QuantLinear`` and ``QuantConv2d``. Every row has its own scale.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from brevitas.inject import ExtendedInjector
from brevitas.proxy import BiasQuantProxyFromInjector, WeightQuantProxyFromInjector
from torch import Tensor, nn

from vitgen.quant.activations import ActQuant
from vitgen.quant.rows import no_rows

FIXED4_LIMIT = 7
FIXED8_LIMIT = 127
POT_LIMIT = 64
POT_STEPS = 6  # exponents 0..6 above zero: 1, 2, 4 .. 64

ROW_FLOOR = 2.0**-8
"""A row's scale is at least this share of the layer's largest.

The layer has one requantization shift, so a row far below the others would keep no bits in its
multiplier, and its bias, in units of its scale, would leave the accumulator.
"""

EMPTY_SCALE = 2.0**-12  # of a layer whose weights are all zero: any value does


def round_pot(magnitude: Tensor) -> Tensor:
    """Nearest of 0, 1, 2, 4 .. 64 in the log domain (Auto-ViT-Acc); zero below ``2**-0.5``.

    Parameters
    ----------
    magnitude : non-negative, any shape.
    """
    exponent = torch.log2(magnitude.clamp(min=1e-30)).add_(0.5).floor_().clamp_(max=POT_STEPS)
    return torch.where(exponent < 0, torch.zeros_like(exponent), torch.exp2(exponent))


class _Straight(torch.autograd.Function):
    """Replaces a value; the gradient is the identity where ``inside``, zero elsewhere."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, value: Tensor, bound: Tensor) -> Tensor:
        ctx.save_for_backward(x.detach().abs() <= bound)
        return value

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return gradients[0] * inside, None, None


class RowQuant(nn.Module):
    """Row-wise mixed weight quantizer.

    Parameters
    ----------
    rows : output rows (or channels) of the layer.

    Attributes
    ----------
    pot_rows : bool ``(rows,)``; levels 0 and plus or minus 1, 2, 4 .. 64, scale ``max|w| / 64``.
    wide_rows : bool ``(rows,)``; fixed rows of 8 bits, limit 127; the others 4 bits, limit 7.
    clip : float ``(rows,)``, share of ``max|w|`` that the largest code stands for, 0 to 1.
    """

    def __init__(self, rows: int) -> None:
        super().__init__()
        self.pot_rows: Tensor
        self.wide_rows: Tensor
        self.clip: Tensor
        self.bit_width: Tensor
        self.zero_point: Tensor
        self.register_buffer("pot_rows", no_rows(rows))
        self.register_buffer("wide_rows", no_rows(rows))
        self.register_buffer("clip", torch.ones(rows))
        self.register_buffer("bit_width", torch.tensor(8.0), persistent=False)
        self.register_buffer("zero_point", torch.tensor(0.0), persistent=False)
        self.row_scale: Tensor | None = None  # of the latest call, for the bias
        self._frozen: Tensor | None = None
        self._freeze = False

    def limits(self) -> Tensor:
        """Largest code of every row, float ``(rows,)``."""
        limit = torch.full_like(self.clip, FIXED4_LIMIT)
        limit[self.wide_rows] = FIXED8_LIMIT
        limit[self.pot_rows] = POT_LIMIT
        return limit

    def scales(self, weight: Tensor) -> Tensor:
        """Scale of every row, float ``(rows,)``, above zero."""
        largest = weight.detach().reshape(weight.shape[0], -1).abs().amax(dim=1)
        floor = largest.max() * ROW_FLOOR
        floor = torch.where(floor > 0, floor, torch.full_like(floor, EMPTY_SCALE))
        return torch.maximum(largest * self.clip, floor) / self.limits()

    def codes(self, weight: Tensor, scale: Tensor) -> Tensor:
        """Integers as floats, ``(rows, features)``, each legal for its row's scheme and width."""
        flat = weight.detach().reshape(weight.shape[0], -1)
        limit = self.limits()[:, None]
        scaled = flat / scale[:, None]
        if bool(self.pot_rows.any()):
            chosen = scaled[self.pot_rows]
            power = round_pot(chosen.abs()).copysign_(chosen)
            scaled = scaled.round_()
            # + 0: no negative zeros.
            scaled[self.pot_rows] = power + 0.0
        else:
            scaled = scaled.round_()
        return torch.minimum(torch.maximum(scaled, -limit), limit)

    def integers(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Codes ``int8 (rows, features)`` and scales ``float64 (rows,)``: what lowering takes."""
        scale = self.scales(weight)
        return self.codes(weight, scale).to(torch.int8), scale.double()

    def forward(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        shape = (-1,) + (1,) * (weight.dim() - 1)
        if self._frozen is not None and self.row_scale is not None:
            value, scale = self._frozen, self.row_scale
        else:
            scale = self.scales(weight)
            quantized = self.codes(weight, scale).view_as(weight) * scale.view(shape)
            # A hair wider: the row's largest weight is itself limit * scale, but for rounding.
            bound = (scale * self.limits() * (1 + 2.0**-20)).view(shape)
            value = _Straight.apply(weight, quantized, bound)
            self._frozen = value.detach() if self._freeze else None
        self.row_scale = scale
        return value, scale.view(shape), self.zero_point, self.bit_width

    def freeze(self, on: bool) -> None:
        """Keep the quantized weights of the next call until switched off."""
        self._freeze, self._frozen = on, None


class BiasQuant(nn.Module):
    """Bias quantizer: 32 bits in the accumulator's scale, as the integer layer adds it.

    Matters where activations have few bits: an accumulator is then a few steps of the output. The
    bias passes through until the layer's input has a scale.

    Parameters
    ----------
    source : quantizer of the layer's input.
    rows : quantizer of the layer's weights, called before.
    """

    def __init__(self, source: ActQuant, rows: RowQuant) -> None:
        super().__init__()
        self.bit_width: Tensor
        self.zero_point: Tensor
        self.register_buffer("bit_width", torch.tensor(32.0), persistent=False)
        self.register_buffer("zero_point", torch.tensor(0.0), persistent=False)
        # In a tuple: both belong to other layers, which register and save them.
        self._sources = (source, rows)

    def forward(self, bias: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        source, rows = self._sources
        if not source.active or rows.row_scale is None:
            return bias, torch.ones_like(bias), self.zero_point, self.bit_width
        scale = torch.exp2(source.log_scale.detach()) * rows.row_scale
        exact = bias.detach()
        value = bias + ((exact / scale).round_() * scale - exact)
        return value, scale, self.zero_point, self.bit_width


class BiasProxy(BiasQuantProxyFromInjector):
    """Brevitas' proxy that keeps its quantizer; see :class:`RowProxy`."""

    def init_tensor_quant(self, preserve_state_dict: bool = False) -> None:
        if self.tensor_quant is None:
            super().init_tensor_quant(preserve_state_dict)


def bias_injector(quantizer: BiasQuant) -> type[ExtendedInjector]:
    """Brevitas injector of this bias quantizer."""
    return ExtendedInjector.let(
        tensor_quant=quantizer,
        proxy_class=BiasProxy,
        requires_input_scale=False,
        signed=True,
        narrow_range=True,
        bit_width=32,
    )


class RowProxy(WeightQuantProxyFromInjector):
    """Brevitas' proxy that keeps its quantizer.

    Brevitas builds ``tensor_quant`` anew when a state dict is loaded; the injector would then hand
    out the original's quantizer, also to a deep copy of the model.
    """

    def init_tensor_quant(self, preserve_state_dict: bool = False) -> None:
        if self.tensor_quant is None:
            super().init_tensor_quant(preserve_state_dict)


def weight_injector(quantizer: RowQuant) -> type[ExtendedInjector]:
    """Brevitas injector of this weight quantizer."""
    return ExtendedInjector.let(
        tensor_quant=quantizer,
        proxy_class=RowProxy,
        signed=True,
        narrow_range=True,
        bit_width=8,
    )


def row_quantizer(layer: nn.Module) -> RowQuant:
    """The :class:`RowQuant` of a Brevitas layer."""
    proxy: Any = layer.weight_quant
    quantizer = proxy.tensor_quant
    assert isinstance(quantizer, RowQuant)
    return quantizer


@contextmanager
def frozen_weights(model: nn.Module) -> Iterator[None]:
    """See :func:`vitgen.quant.frozen_weights`."""
    quantizers = [m for m in model.modules() if isinstance(m, RowQuant)]
    for quantizer in quantizers:
        quantizer.freeze(True)
    try:
        yield
    finally:
        for quantizer in quantizers:
            quantizer.freeze(False)
