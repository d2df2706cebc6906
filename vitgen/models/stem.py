"""From the image to tokens: patches, or the convolutions of a stem and patches of their map.

A stem is convolution, BatchNorm and ReLU, several times, under the names of LV-ViT's checkpoints
(``conv1``, ``bn1``, ``conv2`` ..). A float model runs them as torch does. A quantized one folds
BatchNorm, with the statistics that it has, into the convolution whenever it runs and quantizes the
product: both kinds of model have the same parameters, one loads the other's checkpoint, training
goes on through the fold, and what is lowered is what ran.
"""

from typing import cast

import brevitas.nn as qnn
import torch
from brevitas.quant_tensor import QuantTensor
from torch import Tensor, nn

from vitgen.models.config import VitConfig
from vitgen.models.layers import Layers
from vitgen.models.sites import conv_op
from vitgen.quant.weights import BiasQuant


def _value(weight: Tensor | QuantTensor) -> Tensor:
    return weight.value if isinstance(weight, QuantTensor) else weight


def fold(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight ``(channels, inputs, k, k)`` and bias ``(channels,)`` of a convolution that does both.

    ``norm`` counts with its running statistics, as in evaluation mode.
    """
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None
    gain = norm.weight / torch.sqrt(variance + norm.eps)
    return conv.weight * gain[:, None, None, None], norm.bias - mean * gain


class PatchEmbed(nn.Module):
    """Image to tokens; the bias of the projection is added with the positions.

    Attributes
    ----------
    pixels : site of the image.
    convN, bnN : the stem's convolution N, counted from 1, and its BatchNorm.
    convN_out : site of the map after ReLU.
    proj : the patch embedding, on the last map.
    """

    def __init__(self, config: VitConfig, layers: Layers) -> None:
        super().__init__()
        self.pixels = source = layers.pixels(config.pixel_limit)
        self.numbers = range(1, len(config.stem) + 1)
        self.roundings: list[BiasQuant | None] = []
        for number, conv, (_, inputs) in zip(self.numbers, config.stem, config.maps, strict=False):
            layer = layers.conv(
                inputs, conv.channels, conv.kernel, conv.stride, conv.padding, bias=False
            )
            self.roundings.append(layers.folded_bias(source, layer))
            source = layers.rectified(conv_op(number))
            self.add_module(f"conv{number}", layer)
            self.add_module(f"bn{number}", nn.BatchNorm2d(conv.channels))
            self.add_module(f"conv{number}_out", source)
        inputs = config.maps[-1][1]
        self.proj = layers.conv(inputs, config.embed_dim, config.window, config.window)

    def stage(self, number: int) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
        """Convolution ``number`` of the stem, counted from 1, and its BatchNorm."""
        conv, norm = self.get_submodule(f"conv{number}"), self.get_submodule(f"bn{number}")
        return cast(nn.Conv2d, conv), cast(nn.BatchNorm2d, norm)

    def _convolve(self, number: int, x: Tensor) -> Tensor:
        """Convolution and BatchNorm."""
        conv, norm = self.stage(number)
        rounding = self.roundings[number - 1]
        if rounding is None:
            normal: Tensor = norm(conv(x))
            return normal
        assert isinstance(conv, qnn.QuantConv2d)
        weight, bias = fold(conv, norm)
        # The weight first: the bias is in units of the rows' scales.
        weight = _value(conv.weight_quant(weight))
        return nn.functional.conv2d(x, weight, rounding(bias)[0], conv.stride, conv.padding)

    def forward(self, images: Tensor) -> Tensor:
        """``(B, C, H, W)`` to ``(B, patches, embed_dim)``, without the bias."""
        x = self.pixels(images)
        for number in self.numbers:
            out = self.get_submodule(f"conv{number}_out")
            x = out(nn.functional.relu(self._convolve(number, x)))
        proj = self.proj
        weight = proj.weight
        if isinstance(proj, qnn.QuantConv2d):
            weight = _value(proj.quant_weight())
        # Not proj(...): the convolution's bias belongs to the embedding constant.
        x = nn.functional.conv2d(x, weight, stride=proj.stride)
        return x.flatten(2).transpose(1, 2)
