"""Single ops and graphs of one op."""

import dataclasses
from typing import Any

import numpy as np

from vitgen.ir import Graph, GraphBuilder, Interval, Linear, Op, Unfold


def one_op(
    op: Op,
    shape: tuple[int, ...],
    bits: int,
    *,
    features: int,
    tokens: int,
    input_bits: int = 16,
    fraction: int | None = None,
    interval: tuple[int, int] | None = None,
) -> Graph:
    """Graph of ``op`` on the input ``x (tokens, features)``.

    Parameters
    ----------
    op : reads ``x``; its name and output are ``y``.
    shape, bits : of its output.
    fraction, interval : of ``x``; the interval is the full range of ``input_bits`` if None.
    """
    builder = GraphBuilder("one")
    x = builder.input("x", (tokens, features), input_bits, 1.0)
    x = dataclasses.replace(
        x, fraction=fraction, interval=x.interval if interval is None else Interval(*interval)
    )
    builder._tensors["x"] = x
    builder.add(op, shape, bits, 1.0)
    return builder.finish(op.output)


def fixed_linear(weight: np.ndarray, **changes: Any) -> Linear:
    """Linear layer ``y`` on ``x``: 8-bit fixed rows, no bias, multiplier 1, shift 1."""
    rows = weight.shape[0]
    op = Linear(
        "y",
        ("x",),
        "y",
        weight=weight.astype(np.int8),
        row_scheme=np.zeros(rows, np.uint8),
        row_bits=np.full(rows, 8, np.uint8),
        bias=np.zeros(rows, np.int32),
        mult=np.ones(rows, np.int32),
        shift=1,
    )
    return dataclasses.replace(op, **changes)


def conv_graph(
    rng: np.random.Generator,
    *,
    height: int,
    width: int,
    channels: int,
    rows: int = 4,
    kernel: int = 3,
    stride: int = 2,
    padding: int = 1,
    lead: int = 1,
    relu: bool = False,
    bits: int = 8,
) -> Graph:
    """A convolution: ``y``, linear with random weights and biases, on ``u``, the unfolded map ``x``.

    Multipliers bring most results within the range of ``bits`` and some beyond it.
    """
    builder = GraphBuilder("conv")
    x = builder.input("x", (height * width, channels), 8, 0.5)
    windows = Unfold("u", ("x",), "u", height, width, kernel, stride, padding, lead)
    tokens = lead + windows.out_height * windows.out_width
    features = kernel * kernel * channels
    builder.add(windows, (tokens, features), x.bits, x.scale)
    reach = round(127 * 64 * features**0.5)
    linear = fixed_linear(
        rng.integers(-127, 128, (rows, features)),
        name="y",
        inputs=("u",),
        bias=rng.integers(-reach, reach + 1, rows).astype(np.int32),
        mult=rng.integers(1, 2**bits, rows).astype(np.int32),
        shift=reach.bit_length(),
        relu=relu,
    )
    builder.add(linear, (tokens, rows), bits, 1.0)
    return builder.finish("y")
