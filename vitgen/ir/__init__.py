"""The integer intermediate representation; ``docs/ir.md`` is its specification."""

from vitgen.ir.graph import Graph, GraphBuilder, OutlineBuilder
from vitgen.ir.ops import (
    FIXED,
    OPS,
    POT,
    SCHEME_NAMES,
    Add,
    Compact,
    Gelu,
    LayerNorm,
    Linear,
    MatMulAV,
    MatMulQK,
    Op,
    Pool,
    Score,
    Sigmoid,
    Softmax,
    Unfold,
)
from vitgen.ir.storage import dump, load
from vitgen.ir.tensor import Interval, Tensor, full_range

__all__ = [
    "FIXED",
    "OPS",
    "POT",
    "SCHEME_NAMES",
    "Add",
    "Compact",
    "Gelu",
    "Graph",
    "GraphBuilder",
    "Interval",
    "LayerNorm",
    "Linear",
    "MatMulAV",
    "MatMulQK",
    "Op",
    "OutlineBuilder",
    "Pool",
    "Score",
    "Sigmoid",
    "Softmax",
    "Tensor",
    "Unfold",
    "dump",
    "full_range",
    "load",
]
