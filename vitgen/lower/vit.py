"""A calibrated Vision Transformer to an integer graph, op by op in the order of execution."""

import dataclasses

import numpy as np
import torch

from vitgen.arith.gelu import DELTA_ONE
from vitgen.errors import VitgenError
from vitgen.ir import (
    Add,
    Gelu,
    Graph,
    GraphBuilder,
    LayerNorm,
    MatMulAV,
    MatMulQK,
    Softmax,
    Tensor,
    Unfold,
)
from vitgen.lower.parameters import (
    Rows,
    folded_rows,
    layernorm_parameters,
    linear_op,
    multiplier,
    rows_of,
)
from vitgen.models.layers import Shared
from vitgen.models.sites import Window, input_name, op_sites, windows
from vitgen.models.vit import Block, Vit
from vitgen.quant.activations import ActQuant, act_quantizer
from vitgen.quant.calibration import act_quantizers

LOGITS = "head.out"


@dataclasses.dataclass(frozen=True)
class Site:
    """Numbers of the tensor that an op writes: width, scale, fixed binary point if any."""

    bits: int
    scale: float
    fraction: int | None


def _site(quantizer: ActQuant) -> Site:
    return Site(quantizer.bits, quantizer.scale, quantizer.fraction)


class _Lowering:
    """State of one lowering: the model, the builder, the tensors by op.

    Parameters
    ----------
    model : quantized and calibrated.
    name : of the graph.
    """

    def __init__(self, model: Vit, name: str) -> None:
        assert model.quant is not None
        self.model, self.config, self.quant = model, model.config, model.quant
        self.builder = GraphBuilder(name, **_meta(model))
        self.stream = _site(act_quantizer(model.residual))
        self.sites = op_sites(model.config)

    def site(self, op: str) -> Site:
        """Numbers of the output of ``op``; ops on the residual stream share the stream's."""
        module = self.model.get_submodule(self.sites[op])
        return self.stream if isinstance(module, Shared) else _site(act_quantizer(module))

    def linear(
        self,
        op: str,
        x: Tensor,
        rows: Rows,
        tokens: int | None = None,
        divisor: float = 1.0,
        relu: bool = False,
    ) -> Tensor:
        """A linear layer into the site of ``op``."""
        site = self.site(op)
        node = linear_op(op, x, rows, site.scale, tokens, divisor, relu)
        shape = (x.tokens if tokens is None else tokens, len(rows.scale))
        return self.builder.add(node, shape, site.bits, site.scale, site.fraction)

    def add(self, op: str, stream: Tensor, increment: Tensor) -> Tensor:
        """A residual addition."""
        node = Add(op, (stream.name, increment.name), f"{op}.out")
        return self.builder.add(node, stream.shape, self.stream.bits, self.stream.scale)

    def norm(
        self, op: str, x: Tensor, module: torch.nn.LayerNorm, tokens: int | None = None
    ) -> Tensor:
        """A LayerNorm into the site of ``op``."""
        site = self.site(op)
        parameters = layernorm_parameters(op, module, x.scale, site.scale)
        node = LayerNorm(op, (x.name,), f"{op}.out", **parameters, tokens=tokens)
        shape = (x.tokens if tokens is None else tokens, x.features)
        return self.builder.add(node, shape, site.bits, site.scale)

    def unfold(self, window: Window, x: Tensor) -> Tensor:
        """The windows of a map of the stem."""
        node = Unfold(
            window.op,
            (x.name,),
            f"{window.op}.out",
            window.side,
            window.side,
            window.kernel,
            window.stride,
            window.padding,
            window.lead,
        )
        shape = (window.lead + node.out_height * node.out_width, window.kernel**2 * window.channels)
        return self.builder.add(node, shape, x.bits, x.scale)

    def patches(self) -> tuple[Tensor, Rows]:
        """What the patch embedding reads, behind the stem if there is one, and its rows."""
        config, embed = self.config, self.model.patch_embed
        pixels = act_quantizer(embed.pixels)
        shape = (config.tokens, config.patch_features)
        if config.stem:
            shape = (config.image**2, config.channels)
        x = self.builder.input(input_name(config), shape, pixels.bits, pixels.scale)
        rows = rows_of(embed.proj, bias=False)
        if not config.stem:
            return x, rows
        *convolutions, last = windows(config)
        for number, window in zip(embed.numbers, convolutions, strict=True):
            conv = folded_rows(*embed.stage(number)).by_window(window.kernel)
            x = self.linear(window.reader, self.unfold(window, x), conv, relu=True)
        return self.unfold(last, x), rows.by_window(last.kernel)

    def embed(self) -> Tensor:
        """Patches, the embedding constant and their sum."""
        model = self.model
        embedded = self.linear("embed", *self.patches())
        position = model.position_constant().detach().double().numpy()
        limit = (1 << (self.stream.bits - 1)) - 1
        # Half up and clamped, as the quantizer that the model was calibrated with does.
        data = np.clip(np.floor(position / self.stream.scale + 0.5), -limit, limit)
        constant = self.builder.constant(
            "embedding", data.astype(np.int64), self.stream.bits, self.stream.scale
        )
        return self.add("embed.add", embedded, constant)

    def attention(self, name: str, x: Tensor, block: Block) -> Tensor:
        """From the normalised tokens to the increment of the stream."""
        heads, tokens, width = self.config.heads, x.tokens, self.config.embed_dim
        parts = rows_of(block.attn.qkv).split(3)
        q, k, v = (
            self.linear(f"{name}.{part}", x, rows) for part, rows in zip("qkv", parts, strict=True)
        )
        op = f"{name}.qk"
        site = self.site(op)
        real = q.scale * k.scale / np.sqrt(self.config.head_dim) / site.scale
        qk = MatMulQK(op, (q.name, k.name), f"{op}.out", heads, *multiplier(op, real))
        shape = (heads, tokens, tokens)
        scores = self.builder.add(qk, shape, site.bits, site.scale, site.fraction)
        op = f"{name}.softmax"
        site = self.site(op)
        shift = act_quantizer(block.attn.softmax_out).shift
        softmax = Softmax(op, (scores.name,), f"{op}.out", shift)
        probabilities = self.builder.add(softmax, shape, site.bits, site.scale)
        op = f"{name}.av"
        site = self.site(op)
        real = probabilities.scale * v.scale / site.scale
        av = MatMulAV(op, (probabilities.name, v.name), f"{op}.out", heads, *multiplier(op, real))
        mixed = self.builder.add(av, (tokens, width), site.bits, site.scale)
        rows = rows_of(block.attn.proj)
        return self.linear(f"{name}.proj", mixed, rows, divisor=self.config.skip_lam)

    def mlp(self, name: str, x: Tensor, block: Block) -> Tensor:
        """From the normalised tokens to the increment of the stream."""
        hidden = self.linear(f"{name}.fc1", x, rows_of(block.mlp.fc1))
        op = f"{name}.gelu"
        site = self.site(op)
        delta = round(self.quant.delta1 * DELTA_ONE)
        # The integer GELU returns twice its value, which keeps the halving exact.
        mult, shift = multiplier(op, hidden.scale / 2 / site.scale)
        gelu = Gelu(op, (hidden.name,), f"{op}.out", delta, mult, shift)
        active = self.builder.add(gelu, hidden.shape, site.bits, site.scale)
        rows = rows_of(block.mlp.fc2)
        return self.linear(f"{name}.fc2", active, rows, divisor=self.config.skip_lam)

    def run(self) -> Graph:
        """The whole network."""
        x = self.embed()
        for index, block in enumerate(self.model.block_list()):
            name = f"blocks.{index}"
            inner = self.norm(f"{name}.norm1", x, block.norm1)
            x = self.add(f"{name}.attn.add", x, self.attention(f"{name}.attn", inner, block))
            inner = self.norm(f"{name}.norm2", x, block.norm2)
            x = self.add(f"{name}.mlp.add", x, self.mlp(f"{name}.mlp", inner, block))
        # Only the class token is classified.
        token = self.norm("norm", x, self.model.norm, tokens=1)
        self.linear("head", token, rows_of(self.model.head), tokens=1)
        return self.builder.finish(LOGITS)


def _meta(model: Vit) -> dict[str, object]:
    """What preprocessing and reports need; no integer of the graph depends on it."""
    config, quant = model.config, model.quant
    assert quant is not None
    return {
        "image": [config.channels, config.image, config.image],
        "patch": config.patch,
        "input_form": "pixels" if config.stem else "patches",
        "mean": list(config.mean),
        "std": list(config.std),
        "input_scale": act_quantizer(model.patch_embed.pixels).scale,
        "classes": config.classes,
        "bits": quant.label,
        "scheme": quant.scheme,
        "heads": config.heads,
        "feature_order": "channel" if config.stem else "channel,row,column",
        "config": config.to_dict(),
        "quant": quant.to_dict(),
    }


def lower(model: Vit, name: str) -> Graph:
    """See :func:`vitgen.lower.lower`."""
    if model.quant is None:
        raise VitgenError(
            "A float model cannot be lowered.", "Create it with a quantization (QuantConfig)."
        )
    for site, quantizer in act_quantizers(model).items():
        if not bool(quantizer.ready):
            raise VitgenError(
                f"The model is not calibrated: {site.split('.act_quant')[0]} has no scale.",
                "Call vitgen.quant.calibrate, or load a checkpoint that holds scales.",
            )
    with torch.no_grad():
        return _Lowering(model, name).run()
