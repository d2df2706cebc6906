"""Ops of token selectors: intervals, and every refusal."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from tests.ir.test_refusals import refused, tensor
from tests.reference import naive
from tests.support.ops import fixed_linear
from vitgen.errors import VitgenError
from vitgen.ir import (
    Add,
    Compact,
    GraphBuilder,
    Interval,
    LayerNorm,
    Pool,
    Score,
    Sigmoid,
    Softmax,
    Tensor,
)


def narrow(given: Tensor, lo: int, hi: int) -> Tensor:
    return dataclasses.replace(given, interval=Interval(lo, hi))


SIGMOID = Sigmoid("y", ("x",), "y")


@pytest.mark.parametrize("fraction", [8, 10, 12])
@pytest.mark.parametrize("ends", [(-32767, 32767), (0, 0), (-700, 3), (2430, 2440), (-2435, -2425)])
def test_the_interval_of_a_sigmoid(fraction: int, ends: tuple[int, int]) -> None:
    x = narrow(tensor("x", 2, 3, bits=16, fraction=fraction), *ends)
    values = {naive.sigmoid_value(q, fraction) for q in range(ends[0], ends[1] + 1)}
    assert SIGMOID.check([x], tensor("y", 2, 3)) == (min(values), max(values))


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (tensor("x", 2, 3, bits=16), tensor("y", 2, 3), "has None fractional bits"),
        (tensor("x", 2, 3, bits=16, fraction=7), tensor("y", 2, 3), "has 7 fractional bits"),
        (tensor("x", 2, 3, bits=16, fraction=9), tensor("y", 2, 4), r"output is \(2, 4\)"),
        (tensor("x", 2, 3, bits=16, fraction=9), tensor("y", 2, 3, bits=7), "of 7 bits"),
    ],
)
def test_sigmoids_that_are_refused(x: Tensor, y: Tensor, message: str) -> None:
    refused(SIGMOID, [x], y, message)


@pytest.mark.parametrize(
    ("heads", "x", "y", "message"),
    [
        (0, tensor("x", 5, 6), tensor("y", 5, 12), "into 0 heads"),
        (4, tensor("x", 5, 6), tensor("y", 5, 12), "into 4 heads"),
        (2, tensor("x", 2, 5, 6), tensor("y", 5, 12), "does not divide"),
        (2, tensor("x", 1024, 6), tensor("y", 1024, 12), "1024 tokens are too many"),
        (2, tensor("x", 5, 6), tensor("y", 5, 6), r"output is \(5, 6\)"),
        (2, tensor("x", 5, 6), tensor("y", 4, 12), r"output is \(4, 12\)"),
        (2, tensor("x", 5, 6), tensor("y", 5, 12, bits=7), "of 7 bits"),
        (2, tensor("x", 5, 6), tensor("y", 5, 12, scale=2.0), "scale 2.0"),
    ],
)
def test_pools_that_are_refused(heads: int, x: Tensor, y: Tensor, message: str) -> None:
    refused(Pool("y", ("x",), "y", heads), [x], y, message)


CLASSES = narrow(tensor("c", 5, 6), 0, 127)
IMPORTANCE = narrow(tensor("a", 5, 3), 1, 127)
SCORES = tensor("y", 5, 1, bits=15)


def test_the_interval_of_scores() -> None:
    op = Score("y", ("c", "a"), "y")
    assert op.check([CLASSES, IMPORTANCE], SCORES) == (0, 127 * 128)
    assert op.check([narrow(CLASSES, 3, 70), IMPORTANCE], SCORES) == (3 * 128, 70 * 128)


@pytest.mark.parametrize(
    ("classes", "importance", "y", "message"),
    [
        (narrow(CLASSES, -1, 5), IMPORTANCE, SCORES, "classes reach -1"),
        (CLASSES, narrow(IMPORTANCE, 0, 5), SCORES, "importance 0"),
        (narrow(tensor("c", 5, 6, bits=9), 0, 5), IMPORTANCE, SCORES, "in 9 bits"),
        (CLASSES, narrow(tensor("a", 5, 3, bits=9), 1, 5), SCORES, "in 9"),
        (CLASSES, narrow(tensor("a", 5, 2), 1, 5), SCORES, "do not match"),
        (CLASSES, narrow(tensor("a", 4, 3), 1, 5), SCORES, "do not match"),
        (CLASSES, IMPORTANCE, tensor("y", 5, 3, bits=15), "do not match"),
        (CLASSES, IMPORTANCE, tensor("y", 5, 1, bits=16), "has 16 bits"),
    ],
)
def test_scores_that_are_refused(
    classes: Tensor, importance: Tensor, y: Tensor, message: str
) -> None:
    refused(Score("y", ("c", "a"), "y"), [classes, importance], y, message)


STREAM = tensor("x", 5, 4, bits=16)
SCORE = narrow(tensor("s", 5, 1, bits=15), 0, 16256)


@pytest.mark.parametrize(
    ("threshold", "x", "score", "y", "message"),
    [
        (-1, STREAM, SCORE, STREAM, "threshold is -1"),
        (16385, STREAM, SCORE, STREAM, "threshold is 16385"),
        (0, STREAM, narrow(SCORE, -1, 5), STREAM, "score can be -1"),
        (0, STREAM, tensor("s", 4, 1, bits=15), STREAM, r"scores \(4, 1\)"),
        (0, STREAM, tensor("s", 5, 2, bits=15), STREAM, r"scores \(5, 2\)"),
        (0, tensor("x", 2, 5, 4, bits=16), SCORE, STREAM, "do not match"),
        (0, tensor("x", 1024, 4, bits=16), tensor("s", 1024, 1), STREAM, "1024 tokens"),
        (0, STREAM, SCORE, tensor("y", 4, 4, bits=16), r"output is \(4, 4\)"),
        (0, STREAM, SCORE, tensor("y", 5, 4, bits=15), "of 15 bits"),
        (0, STREAM, SCORE, tensor("y", 5, 4, bits=16, scale=2.0), "scale 2.0"),
    ],
)
def test_compactions_that_are_refused(
    threshold: int, x: Tensor, score: Tensor, y: Tensor, message: str
) -> None:
    refused(Compact("y", ("x", "s"), "y", threshold), [x, score], y, message)


def test_a_package_stays_within_its_tokens() -> None:
    op = Compact("y", ("x", "s"), "y", 16384)
    assert op.check([narrow(STREAM, -7, 1234), SCORE], STREAM) == (-7, 1234)


def test_layers_on_slices() -> None:
    layer = fixed_linear(np.array([[1, 2, 4], [-7, 0, 7]]), heads=2)
    x = narrow(tensor("x", 5, 6), -2, 3)
    assert layer.check([x], tensor("y", 5, 4)) == (-17, 18)  # half of -14 - 21 and of 21 + 14
    assert layer.macs([x]) == 5 * 2 * 6
    refused(
        layer,
        [tensor("x", 5, 3)],
        tensor("y", 5, 4),
        r"3 features, x has shape \(5, 3\) in 2 heads",
    )
    refused(layer, [tensor("x", 5, 6)], tensor("y", 5, 2), r"not \(5, 4\)")
    refused(dataclasses.replace(layer, heads=0), [x], tensor("y", 5, 4), "in 0 heads")


@pytest.mark.parametrize(
    ("group", "shape", "message"),
    [(4, (5, 6), "groups of 4"), (0, (5, 6), "groups of 0"), (2, (2, 5, 6), "groups of 2"),
     (None, (5, 1024), "1024 keys"), (1024, (5, 2048), "1024 keys")],
)  # fmt: skip
def test_groups_that_are_refused(group: int | None, shape: tuple[int, ...], message: str) -> None:
    x = tensor("x", *shape, bits=16, fraction=9)
    refused(Softmax("y", ("x",), "y", 0, group), [x], tensor("y", *shape), message)


def test_groups_make_long_rows_short() -> None:
    x = tensor("x", 5, 2048, bits=16, fraction=9)
    assert Softmax("y", ("x",), "y", 0, 2).check([x], tensor("y", 5, 2048)) == (0, 127)


def counted() -> tuple[GraphBuilder, Any]:
    """A builder with the compacted stream ``c`` of ``x``, and the scores ``s``."""
    builder = GraphBuilder("counts")
    builder.input("x", (5, 4), 16, 1.0)
    builder.constant("s", np.arange(5)[:, None], 15, 1.0)
    stream = builder.add(Compact("c", ("x", "s"), "c", 2), (5, 4), 16, 1.0)
    return builder, stream


def test_counts_follow_the_ops() -> None:
    builder, stream = counted()
    assert stream.count == "c" and stream.shape == (5, 4)
    norm = LayerNorm("n", ("c",), "n", 1, np.ones(4, np.int32), np.zeros(4, np.int32), 1)
    assert builder.add(norm, (5, 4), 8, 1.0).count == "c"
    first = dataclasses.replace(norm, name="m", output="m", tokens=1)
    assert builder.add(first, (1, 4), 8, 1.0).count is None
    again = Compact("d", ("c", "t"), "d", 2)
    scores = dataclasses.replace(builder._tensors["s"], name="t", count="c")
    builder._tensors["t"] = scores
    assert builder.add(again, (5, 4), 16, 1.0).count == "d"


def test_counts_that_do_not_agree() -> None:
    builder, _ = counted()
    with pytest.raises(VitgenError, match=r"Op a: its inputs have different counts .*c"):
        builder.add(Add("a", ("x", "c"), "a"), (5, 4), 16, 1.0)
    with pytest.raises(VitgenError, match="Op d: its inputs have different counts"):
        builder.add(Compact("d", ("c", "s"), "d", 2), (5, 4), 16, 1.0)
    norm = LayerNorm("n", ("c",), "n", 1, np.ones(4, np.int32), np.zeros(4, np.int32), 1, tokens=2)
    with pytest.raises(VitgenError, match="Op n: it computes 2 tokens of a count"):
        builder.add(norm, (2, 4), 8, 1.0)
