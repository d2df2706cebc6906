"""A graph of integers as a QONNX file: real numbers between ``Quant`` nodes.

Every tensor gets a scale that is a power of two, the nearest to its own, and every row of weights the
scale that makes the requantization by ``mult * 2**-shift`` exact. In the exact style all that lies
between two ``Quant`` nodes is computed in float64, where no value needs more than 53 bits.
"""

import json
import math

import numpy as np
from numpy.typing import NDArray

from vitgen import __version__
from vitgen.errors import VitgenError
from vitgen.interop import onnx_exact, onnx_plain
from vitgen.interop.onnx_graph import METADATA, OnnxGraph
from vitgen.ir import (
    POT,
    Add,
    Gelu,
    Graph,
    LayerNorm,
    Linear,
    MatMulAV,
    MatMulQK,
    Op,
    Softmax,
    Unfold,
)

INPUT = "input/image"
OUTPUT = "output/logits"


def power_scale(scale: float) -> float:
    """The power of two nearest to a scale, by ratio."""
    return 2.0 ** round(math.log2(scale))


class _Writer:
    """State of one export.

    Parameters
    ----------
    graph : the network.
    exact : float64 and the integer functions between ``Quant`` nodes, else float32 and ONNX's own.
    """

    def __init__(self, graph: Graph, exact: bool) -> None:
        self.graph, self.exact = graph, exact
        self.real = np.float64 if exact else np.float32
        self.onnx = OnnxGraph()
        self.scales = {t.name: power_scale(t.scale) for t in graph.tensors.values()}

    def quantize(self, value: str, tensor: str, output: str | None = None) -> str:
        """The ``Quant`` of an IR tensor, which ``value`` approximates.

        In the exact style ``value`` has half a step added and is rounded down: QONNX's own roundings
        of halves are to even and away from zero, the integers' is up.
        """
        described = self.graph.tensors[tensor]
        scale = self.onnx.number(self.scales[tensor], np.float32)
        rounding = "FLOOR" if self.exact else "ROUND"
        return self.onnx.quant(
            value, output or tensor, scale, described.bits, rounding, described.shape
        )

    def half(self, tensor: str) -> float:
        """What is added before the ``Quant`` of a tensor."""
        return self.scales[tensor] / 2 if self.exact else 0.0

    def _shifted(self, value: str, tensor: str, shift: NDArray[np.float64] | float) -> str:
        """``value + shift`` and what rounding needs, ahead of the ``Quant`` of ``tensor``."""
        total = np.asarray(shift) + self.half(tensor)
        if not total.any():
            return value
        name = self.onnx.constant(f"{tensor}/offset", total, self.real)
        shape = self.onnx.shape(value)
        return self.onnx.node("Add", [value, name], f"{tensor}/sum", shape)

    def image(self) -> None:
        """From the normalised image to the integer input."""
        graph, meta, onnx = self.graph, self.graph.meta, self.onnx
        channels, height, width = meta["image"]
        tensor = graph.tensors[graph.input]
        power = self.scales[tensor.name]
        onnx.tensor(INPUT, (1, channels, height, width), np.float32)
        # Divided by input_scale / power here and by power in Quant.
        ratio = onnx.number(meta["input_scale"] / power, self.real)
        shape = (1, channels, height, width)
        scaled = onnx.node("Div", [onnx.cast(INPUT, self.real), ratio], "image/scaled", shape)
        unit = onnx.number(power, np.float32)
        x = onnx.quant(scaled, "image/quantized", unit, tensor.bits, "ROUND", shape)
        if meta.get("input_form", "patches") == "pixels":
            flat = onnx.reshape(x, (channels, height * width), "image/flat")
            onnx.transpose(flat, (1, 0), tensor.name)
            return
        p = meta["patch"]
        rows, columns = height // p, width // p
        cut = onnx.reshape(x, (channels, rows, p, columns, p), "image/cut")
        order = onnx.transpose(cut, (1, 3, 0, 2, 4), "image/patches")
        flat = onnx.reshape(order, (rows * columns, tensor.features), "image/flat")
        zero = onnx.constant("image/class_token", np.zeros((1, tensor.features)), np.float32)
        onnx.node("Concat", [zero, flat], tensor.name, tensor.shape, axis=0)

    def constants(self) -> None:
        """Constant tensors of the IR, already on their grid."""
        for name, data in self.graph.constants.items():
            value = data.astype(np.float64) * self.scales[name]
            raw = self.onnx.constant(f"{name}/value", value, np.float32)
            scale = self.onnx.number(self.scales[name], np.float32)
            bits = self.graph.tensors[name].bits
            self.onnx.quant(raw, name, scale, bits, "ROUND", data.shape)

    def weight(self, op: Linear) -> str:
        """Rows in groups of one width, each through its ``Quant``: ``(features, rows)``."""
        onnx = self.onnx
        source, target = self.scales[op.inputs[0]], self.scales[op.output]
        # Codes with the multiplier's sign: a scale is positive. A row without one gives zero.
        codes = op.weight.astype(np.float64) * np.sign(op.mult)[:, None]
        factor = np.abs(op.mult.astype(np.float64)) * 2.0**-op.shift * target / source
        factor[op.mult == 0] = 1.0
        kinds = np.where(op.row_scheme == POT, 0, op.row_bits)
        order, parts = [], []
        for kind, label in ((4, "fixed4"), (8, "fixed8"), (0, "pot")):
            rows = np.flatnonzero(kinds == kind)
            if not len(rows):
                continue
            order.append(rows)
            name = f"{op.name}/{label}"
            value = (codes[rows] * factor[rows, None]).T
            raw = onnx.constant(f"{name}/value", value, np.float32)
            scale = onnx.constant(f"{name}/scale", factor[None, rows], np.float32)
            # A power-of-two row's code has 4 bits, its weights reach 64.
            parts.append(onnx.quant(raw, name, scale, kind or 8, "ROUND", value.shape))
        if len(parts) == 1:
            return onnx.cast(parts[0], self.real)
        shape = op.weight.shape[::-1]
        joined = onnx.node("Concat", parts, f"{op.name}/joined", shape, axis=1)
        places = np.argsort(np.concatenate(order))
        index = onnx.constant(f"{op.name}/rows", places, np.int64)
        weight = onnx.node("Gather", [joined, index], f"{op.name}/weight", shape, axis=1)
        return onnx.cast(weight, self.real)

    def linear(self, op: Linear) -> None:
        onnx = self.onnx
        tokens, rows = self.graph.tensors[op.output].shape
        x = onnx.first_rows(op.inputs[0], tokens, f"{op.name}/tokens")
        x = onnx.cast(x, self.real)
        product = onnx.node("MatMul", [x, self.weight(op)], f"{op.name}/product", (tokens, rows))
        factor = op.mult.astype(np.float64) * 2.0**-op.shift * self.scales[op.output]
        value = self._shifted(product, op.output, op.bias * factor)
        if op.relu:
            signed = self.quantize(value, op.output, f"{op.name}/signed")
            onnx.node("Relu", [signed], op.output, (tokens, rows))
        else:
            self.quantize(value, op.output)

    def _heads(self, name: str, heads: int, axes: tuple[int, int, int], label: str) -> str:
        """``(tokens, heads * D)`` split into heads, axes (token, head, feature) in this order."""
        tokens, width = self.onnx.shape(name)
        split = self.onnx.reshape(
            self.onnx.cast(name, self.real), (tokens, heads, width // heads), f"{label}/split"
        )
        return self.onnx.transpose(split, axes, f"{label}/heads")

    def _requantized(self, product: str, op: MatMulQK | MatMulAV) -> None:
        a, b = (self.scales[name] for name in op.inputs)
        factor = op.mult * 2.0**-op.shift * self.scales[op.output] / (a * b)
        number = self.onnx.number(factor, self.real)
        shape = self.onnx.shape(product)
        scaled = self.onnx.node("Mul", [product, number], f"{op.name}/scaled", shape)
        self.quantize(self._shifted(scaled, op.output, 0.0), op.output)

    def matmul_qk(self, op: MatMulQK) -> None:
        q = self._heads(op.inputs[0], op.heads, (1, 0, 2), f"{op.name}/queries")
        k = self._heads(op.inputs[1], op.heads, (1, 2, 0), f"{op.name}/keys")
        shape = self.graph.tensors[op.output].shape
        self._requantized(self.onnx.node("MatMul", [q, k], f"{op.name}/product", shape), op)

    def matmul_av(self, op: MatMulAV) -> None:
        p = self.onnx.cast(op.inputs[0], self.real)
        v = self._heads(op.inputs[1], op.heads, (1, 0, 2), f"{op.name}/values")
        tokens, width = self.graph.tensors[op.output].shape
        shape = (op.heads, tokens, width // op.heads)
        product = self.onnx.node("MatMul", [p, v], f"{op.name}/product", shape)
        mixed = self.onnx.transpose(product, (1, 0, 2), f"{op.name}/tokens")
        self._requantized(self.onnx.reshape(mixed, (tokens, width), f"{op.name}/joined"), op)

    def add(self, op: Add) -> None:
        shape = self.graph.tensors[op.output].shape
        total = self.onnx.node("Add", op.inputs, f"{op.name}/exact", shape)
        # Both on one grid: the sum needs no rounding.
        self.quantize(total, op.output)

    def unfold(self, op: Unfold) -> None:
        """Rows of the map, and of zero behind its last, gathered window by window."""
        onnx = self.onnx
        x = self.graph.tensors[op.inputs[0]]
        zero = onnx.constant(f"{op.name}/zero", np.zeros((1, x.features)), np.float32)
        padded = onnx.node(
            "Concat", [x.name, zero], f"{op.name}/padded", (x.tokens + 1, x.features), axis=0
        )
        places = window_places(op)
        index = onnx.constant(f"{op.name}/places", places, np.int64)
        shape = (*places.shape, x.features)
        windows = onnx.node("Gather", [padded, index], f"{op.name}/windows", shape, axis=0)
        onnx.reshape(windows, self.graph.tensors[op.output].shape, op.output)

    def function(self, op: Softmax | Gelu | LayerNorm) -> None:
        """What is not linear, in the style that was asked for."""
        style = onnx_exact if self.exact else onnx_plain
        x, y = self.graph.tensors[op.inputs[0]], self.graph.tensors[op.output]
        scales = (self.scales[x.name], self.scales[y.name])
        self.quantize(style.function(self.onnx, op, x, y, scales), y.name)

    def op(self, op: Op) -> None:
        """The nodes of one op."""
        match op:
            case Linear():
                self.linear(op)
            case MatMulQK():
                self.matmul_qk(op)
            case MatMulAV():
                self.matmul_av(op)
            case Add():
                self.add(op)
            case Unfold():
                self.unfold(op)
            case Softmax() | Gelu() | LayerNorm():
                self.function(op)
            case _:
                raise VitgenError(
                    f"Op {op.name} is a {op.kind!r}, which QONNX has no nodes for.",
                    "Export the integer bundle instead.",
                )

    def run(self) -> bytes:
        """The whole file."""
        self.image()
        self.constants()
        for op in self.graph.ops:
            self.op(op)
        last = self.graph.tensors[self.graph.output]
        ratio = self.onnx.number(last.scale / self.scales[last.name], np.float32)
        self.onnx.node("Mul", [last.name, ratio], OUTPUT, last.shape)
        record = {
            "vitgen": __version__,
            "style": "exact" if self.exact else "plain",
            "meta": self.graph.meta,
            "tensors": {name: self.scales[name] for name in self.graph.tensors},
        }
        metadata = {METADATA: json.dumps(record)}
        return self.onnx.serialize(
            self.graph.name, INPUT, OUTPUT, metadata, f"vitgen {__version__}"
        )


def window_places(op: Unfold) -> NDArray[np.int64]:
    """Row of the map at every place of every window, ``(lead + windows, kernel**2)``; the number of
    rows where there is padding."""
    y, x = (
        np.arange(count)[:, None] * op.stride - op.padding + np.arange(op.kernel)
        for count in (op.out_height, op.out_width)
    )
    rows = y[:, None, :, None] * op.width + x[None, :, None, :]
    inside = ((y >= 0) & (y < op.height))[:, None, :, None] & ((x >= 0) & (x < op.width))[
        None, :, None, :
    ]
    nothing = op.height * op.width
    places = np.where(inside, rows, nothing).reshape(-1, op.kernel**2)
    return np.concatenate([np.full((op.lead, op.kernel**2), nothing), places]).astype(np.int64)


def to_qonnx(graph: Graph, exact: bool = True) -> bytes:
    """The network as the bytes of a QONNX file.

    Parameters
    ----------
    graph : from a build: its ``meta`` describes the images.
    exact : every ``Quant`` of a tensor of the IR then gives its integer times a power of two
        (``metadata_props``: ``vitgen``, ``tensors``), whatever the image; otherwise the functions are
        ONNX's own and everything is float32.

    Returns
    -------
    bytes : a model that takes ``(1, C, H, W)`` normalised float32 and gives the logits ``(1, classes)``.

    Raises
    ------
    VitgenError : an op that is not vitgen's own, or a graph that says nothing of its images.
    """
    if "image" not in graph.meta or "input_scale" not in graph.meta:
        raise VitgenError(
            f"The graph {graph.name} does not say what its images look like.",
            "Export a graph that `vitgen build` lowered.",
        )
    return _Writer(graph, exact).run()
