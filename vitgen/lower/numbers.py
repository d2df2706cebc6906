"""What lowering needs to know of a quantized Vision Transformer, as plain arrays. Free of torch.

A Brevitas model of vitgen's own gives these numbers (``vitgen.lower.vit``), and so does a network that
another tool quantized (``vitgen.interop.qonnx_import``).
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitgen.models.config import VitConfig
from vitgen.quant.config import QuantConfig

Float = NDArray[np.float64]


@dataclass(frozen=True)
class Rows:
    """Quantized rows of a layer.

    Parameters
    ----------
    codes : ``int8 (rows, features)``.
    scale : ``float64 (rows,)``, real value of code 1.
    scheme, bits : ``uint8 (rows,)``, as :class:`vitgen.ir.Linear` has them.
    bias : ``float64 (rows,)``, real.
    """

    codes: NDArray[np.int8]
    scale: Float
    scheme: NDArray[np.uint8]
    bits: NDArray[np.uint8]
    bias: Float

    def by_window(self, kernel: int) -> "Rows":
        """A convolution's features, channel first, in the order of :class:`vitgen.ir.Unfold`."""
        rows = len(self.codes)
        codes = self.codes.reshape(rows, -1, kernel, kernel).transpose(0, 2, 3, 1)
        return dataclasses.replace(self, codes=np.ascontiguousarray(codes.reshape(rows, -1)))

    def split(self, parts: int) -> list["Rows"]:
        """Equal parts in order: the q, k and v rows of timm's ``qkv``."""
        fields = [
            np.split(a, parts) for a in (self.codes, self.scale, self.scheme, self.bits, self.bias)
        ]
        return [Rows(*part) for part in zip(*fields, strict=True)]


@dataclass(frozen=True)
class Site:
    """Numbers of the tensor that an op writes: width, scale, fixed binary point if any."""

    bits: int
    scale: float
    fraction: int | None = None


@dataclass(frozen=True)
class Norm:
    """A LayerNorm: ``gamma`` and ``beta``, ``float64 (features,)``, and ``eps``."""

    gamma: Float
    beta: Float
    eps: float


@dataclass(frozen=True)
class Numbers:
    """A quantized network; ops by the names that ``docs/ir.md`` gives them.

    Parameters
    ----------
    config : the architecture.
    meta : of the graph.
    pixels, stream : the image, and every tensor on the residual stream.
    sites : outputs of the other ops.
    rows : of every linear op.
    norms : of every LayerNorm.
    position : ``(N, C)``, what is added to the patches; the class token in row 0.
    factors : of products of activations and of GELU: what the op's output is multiplied by
        (``1 / sqrt(D)`` of ``attn.qk``); 1 where an op is not named.
    shifts : of every softmax.
    deltas : of every GELU, in units of 1/256.
    thresholds : of every token selector, in units of ``2**-14``, by the block behind it.
    divisor : of what attention and MLP add to the stream.
    """

    config: VitConfig
    meta: Mapping[str, Any]
    pixels: Site
    stream: Site
    sites: Mapping[str, Site]
    rows: Mapping[str, Rows]
    norms: Mapping[str, Norm]
    position: Float
    factors: Mapping[str, float]
    shifts: Mapping[str, int]
    deltas: Mapping[str, int]
    divisor: float = 1.0
    thresholds: Mapping[int, int] = dataclasses.field(default_factory=dict)


def graph_meta(config: VitConfig, quant: QuantConfig, input_scale: float) -> dict[str, Any]:
    """What preprocessing and reports need; no integer of the graph depends on it.

    Parameters
    ----------
    input_scale : real value, of a normalised pixel, of the image's code 1.
    """
    return {
        "image": [config.channels, config.image, config.image],
        "patch": config.patch,
        "input_form": "pixels" if config.stem else "patches",
        "mean": list(config.mean),
        "std": list(config.std),
        "input_scale": input_scale,
        "classes": config.classes,
        "bits": quant.label,
        "scheme": quant.scheme,
        "heads": config.heads,
        "feature_order": "channel" if config.stem else "channel,row,column",
        "config": config.to_dict(),
        "quant": quant.to_dict(),
    }
