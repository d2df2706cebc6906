"""A QONNX file seen from its output: what makes a value, and what only moves it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from vitgen.errors import VitgenError
from vitgen.interop.onnx_fold import folded
from vitgen.interop.onnx_graph import DOMAIN, METADATA

Array = NDArray[Any]
Float = NDArray[np.float64]

LAYOUT = {
    "Cast", "Dropout", "Expand", "Flatten", "Gather", "Identity", "Reshape", "Slice", "Split",
    "Squeeze", "Transpose", "Unsqueeze",
}  # fmt: skip
"""Nodes that change where elements lie and no element."""

REMEDY = "docs/interoperation.md says which networks are recognised."


@dataclass(frozen=True)
class Quantized:
    """A ``Quant`` of activations.

    Parameters
    ----------
    node : the node.
    source : name of what it quantizes.
    bits : signed width that holds its codes.
    scale : real value of code 1.
    trail : layout nodes between it and its reader, each with the output that was followed.
    """

    node: Any
    source: str
    bits: int
    scale: float
    trail: tuple[tuple[Any, str], ...] = ()


@dataclass(frozen=True)
class Weights:
    """Codes, scales and widths of a quantized constant, all of one shape."""

    codes: Float
    scale: Float
    bits: Float

    def map(self, function: Any) -> Weights:
        """The same change of layout to all three."""
        return Weights(function(self.codes), function(self.scale), function(self.bits))


def attributes(node: Any) -> dict[str, Any]:
    """Attributes of a node by name."""
    from onnx import helper

    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


class View:
    """A QONNX model, its constants folded, and the producers of its values.

    Parameters
    ----------
    path : file.

    Raises
    ------
    VitgenError : a file that is no ONNX model, or one without ``Quant`` nodes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = _load(path)
        self.nodes = {output: node for node in self.model.graph.node for output in node.output}
        self.constants: dict[str, Array] = {}
        from onnx import numpy_helper

        for tensor in self.model.graph.initializer:
            self.constants[tensor.name] = numpy_helper.to_array(tensor)
        inputs = [i.name for i in self.model.graph.input if i.name not in self.constants]
        if len(inputs) != 1 or len(self.model.graph.output) != 1:
            raise VitgenError(
                f"{path} has {len(inputs)} inputs and {len(self.model.graph.output)} outputs.",
                "A network of images has one of each.",
            )
        self.input, self.output = inputs[0], self.model.graph.output[0].name

    def refuse(self, name: str, why: str, remedy: str = REMEDY) -> NoReturn:
        """Refuse the node that makes ``name``."""
        node = self.nodes.get(name)
        what = f"value {name!r}" if node is None else f"node {node.name or name!r} ({node.op_type})"
        raise VitgenError(f"{self.path}: {what} {why}.", remedy)

    def own_input_scale(self) -> float | None:
        """The step of the image that vitgen wrote beside a network of its own; None for others."""
        for entry in self.model.model.metadata_props:
            if entry.key == METADATA:
                try:
                    return float(json.loads(entry.value)["meta"]["input_scale"])
                except (ValueError, KeyError, TypeError):
                    return None
        return None

    def shape(self, name: str) -> list[int]:
        """Shape of a value."""
        found = self.model.get_tensor_shape(name)
        if not found:
            self.refuse(name, "has no known shape", "Export with a fixed batch of 1.")
        return list(found)

    def kind(self, name: str) -> str:
        """Type of the node that makes a value; "" for inputs and constants."""
        return self.nodes[name].op_type if name in self.nodes else ""

    def constant(self, name: str) -> Float | None:
        """Value of a constant, also of one that passes a ``Quant`` or a change of layout."""
        if name in self.constants:
            return self.constants[name].astype(np.float64)
        if self.kind(name) == "Quant" and self.constant(self.nodes[name].input[0]) is not None:
            found = self.quantized_constant(name)
            return found.codes * found.scale
        return None

    def skip(self, name: str, zeros: bool = False) -> tuple[str, tuple[tuple[Any, str], ...]]:
        """What lies before the changes of layout, and these.

        Parameters
        ----------
        zeros : also step over a concatenation with zeros (the class token's row).
        """
        trail = []
        while name in self.nodes:
            node = self.nodes[name]
            if node.op_type in LAYOUT:
                source = node.input[0]
            elif zeros and node.op_type == "Concat":
                values = [self.constant(i) for i in node.input]
                dynamic = [i for i, v in zip(node.input, values, strict=True) if v is None]
                if len(dynamic) != 1 or any(v is not None and v.any() for v in values):
                    break
                source = dynamic[0]
            else:
                break
            trail.append((node, name))
            name = source
        return name, tuple(trail)

    def unscale(self, name: str) -> tuple[float, str]:
        """A value as a number times another value; changes of layout are stepped over."""
        factor = 1.0
        while True:
            name, _ = self.skip(name)
            kind = self.kind(name)
            if kind not in ("Mul", "Div"):
                return factor, name
            first, second = self.nodes[name].input
            number = self.constant(second)
            if number is None and kind == "Mul":
                first, second = second, first
                number = self.constant(second)
            if number is None or number.size != 1:
                return factor, name
            factor = (
                factor * float(number.item()) if kind == "Mul" else factor / float(number.item())
            )
            name = first

    def _quant_numbers(self, node: Any) -> tuple[Float, int, bool]:
        name = node.output[0]
        scale, zero, bits = (self.constant(i) for i in node.input[1:4])
        if scale is None or zero is None or bits is None or bits.size != 1:
            self.refuse(name, "has a scale, zero point or width that is no constant")
        if zero.any():
            self.refuse(name, "has a zero point", "Quantize symmetrically.")
        if not (np.isfinite(scale).all() and (scale > 0).all()):
            self.refuse(name, "has a scale that is not above 0")
        width = float(bits.item())
        if width != int(width) or not 1 <= width <= 32:
            self.refuse(name, f"is {width} bits wide")
        return scale, int(width), bool(attributes(node).get("signed", 1))

    def quantized(self, name: str, least: int = 4, most: int = 8) -> Quantized:
        """The ``Quant`` of activations that ``name`` is, but for its layout.

        Raises
        ------
        VitgenError : there is none, or it has a scale per channel or another width.
        """
        start = name
        name, trail = self.skip(name, zeros=True)
        if self.kind(name) != "Quant":
            self.refuse(name if name in self.nodes else start, "is read where no Quant precedes")
        node = self.nodes[name]
        scale, bits, signed = self._quant_numbers(node)
        if scale.size != 1:
            self.refuse(name, "has a scale per channel", "Quantize activations per tensor.")
        needed = bits if signed else bits + 1
        if not least <= needed <= most:
            self.refuse(
                name,
                f"gives {'signed' if signed else 'unsigned'} codes of {bits} bits",
                f"Quantize to signed codes of {least} to {most} bits, or unsigned of one less.",
            )
        return Quantized(node, node.input[0], needed, float(scale.item()), trail)

    def quantized_constant(self, name: str) -> Weights:
        """A constant behind its ``Quant``, with what moves and joins parts of it."""
        node = self.nodes.get(name)
        kind = self.kind(name)
        if node is not None and kind == "Quant":
            value = self.constants.get(node.input[0])
            if value is None:
                self.refuse(name, "does not quantize a constant where weights are read")
            scale, bits, _ = self._quant_numbers(node)
            limit = 2.0 ** (bits - 1) - 1
            # As the executor computes it: in the type of the file.
            codes = np.rint(value / scale.astype(value.dtype)).astype(np.float64)
            if np.abs(codes).max(initial=0.0) > limit:
                self.refuse(
                    name, f"uses codes beyond -{limit:g}..{limit:g}", "Quantize to a narrow range."
                )
            shape = codes.shape
            return Weights(codes, np.broadcast_to(scale, shape), np.full(shape, float(bits)))
        if node is not None and kind == "Cast":
            return self.quantized_constant(node.input[0])
        if node is not None and kind == "Transpose":
            axes = attributes(node).get("perm")
            return self.quantized_constant(node.input[0]).map(lambda a: a.transpose(axes))
        if node is not None and kind == "Gather" and node.input[1] in self.constants:
            rows, axis = self.constants[node.input[1]], attributes(node).get("axis", 0)
            return self.quantized_constant(node.input[0]).map(lambda a: np.take(a, rows, axis))
        if node is not None and kind == "Concat":
            return _joined(
                [self.quantized_constant(i) for i in node.input], attributes(node)["axis"]
            )
        self.refuse(name, "is read as a weight and is not quantized")

    def execute(self, image: Array) -> dict[str, Array]:
        """Every value of the model for one image, by qonnx's executor."""
        from qonnx.core.onnx_exec import execute_onnx

        try:
            values: dict[str, Array] = execute_onnx(
                self.model, {self.input: image}, return_full_exec_context=True
            )
        except Exception as error:  # qonnx and onnxruntime raise whatever they like
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise VitgenError(
                f"{self.path} cannot be executed by qonnx: {reason}.", "Export it again."
            ) from error
        return values


def _joined(parts: Sequence[Weights], axis: int) -> Weights:
    def join(field: str) -> Float:
        return np.concatenate([getattr(part, field) for part in parts], axis)

    return Weights(join("codes"), join("scale"), join("bits"))


def _load(path: Path) -> Any:
    from onnx import checker, load
    from qonnx.core.modelwrapper import ModelWrapper

    try:
        model = load(path)
    except OSError as error:
        raise VitgenError(f"{path} cannot be read: {error.strerror}.", "Check the path.") from error
    except Exception as error:  # protobuf's own kinds, of which it has several
        raise VitgenError(
            f"{path} is no ONNX file, or not a whole one.", "Export it again."
        ) from error
    quants = [node for node in model.graph.node if node.op_type == "Quant"]
    if not quants:
        raise VitgenError(f"{path} has no Quant nodes.", "Export the quantized network as QONNX.")
    for node in quants:
        node.domain = DOMAIN
        if len(node.input) != 4 or len(node.output) != 1:
            raise VitgenError(
                f"{path}: node {node.name!r} (Quant) has {len(node.input)} inputs, not 4.",
                "Export the quantized network as QONNX.",
            )
    try:
        checker.check_model(model)
    except (checker.ValidationError, ValueError) as error:
        raise VitgenError(
            f"{path} is no valid ONNX model: {str(error).splitlines()[0]}.", "Export it again."
        ) from error
    try:
        return folded(ModelWrapper(model))
    except Exception as error:  # of shape inference, which raises whatever it likes
        raise VitgenError(
            f"{path}: its shapes cannot be inferred: {(str(error).splitlines() or [''])[0]}.",
            "Export it again, with a batch of 1.",
        ) from error


def power_of_two(scale: float) -> int | None:
    """F of a scale ``2**-F``; None for any other."""
    exponent = -math.log2(scale)
    return round(exponent) if exponent == round(exponent) else None
