"""Softmax, GELU and LayerNorm as ONNX has them, in float32: near the integers, not equal."""

import math

import numpy as np

from vitgen.arith.gelu import DELTA_ONE
from vitgen.arith.layernorm import NORMAL_FRACTION
from vitgen.interop.onnx_graph import OnnxGraph
from vitgen.ir import Gelu, LayerNorm, Softmax, Tensor

FLOAT = np.float32


def function(
    onnx: OnnxGraph,
    op: Softmax | Gelu | LayerNorm,
    x: Tensor,
    y: Tensor,
    scales: tuple[float, float],
) -> str:
    """Nodes of ``op`` up to its ``Quant``; the name of what they give.

    Parameters
    ----------
    x, y : its input and output.
    scales : theirs in the file.
    """
    match op:
        case Softmax():
            probability = onnx.node("Softmax", [x.name], f"{op.name}/softmax", x.shape, axis=-1)
            # What 1 stands for in the file, over what it stands for in the network.
            return _times(onnx, probability, _softmax_unit(op, y, scales[1]), f"{op.name}/scaled")
        case Gelu():
            return _gelu(onnx, op, x, y, scales[1])
        case LayerNorm():
            return _layernorm(onnx, op, x, y, scales)


def _softmax_unit(op: Softmax, y: Tensor, scale: float) -> float:
    return scale * 2.0 ** (y.bits - 1 + op.shift)


def _times(onnx: OnnxGraph, name: str, factor: float, output: str) -> str:
    if factor == 1.0:
        return name
    return onnx.node("Mul", [name, onnx.number(factor, FLOAT)], output, onnx.shape(name))


def _gelu(onnx: OnnxGraph, op: Gelu, x: Tensor, y: Tensor, scale: float) -> str:
    """``x/2 * (1 + delta * erf(x / sqrt 2))``, the polynomial's model, in units of the file."""

    def binary(kind: str, a: str, b: float, label: str) -> str:
        return onnx.node(kind, [a, onnx.number(b, FLOAT)], f"{op.name}/{label}", x.shape)

    root = binary("Div", x.name, math.sqrt(2.0), "root")
    erf = onnx.node("Erf", [root], f"{op.name}/erf", x.shape)
    erf = _times(onnx, erf, op.delta / DELTA_ONE, f"{op.name}/gain")
    product = onnx.node(
        "Mul", [x.name, binary("Add", erf, 1.0, "gate")], f"{op.name}/product", x.shape
    )
    value = binary("Mul", product, 0.5, "gelu")
    assert x.fraction is not None
    # The requantization's factor is for twice the value in QF.
    unit = op.mult * 2.0**-op.shift * 2.0 ** (x.fraction + 1) * scale
    return _times(onnx, value, unit, f"{op.name}/scaled")


def _layernorm(
    onnx: OnnxGraph, op: LayerNorm, x: Tensor, y: Tensor, scales: tuple[float, float]
) -> str:
    source = onnx.first_rows(x.name, y.tokens, f"{op.name}/tokens")
    gain = op.gain.astype(np.float64) * 2.0 ** (NORMAL_FRACTION - op.shift) * scales[1]
    bias = op.bias.astype(np.float64) * 2.0**-op.shift * scales[1]
    inputs = [
        source,
        onnx.constant(f"{op.name}/gain", gain, FLOAT),
        onnx.constant(f"{op.name}/bias", bias, FLOAT),
    ]
    epsilon = op.epsilon * scales[0] ** 2 / x.features**2
    return onnx.node(
        "LayerNormalization", inputs, f"{op.name}/norm", y.shape, axis=-1, epsilon=epsilon
    )
