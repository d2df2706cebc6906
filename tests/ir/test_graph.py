"""Structure of graphs: builder, proof, counts, intervals and tensors."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from tests.support.graphs import tiny_vit_graph
from vitgen.errors import VitgenError
from vitgen.ir import Add, Graph, GraphBuilder, Interval, Softmax, full_range


@pytest.fixture
def graph() -> Graph:
    return tiny_vit_graph(np.random.default_rng(0))


def changed(graph: Graph, **fields: Any) -> Graph:
    return dataclasses.replace(graph, **fields)


def with_tensor(graph: Graph, name: str, **fields: Any) -> Graph:
    tensors = dict(graph.tensors)
    tensors[name] = dataclasses.replace(tensors[name], **fields)
    return changed(graph, tensors=tensors)


def refuse(graph: Graph, message: str) -> None:
    with pytest.raises(VitgenError, match=message):
        graph.prove()


def test_reading_what_is_not_written_yet(graph: Graph) -> None:
    refuse(changed(graph, ops=graph.ops[1:]), "embed.add reads 'embed', which nothing")
    refuse(changed(graph, ops=graph.ops[::-1]), "reads")


def test_writing_twice(graph: Graph) -> None:
    twice = (*graph.ops[:1], *graph.ops)
    refuse(changed(graph, ops=twice), "Op name 'embed' is taken")
    renamed = dataclasses.replace(graph.ops[0], name="other")
    refuse(changed(graph, ops=(renamed, *graph.ops)), "'embed' is written twice, again by op embed")
    onto_input = dataclasses.replace(graph.ops[0], output="patches")
    refuse(changed(graph, ops=(onto_input,)), "'patches' is written twice")


@pytest.mark.parametrize("name", ["", "1st", "a/b", "../up", "a b", "a\n"])
def test_names_of_ops(graph: Graph, name: str) -> None:
    renamed = dataclasses.replace(graph.ops[0], name=name)
    refuse(changed(graph, ops=(renamed, *graph.ops[1:])), "Op name")


@pytest.mark.parametrize("name", ["", "1st", "a/b", "../up", "a b", "a\n", "patches"])
def test_names_of_tensors(name: str) -> None:
    builder = GraphBuilder("g")
    builder.input("patches", (1, 1), 8, 1.0)
    with pytest.raises(VitgenError, match="Tensor name"):
        builder.constant(name, np.zeros((1, 1), int), 8, 1.0)


def test_undeclared_tensors(graph: Graph) -> None:
    for name in ("patches", "embedding"):
        rest = {key: value for key, value in graph.tensors.items() if key != name}
        refuse(changed(graph, tensors=rest), f"The source '{name}' is not declared")
    rest = {key: value for key, value in graph.tensors.items() if key != "norm"}
    refuse(changed(graph, tensors=rest), "Op norm writes 'norm', which is not declared")


def test_output_must_be_written(graph: Graph) -> None:
    refuse(changed(graph, output="nothing"), "No op writes the output 'nothing'")
    with pytest.raises(VitgenError, match="The source '' is not declared"):
        GraphBuilder("empty").finish("y")


def test_stated_intervals_hold_the_proven(graph: Graph) -> None:
    name = "embed"
    lo, hi = graph.tensors[name].interval
    graph.prove()
    refuse(with_tensor(graph, name, interval=Interval(lo + 1, hi)), f"Op {name} can produce {lo}..")
    refuse(with_tensor(graph, name, interval=Interval(lo, hi - 1)), f"states {lo}..{hi - 1}")
    # Wider is allowed where the readers still prove.
    with_tensor(graph, "head", interval=full_range(16)).prove()


def test_constants_lie_in_their_interval(graph: Graph) -> None:
    lo, hi = graph.tensors["embedding"].interval
    for interval in (Interval(lo + 1, hi), Interval(lo, hi - 1)):
        refuse(with_tensor(graph, "embedding", interval=interval), "constant 'embedding'")
    data = graph.constants["embedding"]
    refuse(changed(graph, constants={"embedding": data[:-1]}), "constant 'embedding'")
    refuse(changed(graph, constants={"embedding": data / 2}), "constant 'embedding'")


def test_builder_proves_at_once() -> None:
    builder = GraphBuilder("g")
    builder.input("x", (1, 2), 16, 1.0)
    with pytest.raises(VitgenError, match="Op y: the scores have None fractional bits"):
        builder.add(Softmax("y", ("x",), "y"), (1, 2), 8, 1.0)


def test_constant_wider_than_its_bits_is_refused() -> None:
    builder = GraphBuilder("g")
    for data in ([[32768]], [[-32768]], [[200]]):
        with pytest.raises(VitgenError, match="Tensor c reaches"):
            builder.constant("c", np.array(data), 8 if data == [[200]] else 16, 1.0)


def test_counts() -> None:
    """MACs and weights by hand for 4 tokens, width 6, MLP 10, 5 patch features, 3 classes."""
    graph = tiny_vit_graph(
        np.random.default_rng(0), tokens=4, width=6, heads=3, mlp=10, classes=3, patch_features=5
    )
    weights = 6 * 5 + 4 * 6 * 6 + 2 * 6 * 10 + 3 * 6
    assert graph.weights == weights
    assert graph.macs == 4 * (weights - 18) + 18 + 2 * 4 * 4 * 6


def test_deit_b_counts() -> None:
    """17.56 GMAC at 197 tokens, 86.6 M parameters: counted by shape, without building the weights."""
    per_block = 4 * 768 * 768 + 2 * 768 * 3072
    linear = 768 * 768 + 12 * per_block + 768 * 1000
    macs = 197 * (linear - 768000) + 768000 + 12 * 2 * 197 * 197 * 768
    assert round(macs / 1e9, 2) == 17.56
    tiny = tiny_vit_graph(
        np.random.default_rng(0),
        tokens=197,
        width=768,
        heads=12,
        mlp=3072,
        classes=1000,
        patch_features=768,
    )
    one_block = 768 * 768 + per_block + 768000
    assert tiny.weights == one_block
    assert tiny.macs == 197 * (one_block - 768000) + 768000 + 2 * 197 * 197 * 768
    norms_biases = 25 * 2 * 768 + 12 * (4 * 768 + 3072 + 768) + 1000 + 768 + 198 * 768
    assert round((linear + norms_biases) / 1e6, 1) == 86.6


def test_interval_and_tensor_helpers() -> None:
    assert Interval(-3, 2).magnitude == 3 and Interval(-1, 7).magnitude == 7
    assert Interval(-3, 2).union(Interval(0, 5)) == Interval(-3, 5)
    graph = tiny_vit_graph(np.random.default_rng(0), tokens=5, heads=2)
    scores = graph.tensors["blocks.0.attn.qk"]
    assert (scores.tokens, scores.features, scores.elements) == (5, 5, 50)


def test_inputs_of(graph: Graph) -> None:
    add = next(op for op in graph.ops if isinstance(op, Add))
    assert [t.name for t in graph.inputs_of(add)] == ["embed", "embedding"]
