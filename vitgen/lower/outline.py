"""The outline of a network: the integer graph's shapes, widths and kinds of rows, without weights.

It is assembled as the graph itself is, from numbers that say nothing. Free of torch.
"""

import math

import numpy as np

from vitgen.arith.gelu import DELTA_ONE
from vitgen.ir import FIXED, POT, Graph
from vitgen.lower.network import assemble_outline
from vitgen.lower.numbers import Norm, Numbers, Rows, Site, graph_meta
from vitgen.models.config import VitConfig
from vitgen.models.sites import (
    PIXEL_BITS,
    WIDE,
    RowShape,
    op_names,
    row_shapes,
    site_bits,
)
from vitgen.quant.config import LayerQuant, QuantConfig


def _rows(shape: RowShape, layer: LayerQuant) -> Rows:
    """Rows of a layer: kinds as quantization counts them, every code the same."""
    pot, wide = layer.shares(shape.rows, shape.groups)
    each = np.arange(shape.rows // shape.groups)
    scheme = np.where(each < pot, POT, FIXED).astype(np.uint8)
    bits = np.where(each >= each.size - wide, 8, 4).astype(np.uint8)
    one = np.broadcast_to(np.float64(1), (shape.rows,))
    return Rows(
        np.broadcast_to(np.int8(1), (shape.rows, shape.features)),
        one,
        np.tile(scheme, shape.groups),
        np.tile(bits, shape.groups),
        np.broadcast_to(np.float64(0), (shape.rows,)),
    )


def row_counts(config: VitConfig, quant: QuantConfig) -> dict[str, tuple[int, int, int]]:
    """Rows of every linear op by kind: fixed point of 4 and of 8 bits, powers of two."""
    counts = {}
    for op, shape in row_shapes(config).items():
        pot, wide = (shape.groups * n for n in quant.layer(op).shares(shape.rows, shape.groups))
        counts[op] = (shape.rows - pot - wide, wide, pot)
    return counts


def outline(config: VitConfig, quant: QuantConfig, name: str | None = None) -> Graph:
    """The graph of a quantized model, but for its integers.

    Tensors, ops, shapes, widths and the number of rows of every kind are those that
    :func:`vitgen.lower.lower` gives whatever the weights are. Arrays of weights are views of one value.

    Parameters
    ----------
    name : of the graph; None takes the configuration's.

    Raises
    ------
    VitgenError : an override of ``quant`` fits no op.
    """
    quant.check(op_names(config))
    width = config.embed_dim
    gamma = np.broadcast_to(np.float64(1), (width,))
    norm = Norm(gamma, gamma, config.norm_eps)
    blocks = [f"blocks.{index}" for index in range(config.depth)]
    norms = {f"{block}.norm{number}": norm for block in blocks for number in (1, 2)}
    numbers = Numbers(
        config=config,
        meta=graph_meta(config, quant, config.pixel_limit / 127),
        pixels=Site(PIXEL_BITS, 1.0),
        stream=Site(WIDE, 1.0),
        sites={op: Site(bits, 1.0) for op, bits in site_bits(config, quant).items()},
        rows={op: _rows(shape, quant.layer(op)) for op, shape in row_shapes(config).items()},
        norms=norms | {"norm": norm},
        position=np.broadcast_to(np.float64(0), (config.tokens, width)),
        factors={f"{block}.attn.qk": 1.0 / math.sqrt(config.head_dim) for block in blocks},
        shifts={f"{block}.attn.softmax": 0 for block in blocks},
        deltas={f"{block}.mlp.gelu": DELTA_ONE for block in blocks},
        divisor=config.skip_lam,
    )
    return assemble_outline(numbers, name or config.name)
