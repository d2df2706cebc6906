"""The ops, one module each: shapes, intervals and MACs. ``docs/ir.md`` is their specification."""

from vitgen.ir.ops.add import Add
from vitgen.ir.ops.attention import MatMulAV, MatMulQK
from vitgen.ir.ops.base import OPS, Op
from vitgen.ir.ops.compact import Compact
from vitgen.ir.ops.gelu import Gelu
from vitgen.ir.ops.layernorm import LayerNorm
from vitgen.ir.ops.linear import FIXED, POT, SCHEME_NAMES, Linear
from vitgen.ir.ops.pool import Pool
from vitgen.ir.ops.score import Score
from vitgen.ir.ops.sigmoid import Sigmoid
from vitgen.ir.ops.softmax import Softmax
from vitgen.ir.ops.unfold import Unfold

__all__ = [
    "FIXED",
    "OPS",
    "POT",
    "SCHEME_NAMES",
    "Add",
    "Compact",
    "Gelu",
    "LayerNorm",
    "Linear",
    "MatMulAV",
    "MatMulQK",
    "Op",
    "Pool",
    "Score",
    "Sigmoid",
    "Softmax",
    "Unfold",
]
