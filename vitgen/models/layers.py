"""Layers and tensor sites of a model, float or quantized."""

from typing import Any

import brevitas.nn as qnn
from torch import Tensor, nn

from vitgen.models.config import VitConfig
from vitgen.models.sites import PIXEL_BITS, WIDE
from vitgen.quant.activations import (
    CALIBRATED,
    CONSTANT,
    LEARNED,
    POINT,
    SHIFTED,
    ActQuant,
    act_injector,
    act_quantizer,
)
from vitgen.quant.config import QuantConfig
from vitgen.quant.functions import RoundedNorm
from vitgen.quant.weights import (
    BiasQuant,
    RowQuant,
    bias_injector,
    row_quantizer,
    weight_injector,
)


class Shared(nn.Module):
    """A tensor on the residual stream: its own place in the model, the stream's one quantizer."""

    def __init__(self, quantizer: nn.Module) -> None:
        super().__init__()
        # In a tuple, so that the quantizer is registered (and saved) once, in the model.
        self._quantizer = (quantizer,)

    def forward(self, x: Tensor) -> Tensor:
        shared: Tensor = self._quantizer[0](x)
        return shared


class Layers:
    """Makes layers and tensor sites, float or quantized.

    Parameters
    ----------
    quant : None for a float model.
    """

    def __init__(self, quant: QuantConfig | None) -> None:
        self.quant = quant
        self.residual = self._site(ActQuant(WIDE, CALIBRATED))

    def linear(self, source: nn.Module, inputs: int, outputs: int, bias: bool = True) -> nn.Linear:
        """``nn.Linear`` or its quantized form; ``source`` is the site that it reads."""
        if self.quant is None:
            return nn.Linear(inputs, outputs, bias=bias)
        rows = RowQuant(outputs)
        rounding = bias_injector(BiasQuant(act_quantizer(source), rows)) if bias else None
        return qnn.QuantLinear(
            inputs,
            outputs,
            bias=bias,
            weight_quant=weight_injector(rows),
            bias_quant=rounding,
        )

    def norm(self, config: VitConfig) -> nn.LayerNorm:
        """``nn.LayerNorm`` or its form with the integer one's rounding."""
        kind = nn.LayerNorm if self.quant is None else RoundedNorm
        return kind(config.embed_dim, eps=config.norm_eps)

    def conv(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int,
        padding: int = 0,
        bias: bool = True,
    ) -> nn.Conv2d:
        """``nn.Conv2d`` or its quantized form; a bias stays real, for the caller to place."""
        kind: type[nn.Conv2d] = nn.Conv2d
        options: dict[str, Any] = {}
        if self.quant is not None:
            kind, options = qnn.QuantConv2d, {"weight_quant": weight_injector(RowQuant(outputs))}
        return kind(inputs, outputs, kernel, stride, padding, bias=bias, **options)

    def folded_bias(self, source: nn.Module, conv: nn.Conv2d) -> BiasQuant | None:
        """Quantizer of the bias that BatchNorm leaves to ``conv``, which reads ``source``."""
        if self.quant is None:
            return None
        return BiasQuant(act_quantizer(source), row_quantizer(conv))

    def _site(self, quantizer: ActQuant) -> nn.Module:
        if self.quant is None:
            return nn.Identity()
        return qnn.QuantIdentity(act_quant=act_injector(quantizer))

    def act(self, op: str) -> nn.Module:
        """A quantized activation: the output of ``op``."""
        bits = 8 if self.quant is None else self.quant.layer(op).act_bits
        return self._site(ActQuant(bits, LEARNED))

    def rectified(self, op: str) -> nn.Module:
        """The output of a ReLU: the codes of a signed tensor that are not negative."""
        bits = 8 if self.quant is None else self.quant.layer(op).act_bits
        return self._site(ActQuant(bits, LEARNED, signed=False))

    def probabilities(self, op: str) -> nn.Module:
        """The output of softmax: no sign, ``delta2`` and a shift of its own are in the scale."""
        bits = 8 if self.quant is None else self.quant.layer(op).act_bits
        delta2 = 1.0 if self.quant is None else self.quant.delta2
        scale = delta2 * 2.0 ** (1 - bits)
        return self._site(ActQuant(bits, SHIFTED, scale, signed=False))

    def share(self, bits: int) -> nn.Module:
        """A number from 0 to 1, 1 itself left out: ``bits - 1`` binary places."""
        return self._site(ActQuant(bits, CONSTANT, 2.0 ** (1 - bits), signed=False))

    def pixels(self, limit: float) -> nn.Module:
        """The image: the scale covers every normalised pixel."""
        return self._site(ActQuant(PIXEL_BITS, CONSTANT, limit / 127))

    def point(self) -> nn.Module:
        """16 bits with a fixed binary point."""
        return self._site(ActQuant(WIDE, POINT))

    def logits(self) -> nn.Module:
        """16 bits with a calibrated scale."""
        return self._site(ActQuant(WIDE, CALIBRATED))

    def stream(self) -> nn.Module:
        """16 bits at the residual stream's scale."""
        return Shared(self.residual)
