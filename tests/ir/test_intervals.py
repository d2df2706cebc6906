"""Proven intervals: brute force over every input finds nothing outside, and where the interval is
said to be exact, both its ends."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.graphs import Rows, random_rows
from tests.support.ops import fixed_linear, one_op
from vitgen.errors import OverflowRefused
from vitgen.ir import (
    Add,
    Gelu,
    Graph,
    GraphBuilder,
    Interval,
    LayerNorm,
    Linear,
    MatMulAV,
    MatMulQK,
    Softmax,
    Tensor,
    Unfold,
)
from vitgen.reference import execute


def every_input(graph: Graph) -> list[np.ndarray]:
    """All matrices of the input's shape and interval."""
    x = graph.tensors["x"]
    values = range(x.interval.lo, x.interval.hi + 1)
    return [
        np.array(flat).reshape(x.shape) for flat in itertools.product(values, repeat=x.elements)
    ]


def reached(graph: Graph) -> tuple[int, int]:
    """Least and greatest output over every input."""
    outputs = [execute(graph, x)["y"] for x in every_input(graph)]
    return min(int(y.min()) for y in outputs), max(int(y.max()) for y in outputs)


def ends(lo: int, hi: int) -> st.SearchStrategy[tuple[int, int]]:
    """Ordered pairs."""
    return st.tuples(st.integers(lo, hi), st.integers(lo, hi)).map(lambda p: (min(p), max(p)))


@settings(max_examples=40)
@given(
    st.integers(0, 2**32 - 1), st.tuples(st.integers(-7, 7), st.integers(0, 3)), st.integers(4, 9)
)
def test_linear_is_exact(seed: int, where: tuple[int, int], bits: int) -> None:
    rng = np.random.default_rng(seed)
    rows, features = 3, 3
    interval = (where[0], min(7, where[0] + where[1]))
    op = Linear(
        "y",
        ("x",),
        "y",
        bias=rng.integers(-100, 100, rows).astype(np.int32),
        mult=rng.integers(-2000, 2000, rows).astype(np.int32),
        shift=int(rng.integers(8, 12)),
        **random_rows(rng, rows, features, Rows(4, 0.4, 0.3)),
    )
    graph = one_op(
        op, (1, rows), bits, features=features, tokens=1, input_bits=4, interval=interval
    )
    assert reached(graph) == graph.tensors["y"].interval


@settings(max_examples=40)
@given(st.integers(0, 2**32 - 1), ends(-7, 7).map(lambda p: (p[0], min(p[1], p[0] + 3))))
def test_relu_is_exact(seed: int, interval: tuple[int, int]) -> None:
    rng = np.random.default_rng(seed)
    op = fixed_linear(
        rng.integers(-127, 128, (2, 3)),
        bias=rng.integers(-2000, 2000, 2).astype(np.int32),
        mult=rng.integers(-200, 200, 2).astype(np.int32),
        shift=int(rng.integers(8, 12)),
        relu=True,
    )
    graph = one_op(op, (1, 2), 8, features=3, tokens=1, input_bits=4, interval=interval)
    assert reached(graph) == graph.tensors["y"].interval


@pytest.mark.parametrize(
    ("padding", "lead", "interval", "expected"),
    [
        (0, 0, (3, 5), (3, 5)),
        (0, 0, (-5, -3), (-5, -3)),
        (1, 0, (3, 5), (0, 5)),
        (1, 0, (-5, -3), (-5, 0)),
        (0, 1, (3, 5), (0, 5)),
        (0, 2, (-5, -3), (-5, 0)),
        (1, 1, (-3, 5), (-3, 5)),
    ],
)
def test_unfold_is_exact(
    padding: int, lead: int, interval: tuple[int, int], expected: tuple[int, int]
) -> None:
    size = 2 if padding else 1
    op = Unfold("y", ("x",), "y", 2, 1, kernel=size, stride=1, padding=padding, lead=lead)
    shape = (lead + op.out_height * op.out_width, op.kernel**2)
    graph = one_op(op, shape, 4, features=1, tokens=2, input_bits=4, interval=interval)
    assert graph.tensors["y"].interval == expected == reached(graph)


@settings(max_examples=60)
@given(
    ends(-32767, 32767).map(lambda p: (p[0], min(p[1], p[0] + 3000))),
    st.integers(8, 12),
    st.integers(0, 256),
    st.integers(-131071, 131071),
    st.integers(12, 22),
)
def test_gelu_is_exact(
    interval: tuple[int, int], fraction: int, delta: int, mult: int, shift: int
) -> None:
    op = Gelu("y", ("x",), "y", delta=delta, mult=mult, shift=shift)
    values = np.arange(interval[0], interval[1] + 1)
    graph = one_op(
        op,
        (1, len(values)),
        16,
        features=len(values),
        tokens=1,
        fraction=fraction,
        interval=interval,
    )
    y = execute(graph, values[None])["y"]
    assert (int(y.min()), int(y.max())) == graph.tensors["y"].interval


@pytest.mark.parametrize("fraction", range(8, 13))
@pytest.mark.parametrize("delta", [100, 128, 200, 256])
def test_gelu_is_exact_around_its_minimum(fraction: int, delta: int) -> None:
    """With every bit of g in the output, the integer nearest to the minimum counts."""
    op = Gelu("y", ("x",), "y", delta=delta, mult=2, shift=1)
    for lo, hi in ((-32767, 0), (-2 * 2**fraction, -(2**fraction) // 3), (-900, 5), (-177, -176)):
        values = np.arange(lo, hi + 1)
        graph = one_op(
            op,
            (1, len(values)),
            16,
            features=len(values),
            tokens=1,
            fraction=fraction,
            interval=(lo, hi),
        )
        y = execute(graph, values[None])["y"]
        assert (int(y.min()), int(y.max())) == graph.tensors["y"].interval


def product_graph(
    op: Callable[..., Any],
    left: tuple[int, ...],
    right: tuple[int, int],
    out: tuple[int, ...],
    intervals: tuple[tuple[int, int], tuple[int, int]],
    mult: int,
) -> Interval:
    """Interval that a product of attention proves for operands of these intervals."""
    a, b = (
        Tensor(name, shape, 8, 1.0, Interval(*interval))
        for name, shape, interval in zip("ab", (left, right), intervals, strict=True)
    )
    y = Tensor("y", out, 8, 1.0, Interval(-127, 127))
    return op("y", ("a", "b"), "y", heads=1, mult=mult, shift=6).check([a, b], y)


@given(ends(-3, 3), ends(-3, 3), st.sampled_from([-40, 1, 25, 64]))
def test_attention_products_hold_every_product(
    left: tuple[int, int], right: tuple[int, int], mult: int
) -> None:
    terms = 2
    qk = product_graph(MatMulQK, (1, terms), (1, terms), (1, 1, 1), (left, right), mult)
    av = product_graph(MatMulAV, (1, 1, terms), (terms, 1), (1, 1), (left, right), mult)
    assert qk == av
    a, b = (range(lo, hi + 1) for lo, hi in (left, right))
    for x in itertools.product(a, repeat=terms):
        for y in itertools.product(b, repeat=terms):
            acc = sum(p * q for p, q in zip(x, y, strict=True))
            assert qk.lo <= (acc * mult + 32) >> 6 <= qk.hi


@pytest.mark.parametrize(
    ("left", "right", "expected"), [((1, 3), (2, 5), (0, 30)), ((-3, -1), (2, 5), (-30, 0))]
)
def test_attention_products_hold_their_partial_sums(
    left: tuple[int, int], right: tuple[int, int], expected: tuple[int, int]
) -> None:
    """The interval reaches from the empty sum to the full one."""
    assert product_graph(MatMulQK, (1, 2), (1, 2), (1, 1, 1), (left, right), 64) == expected


@given(ends(-32767, 32767), ends(-32767, 32767), st.sampled_from([8, 12, 16]))
def test_add_is_exact(left: tuple[int, int], right: tuple[int, int], bits: int) -> None:
    a, c = (Tensor(n, (1, 2), 16, 1.0, Interval(*i)) for n, i in (("a", left), ("c", right)))
    limit = 2 ** (bits - 1) - 1
    y = Tensor("y", (1, 2), bits, 1.0, Interval(-limit, limit))
    proven = Add("y", ("a", "c"), "y").check([a, c], y)
    expected = [max(-limit, min(limit, p + q)) for p, q in zip(left, right, strict=True)]
    assert list(proven) == expected


def test_add_of_two_tensors_beyond_the_range_is_a_point() -> None:
    builder = GraphBuilder("sum")
    builder.constant("a", np.array([[30000, 31000]]), 16, 1.0)
    builder.constant("c", np.array([[30000, 31000]]), 16, 1.0)
    builder.input("x", (1, 2), 8, 1.0)
    y = builder.add(Add("y", ("a", "c"), "y"), (1, 2), 16, 1.0)
    assert y.interval == (32767, 32767)


@pytest.mark.parametrize("bits", range(4, 9))
def test_softmax_and_layernorm_ranges(bits: int) -> None:
    limit = 2 ** (bits - 1) - 1
    for shift in (0, 7):
        op = Softmax("y", ("x",), "y", shift)
        softmax = one_op(op, (1, 2), bits, features=2, tokens=1, fraction=8)
        assert softmax.tensors["y"].interval == (0, limit)
        assert execute(softmax, np.array([[-32767, 32767]]))["y"].tolist() == [[0, limit]]
    norm = LayerNorm(
        "y", ("x",), "y", epsilon=1, gain=np.full(2, 131071), bias=np.zeros(2, int), shift=1
    )
    graph = one_op(norm, (1, 2), bits, features=2, tokens=1)
    assert graph.tensors["y"].interval == (-limit, limit)
    assert execute(graph, np.array([[-3, 3]]))["y"].tolist() == [[-limit, limit]]


EDGE = 2**26  # no accumulator reaches it


def accumulator(bias: int, interval: tuple[int, int] = (-7, 7)) -> Graph:
    op = fixed_linear(np.array([[127, -127]]), bias=np.array([bias], np.int32), shift=20)
    return one_op(op, (1, 1), 16, features=2, tokens=1, input_bits=4, interval=interval)


@pytest.mark.parametrize("sign", [1, -1])
def test_accumulator_one_step_too_far_is_refused(sign: int) -> None:
    most = 2 * 127 * 7
    graph = accumulator(sign * (EDGE - 1 - most))
    assert execute(graph, np.array([[7, -7]]) * sign)["y"].tolist() == [[sign * 64]]
    with pytest.raises(OverflowRefused, match=f"Op y: the accumulator reaches {EDGE}"):
        accumulator(sign * (EDGE - most))
    # The same bias with an input one step smaller is proven again.
    accumulator(sign * (EDGE - most), interval=(-6, 6))


def test_partial_sums_are_proven_where_the_interval_leaves_out_zero() -> None:
    """The whole sum is small, half of it is not."""
    features = 2 * 5000
    weight = np.full((1, features), 127)
    weight[0, ::2] = -127

    def build(lo: int, hi: int) -> Graph:
        op = fixed_linear(weight, shift=20)
        return one_op(op, (1, 1), 16, features=features, tokens=1, input_bits=8, interval=(lo, hi))

    low, high = build(104, 105).tensors["y"].interval
    assert (low, high) == (-1, 1)
    assert 5000 * 127 * 105 < EDGE < 5000 * 127 * 106
    with pytest.raises(OverflowRefused, match="Op y: the accumulator reaches 67310000"):
        build(105, 106)


@pytest.mark.parametrize(("features", "accepted"), [(4161, True), (4162, False)])
def test_attention_accumulators_are_proven(features: int, accepted: bool) -> None:
    """127 * 127 * 4161 = 67,112,769 is beyond; 126 * 128 is not possible, so 8 bits end at 4,160."""
    size = features - 1
    assert (127 * 127 * size < EDGE) == accepted
    full = ((-127, 127), (-127, 127))
    if accepted:
        product_graph(MatMulQK, (1, size), (1, size), (1, 1, 1), full, 1)
        product_graph(MatMulAV, (1, 1, size), (size, 1), (1, 1), full, 1)
        return
    for op, left, right, out in (
        (MatMulQK, (1, size), (1, size), (1, 1, 1)),
        (MatMulAV, (1, 1, size), (size, 1), (1, 1)),
    ):
        with pytest.raises(OverflowRefused, match="the accumulator reaches"):
            product_graph(op, left, right, out, full, 1)


def norm(features: int, largest: int, epsilon: int) -> Graph:
    op = LayerNorm(
        "y",
        ("x",),
        "y",
        epsilon=epsilon,
        gain=np.ones(features, int),
        bias=np.zeros(features, int),
        shift=11,
    )
    interval = (-largest, largest)
    return one_op(op, (1, features), 8, features=features, tokens=1, interval=interval)


def test_variance_one_step_too_far_is_refused() -> None:
    room = 2**50 - 1 - 1024**2 * 32767**2
    norm(1024, 32767, room)
    with pytest.raises(OverflowRefused, match="Op y: the variance reaches"):
        norm(1024, 32767, room + 1)
    norm(1024, 32766, room + 1)
    # The bound is reached: half of the features at each end.
    x = np.array([-32767, 32767] * 512)
    assert 1024 * int((x * x).sum()) - int(x.sum()) ** 2 + room == 2**50 - 1
