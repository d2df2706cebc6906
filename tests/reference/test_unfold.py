"""Unfolding and convolution by unfolding: against the naive executor and against four plain loops."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import naive
from tests.support.ops import conv_graph, one_op
from vitgen.ir import Linear, Unfold, dump
from vitgen.reference import execute


def convolution(x: np.ndarray, op: Linear, window: Unfold, bits: int) -> np.ndarray:
    """The convolution as textbooks have it, ``(out_height, out_width, rows)``, in plain integers.

    It takes the map as ``(height, width, channels)`` and pads by hand; nothing is unfolded.
    """
    edge, size, step = window.padding, window.kernel, window.stride
    height, width, channels = x.shape
    kernel = op.weight.astype(int).reshape(op.rows, size, size, channels)
    padded = [[[0] * channels for _ in range(width + 2 * edge)] for _ in range(height + 2 * edge)]
    for y in range(height):
        for z in range(width):
            padded[y + edge][z + edge] = x[y, z].tolist()
    result = []
    for y in range(0, height + 2 * edge - size + 1, step):
        line = []
        for z in range(0, width + 2 * edge - size + 1, step):
            pixel = []
            for row in range(op.rows):
                acc = int(op.bias[row])
                for dy in range(size):
                    for dz in range(size):
                        for c in range(channels):
                            acc += padded[y + dy][z + dz][c] * int(kernel[row, dy, dz, c])
                limit = 2 ** (bits - 1) - 1
                exact = (acc * int(op.mult[row]) + 2 ** (op.shift - 1)) // 2**op.shift
                value = max(-limit, min(limit, exact))
                pixel.append(max(value, 0) if op.relu else value)
            line.append(pixel)
        result.append(line)
    return np.array(result)


@st.composite
def geometries(draw: st.DrawFn) -> dict[str, Any]:
    kernel = draw(st.integers(1, 4))
    padding = draw(st.integers(0, kernel - 1))
    least = max(1, kernel - 2 * padding)
    return {
        "height": draw(st.integers(least, 7)),
        "width": draw(st.integers(least, 7)),
        "channels": draw(st.integers(1, 3)),
        "kernel": kernel,
        "stride": draw(st.integers(1, 4)),
        "padding": padding,
        "lead": draw(st.integers(0, 2)),
    }


@settings(max_examples=150)
@given(geometries(), st.booleans(), st.sampled_from([4, 8]), st.integers(0, 2**32 - 1))
def test_a_convolution(geometry: dict[str, Any], relu: bool, bits: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = conv_graph(rng, relu=relu, bits=bits, **geometry)
    window, linear = graph.ops
    assert isinstance(window, Unfold) and isinstance(linear, Linear)
    x = rng.integers(-127, 128, (geometry["height"] * geometry["width"], geometry["channels"]))
    found = execute(graph, x, keep=graph.tensors)
    slow = naive.execute(dump(graph), x.tolist())
    for name, tensor in graph.tensors.items():
        assert found[name].tolist() == slow[name], name
        assert found[name].shape == tensor.shape and found[name].dtype == np.int16
        assert tensor.interval.lo <= found[name].min() and found[name].max() <= tensor.interval.hi
    lead = geometry["lead"]
    assert not found["u"][:lead].any()
    image = x.reshape(geometry["height"], geometry["width"], geometry["channels"])
    want = convolution(image, linear, window, bits)
    assert found["y"][lead:].tolist() == want.reshape(-1, linear.rows).tolist()


def test_order_of_features_by_hand() -> None:
    """A map of 2 x 3 pixels with two channels, its windows of 2 x 2 with one row of zeros around."""
    op = Unfold("y", ("x",), "y", 2, 3, kernel=2, stride=2, padding=1, lead=1)
    x = np.array([[1, -1], [2, -2], [3, -3], [4, -4], [5, -5], [6, -6]])
    graph = one_op(op, (5, 8), 8, features=2, tokens=6, input_bits=8)
    assert execute(graph, x)["y"].tolist() == [
        [0, 0, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 1, -1],
        [0, 0, 0, 0, 2, -2, 3, -3],
        [0, 0, 4, -4, 0, 0, 0, 0],
        [5, -5, 6, -6, 0, 0, 0, 0],
    ]


def test_unfolding_does_not_alias_its_input() -> None:
    op = Unfold("y", ("x",), "y", 2, 2, kernel=1, stride=1, padding=0, lead=0)
    graph = one_op(op, (4, 1), 8, features=1, tokens=4, input_bits=8)
    found = execute(graph, np.array([[1], [2], [3], [4]]), keep=["x", "y"])
    found["y"][...] = 0
    assert found["x"].tolist() == [[1], [2], [3], [4]]


@pytest.mark.parametrize("channels", [3, 64])
def test_a_large_map_stays_lean(channels: int) -> None:
    """A layer of LV-ViT's stem: 112 x 112 windows of 3 x 3 x 64 take 14 MB as int16."""
    rng = np.random.default_rng(channels)
    graph = conv_graph(
        rng, height=112, width=112, channels=channels, rows=64, stride=1, lead=0, relu=True
    )
    window, linear = graph.ops
    assert isinstance(window, Unfold) and isinstance(linear, Linear)
    x = rng.integers(-127, 128, (112 * 112, channels)).astype(np.int16)
    tracemalloc.start()
    found = execute(graph, x)["y"]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6
    image = x.reshape(112, 112, channels).astype(np.int64)
    for y, z in ((0, 0), (0, 111), (57, 33), (111, 111)):
        kernel = linear.weight.astype(np.int64).reshape(64, 3, 3, channels)
        acc = linear.bias.astype(np.int64)
        for dy in range(3):
            for dz in range(3):
                if 0 <= y + dy - 1 < 112 and 0 <= z + dz - 1 < 112:
                    acc = acc + kernel[:, dy, dz] @ image[y + dy - 1, z + dz - 1]
        want = np.clip((acc * linear.mult + (1 << linear.shift - 1)) >> linear.shift, 0, 127)
        assert np.array_equal(found[y * 112 + z], want)
