"""The integer functions of ``docs/ir.md`` as nodes on float64, where each value is exact.

Integers below ``2**53``, their products with powers of two, and sums of these on one grid are exact.
A quotient of two integers is rounded, and its floor is right all the same: where ``a < 2**39`` and
``b < 2**25``, a quotient that is no integer is at least ``1/b`` from the next, far more than the
rounding of a number below ``2**24`` moves it. The same holds of the root of a number below ``2**34``.
"""

import numpy as np

from vitgen.arith.gelu import CURVATURE, DELTA_ONE, ONE, SQUARE_FRACTION, knee
from vitgen.arith.layernorm import MANTISSA_BITS, NORMAL_FRACTION, RECIPROCAL_LIMIT, VARIANCE_BITS
from vitgen.arith.softmax import (
    INTERNAL_FRACTION,
    INVERSE_LN2,
    LN2,
    MAX_DISTANCE,
    OFFSET,
    RECIPROCAL_BITS,
    SCALE,
    VERTEX,
)
from vitgen.interop.onnx_graph import OnnxGraph
from vitgen.ir import Gelu, LayerNorm, Softmax, Tensor

REAL = np.float64


class _Formula:
    """Nodes for the terms of one op, named by number.

    Parameters
    ----------
    onnx : where the nodes go.
    op : name of the op.
    """

    def __init__(self, onnx: OnnxGraph, op: str) -> None:
        self.onnx, self.op = onnx, op
        self.count = 0

    def new(self) -> str:
        """A name for the next term."""
        self.count += 1
        return f"{self.op}/{self.count}"

    def codes(self, name: str, scale: float) -> str:
        """Integers of a tensor of the file."""
        return self("Mul", self.onnx.cast(name, REAL), 1.0 / scale)

    def __call__(self, kind: str, *terms: str | float) -> str:
        """A node on terms and numbers that are broadcast against one another."""
        names = [t if isinstance(t, str) else self.onnx.number(float(t), REAL) for t in terms]
        shape = np.broadcast_shapes(*(self.onnx.shape(n) for n in names))
        dtype = np.bool_ if kind == "GreaterOrEqual" else REAL
        return self.onnx.node(kind, names, self.new(), shape, dtype)

    def floor(self, kind: str, *terms: str | float) -> str:
        """The floor of a node."""
        return self("Floor", self(kind, *terms))

    def square(self, name: str) -> str:
        """``name**2``; qonnx cannot rename a tensor that a node reads twice."""
        return self("Pow", name, 2.0)

    def total(self, name: str, mask: bool = False) -> str:
        """Sum along the last axis, which stays with length 1."""
        axes = self.onnx.constant("axes/last", [-1], np.int64)
        shape = (*self.onnx.shape(name)[:-1], 1)
        source = self.onnx.cast(name, REAL) if mask else name
        return self.onnx.node("ReduceSum", [source, axes], self.new(), shape, keepdims=1)

    def greatest(self, name: str) -> str:
        """Maximum along the last axis, which stays with length 1."""
        shape = (*self.onnx.shape(name)[:-1], 1)
        return self.onnx.node("ReduceMax", [name], self.new(), shape, axes=[-1], keepdims=1)

    def power(self, label: str, exponents: list[int], index: str) -> str:
        """``2**exponents[index]``, from a table."""
        table = self.onnx.constant(f"powers/{label}", np.exp2(exponents), REAL)
        whole = self.onnx.cast(index, np.int64)
        return self.onnx.node(
            "Gather", [table, whole], self.new(), self.onnx.shape(index), REAL, axis=0
        )

    def rounded(self, name: str, y: Tensor, mult: float, scale: float) -> str:
        """``name * mult`` steps of ``y`` and half a step more, for a ``Quant`` that rounds down."""
        return self("Add", self("Mul", name, mult * scale), scale / 2)


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
    scales : theirs in the file, powers of two.
    """
    formula = _Formula(onnx, op.name)
    match op:
        case Softmax():
            return _softmax(formula, op, x, y, scales)
        case Gelu():
            return _gelu(formula, op, x, y, scales)
        case LayerNorm():
            return _layernorm(formula, op, x, y, scales)


def _softmax(f: _Formula, op: Softmax, x: Tensor, y: Tensor, scales: tuple[float, float]) -> str:
    assert x.fraction is not None
    q = f.codes(x.name, scales[0])
    distance = f("Sub", f.greatest(q), q)
    one = INTERNAL_FRACTION
    distance = f("Min", f("Mul", distance, 2.0 ** (one - x.fraction)), float(MAX_DISTANCE))
    halvings = f.floor("Mul", distance, INVERSE_LN2 * 2.0 ** (-2 * one))
    remainder = f("Max", f("Sub", distance, f("Mul", halvings, LN2)), 0.0)
    base = f("Sub", float(VERTEX), remainder)
    square = f.floor("Mul", f.square(base), 2.0**-one)
    term = f("Add", f.floor("Mul", square, SCALE * 2.0**-one), float(OFFSET))
    term = f.floor("Mul", term, f.power("halvings", [-z for z in range(24)], halvings))
    reciprocal = f.floor("Div", 2.0**RECIPROCAL_BITS, f.total(term))
    fall = RECIPROCAL_BITS + 1 - y.bits - op.shift
    return f.rounded(f("Mul", term, reciprocal), y, 2.0**-fall, scales[1])


def _gelu(f: _Formula, op: Gelu, x: Tensor, y: Tensor, scales: tuple[float, float]) -> str:
    assert x.fraction is not None
    q = f.codes(x.name, scales[0])
    bend = float(knee(x.fraction))
    distance = f("Sub", bend, f("Min", f("Abs", q), bend))
    fall = 2 * x.fraction - SQUARE_FRACTION
    square = f.floor("Mul", f.square(distance), 2.0**-fall)
    level = f("Sub", float(ONE), f.floor("Mul", square, CURVATURE * 2.0**-14))
    level = f.floor("Mul", level, op.delta / DELTA_ONE)
    # At 0 the gate does not matter: it is multiplied by 0.
    gate = f("Add", f("Mul", f("Sign", q), level), float(ONE))
    doubled = f("Floor", f("Add", f("Mul", f("Mul", q, gate), 2.0**-14), 0.5))
    return f.rounded(doubled, y, op.mult * 2.0**-op.shift, scales[1])


def _layernorm(
    f: _Formula, op: LayerNorm, x: Tensor, y: Tensor, scales: tuple[float, float]
) -> str:
    q = f.codes(f.onnx.first_rows(x.name, y.tokens, f"{op.name}/tokens"), scales[0])
    count = float(x.features)
    total = f.total(q)
    squares = f("Mul", f.total(f.square(q)), count)
    variance = f("Add", f("Sub", squares, f.square(total)), float(op.epsilon))
    # Half the bit length, rounded up, counts the powers of four that are not larger.
    most = VARIANCE_BITS // 2
    fours = f.onnx.constant("powers/of_four", np.exp2(np.arange(0, 2 * most, 2)), REAL)
    half = f.total(f("GreaterOrEqual", variance, fours), mask=True)
    halves = range(most + 1)
    scaled = f("Mul", variance, f.power("mantissa", [MANTISSA_BITS - 2 * h for h in halves], half))
    root = f("Floor", f("Sqrt", f("Floor", scaled)))
    reciprocal = f("Min", f.floor("Div", 2.0 ** (MANTISSA_BITS - 1), root), float(RECIPROCAL_LIMIT))
    deviation = f("Sub", f("Mul", q, count), total)
    fall = f.power("normal", [-(h + 16 - NORMAL_FRACTION) for h in halves], half)
    normal = f("Mul", f("Mul", deviation, reciprocal), fall)
    normal = f("Floor", f("Add", normal, 0.5))
    step = scales[1] * 2.0**-op.shift
    gain = f.onnx.constant(f"{op.name}/gain", op.gain * step, REAL)
    bias = f.onnx.constant(f"{op.name}/offset", op.bias * step + scales[1] / 2, REAL)
    return f("Add", f("Mul", normal, gain), bias)
