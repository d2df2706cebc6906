"""The reference against the naive executor, tensor by tensor, with ``==``."""

import dataclasses
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import naive
from tests.support.graphs import random_patches, tiny_vit_graph
from tests.support.ops import fixed_linear, one_op
from vitgen.errors import OverflowRefused, VitgenError
from vitgen.ir import Add, Gelu, Graph, GraphBuilder, LayerNorm, Linear, Softmax, dump
from vitgen.reference import EXECUTORS, Call, exact_float, execute, executes, predict


def assert_same(graph: Graph, patches: np.ndarray) -> dict[str, np.ndarray]:
    """Both executors agree in every tensor, and no tensor leaves its interval."""
    counts: dict[str, int] = {}
    found = execute(graph, patches, keep=graph.tensors, saturations=counts)
    files = dump(graph)
    expected = naive.execute(files, patches.tolist())
    assert set(found) == set(expected) == set(graph.tensors)
    for name, tensor in graph.tensors.items():
        if tensor.count is None:
            assert found[name].shape == tensor.shape
        assert found[name].ndim == len(tensor.shape)
        assert all(n <= most for n, most in zip(found[name].shape, tensor.shape, strict=True))
        assert found[name].tolist() == expected[name], name
        assert tensor.interval.lo <= found[name].min(), name
        assert found[name].max() <= tensor.interval.hi, name
    assert counts == naive.saturations(files, expected)
    return found


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Graph, int]:
    seed = draw(st.integers(0, 2**32 - 1))
    heads = draw(st.sampled_from([1, 2, 3, 5]))
    graph = tiny_vit_graph(
        np.random.default_rng(seed),
        tokens=draw(st.integers(1, 7)),
        width=heads * draw(st.integers(1, 7)),
        heads=heads,
        depth=draw(st.integers(1, 2)),
        mlp=draw(st.integers(1, 19)),
        classes=draw(st.integers(1, 5)),
        patch_features=draw(st.integers(1, 11)),
        weight_bits=draw(st.sampled_from([4, 8])),
        act_bits=draw(st.integers(4, 8)),
        pot_ratio=draw(st.sampled_from([0.0, 0.3, 0.7, 1.0])),
        wide_ratio=draw(st.sampled_from([0.0, 0.2])),
        delta=draw(st.sampled_from([0, 100, 128, 256])),
        fraction=draw(st.integers(8, 12)),
        residual_std=draw(st.sampled_from([300.0, 2000.0, 15000.0])),
        shifts=draw(st.lists(st.integers(0, 7), min_size=1, max_size=2)),
    )
    return graph, seed


@settings(max_examples=150)
@given(graphs(), st.sampled_from(["normal", "zero", "low", "high", "extreme"]))
def test_random_graphs(graph_and_seed: tuple[Graph, int], content: str) -> None:
    graph, seed = graph_and_seed
    rng = np.random.default_rng(seed + 1)
    patches = random_patches(rng, graph)
    if content == "extreme":
        patches = rng.choice([-127, 127], size=patches.shape)
    elif content != "normal":
        patches[:] = {"zero": 0, "low": -127, "high": 127}[content]
    assert_same(graph, patches)


EXTREMES = [-32767, -32766, -10247, -1, 0, 1, 2, 10247, 32766, 32767]
VALUE = st.one_of(st.sampled_from(EXTREMES), st.integers(-32767, 32767))


@st.composite
def matrices(draw: st.DrawFn, most: int = 9) -> np.ndarray:
    tokens, features = draw(st.integers(1, 4)), draw(st.integers(1, most))
    row = st.one_of(
        st.lists(VALUE, min_size=features, max_size=features),
        VALUE.map(lambda value: [value] * features),
        st.integers(-32766, 32766).map(lambda v: [v] * (features - 1) + [v + 1]),
    )
    return np.array(draw(st.lists(row, min_size=tokens, max_size=tokens)))


@settings(max_examples=200)
@given(matrices(), st.data())
def test_layernorm(x: np.ndarray, data: st.DataObject) -> None:
    tokens, features = x.shape
    gains = st.one_of(st.sampled_from([-131071, 0, 131071]), st.integers(-131071, 131071))
    biases = st.one_of(st.sampled_from([1 - 2**31, 2**31 - 1]), st.integers(1 - 2**31, 2**31 - 1))
    first = data.draw(st.none() | st.integers(1, tokens))
    op = LayerNorm(
        "y",
        ("x",),
        "y",
        epsilon=data.draw(st.sampled_from([1, 2, 3, 1000, 2**31])),
        gain=np.array(data.draw(st.lists(gains, min_size=features, max_size=features)), np.int32),
        bias=np.array(data.draw(st.lists(biases, min_size=features, max_size=features)), np.int32),
        shift=data.draw(st.integers(1, 24)),
        tokens=first,
    )
    bits = data.draw(st.integers(4, 16))
    assert_same(one_op(op, (first or tokens, features), bits, features=features, tokens=tokens), x)


@settings(max_examples=200)
@given(matrices(20), st.integers(8, 12), st.integers(4, 8), st.integers(0, 7))
def test_softmax(x: np.ndarray, fraction: int, bits: int, shift: int) -> None:
    tokens, features = x.shape
    op = Softmax("y", ("x",), "y", shift)
    graph = one_op(op, x.shape, bits, features=features, tokens=tokens, fraction=fraction)
    found = execute(graph, x)["y"]
    rows = [naive.softmax_row(row, fraction, bits, shift) for row in x.tolist()]
    assert found.tolist() == rows


@settings(max_examples=200)
@given(matrices(), st.integers(8, 12), st.integers(4, 16), st.data())
def test_gelu(x: np.ndarray, fraction: int, bits: int, data: st.DataObject) -> None:
    op = Gelu(
        "y",
        ("x",),
        "y",
        delta=data.draw(st.integers(0, 256)),
        mult=data.draw(st.integers(-131071, 131071)),
        shift=data.draw(st.integers(1, 40)),
    )
    shape = x.shape
    graph = one_op(op, shape, bits, features=shape[1], tokens=shape[0], fraction=fraction)
    assert_same(graph, x)


@settings(max_examples=100)
@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 12), st.data())
def test_linear(tokens: int, rows: int, features: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    first = data.draw(st.none() | st.integers(1, tokens))
    bits, input_bits = data.draw(st.integers(4, 16)), data.draw(st.sampled_from([4, 8, 12]))
    limit = 2 ** (input_bits - 1) - 1
    relu = data.draw(st.booleans())
    # Multipliers that bring the largest sum to about the end of the output's range.
    shift = max(1, 17 + (features * 127 * limit).bit_length() - bits)
    op = fixed_linear(
        rng.integers(-127, 128, (rows, features)),
        bias=rng.integers(-127 * limit, 127 * limit, rows).astype(np.int32),
        mult=rng.integers(-131071, 131072, rows).astype(np.int32),
        shift=shift,
        tokens=first,
        relu=relu,
    )
    shape = (first or tokens, rows)
    graph = one_op(op, shape, bits, features=features, tokens=tokens, input_bits=input_bits)
    assert_same(graph, rng.integers(-limit, limit + 1, (tokens, features)))


@pytest.mark.parametrize(("features", "double"), [(510, False), (1100, True), (2000, True)])
def test_every_bit_of_a_large_product(features: int, double: bool) -> None:
    """Sums up to ``2**24`` and beyond ``2**25``, where float32 would lose odd numbers; a bias takes
    them back to where the output shows every bit."""
    rng = np.random.default_rng(features)
    weight = rng.integers(120, 128, (40, features))
    bias = np.full(40, -round(features * 123.5 * 252.5), np.int32)
    graph = one_op(
        fixed_linear(weight, bias=bias, mult=np.full(40, 2), shift=1),
        (3, 40),
        16,
        features=features,
        tokens=3,
        input_bits=9,
        interval=(250, 255),
    )
    assert (np.abs(weight).sum(axis=1).max() * 255 > 2**24) == double
    y = assert_same(graph, rng.integers(250, 256, (3, features)))["y"]
    assert np.count_nonzero((np.abs(y) < 32767) & (y % 2 == 1)) > 10


@settings(max_examples=40)
@given(graphs(), st.integers(1, 40), st.integers(1, 40))
def test_any_size_of_pieces(
    graph_and_seed: tuple[Graph, int], piece: int, weight_piece: int
) -> None:
    graph, seed = graph_and_seed
    module = sys.modules[EXECUTORS["linear"].__module__]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE", piece)
        patch.setattr(module, "WEIGHT_PIECE", weight_piece)
        assert_same(graph, random_patches(np.random.default_rng(seed), graph))


def test_exact_float_chooses_by_the_bound() -> None:
    assert exact_float(2**24) is np.float32
    assert exact_float(2**24 + 1) is np.float64
    assert exact_float(2**53) is np.float64
    with pytest.raises(OverflowRefused, match="9007199254740993"):
        exact_float(2**53 + 1)


def test_pieces_do_not_show() -> None:
    """Wide enough that softmax, GELU, LayerNorm and the linear layers run in several pieces."""
    rng = np.random.default_rng(3)
    graph = tiny_vit_graph(
        rng, tokens=150, width=96, heads=3, mlp=700, depth=1, patch_features=10, classes=4
    )
    patches = random_patches(rng, graph)
    found = execute(graph, patches, keep=graph.tensors)
    fraction = graph.tensors["blocks.0.attn.qk"].fraction
    assert fraction is not None
    scores = found["blocks.0.attn.qk"].reshape(-1, 150)
    chances = found["blocks.0.attn.softmax"].reshape(-1, 150)
    for row in (0, 1, 149, 150, 436, 437, 438, 449):
        assert chances[row].tolist() == naive.softmax_row(scores[row].tolist(), fraction, 8)
    ops = {op.name: op for op in graph.ops}
    hidden, active = found["blocks.0.mlp.fc1"], found["blocks.0.mlp.gelu"]
    gelu = dataclasses.asdict(ops["blocks.0.mlp.gelu"])
    for row in (0, 92, 93, 94, 149):
        want = [naive.gelu_value(q, fraction, gelu, 8) for q in hidden[row].tolist()]
        assert active[row].tolist() == want
    fc2 = ops["blocks.0.mlp.fc2"]
    assert isinstance(fc2, Linear)
    acc = active.astype(np.int64) @ fc2.weight.astype(np.int64).T + fc2.bias
    want_fc2 = np.clip((acc * fc2.mult + (1 << (fc2.shift - 1))) >> fc2.shift, -32767, 32767)
    assert np.array_equal(found["blocks.0.mlp.fc2"], want_fc2)


def test_saturations_are_counted_and_added_up() -> None:
    builder = GraphBuilder("sum")
    builder.input("x", (1, 4), 16, 1.0)
    builder.constant("c", np.array([[1, -1, 32767, 0]]), 16, 1.0)
    builder.add(Add("y", ("x", "c"), "y"), (1, 4), 16, 1.0)
    graph = builder.finish("y")
    counts: dict[str, int] = {}
    x = np.array([[32767, -32767, 1, -32767]])
    assert execute(graph, x, saturations=counts)["y"].tolist() == [[32767, -32767, 32767, -32767]]
    assert counts == {"y": 3}
    execute(graph, np.zeros_like(x), saturations=counts)
    assert counts == {"y": 3}
    predict(graph, np.stack([x, x]), saturations=counts)
    assert counts == {"y": 9}


def test_no_saturation_reports_zero() -> None:
    graph = tiny_vit_graph(np.random.default_rng(0), residual_std=100.0)
    counts: dict[str, int] = {}
    execute(graph, random_patches(np.random.default_rng(1), graph), saturations=counts)
    assert counts == {"embed.add": 0, "blocks.0.attn.add": 0, "blocks.0.mlp.add": 0}


def test_keep() -> None:
    graph = tiny_vit_graph(np.random.default_rng(0))
    patches = random_patches(np.random.default_rng(1), graph)
    everything = execute(graph, patches, keep=graph.tensors)
    assert set(everything) == set(graph.tensors)
    assert all(value.dtype == np.int16 for value in everything.values())
    assert set(execute(graph, patches)) == {"head"}
    some = execute(graph, patches, keep=["patches", "embedding", "norm"])
    assert set(some) == {"patches", "embedding", "norm"}
    assert all(np.array_equal(some[name], everything[name]) for name in some)


def test_results_do_not_alias_the_graph_or_the_patches() -> None:
    graph = tiny_vit_graph(np.random.default_rng(0))
    patches = random_patches(np.random.default_rng(1), graph).astype(np.int16)
    before = patches.copy()
    found = execute(graph, patches, keep=graph.tensors)
    for value in found.values():
        value[...] = 1
    assert np.array_equal(patches, before)
    assert not np.all(graph.constants["embedding"] == 1)


def test_tensors_are_freed_after_their_last_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    import weakref

    graph = tiny_vit_graph(np.random.default_rng(0), depth=2)
    alive: dict[str, Any] = {}
    most = 0

    def watch(kind: str) -> Any:
        original = EXECUTORS[kind]

        def run(call: Call[Any]) -> Any:
            nonlocal most
            value = original(call)
            alive[call.op.output] = weakref.ref(value)
            most = max(most, sum(ref() is not None for ref in alive.values()))
            return value

        return run

    for kind in list(EXECUTORS):
        monkeypatch.setitem(EXECUTORS, kind, watch(kind))
    execute(graph, random_patches(np.random.default_rng(1), graph))
    # The stream, the normed input (or q), k, v and the result.
    assert most <= 5


def test_predict_is_execute_image_by_image() -> None:
    graph = tiny_vit_graph(np.random.default_rng(0), classes=5)
    batch = random_patches(np.random.default_rng(1), graph, images=4)
    logits = predict(graph, batch)
    assert logits.shape == (4, 5) and logits.dtype == np.int16
    for image, row in zip(batch, logits, strict=True):
        assert np.array_equal(execute(graph, image)["head"][0], row)
    assert predict(graph, batch[:0]).shape == (0, 5)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda p: p[:-1], r"shape \(4, 6\)"),
        (lambda p: p.astype(np.float32), "float32"),
        (lambda p: p.astype(bool), "bool"),
        (lambda p: np.where(p == p.max(), 128, p), "128"),
        (lambda p: np.where(p == p.max(), -128, p), "-128"),
    ],
)
def test_bad_patches_are_refused(spoil: Any, message: str) -> None:
    graph = tiny_vit_graph(np.random.default_rng(0))
    patches = random_patches(np.random.default_rng(1), graph)
    with pytest.raises(VitgenError, match=message):
        execute(graph, spoil(patches))


def test_unknown_tensor_to_keep_is_refused() -> None:
    graph = tiny_vit_graph(np.random.default_rng(0))
    with pytest.raises(VitgenError, match="'no.such'"):
        execute(graph, random_patches(np.random.default_rng(1), graph), keep=["no.such"])


def test_a_new_op_is_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = tiny_vit_graph(np.random.default_rng(0))
    patches = random_patches(np.random.default_rng(1), graph)
    monkeypatch.delitem(EXECUTORS, "add")
    with pytest.raises(VitgenError, match="embed.add is a 'add'"):
        execute(graph, patches)

    @executes(Add)
    def first(call: Call[Add]) -> Any:
        return call.values[0]

    found = execute(graph, patches, keep=["embed", "embed.add"])
    assert np.array_equal(found["embed"], found["embed.add"])
