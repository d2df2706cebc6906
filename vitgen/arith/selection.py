"""What decides which tokens go on: sigmoid in pieces, scores, and weighted means of tokens.

A mean multiplies by a reciprocal that is brought to 17 bits, as LayerNorm's is, so that one number of
any size serves a count of tokens and a sum of weights. Of equal values it gives the value itself, and
of others one between the least and the greatest.
"""

import numpy as np
from numpy.typing import NDArray

Int = NDArray[np.int64]

SHARE_BITS = 8  # of sigmoids and probabilities: 1 stands for 2**-7
SCORE_FRACTION = 14
WEIGHT_SHIFT = 7  # a package's weights are scores of 7 bits
RECIPROCAL_FRACTION = 16
MAX_TOKENS = 1023


def sigmoid(q: Int, fraction: int) -> Int:
    """Sigmoid of ``q / 2**fraction`` in straight pieces (PLAN), in units of ``2**-7``.

    Slopes are 1/4 up to 1, 1/8 up to 2.375, 1/32 up to 5, and 0.

    Parameters
    ----------
    q : inputs of 16 bits.
    fraction : 8 to 12.

    Returns
    -------
    1 to 127: a head that does not count keeps the least weight, so that no sum of weights is 0.
    """
    one = np.int64(1) << fraction
    size = np.abs(q)
    # In units of 2**-(fraction + 5), where all pieces are whole.
    upper = np.where(
        size >= 5 * one,
        32 * one,
        np.where(
            8 * size >= 19 * one,
            size + 27 * one,
            np.where(size >= one, 4 * size + 20 * one, 8 * size + 16 * one),
        ),
    )
    value = np.where(q < 0, 32 * one - upper, upper)
    fall = fraction - 2
    result: Int = np.clip((value + (1 << (fall - 1))) >> fall, 1, 127)
    return result


def keep_score(classes: Int, importance: Int) -> Int:
    """Mean of the heads' keep probabilities, weighted by importance, in units of ``2**-14``.

    Parameters
    ----------
    classes : ``(tokens, 2 * heads)``, 0..127: of each head the probability to keep and that to drop.
    importance : ``(tokens, heads)``, 1..127.

    Returns
    -------
    ``(tokens, 1)``, 0..16256.
    """
    total = (classes[:, ::2] * importance).sum(axis=1, keepdims=True)
    weight = importance.sum(axis=1, keepdims=True)
    score: Int = ((total << WEIGHT_SHIFT) + (weight >> 1)) // weight
    return score


def token_weight(score: Int) -> Int:
    """Weight of a token in a package, 1 to 127."""
    weight: Int = np.maximum(score >> WEIGHT_SHIFT, 1)
    return weight


def weighted_mean(x: Int, weight: Int) -> Int:
    """Mean of tokens, weighted: ``(features,)``.

    Parameters
    ----------
    x : ``(tokens, features)``, 16 bits, 1 to 1,023 tokens.
    weight : ``(tokens,)``, 1 to 127.
    """
    total = int(weight.sum())
    shift = RECIPROCAL_FRACTION + total.bit_length()
    reciprocal = (1 << shift) // total
    acc = (x * weight[:, None]).sum(axis=0)
    mean: Int = (acc * reciprocal + (1 << (shift - 1))) >> shift
    return mean
