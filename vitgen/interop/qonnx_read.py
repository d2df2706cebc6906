"""A Vision Transformer recognised in a QONNX file, from its logits back to its image.

Nodes that only move elements are stepped over, so a wrong order of heads, say, is not seen here: whoever
takes the result compares what both networks answer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from vitgen.arith.softmax import MAX_SHIFT
from vitgen.errors import VitgenError
from vitgen.interop.onnx_gelu import recognise_gelu
from vitgen.interop.onnx_view import Quantized, View, Weights, attributes, power_of_two
from vitgen.lower.numbers import Float, Norm, Site

WIDE = 16


@dataclass(frozen=True)
class Layer:
    """A linear layer that was recognised.

    Parameters
    ----------
    name : of the node that multiplies.
    x : the quantizer that it reads.
    weights : ``(rows, features)`` each.
    bias : ``(rows,)``, real.
    """

    name: str
    x: Quantized
    weights: Weights
    bias: Float


@dataclass
class Found:
    """Parts of the network by op, as :class:`Numbers` has them.

    ``probes`` and ``stream`` name values whose range is needed, with a factor; ``places`` the values
    that the outputs of ops stand for.
    """

    sites: dict[str, Site] = field(default_factory=dict)
    layers: dict[str, Layer] = field(default_factory=dict)
    norms: dict[str, Norm] = field(default_factory=dict)
    factors: dict[str, float] = field(default_factory=dict)
    shifts: dict[str, int] = field(default_factory=dict)
    deltas: dict[str, int] = field(default_factory=dict)
    probes: dict[str, tuple[str, float]] = field(default_factory=dict)
    stream: list[str] = field(default_factory=list)
    places: dict[str, str] = field(default_factory=dict)
    stream_site: Site | None = None
    position: Float = field(default_factory=lambda: np.zeros((1, 1)))
    heads: set[int] = field(default_factory=set)
    depth: int = 0
    pixels: Site = field(default_factory=lambda: Site(8, 1.0))
    input_scale: float = 1.0


class Reader:
    """The recognition of one file.

    Parameters
    ----------
    view : of the file.
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self.found = Found()

    def layer(self, name: str) -> Layer:
        """The linear layer that gives ``name``."""
        view = self.view
        factor, name = view.unscale(name)
        bias: Float = np.zeros(1)
        if view.kind(name) == "Add":
            values = [view.constant(i) for i in view.nodes[name].input]
            known = [v for v in values if v is not None]
            if len(known) != 1:
                view.refuse(name, "is read where a linear layer is expected")
            bias = factor * known[0]
            rest = view.nodes[name].input[0 if values[0] is None else 1]
            more, name = view.unscale(rest)
            factor *= more
        node, kind = view.nodes.get(name), view.kind(name)
        if node is None or kind not in ("MatMul", "Gemm") or factor <= 0:
            view.refuse(name, "is read where a linear layer is expected")
        weights = view.quantized_constant(node.input[1])
        given = attributes(node)
        if kind == "MatMul" or not given.get("transB", 0):
            weights = weights.map(np.transpose)
        if kind == "Gemm":
            plain = (given.get("alpha", 1.0), given.get("beta", 1.0), given.get("transA", 0))
            if plain != (1.0, 1.0, 0):
                view.refuse(name, "scales or transposes what it multiplies")
            if len(node.input) > 2:
                offset = view.constant(node.input[2])
                if offset is None:
                    view.refuse(name, "has a bias that is no constant")
                bias = bias + factor * offset
        weights = Weights(weights.codes, weights.scale * factor, weights.bits)
        return self._layer(name, view.quantized(node.input[0]), weights, bias)

    def _layer(self, name: str, x: Quantized, weights: Weights, bias: Float) -> Layer:
        if weights.codes.ndim != 2 or (weights.scale != weights.scale[:, :1]).any():
            self.view.refuse(name, "has weights whose scale is not one per row")
        if bias.size not in (1, len(weights.codes)):
            self.view.refuse(name, f"has a bias of {bias.size} for {len(weights.codes)} rows")
        return Layer(name, x, weights, np.broadcast_to(bias.ravel(), len(weights.codes)))

    def take(self, op: str, name: str) -> Layer:
        """The linear layer of ``op``, kept."""
        layer = self.found.layers[op] = self.layer(name)
        return layer

    def act(self, op: str, quantized: Quantized) -> str:
        """Keep the site of ``op``; what it quantizes."""
        self.found.sites[op] = Site(quantized.bits, quantized.scale)
        self.found.places[op] = quantized.node.output[0]
        return quantized.source

    def wide(self, op: str, name: str, point: bool = True) -> str:
        """The site of a 16-bit tensor, or a range to be measured; what is quantized.

        Parameters
        ----------
        point : whether its binary point is fixed.
        """
        name, _ = self.view.skip(name)
        if self.view.kind(name) != "Quant":
            self.found.probes[op] = (name, 1.0)
            return name
        quantized = self.view.quantized(name, WIDE, WIDE)
        fraction = power_of_two(quantized.scale) if point else None
        if point and fraction not in range(8, 13):
            self.view.refuse(
                name, f"has the scale {quantized.scale:g} before a function",
                "Leave its input in float, or quantize it with a scale of 2**-8 to 2**-12.",
            )  # fmt: skip
        self.found.sites[op] = Site(WIDE, quantized.scale, fraction)
        return quantized.source

    def on_stream(self, name: str) -> str:
        """A value of the residual stream, without its ``Quant``."""
        name, _ = self.view.skip(name)
        if self.view.kind(name) == "Quant" and self.view.constant(name) is None:
            quantized = self.view.quantized(name, WIDE, WIDE)
            site = Site(WIDE, quantized.scale)
            if self.found.stream_site not in (None, site):
                self.view.refuse(
                    name, "gives the residual stream a second scale",
                    "Leave the stream in float, or quantize it with one scale.",
                )  # fmt: skip
            self.found.stream_site = site
            name, _ = self.view.skip(quantized.source)
        self.found.stream.append(name)
        return name

    def norm(self, op: str, name: str) -> str:
        """A LayerNorm; the value of the stream that it reads."""
        view = self.view
        name, _ = view.skip(name)
        if view.kind(name) != "LayerNormalization":
            view.refuse(name, "is read where a LayerNormalization is expected")
        node = view.nodes[name]
        given = attributes(node)
        if given.get("axis", -1) not in (-1, len(view.shape(node.input[0])) - 1):
            view.refuse(name, "does not normalise the last axis alone")
        gamma = view.constant(node.input[1])
        beta = view.constant(node.input[2]) if len(node.input) > 2 else np.zeros(1)
        if gamma is None or beta is None:
            view.refuse(name, "has a gain or bias that is no constant")
        shape = gamma.shape
        eps = float(given.get("epsilon", 1e-5))
        self.found.norms[op] = Norm(gamma, np.broadcast_to(beta, shape), eps)
        return view.skip(node.input[0])[0]

    def branch(self, name: str) -> tuple[str, str]:
        """A residual addition: the value of the stream, and the linear layer's that is added."""
        view = self.view
        value = self.on_stream(name)
        if view.kind(value) != "Add":
            view.refuse(value, "is read where a residual addition is expected")
        errors = []
        for stream, increment in (view.nodes[value].input, view.nodes[value].input[::-1]):
            source, _ = view.skip(increment)
            if view.kind(source) == "Quant":
                source = view.nodes[source].input[0]
            try:
                self.layer(source)
            except VitgenError as error:
                errors.append(error)
                continue
            self.on_stream(increment)
            return view.skip(stream)[0], source
        raise errors[0]

    def same(self, stream: str, read: str, op: str) -> None:
        """Check that a block's norm reads what its result is added to."""
        if stream != read:
            self.view.refuse(read, f"is read by {op}, but its block adds to another value")

    def mlp(self, block: str, name: str) -> str:
        """The second half of a block, from its output; the stream before it."""
        stream, increment = self.branch(name)
        fc2 = self.take(f"{block}.mlp.fc2", increment)
        hidden = self.gelu(f"{block}.mlp.gelu", self.act(f"{block}.mlp.gelu", fc2.x))
        fc1 = self.take(f"{block}.mlp.fc1", self.wide(f"{block}.mlp.fc1", hidden))
        read = self.norm(f"{block}.norm2", self.act(f"{block}.norm2", fc1.x))
        self.same(stream, read, f"{block}.norm2")
        return stream

    def gelu(self, op: str, name: str) -> str:
        """GELU, kept; the value that it reads."""
        slope, delta, hidden = recognise_gelu(self.view, name)
        self.found.factors[op], self.found.deltas[op] = slope, delta
        return hidden

    def product(self, name: str) -> tuple[float, str, str]:
        """A product of two activations: its factor and its operands."""
        factor, name = self.view.unscale(name)
        if self.view.kind(name) != "MatMul":
            self.view.refuse(name, "is read where a product of activations is expected")
        first, second = self.view.nodes[name].input
        return factor, first, second

    def attention(self, block: str, name: str) -> str:
        """The first half of a block, from its output; the stream before it."""
        view, found, attn = self.view, self.found, f"{block}.attn"
        stream, increment = self.branch(name)
        proj = self.take(f"{attn}.proj", increment)
        mixed = self.act(f"{attn}.av", proj.x)
        found.factors[f"{attn}.av"], p, v = self.product(mixed)
        scores = self.softmax(f"{attn}.softmax", view.quantized(p))
        found.heads.add(view.shape(scores)[-3])
        factor, q, k = self.product(self.wide(f"{attn}.qk", scores))
        (before_q, q), (before_k, k) = view.unscale(q), view.unscale(k)
        found.factors[f"{attn}.qk"] = factor * before_q * before_k
        read = self.projections(attn, [view.quantized(part) for part in (q, k, v)])
        self.same(stream, self.norm(f"{block}.norm1", read), f"{block}.norm1")
        return stream

    def softmax(self, op: str, quantized: Quantized) -> str:
        """Softmax and its quantizer; the scores."""
        view = self.view
        factor, name = view.unscale(quantized.source)
        if view.kind(name) != "Softmax":
            view.refuse(name, "is read where a Softmax is expected")
        node = view.nodes[name]
        if attributes(node).get("axis", -1) not in (-1, len(view.shape(name)) - 1):
            view.refuse(name, "does not run along the last axis")
        # The step is a power of two: the file's, or the next above, which reaches as far.
        step = 2.0 ** (1 - quantized.bits)
        shift = math.floor(math.log2(step * factor / quantized.scale) + 1e-6)
        if shift < 0 and quantized.scale / factor > step * (1 + 2.0 ** (2 - quantized.bits)):
            view.refuse(
                quantized.node.output[0], f"has steps of {quantized.scale / factor:g}, too coarse"
            )
        self.found.shifts[op] = shift = min(max(shift, 0), MAX_SHIFT)
        self.found.sites[op] = Site(quantized.bits, step * 2.0**-shift * factor)
        self.found.places[op] = quantized.node.output[0]
        return view.skip(node.input[0])[0]

    def projections(self, attn: str, parts: Sequence[Quantized]) -> str:
        """Queries, keys and values, of one layer or of three; what the norm before them gives."""
        layers = []
        for part, quantized in zip("qkv", parts, strict=True):
            source = self.act(f"{attn}.{part}", quantized)
            layers.append(self.layer(source))
            if layers[-1].x.node.output != layers[0].x.node.output:
                self.view.refuse(layers[-1].name, "reads another value than the queries")
        if len({layer.name for layer in layers}) == 1:
            layers = [
                self._third(layer, quantized)
                for layer, quantized in zip(layers, parts, strict=True)
            ]
        for part, layer in zip("qkv", layers, strict=True):
            self.found.layers[f"{attn}.{part}"] = layer
        return self.act(f"{attn.removesuffix('.attn')}.norm1", layers[0].x)

    def _third(self, layer: Layer, quantized: Quantized) -> Layer:
        """The rows of a joint layer that end in this quantizer."""
        view = self.view
        trail = (*quantized.trail, *view.skip(quantized.source)[1])
        for node, output in trail:
            if node.op_type == "Split":
                index = list(node.output).index(output)
            elif node.op_type == "Gather" and node.input[1] in view.constants:
                index = int(view.constants[node.input[1]].item())
            elif node.op_type == "Slice":
                axis = int(view.constants[node.input[3]].item())
                extent = view.shape(node.input[0])[axis]
                index = int(view.constants[node.input[1]].item()) * 3 // extent
            else:
                continue
            third = len(layer.weights.codes) // 3
            rows = slice(index * third, (index + 1) * third)
            weights = layer.weights.map(lambda a: a[rows])  # noqa: B023
            return Layer(layer.name, layer.x, weights, layer.bias[rows])
        view.refuse(quantized.node.output[0], "reads no third of the layer before it")

    def embedding(self, name: str) -> None:
        """Patches, class token and positions: the beginning of the stream."""
        view = self.view
        value = self.on_stream(name)
        first, second = view.nodes[value].input
        if view.constant(first) is not None:
            first, second = second, first
        position = view.constant(second)
        assert position is not None
        tokens = self.on_stream(first)
        node = view.nodes.get(tokens)
        if node is not None and node.op_type == "Concat":
            token, patches = (*node.input, "")[:2]
            start = view.constant(token)
            if start is None or len(node.input) != 2:
                view.refuse(tokens, "does not put a constant class token before the patches")
            layer = self.patches(patches)
            width = len(layer.bias)
            count = position.size // width
            offset = np.concatenate(
                [start.reshape(1, width), np.broadcast_to(layer.bias, (count - 1, width))]
            )
        else:
            layer = self.layer(tokens)
            width = len(layer.bias)
            offset = layer.bias[None]
        self.found.position = position.reshape(-1, width) + offset
        self.found.layers["embed"] = Layer(layer.name, layer.x, layer.weights, np.zeros(width))
        self.image(layer.x)

    def patches(self, name: str) -> Layer:
        """The convolution that embeds patches."""
        view = self.view
        name, _ = view.skip(name)
        if view.kind(name) != "Conv":
            return self.layer(name)
        node = view.nodes[name]
        given = attributes(node)
        weights = view.quantized_constant(node.input[1])
        kernel = list(weights.codes.shape[2:])
        plain = given.get("strides") == kernel and not any(given.get("pads", []))
        plain &= given.get("group", 1) == 1 and given.get("auto_pad", b"NOTSET") == b"NOTSET"
        if not plain or set(given.get("dilations", [1])) != {1}:
            view.refuse(name, "is no embedding of patches that touch and do not overlap")
        bias = view.constant(node.input[2]) if len(node.input) > 2 else np.zeros(1)
        if bias is None:
            view.refuse(name, "has a bias that is no constant")
        rows = len(weights.codes)
        weights = weights.map(lambda a: a.reshape(rows, -1))
        return self._layer(name, view.quantized(node.input[0]), weights, bias)

    def image(self, quantized: Quantized) -> None:
        """The quantizer of the image."""
        factor, name = self.view.unscale(quantized.source)
        if name != self.view.input or quantized.bits != 8:
            self.view.refuse(
                quantized.node.output[0], "does not quantize the image to 8 bits",
                "Quantize the network's input to 8 signed bits.",
            )  # fmt: skip
        self.found.pixels = Site(8, quantized.scale)
        self.found.input_scale = quantized.scale / factor

    def run(self) -> Found:
        """The whole network, from its logits back."""
        view, found = self.view, self.found
        factor, name = view.unscale(view.output)
        source = self.wide("head", name, point=False)
        head = self.take("head", source)
        found.layers["head"] = Layer(
            head.name, head.x,
            Weights(head.weights.codes, head.weights.scale * factor, head.weights.bits),
            head.bias * factor,
        )  # fmt: skip
        if "head" in found.probes:
            found.probes["head"] = (source, factor)
        else:
            found.sites["head"] = Site(WIDE, found.sites["head"].scale * factor)
        stream = self.norm("norm", self.act("norm", head.x))
        blocks = self._depth(stream)
        for index in reversed(range(blocks)):
            stream = self.mlp(f"blocks.{index}", stream)
            stream = self.attention(f"blocks.{index}", stream)
        self.embedding(stream)
        found.depth = blocks
        return found

    def _depth(self, name: str) -> int:
        """Blocks before a value of the stream: pairs of additions, down to that of a constant."""
        view, additions = self.view, 0
        while True:
            value, _ = view.skip(name)
            if view.kind(value) == "Quant":
                value, _ = view.skip(view.nodes[value].input[0])
            if view.kind(value) != "Add":
                view.refuse(value, "is read where a residual addition is expected")
            if any(view.constant(i) is not None for i in view.nodes[value].input):
                break
            name, _ = self.branch(name)
            additions += 1
        if additions % 2:
            view.refuse(name, f"begins a stream of {additions} additions, not two per block")
        return additions // 2
