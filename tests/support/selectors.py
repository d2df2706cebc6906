"""Token selectors in random graphs."""

from typing import Any

import numpy as np

from vitgen.arith import quantize_multipliers
from vitgen.ir import Compact, Gelu, Graph, GraphBuilder, Linear, Pool, Score, Sigmoid, Softmax
from vitgen.ir.ops.base import Op

UNIT = 3.0 / 127


class SelectorBuilder:
    """The ops of a selector before ``block``; names of tensors are those of ops."""

    def __init__(self, rng: np.random.Generator, builder: GraphBuilder, block: str, **sizes: int):
        self.rng, self.builder, self.name = rng, builder, f"{block}.selector"
        self.tokens, self.width, self.heads = sizes["tokens"], sizes["width"], sizes["heads"]
        self.fraction, self.delta = sizes["fraction"], sizes["delta"]

    def add(self, op: Op, features: int, bits: int, scale: float, fraction: Any = None) -> str:
        self.builder.add(op, (self.tokens, features), bits, scale, fraction)
        return op.output

    def linear(self, part: str, source: str, rows: int, features: int, **form: Any) -> str:
        """An 8-bit layer, shared by ``heads``, with outputs of about ``std``; 16 bits in a fixed
        point unless ``bits`` says otherwise."""
        heads, std = form.get("heads", 1), form.get("std", 1.5 * 2**self.fraction)
        weight = form.get("weight", self.rng.integers(-127, 128, (rows, features)))
        power = np.sqrt((weight.astype(float) ** 2).sum(axis=1)) * 40 + 1
        mult, shift = quantize_multipliers(std / power * self.rng.uniform(0.7, 1.3, rows))
        name = f"{self.name}.{part}"
        op = Linear(
            name, (source,), name,
            weight=weight.astype(np.int8),
            row_scheme=np.zeros(rows, np.uint8),
            row_bits=np.full(rows, 8, np.uint8),
            bias=np.rint(self.rng.normal(0, 0.3, rows) * power).astype(np.int32),
            mult=mult.astype(np.int32), shift=shift, heads=heads,
        )  # fmt: skip
        bits = form.get("bits", 16)
        fraction = self.fraction if bits == 16 else None
        scale = 2.0**-self.fraction if bits == 16 else UNIT
        return self.add(op, heads * rows, bits, scale, fraction)

    def gelu(self, source: str, features: int) -> str:
        mult, shift = quantize_multipliers(np.asarray(2.0 ** -(self.fraction + 1) / UNIT))
        name = f"{source}_gelu"
        op = Gelu(name, (source,), name, delta=self.delta, mult=int(mult), shift=shift)
        return self.add(op, features, 8, UNIT)

    def build(self, stream: str, norm: str, threshold: int) -> str:
        """The stream behind the selector; ``norm`` is its normalised form."""
        heads, size = self.heads, self.width // self.heads
        local, fused, hidden = max(1, size // 2), max(1, size // 4), -(-heads // 2)
        x = self.linear("mlp1", norm, local, size, heads=heads)
        x = self.gelu(x, heads * local)
        pooled = f"{self.name}.pool"
        self.add(Pool(pooled, (x,), pooled, heads), 2 * heads * local, 8, UNIT)
        x = self.gelu(self.linear("mlp2a", pooled, local, 2 * local, heads=heads), heads * local)
        x = self.gelu(self.linear("mlp2b", x, fused, local, heads=heads), heads * fused)
        x = self.linear("mlp2c", x, 2, fused, heads=heads)
        classes, importance = f"{self.name}.classes", f"{self.name}.importance"
        self.add(Softmax(classes, (x,), classes, group=2), 2 * heads, 8, 2.0**-7)
        ones = np.kron(np.eye(heads, dtype=np.int64), np.ones((1, size), dtype=np.int64))
        x = self.linear("mean", norm, heads, self.width, weight=ones, bits=8, std=40.0)
        x = self.gelu(self.linear("mlp3a", x, hidden, heads), hidden)
        x = self.linear("mlp3b", x, heads, hidden)
        self.add(Sigmoid(importance, (x,), importance), heads, 8, 2.0**-7)
        score, compact = f"{self.name}.score", f"{self.name}.compact"
        self.add(Score(score, (classes, importance), score), 1, 15, 2.0**-14)
        scale = self.builder._tensors[stream].scale
        op = Compact(compact, (stream, score), compact, threshold)
        return self.add(op, self.width, 16, scale)


def compactions(graph: Graph) -> list[Compact]:
    """The compactions of a graph, in order."""
    return [op for op in graph.ops if isinstance(op, Compact)]
