"""The integer functions that define every output bit.

All take and return NumPy ``int64`` arrays (any shape unless said otherwise), allocate their results
and have no state. The emitted C++ computes the same functions; ``docs/ir.md`` states them in prose.
"""

from vitgen.arith.codes import pot_code, pot_value
from vitgen.arith.gelu import gelu
from vitgen.arith.layernorm import layernorm, reciprocal_sqrt
from vitgen.arith.requant import clamp, quantize_multipliers, requant, symmetric_limit
from vitgen.arith.softmax import softmax

__all__ = [
    "clamp",
    "gelu",
    "layernorm",
    "pot_code",
    "pot_value",
    "quantize_multipliers",
    "reciprocal_sqrt",
    "requant",
    "softmax",
    "symmetric_limit",
]
