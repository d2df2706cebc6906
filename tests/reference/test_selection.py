"""Token selectors in the reference, against the naive executor and against written-out cases."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.reference import naive
from tests.reference.test_execute import assert_same
from tests.support.graphs import random_patches, tiny_vit_graph
from tests.support.selectors import compactions
from vitgen.ir import Compact, Graph, GraphBuilder, Interval
from vitgen.reference import EXECUTORS, PACKAGE, Call, execute

ALL, NONE = 0, 16384


def with_threshold(graph: Graph, name: str, threshold: int) -> Graph:
    """The same graph with another threshold of one compaction."""
    ops = tuple(
        dataclasses.replace(op, threshold=threshold)
        if isinstance(op, Compact) and op.name == name
        else op
        for op in graph.ops
    )
    return dataclasses.replace(graph, ops=ops)


def between(graph: Graph, patches: np.ndarray, shares: list[float]) -> Graph:
    """Thresholds at the scores of one image, so that about these shares of its tokens go on."""
    for op, share in zip(compactions(graph), shares, strict=True):
        scores = np.sort(execute(graph, patches, keep=[op.inputs[1]])[op.inputs[1]][1:, 0])
        place = round((1 - share) * len(scores))
        threshold = NONE if place >= len(scores) else int(scores[place])
        graph = with_threshold(graph, op.name, threshold)
    graph.prove()
    return graph


@st.composite
def pruned(draw: st.DrawFn) -> tuple[Graph, np.ndarray]:
    seed, heads = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([1, 2, 3]))
    depth = draw(st.integers(1, 3))
    blocks = sorted(draw(st.sets(st.integers(0, depth - 1), min_size=1)))
    graph = tiny_vit_graph(
        np.random.default_rng(seed),
        tokens=draw(st.integers(1, 9)),
        width=heads * draw(st.integers(1, 6)),
        heads=heads,
        depth=depth,
        act_bits=draw(st.integers(6, 8)),
        delta=draw(st.sampled_from([128, 256])),
        fraction=draw(st.integers(8, 12)),
        residual_std=draw(st.sampled_from([300.0, 15000.0])),
        thresholds=dict.fromkeys(blocks, ALL),
    )
    patches = random_patches(np.random.default_rng(seed + 1), graph)
    shares = [draw(st.sampled_from([0.0, 0.3, 0.6, 0.9, 1.0])) for _ in blocks]
    return between(graph, patches, shares), patches


@settings(max_examples=40)
@given(pruned())
def test_random_selectors(graph_and_patches: tuple[Graph, np.ndarray]) -> None:
    assert_same(*graph_and_patches)


@pytest.mark.parametrize("tokens", [1, 2, 30])
@pytest.mark.parametrize("shares", [(1.0, 1.0), (0.0, 0.0), (1.0, 0.0), (0.5, 0.0), (0.5, 1.0)])
def test_all_none_and_one(tokens: int, shares: tuple[float, float]) -> None:
    rng = np.random.default_rng(tokens)
    graph = tiny_vit_graph(
        rng, tokens=tokens, width=24, heads=2, depth=2, thresholds={0: ALL, 1: ALL}
    )
    patches = random_patches(rng, graph)
    graph = between(graph, patches, list(shares))
    found, survivors = assert_same(graph, patches), {}
    execute(graph, patches, survivors=survivors)
    first, second = (survivors[op.name].tolist() for op in compactions(graph))
    if shares[0] == 1.0 or tokens == 1:
        assert first == list(range(tokens))
    elif shares[0] == 0.0:
        assert first == [0, PACKAGE]
    else:
        assert first[0] == 0 and (tokens == 2 or first[-1] == PACKAGE)
    if tokens > 1 and shares[1] == 0.0:
        assert second == [0, PACKAGE]
    assert len(found["blocks.1.mlp.add"]) == len(second)
    assert found["blocks.1.attn.qk"].shape == (2, len(second), len(second))


def test_survivors_are_numbered_as_in_the_image() -> None:
    rng = np.random.default_rng(4)
    graph = tiny_vit_graph(rng, tokens=20, depth=3, thresholds={0: ALL, 1: ALL, 2: ALL})
    patches = random_patches(rng, graph)
    graph = between(graph, patches, [0.7, 0.5, 0.3])
    survivors: dict[str, np.ndarray] = {}
    found = execute(graph, patches, keep=graph.tensors, survivors=survivors)
    before, stream = list(range(20)), found["embed.add"]
    for op in compactions(graph):
        scores = found[op.inputs[1]][:, 0].tolist()
        expected = [n for n, s in zip(before, scores, strict=True)
                    if n == 0 or (n != PACKAGE and s >= op.threshold)]  # fmt: skip
        assert survivors[op.name].tolist() == [*expected, PACKAGE]
        stream = found[op.inputs[0]]
        rows = [stream[before.index(n)].tolist() for n in expected]
        assert found[op.name][:-1].tolist() == rows
        before = survivors[op.name].tolist()
    assert before != [0, PACKAGE]


def compacted(
    x: np.ndarray, scores: list[int], threshold: int, package: bool = False
) -> tuple[list[list[int]], list[int]]:
    """One compaction by the reference: the tokens and their numbers."""
    tokens, features = x.shape
    builder = GraphBuilder("one")
    builder.input("x", (tokens, features), 16, 1.0)
    builder.constant("s", np.array(scores)[:, None], 15, 1.0)
    op = Compact("y", ("x", "s"), "y", threshold)
    builder.add(op, (tokens, features), 16, 1.0)
    graph = builder.finish("y")
    inputs = graph.inputs_of(op)
    numbers: dict[str, Any] = {}
    if package:
        inputs[0] = dataclasses.replace(inputs[0], count="before")
        numbers["before"] = np.append(np.arange(tokens - 1), PACKAGE)
    values = [x.astype(np.int16), np.array(scores, dtype=np.int16)[:, None]]
    call = Call(op, inputs, values, graph.tensors["y"], {}, numbers)
    return EXECUTORS["compact"](call).tolist(), numbers["y"].tolist()


X = np.array([[10, -10], [20, 5], [30, 7], [40, -9]])


@pytest.mark.parametrize(
    ("scores", "threshold", "numbers", "package"),
    [
        ([0, 8192, 8192, 8192], 8192, [0, 1, 2, 3], None),  # the threshold itself is kept
        ([0, 8191, 8192, 8193], 8192, [0, 2, 3, -1], [20, 5]),
        ([9000, 8191, 8191, 8191], 8192, [0, -1], [30, 1]),  # CLS whatever its score
        ([0, 0, 0, 0], 0, [0, 1, 2, 3], None),
        ([0, 16256, 16256, 16256], 16384, [0, -1], [30, 1]),
        ([0, 0, 0, 9000], 8192, [0, 3, -1], [25, 6]),  # a score of 0 weighs 1
        ([0, 127, 255, 9000], 8192, [0, 3, -1], [25, 6]),
        ([0, 128, 384, 9000], 8192, [0, 3, -1], [28, 7]),  # 1 to 3: 27.5 and 6.5, halves up
        ([0, 9000, 128, 8064], 8192, [0, 1, -1], [40, -9]),  # 1 to 63: 39.84 and -8.75
    ],
)
def test_written_out(
    scores: list[int], threshold: int, numbers: list[int], package: list[int] | None
) -> None:
    tokens, found = compacted(X, scores, threshold)
    assert found == numbers
    rows = [X[n].tolist() for n in numbers if n != PACKAGE]
    assert tokens == (rows if package is None else [*rows, package])


def test_an_older_package() -> None:
    # Alone it stays as it is, however high or low its score.
    for score in (0, 5, 8191, 8192, 16256):
        tokens, numbers = compacted(X, [0, 9000, 9000, score], 8192, package=True)
        assert tokens == X.tolist() and numbers == [0, 1, 2, PACKAGE]
    # With others it is one token of them, of its own score.
    tokens, numbers = compacted(X, [0, 9000, 128, 8320], 8192, package=True)
    assert numbers == [0, 1, PACKAGE] and tokens[2] == [40, -9]  # 1 to 65
    tokens, numbers = compacted(X[:2], [0, 16256], 8192, package=True)
    assert numbers == [0, PACKAGE] and tokens == X[:2].tolist()


@settings(max_examples=150)
@given(st.integers(1, 25), st.booleans(), st.data())
def test_any_scores(tokens: int, package: bool, data: st.DataObject) -> None:
    package = package and tokens > 1
    level = st.sampled_from([0, 127, 128, 8191, 8192, 8193, 16256])
    scores = data.draw(st.lists(level | st.integers(0, 16256), min_size=tokens, max_size=tokens))
    threshold = data.draw(st.sampled_from([ALL, 1, 8192, 16256, NONE, scores[-1]]))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    x = rng.integers(-32767, 32768, (tokens, 3))
    found, numbers = compacted(x, scores, threshold, package)
    expected, has_package = naive.compact(
        {"threshold": threshold}, x.tolist(), [[s] for s in scores], package
    )
    assert found == expected
    assert (numbers[-1] == PACKAGE) == has_package
    assert numbers[: len(numbers) - has_package] == sorted(set(numbers) - {PACKAGE})
    assert len(found) == len(numbers) <= tokens


def test_the_most_tokens() -> None:
    x = np.full((1023, 1), -32767)
    tokens, numbers = compacted(x, [16256] * 1023, NONE)
    assert tokens == [[-32767], [-32767]] and numbers == [0, PACKAGE]


def test_a_pool_of_one_token_repeats_it() -> None:
    graph = tiny_vit_graph(np.random.default_rng(0), tokens=1, thresholds={0: ALL})
    found = execute(graph, random_patches(np.random.default_rng(1), graph), keep=graph.tensors)
    own = found["blocks.0.selector.mlp1_gelu"].reshape(2, -1)
    pooled = found["blocks.0.selector.pool"].reshape(2, 2, -1)
    assert pooled[:, 0].tolist() == pooled[:, 1].tolist() == own.tolist()


def test_scores_stay_within_their_interval() -> None:
    graph = tiny_vit_graph(np.random.default_rng(0), thresholds={0: ALL})
    assert graph.tensors["blocks.0.selector.score"].interval == Interval(0, 16256)
