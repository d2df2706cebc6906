"""Steps: the ops of a graph grouped as the hardware executes them, one or few instructions each.

A product carries what follows it on the way out of the requantizer: scores run through softmax, the
first MLP layer through GELU, increments into the residual stream.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from vitgen.design.isa import LoadTarget, Route
from vitgen.design.stem import Stem, make_stem
from vitgen.errors import VitgenError
from vitgen.ir import (
    POT,
    Add,
    Compact,
    Gelu,
    Graph,
    LayerNorm,
    Linear,
    MatMulAV,
    MatMulQK,
    Op,
    Softmax,
    Tensor,
    Unfold,
)


@dataclass(frozen=True)
class LoadStep:
    """Bring the image patches or the embedding from DRAM into a bank."""

    name: str
    tensor: Tensor
    target: LoadTarget


@dataclass(frozen=True)
class NormStep:
    """LayerNorm of the residual stream."""

    op: LayerNorm
    x: Tensor
    y: Tensor

    @property
    def name(self) -> str:
        """The op's name."""
        return self.op.name


@dataclass(frozen=True)
class LinearStep:
    """A linear layer and what its words run through: ``post`` is a GELU, a residual add or None."""

    op: Linear
    x: Tensor
    y: Tensor
    route: Route
    post: Gelu | Add | None

    @property
    def name(self) -> str:
        """The linear op's name."""
        return self.op.name

    @property
    def rows_by_kind(self) -> dict[str, int]:
        """Rows of each kind: ``w4``, ``w8`` (fixed point) and ``pot``."""
        pot = self.op.row_scheme == POT
        return {
            "w4": int(np.sum(~pot & (self.op.row_bits == 4))),
            "w8": int(np.sum(~pot & (self.op.row_bits == 8))),
            "pot": int(np.sum(pot)),
        }


@dataclass(frozen=True)
class AttentionStep:
    """Scores, softmax and the weighted values of every head of a block."""

    scores: MatMulQK
    softmax: Softmax
    values: MatMulAV
    q: Tensor
    k: Tensor
    v: Tensor
    score: Tensor
    prob: Tensor
    y: Tensor

    @property
    def name(self) -> str:
        """The name of the scores' op."""
        return self.scores.name

    @property
    def head_dim(self) -> int:
        """Features of a head."""
        return self.q.features // self.scores.heads


@dataclass(frozen=True)
class StemStep:
    """A convolutional stem, token tile after token tile, and the projection of its patches."""

    stem: Stem
    project: LinearStep

    @property
    def name(self) -> str:
        """The projection's name."""
        return self.project.name


Step = LoadStep | NormStep | LinearStep | AttentionStep | StemStep


class _Fuser:
    """Walks a graph and groups its ops; each op must find its place in a pattern."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._stream = ""  # the tensor that the residual bank holds
        self._users: dict[str, list[Op]] = {}
        for op in graph.ops:
            for name in op.inputs:
                self._users.setdefault(name, []).append(op)

    def _refuse(self, op: Op, why: str) -> VitgenError:
        return VitgenError(
            f"Op {op.name} ({op.kind}) {why}.",
            "The accelerator runs pre-norm transformer blocks: see docs/accelerator.md.",
        )

    def _only_user(self, op: Op) -> Op:
        users = self._users.get(op.output, [])
        if len(users) != 1:
            raise self._refuse(op, f"has {len(users)} readers where one is expected")
        return users[0]

    def _tensor(self, name: str) -> Tensor:
        return self._graph.tensors[name]

    def _take_stream(self, op: Op, expected: set[str]) -> None:
        if set(op.inputs) != expected:
            raise self._refuse(op, f"reads {op.inputs}, but the residual stream is {self._stream!r}")

    def _linear(self, op: Linear) -> LinearStep:
        x, y = self._tensor(op.inputs[0]), self._tensor(op.output)
        if op.output == self._graph.output:
            return LinearStep(op, x, y, Route.STORE, None)
        users = self._users.get(op.output, [])
        kinds = {type(user) for user in users}
        if kinds == {MatMulQK}:
            role = {user.inputs.index(op.output) for user in users}
            if role == {0}:
                return LinearStep(op, x, y, Route.ACT, None)
            if role == {1}:
                return LinearStep(op, x, y, Route.KEY, None)
        if kinds == {MatMulAV}:
            return LinearStep(op, x, y, Route.VALUE, None)
        if kinds == {Linear}:
            return LinearStep(op, x, y, Route.ACT, None)
        if len(users) == 1 and isinstance(users[0], Gelu | Add):
            post = users[0]
            route = Route.GELU if isinstance(post, Gelu) else Route.RESIDUAL
            if isinstance(post, Add):
                self._take_stream(post, {op.output, self._stream})
                self._stream = post.output
            return LinearStep(op, x, self._tensor(post.output), route, post)
        raise self._refuse(op, "feeds ops that the requantizer has no way to")

    def _attention(self, op: MatMulQK) -> AttentionStep:
        softmax = self._only_user(op)
        if not isinstance(softmax, Softmax):
            raise self._refuse(op, "is not followed by a softmax")
        values = self._only_user(softmax)
        if not isinstance(values, MatMulAV):
            raise self._refuse(softmax, "is not followed by the product with the values")
        q, k = self._graph.inputs_of(op)
        score, v = self._tensor(op.output), self._tensor(values.inputs[1])
        prob, y = self._tensor(softmax.output), self._tensor(values.output)
        return AttentionStep(op, softmax, values, q, k, v, score, prob, y)

    def _stem(self, first: Unfold) -> tuple[StemStep, set[str]]:
        """The stem that begins with an op, and the names of all its ops."""
        convs: list[tuple[Unfold, Linear]] = []
        unfold = first
        while True:
            product = self._only_user(unfold)
            if not isinstance(product, Linear):
                raise self._refuse(product, "follows an unfolding that only a linear layer may read")
            after = self._only_user(product)
            if not isinstance(after, Unfold):
                break
            convs.append((unfold, product))
            unfold = after
        stem = make_stem(convs, unfold, self._graph.tensors)
        project = self._linear(product)
        if not isinstance(project.post, Add):
            raise self._refuse(product, "is not added to the residual stream")
        names = {op.name for pair in convs for op in pair}
        return StemStep(stem, project), names | {unfold.name, product.name, project.post.name}

    def _refuse_selectors(self) -> None:
        for op in self._graph.ops:
            if isinstance(op, Compact):
                raise VitgenError(
                    f"Op {op.name} prunes tokens, and a graph with token selectors cannot be "
                    "scheduled yet.",
                    "Build without keep rates; training and the integer reference have them.",
                )

    def run(self) -> list[Step]:
        """The steps in order."""
        self._refuse_selectors()
        graph = self._graph
        steps: list[Step] = []
        if not isinstance(self._users[graph.input][0], Unfold):
            steps.append(LoadStep("load.image", self._tensor(graph.input), LoadTarget.ACT))
        for name in graph.constants:
            steps.append(LoadStep(f"load.{name}", self._tensor(name), LoadTarget.RESIDUAL))
            self._stream = name
        fused: set[str] = set()
        for op in graph.ops:
            if op.name in fused:
                continue
            step: Step
            if isinstance(op, Unfold) and op.inputs[0] == graph.input:
                step, inner = self._stem(op)
                fused.update(inner)
            elif isinstance(op, Linear):
                step = self._linear(op)
                if step.post is not None:
                    fused.add(step.post.name)
            elif isinstance(op, MatMulQK):
                step = self._attention(op)
                fused.update((step.softmax.name, step.values.name))
            elif isinstance(op, LayerNorm):
                self._take_stream(op, {self._stream})
                step = NormStep(op, self._tensor(op.inputs[0]), self._tensor(op.output))
            else:
                raise self._refuse(op, "does not follow an op that it can be fused with")
            steps.append(step)
        return _keys_first(steps)


def _keys_first(steps: list[Step]) -> list[Step]:
    """Keys before the queries of the same LayerNorm, which still writes the activation bank while the
    first product runs: keys have a bank of their own. Values stay behind, where nothing waits for
    them."""
    ordered = list(steps)
    for place, (first, second) in enumerate(pairwise(steps)):
        if not isinstance(first, LinearStep) or not isinstance(second, LinearStep):
            continue
        if first.x == second.x and (first.route, second.route) == (Route.ACT, Route.KEY):
            ordered[place : place + 2] = second, first
    return ordered


def fuse(graph: Graph) -> list[Step]:
    """Group the ops of ``graph`` into steps.

    Raises
    ------
    VitgenError : an op stands where the accelerator has no unit for it; the message names it.
    """
    return _Fuser(graph).run()
