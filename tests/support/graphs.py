"""Small random graphs in the shape of a Vision Transformer, for every test that needs one.

The weights are random, the scales are not: multipliers are chosen from the standard deviations that
random weights give, so that tensors use their range without sitting at its ends.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tests.support.selectors import SelectorBuilder
from vitgen.arith import quantize_multipliers, symmetric_limit
from vitgen.ir import (
    FIXED,
    POT,
    Add,
    Gelu,
    Graph,
    GraphBuilder,
    LayerNorm,
    Linear,
    MatMulAV,
    MatMulQK,
    Softmax,
    Unfold,
)

Int = NDArray[np.int64]
Generator = np.random.Generator

CREST = 3.0  # limit of a tensor over its standard deviation
NORM_SHIFT = 20
RESIDUAL_SCALE = 2.0**-10
LOGIT_STD = 6000


@dataclass(frozen=True)
class Rows:
    """How the rows of a linear layer are quantized.

    Parameters
    ----------
    bits : width of the fixed rows, 4 or 8.
    pot_ratio : share of the rows that are powers of two.
    wide_ratio : share of the rows that are fixed with 8 bits whatever ``bits`` says.
    """

    bits: int = 4
    pot_ratio: float = 0.0
    wide_ratio: float = 0.0


@dataclass(frozen=True)
class StemSizes:
    """A convolutional stem: an image of ``image x image`` pixels, convolutions
    ``(kernel, stride, channels)``, then patches of ``patch x patch`` positions."""

    image: int
    channels: int
    convs: tuple[tuple[int, int, int], ...]
    patch: int

    @property
    def tokens(self) -> int:
        size = self.image
        for _, stride, _ in self.convs:
            size = -(-size // stride)
        return (size // self.patch) ** 2 + 1


def random_rows(rng: Generator, rows: int, features: int, mix: Rows) -> dict[str, NDArray]:
    """Arrays ``weight``, ``row_scheme``, ``row_bits`` of a :class:`Linear`, shuffled."""
    pot = round(rows * mix.pot_ratio)
    wide = min(round(rows * mix.wide_ratio), rows - pot)
    kinds = [(POT, 4)] * pot + [(FIXED, 8)] * wide + [(FIXED, mix.bits)] * (rows - pot - wide)
    order = rng.permutation(rows)
    scheme = np.array([kinds[i][0] for i in order], dtype=np.uint8)
    bits = np.array([kinds[i][1] for i in order], dtype=np.uint8)
    limit = np.where(bits == 8, 127, 7)[:, None]
    normal = rng.standard_normal((rows, features), dtype=np.float32)
    fixed = np.clip(np.rint(normal * (limit / CREST)), -limit, limit)
    power = np.sign(normal) * np.exp2(np.clip(np.rint(np.log2(np.abs(normal) * 24 + 1e-9)), -1, 6))
    power[np.abs(power) < 1] = 0
    weight = np.where((scheme == POT)[:, None], power, fixed).astype(np.int8)
    return {"weight": weight, "row_scheme": scheme, "row_bits": bits}


def random_linear(
    rng: Generator,
    name: str,
    source: str,
    *,
    rows: int,
    features: int,
    mix: Rows,
    input_std: float,
    output_std: float,
    bias: bool = True,
    tokens: int | None = None,
    relu: bool = False,
) -> Linear:
    """A linear layer whose output has about ``output_std``, each row within a third of it."""
    arrays = random_rows(rng, rows, features, mix)
    power = np.sqrt((arrays["weight"].astype(np.float64) ** 2).sum(axis=1))
    acc_std = np.maximum(power * input_std, 1.0)
    factors = output_std / acc_std * rng.uniform(0.67, 1.33, rows)
    mult, shift = quantize_multipliers(factors)
    offset = np.rint(rng.normal(0, 0.3, rows) * acc_std) if bias else np.zeros(rows)
    return Linear(
        name,
        (source,),
        name,
        bias=offset.astype(np.int32),
        mult=mult.astype(np.int32),
        shift=shift,
        tokens=tokens,
        relu=relu,
        **arrays,
    )


class _VitBuilder:
    """State of :func:`tiny_vit_graph`: the builder and the sizes."""

    def __init__(
        self,
        rng: Generator,
        builder: GraphBuilder,
        *,
        tokens: int,
        width: int,
        heads: int,
        mlp: int,
        mix: Rows,
        act_bits: int,
        delta: int,
        fraction: int,
        residual_std: float,
    ) -> None:
        self.rng, self.builder = rng, builder
        self.tokens, self.width, self.heads, self.mlp = tokens, width, heads, mlp
        self.mix, self.bits = mix, act_bits
        self.delta, self.fraction, self.residual_std = delta, fraction, residual_std
        self.limit = symmetric_limit(act_bits)
        self.std = self.limit / CREST

    def stem(self, sizes: StemSizes) -> tuple[str, int]:
        """Unfoldings and convolutions; the tensor that the projection reads and its features."""
        source, size, channels = "patches", sizes.image, sizes.channels
        place = (8, 2.0 / 127)  # bits and scale of the source
        for number, (kernel, stride, rows) in enumerate(sizes.convs):
            name = f"stem.{number}"
            size, before = -(-size // stride), size
            window = kernel * kernel * channels
            unfold = Unfold(
                f"{name}.unfold", (source,), f"{name}.unfold", height=before, width=before,
                kernel=kernel, stride=stride, padding=kernel // 2, lead=0,
            )  # fmt: skip
            tensor = self.builder.add(unfold, (size * size, window), *place)
            op = random_linear(
                self.rng, name, tensor.name, rows=rows, features=window, mix=Rows(8),
                input_std=127 / CREST if number == 0 else 0.6 * self.std, output_std=self.std,
                relu=True,
            )  # fmt: skip
            source, channels, place = name, rows, (self.bits, CREST / self.limit)
            self.builder.add(op, (size * size, rows), *place)
        unfold = Unfold(
            "stem.patches", (source,), "stem.patches", height=size, width=size,
            kernel=sizes.patch, stride=sizes.patch, padding=0, lead=1,
        )  # fmt: skip
        features = sizes.patch**2 * channels
        self.builder.add(unfold, (self.tokens, features), *place)
        return unfold.name, features

    def norm(self, name: str, source: str, tokens: int | None = None) -> str:
        epsilon = max(1, round(self.width**2 * 1e-6 / RESIDUAL_SCALE**2))
        unit = self.std * 2.0 ** (NORM_SHIFT - 11)
        gain = np.rint(self.rng.normal(1.0, 0.2, self.width) * unit)
        bias = np.rint(self.rng.normal(0.0, 0.2, self.width) * self.std * 2.0**NORM_SHIFT)
        op = LayerNorm(
            name,
            (source,),
            name,
            epsilon=epsilon,
            gain=gain.astype(np.int32),
            bias=bias.astype(np.int32),
            shift=NORM_SHIFT,
            tokens=tokens,
        )
        shape = (tokens or self.tokens, self.width)
        self.builder.add(op, shape, self.bits, CREST / self.limit)
        return name

    def linear(
        self,
        name: str,
        source: str,
        rows: int,
        features: int,
        *,
        output_std: float | None = None,
        bits: int | None = None,
        scale: float | None = None,
        fraction: int | None = None,
        mix: Rows | None = None,
        input_std: float | None = None,
        bias: bool = True,
        tokens: int | None = None,
    ) -> str:
        op = random_linear(
            self.rng,
            name,
            source,
            rows=rows,
            features=features,
            mix=mix or self.mix,
            input_std=input_std or self.std,
            output_std=output_std or self.std,
            bias=bias,
            tokens=tokens,
        )
        if scale is None:
            scale = CREST / self.limit if fraction is None else 2.0**-fraction
        shape = (tokens or self.tokens, rows)
        self.builder.add(op, shape, bits or self.bits, scale, fraction)
        return name

    def residual(self, name: str, stream: str, source: str, features: int, total: str) -> str:
        """A linear layer onto the residual stream and its addition."""
        self.linear(
            name,
            source,
            self.width,
            features,
            output_std=self.residual_std,
            bits=16,
            scale=RESIDUAL_SCALE,
        )
        return self.add(total, stream, name)

    def add(self, name: str, stream: str, increment: str) -> str:
        op = Add(name, (stream, increment), name)
        self.builder.add(op, (self.tokens, self.width), 16, RESIDUAL_SCALE)
        return name

    def attention(self, block: str, source: str, softmax_shift: int) -> str:
        q, k, v = (self.linear(f"{block}.attn.{x}", source, self.width, self.width) for x in "qkv")
        score = self.std**2 * math.sqrt(self.width // self.heads)
        mult, shift = quantize_multipliers(np.asarray(1.5 * 2**self.fraction / score))
        shape = (self.heads, self.tokens, self.tokens)
        scores, chances = f"{block}.attn.qk", f"{block}.attn.softmax"
        self.builder.add(
            MatMulQK(scores, (q, k), scores, heads=self.heads, mult=int(mult), shift=shift),
            shape,
            16,
            2.0**-self.fraction,
            self.fraction,
        )
        softmax = Softmax(chances, (scores,), chances, softmax_shift)
        steps = 2.0 ** (self.bits - 1 + softmax_shift)
        self.builder.add(softmax, shape, self.bits, 1 / steps)
        # A row of chances sums to about as many steps as 1 has, or to a limit per key that saturates;
        # a few keys carry most of it.
        value = min(steps, self.limit * self.tokens) * self.std * 0.5
        mult, shift = quantize_multipliers(np.asarray(self.std / value))
        mixed = f"{block}.attn.av"
        self.builder.add(
            MatMulAV(mixed, (chances, v), mixed, heads=self.heads, mult=int(mult), shift=shift),
            (self.tokens, self.width),
            self.bits,
            CREST / self.limit,
        )
        return mixed

    def selector(self, block: str, stream: str, threshold: int) -> str:
        """The stream behind a token selector."""
        selector = SelectorBuilder(
            self.rng, self.builder, block, tokens=self.tokens, width=self.width, heads=self.heads,
            fraction=self.fraction, delta=self.delta,
        )  # fmt: skip
        return selector.build(stream, self.norm(f"{block}.selector.norm", stream), threshold)

    def block(self, block: str, stream: str, softmax_shift: int) -> str:
        mixed = self.attention(block, self.norm(f"{block}.norm1", stream), softmax_shift)
        stream = self.residual(f"{block}.attn.proj", stream, mixed, self.width, f"{block}.attn.add")
        hidden = self.linear(
            f"{block}.mlp.fc1",
            self.norm(f"{block}.norm2", stream),
            self.mlp,
            self.width,
            output_std=1.3 * 2**self.fraction,
            bits=16,
            fraction=self.fraction,
        )
        active = f"{block}.mlp.gelu"
        scale = 3.5 / self.limit
        mult, shift = quantize_multipliers(np.asarray(2.0 ** -(self.fraction + 1) / scale))
        self.builder.add(
            Gelu(active, (hidden,), active, delta=self.delta, mult=int(mult), shift=shift),
            (self.tokens, self.mlp),
            self.bits,
            scale,
        )
        return self.residual(f"{block}.mlp.fc2", stream, active, self.mlp, f"{block}.mlp.add")


def tiny_vit_graph(
    rng: Generator,
    *,
    tokens: int = 5,
    width: int = 8,
    heads: int = 2,
    depth: int = 1,
    mlp: int = 12,
    classes: int = 3,
    patch_features: int = 6,
    weight_bits: int = 4,
    act_bits: int = 8,
    pot_ratio: float = 0.5,
    wide_ratio: float = 0.0,
    delta: int = 256,
    fraction: int = 10,
    residual_std: float = 2000.0,
    stem: StemSizes | None = None,
    shifts: Sequence[int] = (0,),
    thresholds: Mapping[int, int] | None = None,
) -> Graph:
    """A random ViT of the op sequence that lowering produces; tensor names are op names.

    Parameters
    ----------
    rng : all randomness comes from it.
    tokens : including CLS, at least 1.
    width : a multiple of ``heads``; at most 1,024.
    weight_bits : 4 or 8, of the fixed rows in the blocks; the patch embedding and the head have 8.
    act_bits : 4 to 8.
    pot_ratio, wide_ratio : share of power-of-two rows and of 8-bit fixed rows in the blocks.
    delta, fraction : GELU's gain in 1/256 and the fractional bits of GELU's and softmax's inputs.
    residual_std : standard deviation of what a layer adds to the 16-bit residual stream; 15,000 and
        more make the additions saturate often.
    stem : a convolutional stem in the place of patches; it determines the tokens.
    shifts : of the softmax of each block in turn, from the first again when they are used up.
    thresholds : of the token selectors, by the block behind them.
    """
    if stem is not None:
        tokens = stem.tokens
    builder = GraphBuilder("tiny_vit", bits=f"{weight_bits}/{act_bits}", classes=classes)
    vit = _VitBuilder(
        rng,
        builder,
        tokens=tokens,
        width=width,
        heads=heads,
        mlp=mlp,
        mix=Rows(weight_bits, pot_ratio, wide_ratio),
        act_bits=act_bits,
        delta=delta,
        fraction=fraction,
        residual_std=residual_std,
    )
    source = "patches"
    if stem is None:
        builder.input("patches", (tokens, patch_features), 8, 2.0 / 127)
    else:
        builder.input("patches", (stem.image**2, stem.channels), 8, 2.0 / 127)
        source, patch_features = vit.stem(stem)
    vit.linear(
        "embed",
        source,
        width,
        patch_features,
        mix=Rows(8) if stem is None else vit.mix,
        input_std=127 / CREST if stem is None else 0.6 * vit.std,
        bits=16,
        scale=RESIDUAL_SCALE,
        output_std=residual_std,
        bias=False,
    )
    embedding = np.clip(np.rint(rng.normal(0, residual_std, (tokens, width))), -32767, 32767)
    builder.constant("embedding", embedding.astype(np.int64), 16, RESIDUAL_SCALE)
    stream = vit.add("embed.add", "embed", "embedding")
    for index in range(depth):
        if thresholds and index in thresholds:
            stream = vit.selector(f"blocks.{index}", stream, thresholds[index])
        stream = vit.block(f"blocks.{index}", stream, shifts[index % len(shifts)])
    last = vit.norm("norm", stream, tokens=1)
    vit.linear(
        "head",
        last,
        classes,
        width,
        mix=Rows(8),
        bits=16,
        scale=2.0**-10,
        output_std=LOGIT_STD,
        tokens=1,
    )
    return builder.finish("head")


def random_patches(rng: Generator, graph: Graph, images: int | None = None) -> Int:
    """Patches ``(tokens, features)``, or ``(images, tokens, features)``; the CLS row is zero.

    Normal over a third of the range, clipped, so that both ends occur.
    """
    tensor = graph.tensors[graph.input]
    limit = tensor.interval.hi
    shape = tensor.shape if images is None else (images, *tensor.shape)
    patches = np.clip(np.rint(rng.normal(0, limit / CREST, shape)), -limit, limit)
    if not any(isinstance(op, Unfold) for op in graph.ops):
        patches[..., 0, :] = 0
    return patches.astype(np.int64)
