"""The Vision Transformer module, float or quantized, with timm's parameter names.

One class for both: a quantized model has Brevitas layers in place of torch's, and a
``QuantIdentity`` at every place where the IR has a tensor; a float model has ``Identity`` there.
"""

import math
from dataclasses import replace
from typing import cast

import torch
from torch import Generator, Tensor, nn

from vitgen.models.config import VitConfig
from vitgen.models.layers import Layers
from vitgen.models.selector import Selection, Selector, Stream
from vitgen.models.sites import op_names
from vitgen.models.stem import PatchEmbed
from vitgen.quant.calibration import assign_model_rows
from vitgen.quant.config import QuantConfig
from vitgen.quant.functions import masked_softmax, poly_gelu, poly_softmax

ATTENTIVE = 1.4
"""Standard deviation of fresh queries and keys; their scores then have about its square."""


class Attention(nn.Module):
    """Multi-head self-attention, with a site for each tensor of its six ops."""

    def __init__(
        self, name: str, config: VitConfig, layers: Layers, source: nn.Module
    ) -> None:
        super().__init__()
        width = config.embed_dim
        self.heads, self.head_dim = config.heads, config.head_dim
        self.delta2 = None if layers.quant is None else layers.quant.delta2
        self.skip_lam = config.skip_lam
        self.qkv = layers.linear(source, width, 3 * width, config.qkv_bias)
        self.q_out = layers.act(f"{name}.q")
        self.k_out = layers.act(f"{name}.k")
        self.v_out = layers.act(f"{name}.v")
        self.qk_out = layers.point()
        self.softmax_out = layers.probabilities(f"{name}.softmax")
        self.av_out = layers.act(f"{name}.av")
        self.proj = layers.linear(self.av_out, width, width)
        self.proj_out = layers.stream()

    def _split(self, x: Tensor) -> Tensor:
        """``(B, N, C)`` to ``(B, heads, N, head_dim)``."""
        batch, tokens, _ = x.shape
        return x.reshape(batch, tokens, self.heads, self.head_dim).transpose(1, 2)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """``(B, N, C)`` to the increment of the residual stream; ``mask (B, N)`` says which keys
        count."""
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        q = self._split(self.q_out(q))
        k = self._split(self.k_out(k))
        v = self._split(self.v_out(v))
        scores = self.qk_out(q @ k.transpose(-2, -1) / math.sqrt(self.head_dim))
        keys = None if mask is None else mask[:, None, None]
        if self.delta2 is None:
            probabilities = masked_softmax(scores, keys)
        else:
            probabilities = poly_softmax(scores, self.delta2, keys)
        mixed = self.softmax_out(probabilities) @ v
        mixed = self.proj(self.av_out(mixed.transpose(1, 2).flatten(2)))
        return self.proj_out(mixed / self.skip_lam)


class Mlp(nn.Module):
    """Two linear layers around GELU."""

    def __init__(
        self, name: str, config: VitConfig, layers: Layers, source: nn.Module
    ) -> None:
        super().__init__()
        self.delta1 = None if layers.quant is None else layers.quant.delta1
        self.skip_lam = config.skip_lam
        self.fc1 = layers.linear(source, config.embed_dim, config.hidden)
        self.fc1_out = layers.point()
        self.gelu_out = layers.act(f"{name}.gelu")
        self.fc2 = layers.linear(self.gelu_out, config.hidden, config.embed_dim)
        self.fc2_out = layers.stream()

    def forward(self, x: Tensor) -> Tensor:
        """``(B, N, C)`` to the increment of the residual stream."""
        x = self.fc1_out(self.fc1(x))
        x = nn.functional.gelu(x) if self.delta1 is None else poly_gelu(x, self.delta1)
        return self.fc2_out(self.fc2(self.gelu_out(x)) / self.skip_lam)


class Block(nn.Module):
    """Pre-norm block, behind a token selector where the configuration has one."""

    def __init__(self, index: int, config: VitConfig, layers: Layers) -> None:
        super().__init__()
        name = f"blocks.{index}"
        self.selector = Selector(index, config, layers) if index in config.kept else None
        self.norm1 = layers.norm(config)
        self.norm1_out = layers.act(f"{name}.norm1")
        self.attn = Attention(f"{name}.attn", config, layers, self.norm1_out)
        self.attn_add_out = layers.stream()
        self.norm2 = layers.norm(config)
        self.norm2_out = layers.act(f"{name}.norm2")
        self.mlp = Mlp(f"{name}.mlp", config, layers, self.norm2_out)
        self.mlp_add_out = layers.stream()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """``(B, N, C)`` to the same shape; ``mask (B, N)`` says which tokens are there."""
        x = self.attn_add_out(x + self.attn(self.norm1_out(self.norm1(x)), mask))
        return self.mlp_add_out(x + self.mlp(self.norm2_out(self.norm2(x))))


class Vit(nn.Module):
    """A Vision Transformer; see :func:`vitgen.models.create`.

    Parameters
    ----------
    config : the architecture.
    quant : None for a float model.
    """

    def __init__(self, config: VitConfig, quant: QuantConfig | None) -> None:
        super().__init__()
        if quant is not None:
            quant.check(op_names(config))
        self.config, self.quant = config, quant
        layers = Layers(quant)
        width = config.embed_dim
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, config.tokens, width))
        self.residual = layers.residual
        self.patch_embed = PatchEmbed(config, layers)
        self.embed_out = layers.stream()
        self.embedding = layers.stream()
        self.embed_add_out = layers.stream()
        self.blocks = nn.ModuleList(
            Block(n, config, layers) for n in range(config.depth)
        )
        self.norm = layers.norm(config)
        self.norm_out = layers.act("norm")
        self.head = layers.linear(self.norm_out, width, config.classes)
        self.head_out = layers.logits()

    def block_list(self) -> list[Block]:
        """The blocks, in order."""
        return cast(list[Block], list(self.blocks))

    def position_constant(self) -> Tensor:
        """Positions plus the class token (token 0) or the patch bias (others): ``(N, C)``."""
        bias = self.patch_embed.proj.bias
        assert bias is not None
        bias = bias.expand(self.config.tokens - 1, -1)
        return self.pos_embed[0] + torch.cat([self.cls_token[0], bias])

    def selectors(self) -> list[Selector]:
        """The token selectors, in order."""
        return [block.selector for block in self.block_list() if block.selector is not None]

    def embed(self, images: Tensor) -> Stream:
        """Normalised images ``(B, C, H, W)`` to the tokens that the first block reads."""
        x = nn.functional.pad(self.patch_embed(images), (0, 0, 1, 0))
        return Stream(
            self.embed_add_out(self.embed_out(x) + self.embedding(self.position_constant()))
        )

    def run(
        self, images: Tensor, noise: Generator | None = None
    ) -> tuple[Tensor, list[Selection]]:
        """Normalised images ``(B, C, H, W)`` to logits ``(B, classes)`` and what each selector chose.

        Parameters
        ----------
        noise : of the selectors' decisions in training; None takes torch's own.
        """
        stream, chosen = self.embed(images), []
        for block in self.block_list():
            if block.selector is not None:
                stream, selection = block.selector(stream, noise)
                chosen.append(selection)
            stream = replace(stream, x=block(stream.x, stream.mask))
        return self.head_out(self.head(self.norm_out(self.norm(stream.x[:, :1]))))[:, 0], chosen

    def forward(self, images: Tensor) -> Tensor:
        """The logits of :meth:`run`."""
        return self.run(images)[0]


def _initialise(model: Vit, seed: int) -> None:
    """timm's initialisation, with attention that attends and some spread in norms and biases.

    Both matter to models that stay untrained: with timm's small queries and keys attention is
    uniform, every probability rounds to the same 0 or 1, and wrong integers go unnoticed, as they
    do with every gain 1 and every bias 0.
    """
    generator = torch.Generator().manual_seed(seed)

    def spread(parameter: Tensor, center: float) -> None:
        parameter.normal_(center, 0.02, generator=generator)

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            leaf = name.rsplit(".", 1)[-1]
            if leaf == "log_scale":
                continue
            if leaf == "bias":
                spread(parameter, 0.0)
            elif ".selector.mlp" in name:
                # He's; with small logits all scores of an untrained selector would be one half.
                deviation = (2 / parameter.shape[1]) ** 0.5
                nn.init.trunc_normal_(parameter, std=deviation, generator=generator)
            elif "norm" in name or ".bn" in name:
                spread(parameter, 1.0)
            elif name.startswith("patch_embed.conv"):
                # He's: ReLU halves the power.
                deviation = (2 / parameter[0].numel()) ** 0.5
                nn.init.trunc_normal_(parameter, std=deviation, generator=generator)
            elif name == "patch_embed.proj.weight":
                deviation = parameter[0].numel() ** -0.5
                nn.init.trunc_normal_(parameter, std=deviation, generator=generator)
            else:
                nn.init.trunc_normal_(parameter, std=0.02, generator=generator)
            if name.endswith("selector.mlp2c.bias"):
                # Towards keeping: what goes at random teaches nothing at first.
                parameter.add_(torch.tensor([1.0, -1.0]))
            if name.endswith("attn.qkv.weight"):
                width = parameter.shape[1]
                parameter[: 2 * width] *= ATTENTIVE * width**-0.5 / 0.02
        for name, statistic in model.named_buffers():
            if name.endswith((".running_mean", ".running_var")):
                spread(statistic, float(name.endswith("var")))


def build(config: VitConfig, quant: QuantConfig | None, seed: int) -> Vit:
    """See :func:`vitgen.models.create`."""
    # Layers initialise themselves first; what they draw must not move the caller's random state.
    with torch.random.fork_rng(devices=[]):
        model = Vit(config, quant)
    _initialise(model, seed)
    if quant is not None:
        assign_model_rows(model)
    return model
