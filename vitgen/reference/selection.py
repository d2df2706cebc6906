"""Execution of the ops of token selectors."""

import numpy as np

from vitgen.arith import selection
from vitgen.ir import Compact, Pool, Score, Sigmoid
from vitgen.reference.execute import Call, Int, executes, rowwise

PACKAGE = -1
"""Number of a package among those of the tokens."""


@executes(Sigmoid)
def _sigmoid(call: Call[Sigmoid]) -> Int:
    fraction = call.tensors[0].fraction
    assert fraction is not None  # Sigmoid.check
    return rowwise(lambda x: selection.sigmoid(x, fraction), call.values[0])


@executes(Pool)
def _pool(call: Call[Pool]) -> Int:
    (x,) = call.values
    tokens = len(x)
    mean = selection.weighted_mean(x.astype(np.int64), np.ones(tokens, dtype=np.int64))
    own = x.reshape(tokens, call.op.heads, -1)
    means = np.broadcast_to(mean.reshape(call.op.heads, -1), own.shape)
    result: Int = np.concatenate([own, means], axis=2).reshape(tokens, -1).astype(np.int16)
    return result


@executes(Score)
def _score(call: Call[Score]) -> Int:
    classes, importance = (value.astype(np.int64) for value in call.values)
    result: Int = selection.keep_score(classes, importance).astype(np.int16)
    return result


@executes(Compact)
def _compact(call: Call[Compact]) -> Int:
    x, score = call.values
    count = call.tensors[0].count
    numbers = np.arange(len(x)) if count is None else call.numbers[count]
    keep = (score[:, 0] >= call.op.threshold) & (numbers != PACKAGE)
    keep[0] = True
    gone = ~keep
    if not gone.any():
        call.numbers[call.op.name] = numbers
        return x.copy()
    weight = selection.token_weight(score[gone, 0].astype(np.int64))
    package = selection.weighted_mean(x[gone].astype(np.int64), weight)
    call.numbers[call.op.name] = np.append(numbers[keep], PACKAGE)
    result: Int = np.concatenate([x[keep], package[None].astype(np.int16)])
    return result
