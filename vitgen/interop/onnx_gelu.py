"""GELU recognised by what it computes, since every exporter makes it of other nodes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vitgen.arith.gelu import DELTA_ONE
from vitgen.interop.onnx_view import Float, View

ELEMENTWISE = ("Mul", "Div", "Add", "Erf", "Gelu")


def _erf(x: Float) -> Float:
    return np.asarray([math.erf(v) for v in x])


class _Formula:
    """A value as a function of the one value that it depends on.

    Parameters
    ----------
    view : of the file.

    Attributes
    ----------
    leaves : names of the values at which evaluation stopped.
    """

    def __init__(self, view: View) -> None:
        self.view = view
        self.leaves: set[str] = set()

    def __call__(self, name: str, x: Float) -> Float:
        """The value where every leaf is ``x``."""
        view = self.view
        name, _ = view.skip(name)
        node, kind = view.nodes.get(name), view.kind(name)
        number = view.constant(name)
        if number is not None and number.size == 1:
            return np.full(len(x), number.item())
        parts = [] if node is None else [view.constant(i) for i in node.input]
        vector = any(part is not None and part.size > 1 for part in parts)
        if node is None or kind not in ELEMENTWISE or vector:
            self.leaves.add(name)
            return x
        terms = [self(i, x) for i in node.input]
        if kind == "Erf":
            return _erf(terms[0])
        if kind == "Gelu":
            return terms[0] * 0.5 * (1.0 + _erf(terms[0] / math.sqrt(2.0)))
        functions: dict[str, Any] = {"Mul": np.multiply, "Div": np.divide, "Add": np.add}
        result: Float = functions[kind](*terms)
        return result


def recognise_gelu(view: View, name: str) -> tuple[float, int, str]:
    """The GELU that gives ``name``.

    Returns
    -------
    factor, delta, hidden : ``name`` is ``factor * x/2 * (1 + delta/256 * erf(x / sqrt 2))`` of the value
        ``hidden``.

    Raises
    ------
    VitgenError : it computes something else.
    """
    formula = _Formula(view)
    x = np.linspace(-8.0, 8.0, 161)
    y = formula(name, x)
    # Around 0 the gate is 1/2, far out (1 + delta)/2.
    factor, far = 2 * (y[81] - y[79]) / (x[81] - x[79]), y[-1] / x[-1]
    delta = 2 * far / factor - 1 if factor else 0.0
    wanted = factor * x * (1 + delta * _erf(x / math.sqrt(2.0))) / 2
    if len(formula.leaves) != 1 or factor <= 0 or np.abs(y - wanted).max() > 1e-3 * factor:
        view.refuse(name, "is read where a GELU is expected")
    return factor, min(max(round(delta * DELTA_ONE), 0), DELTA_ONE), formula.leaves.pop()
