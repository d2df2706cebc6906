"""Steps of a DeiT without its weights: shapes and row kinds, for cost models and searches.

The arrays are views of one value, so that DeiT-B takes milliseconds and no memory.
"""

import numpy as np

from vitgen.design.isa import LoadTarget, Route
from vitgen.design.steps import AttentionStep, LinearStep, LoadStep, NormStep, Step
from vitgen.ir import FIXED, POT, LayerNorm, Linear, MatMulAV, MatMulQK, Softmax, Tensor
from vitgen.ir.tensor import full_range

SIZES = {"t": (192, 3), "s": (384, 6), "b": (768, 12)}


class _Steps:
    def __init__(self, width, heads, bits, pot_ratio, tokens, mlp, act_bits):
        self.width, self.heads, self.bits, self.pot = width, heads, bits, pot_ratio
        self.tokens, self.mlp, self.act_bits = tokens, mlp, act_bits
        self.stream = self.tensor("stream", width, bits=16)
        self.found: list[Step] = []

    def tensor(self, name, features, *, tokens=None, bits=None, heads=None, fraction=None):
        tokens = tokens or self.tokens
        shape = (tokens, features) if heads is None else (heads, tokens, features)
        bits = bits or self.act_bits
        return Tensor(name, shape, bits, 1.0, full_range(bits), fraction)

    def linear(self, name, x, y, route, *, bits=None, tokens=None):
        rows = y.features
        scheme = np.full(rows, FIXED, np.uint8)
        width = np.full(rows, bits or self.bits, np.uint8)
        if bits is None:
            pot = round(rows * self.pot)
            scheme[:pot], width[:pot] = POT, 4
        weight = np.broadcast_to(np.int8(1), (rows, x.features))
        ones = np.broadcast_to(np.int32(1), (rows,))
        op = Linear(
            name, (x.name,), name, weight=weight, row_scheme=scheme, row_bits=width, bias=ones,
            mult=ones, shift=8, tokens=tokens,
        )  # fmt: skip
        self.found.append(LinearStep(op, x, y, route, None))
        return y

    def norm(self, name, tokens=None):
        ones = np.broadcast_to(np.int32(1), (self.width,))
        op = LayerNorm(
            name, (self.stream.name,), name, epsilon=1, gain=ones, bias=ones, shift=8,
            tokens=tokens,
        )  # fmt: skip
        y = self.tensor(name, self.width, tokens=tokens)
        self.found.append(NormStep(op, self.stream, y))
        return y

    def attention(self, block, x):
        routes = {"q": Route.ACT, "k": Route.KEY, "v": Route.VALUE}
        q, k, v = (
            self.linear(f"{block}.attn.{n}", x, self.tensor(f"{block}.attn.{n}", self.width), r)
            for n, r in routes.items()
        )
        score = self.tensor(f"{block}.attn.qk", self.tokens, bits=16, heads=self.heads, fraction=10)
        prob = self.tensor(f"{block}.attn.softmax", self.tokens, heads=self.heads)
        y = self.tensor(f"{block}.attn.av", self.width)
        qk = MatMulQK(score.name, (q.name, k.name), score.name, heads=self.heads, mult=1, shift=1)
        softmax = Softmax(prob.name, (score.name,), prob.name)
        av = MatMulAV(y.name, (prob.name, v.name), y.name, heads=self.heads, mult=1, shift=1)
        self.found.append(AttentionStep(qk, softmax, av, q, k, v, score, prob, y))
        return y

    def block(self, block):
        mixed = self.attention(block, self.norm(f"{block}.norm1"))
        self.linear(f"{block}.attn.proj", mixed, self.stream, Route.RESIDUAL)
        hidden = self.tensor(f"{block}.mlp.gelu", round(self.mlp * self.width))
        normed = self.norm(f"{block}.norm2")
        self.linear(f"{block}.mlp.fc1", normed, hidden, Route.GELU)
        self.linear(f"{block}.mlp.fc2", hidden, self.stream, Route.RESIDUAL)


def vit_steps(
    width,
    heads,
    *,
    bits=4,
    pot_ratio=0.0,
    depth=12,
    tokens=197,
    patch_features=768,
    classes=1000,
    mlp=4,
    act_bits=8,
) -> list[Step]:
    """Steps of a ViT as ``fuse`` would order them; patch embedding and head at 8 bits."""
    vit = _Steps(width, heads, bits, pot_ratio, tokens, mlp, act_bits)
    patches = vit.tensor("patches", patch_features, bits=8)
    vit.found += [
        LoadStep("load.image", patches, LoadTarget.ACT),
        LoadStep("load.embedding", vit.stream, LoadTarget.RESIDUAL),
    ]
    vit.linear("embed", patches, vit.stream, Route.RESIDUAL, bits=8)
    for index in range(depth):
        vit.block(f"blocks.{index}")
    last = vit.norm("norm", tokens=1)
    logits = vit.tensor("head", classes, tokens=1, bits=16)
    vit.linear("head", last, logits, Route.STORE, bits=8, tokens=1)
    return vit.found


def deit_steps(size, **options) -> list[Step]:
    """Steps of DeiT-T, -S or -B (``size`` "t", "s", "b") at 224 x 224, patches of 16."""
    return vit_steps(*SIZES[size], **options)
