"""The mixed-scheme linear layer for hls4ml: a PyTorch module, and the C++ that it becomes.

Rows of fixed point and of powers of two in one layer, with the requantization of ``docs/ir.md``. The
layer works on codes: its input and output are integers of stated widths, and where their binary
points lie is the caller's choice.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitgen.arith import pot_code, requant, symmetric_limit
from vitgen.arith.requant import ACCUMULATOR_BITS, MULTIPLIER_BITS
from vitgen.errors import VitgenError
from vitgen.ir import POT, Interval, Linear, Tensor
from vitgen.resources import templates_dir

NAME = "VitgenMixedLinear"
HEADER = "vitgen_mixed_linear.h"
BACKENDS = ("Vitis", "Vivado")

CONFIG = """struct config{index} {{
    static const unsigned n_tokens = {n_tokens};
    static const unsigned n_in = {n_in};
    static const unsigned n_out = {n_out};
    static const unsigned n_fixed = {n_fixed};
    static const unsigned fixed_size = {fixed_size};
    static const unsigned power_size = {power_size};
    static const unsigned in_bits = {in_bits};
    static const unsigned out_bits = {out_bits};
    static const unsigned shift = {shift};
    static const bool relu = {relu};
    static const unsigned reuse_factor = {reuse};
    typedef {fixed_t} fixed_t;
    typedef {power_t} power_t;
    typedef {offset_t} offset_t;
    typedef {mult_t} mult_t;
    typedef {place_t} place_t;
}};\n"""

CALL = (
    "nnet::vitgen_mixed_linear<{input_t}, {output_t}, {config}>"
    "({input}, {output}, {fixed}, {power}, {offset}, {mult}, {place});"
)
ARRAYS = ("fixed", "power", "offset", "mult", "place")


@dataclass(frozen=True)
class MixedLinear:
    """Numbers of one layer.

    Parameters
    ----------
    op : integer weights, schemes, biases, multipliers and shift; ``tokens`` must be None.
    in_bits, out_bits : signed widths of the codes, 4 to 16.
    in_fraction, out_fraction : fractional bits that the surrounding model gives the codes.

    Raises
    ------
    VitgenError : a width outside 4 to 16, or a layer of the first tokens alone.
    OverflowRefused : an accumulator that could leave 27 bits.
    """

    op: Linear
    in_bits: int
    out_bits: int
    in_fraction: int = 0
    out_fraction: int = 0

    def __post_init__(self) -> None:
        if self.op.tokens is not None:
            raise VitgenError(
                f"Op {self.op.name} reads the first {self.op.tokens} tokens only.",
                "Pass it with tokens=None, and cut its input before.",
            )
        rows, features = self.op.weight.shape
        limit = symmetric_limit(self.in_bits)
        interval = Interval(-limit, limit)
        x = Tensor(self.op.inputs[0], (1, features), self.in_bits, 1.0, interval)
        limit = symmetric_limit(self.out_bits)
        y = Tensor(self.op.output, (1, rows), self.out_bits, 1.0, Interval(-limit, limit))
        self.op.check([x], y)

    def codes(self, x: NDArray[Any]) -> NDArray[np.int64]:
        """Output codes ``(..., rows)`` of input codes ``(..., features)``."""
        acc = x.astype(np.int64) @ self.op.weight.astype(np.int64).T + self.op.bias
        y = requant(acc, self.op.mult.astype(np.int64), self.op.shift, self.out_bits)
        return np.maximum(y, 0) if self.op.relu else y

    def layer(self) -> dict[str, Any]:
        """Attributes of the hls4ml layer but its name and inputs."""
        op = self.op
        power = op.row_scheme == POT
        order = np.concatenate([np.flatnonzero(~power), np.flatnonzero(power)])
        rows, features = op.weight.shape
        # An array of no weights cannot be written: one row of zeros that no loop reads.
        none = np.zeros((1, features), dtype=np.int64)
        fixed = op.weight[~power].astype(np.int64)
        return {
            "class_name": NAME,
            "n_in": features,
            "n_out": rows,
            "n_fixed": len(fixed),
            "in_bits": self.in_bits,
            "out_bits": self.out_bits,
            "in_fraction": self.in_fraction,
            "out_fraction": self.out_fraction,
            "fixed_bits": int(op.row_bits[~power].max(initial=4)),
            "shift": op.shift,
            "relu": op.relu,
            "fixed_data": fixed if len(fixed) else none,
            "power_data": pot_code(op.weight[power]) if power.any() else none,
            "offset_data": op.bias[order].astype(np.int64),
            "mult_data": op.mult[order].astype(np.int64),
            "place_data": order.astype(np.int64),
        }


def torch_module(numbers: MixedLinear) -> Any:
    """A PyTorch module of the layer, which hls4ml's converter knows after :func:`register`.

    It maps ``(..., features)`` of codes times ``2**-in_fraction`` to ``(..., rows)`` of codes times
    ``2**-out_fraction``, without gradients.

    Raises
    ------
    VitgenError : hls4ml or torch is missing.
    """
    return _module_class()(numbers)


@functools.cache
def _module_class() -> Any:
    try:
        from hls4ml.utils.torch import HLS4MLModule
    except ImportError as error:
        raise VitgenError(
            f"{error}: the layer is a module of PyTorch.",
            "Install it with `pip install 'vitgen[train]'`.",
        ) from error

    def __init__(self: Any, numbers: MixedLinear) -> None:
        HLS4MLModule.__init__(self)
        self.numbers = numbers

    def forward(self: Any, x: Any) -> Any:
        numbers = self.numbers
        codes = np.rint(x.detach().numpy() * 2.0**numbers.in_fraction)
        return x.new_tensor(numbers.codes(codes) * 2.0**-numbers.out_fraction)

    # hls4ml finds the handler by the name of the class.
    return type(NAME, (HLS4MLModule,), {"__init__": __init__, "forward": forward})


def _parse(
    operation: str,
    layer_name: str,
    input_names: list[str],
    input_shapes: list[Any],
    node: Any,
    class_object: Any,
    data_reader: Any,
    config: Any,
) -> tuple[dict[str, Any], list[Any]]:
    """hls4ml's handler of the PyTorch module."""
    layer = class_object.numbers.layer()
    layer |= {"name": layer_name, "inputs": input_names}
    return layer, [*input_shapes[0][:-1], layer["n_out"]]


@functools.cache
def _layer_class() -> Any:
    """hls4ml's layer and its two templates, and their registration with the converter."""
    import hls4ml.converters
    from hls4ml.backends.template import FunctionCallTemplate, LayerConfigTemplate
    from hls4ml.model import layers
    from hls4ml.model.attributes import Attribute, WeightAttribute
    from hls4ml.model.types import FixedPrecisionType, IntegerPrecisionType

    scalars = ("n_in", "n_out", "n_fixed", "in_bits", "out_bits", "in_fraction", "out_fraction")

    def initialize(self: Any) -> None:
        get = self.get_attr
        shape = [*self.get_input_variable().shape[:-1], get("n_out")]
        whole = get("out_bits") - get("out_fraction")
        self.add_output_variable(shape, precision=FixedPrecisionType(get("out_bits"), whole, True))
        place_bits = max(1, (get("n_out") - 1).bit_length())
        widths = (get("fixed_bits"), 4, ACCUMULATOR_BITS, MULTIPLIER_BITS + 1, place_bits)
        for name, width, signed in zip(ARRAYS, widths, (1, 0, 1, 1, 0), strict=True):
            precision = IntegerPrecisionType(width=width, signed=bool(signed))
            self.add_weights_variable(name, var_name=name + "{index}", precision=precision)

    expected = [Attribute(name) for name in (*scalars, "fixed_bits", "shift")]
    expected.append(Attribute("relu", value_type=bool))
    expected += [WeightAttribute(name) for name in ARRAYS]
    members = {"_expected_attributes": expected, "initialize": initialize}
    layer = type(NAME, (layers.Layer,), members)

    class Config(LayerConfigTemplate):
        def __init__(self) -> None:
            super().__init__(layer)

        def format(self, node: Any) -> str:
            params = self._default_config_params(node)
            given = node.get_input_variable()
            _check_input(node, given.type.precision)
            weights = {name: node.get_weights(name) for name in ARRAYS}
            params |= {f"{name}_t": w.type.name for name, w in weights.items()}
            params |= {
                "n_tokens": int(np.prod(given.shape[:-1], dtype=np.int64)),
                "fixed_size": weights["fixed"].data.size,
                "power_size": weights["power"].data.size,
            }
            return CONFIG.format(**params)

    class Call(FunctionCallTemplate):
        def __init__(self) -> None:
            super().__init__(layer, include_header=[f"nnet_utils/{HEADER}"])

        def format(self, node: Any) -> str:
            params = self._default_function_params(node)
            params |= {name: node.get_weights(name).name for name in ARRAYS}
            return CALL.format(**params)

    layers.register_layer(NAME, layer)
    hls4ml.converters.register_pytorch_layer_handler(NAME, _parse)
    return layer, Config, Call


def _check_input(node: Any, precision: Any) -> None:
    """The layer reads bits: they must be those of its codes."""
    bits, fraction = node.get_attr("in_bits"), node.get_attr("in_fraction")
    found = (precision.width, precision.fractional, bool(precision.signed))
    if found != (bits, fraction, True):
        raise VitgenError(
            f"Layer {node.name} reads {precision}, not codes of {bits} bits with {fraction} fractional.",
            f"Give the layer before it the result ap_fixed<{bits},{bits - fraction}>.",
        )
    if node.model.config.get_config_value("IOType") != "io_parallel":
        raise VitgenError(f"Layer {node.name} is in a model of streams.", "Use io_parallel.")


@functools.cache
def register(backend: str = "Vitis") -> None:
    """Make hls4ml know the layer: the handler of its PyTorch module, its templates and its C++.

    Parameters
    ----------
    backend : ``Vitis`` or ``Vivado``.

    Raises
    ------
    VitgenError : another backend.
    """
    if backend not in BACKENDS:
        raise VitgenError(
            f"There is no layer for the backend {backend!r}.", f"Choose {' or '.join(BACKENDS)}."
        )
    from hls4ml.backends import get_backend

    _, config, call = _layer_class()
    found = get_backend(backend)
    found.register_template(config)
    found.register_template(call)
    found.register_source((templates_dir() / "hls4ml" / HEADER).resolve())
