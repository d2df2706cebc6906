"""The token selector (HeatViT): which tokens go on, and the package that the others become.

While several images are computed at once, tokens that went stay where they are and a mask keeps
attention from them; behind the first selector the last place is the package's. A single image in
evaluation mode is computed as the hardware does: tokens that went are gone. Both give the same.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from vitgen.models.config import VitConfig
from vitgen.models.layers import WIDE, Layers, Shared
from vitgen.quant.functions import plan_sigmoid, poly_gelu, poly_softmax

STEP = 2.0**-7
"""Least weight of a token in a package, and of a head in a score."""

HALF = 0.5
"""Score from which a trained selector keeps a token."""


@dataclass(frozen=True)
class Stream:
    """Tokens on their way through the network.

    Parameters
    ----------
    x : ``(B, N, C)``.
    mask : ``(B, N)``, 1 for tokens that are there and 0 for those that went; None: all are there.
    package : whether the last token is a package, or its place.
    """

    x: Tensor
    mask: Tensor | None = None
    package: bool = False


@dataclass(frozen=True)
class Selection:
    """What a selector decided.

    Parameters
    ----------
    block : the block behind it.
    score : ``(B, N)``, 0..1, of the tokens that came.
    candidates : bool ``(B, N)``, those of them that are patches: neither gone, nor CLS, nor package.
    keep : ``(B, N)``, 1 for those that go on, CLS among them; never the package.
    """

    block: int
    score: Tensor
    candidates: Tensor
    keep: Tensor

    def kept(self) -> Tensor:
        """Patches that go on, ``(B,)``; carries the gradient of the decisions."""
        return (self.keep * self.candidates).sum(dim=1)


def _straight(value: Tensor, exact: Tensor) -> Tensor:
    """``exact`` with the gradient of ``value``."""
    return value + (exact - value.detach())


def gumbel(score: Tensor, noise: Generator | None) -> Tensor:
    """A random decision for every score, 1 to keep, that many times in a hundred; straight through.

    The difference of two Gumbel variables is logistic, so one draw decides between two classes.
    """
    drawn = torch.rand(score.shape, generator=noise, dtype=score.dtype).clamp(1e-6, 1 - 1e-6)
    odds = torch.logit(score, eps=1e-4) + torch.logit(drawn)
    return _straight(torch.sigmoid(odds), (odds >= 0).to(score.dtype))


class Selector(nn.Module):
    """A token selector before a block.

    Every head classifies every token by its own features and their mean over all tokens, with
    weights that the heads share; a second branch says which heads count.

    Attributes
    ----------
    local : site of a token's own features and of their mean, which have one scale.
    threshold : scalar; in evaluation mode tokens of this score and above are kept.
    """

    def __init__(self, block: int, config: VitConfig, layers: Layers) -> None:
        super().__init__()
        name = f"blocks.{block}.selector"
        self.block, self.heads = block, config.heads
        self.quantized = layers.quant is not None
        self.delta1 = 1.0 if layers.quant is None else layers.quant.delta1
        local, fused, hidden = config.selector_widths
        self.norm = layers.norm(config)
        self.norm_out = layers.act(f"{name}.norm")
        self.mlp1 = layers.linear(self.norm_out, config.head_dim, local)
        self.mlp1_out = layers.point()
        self.local = layers.act(f"{name}.mlp1_gelu")
        self.mlp1_gelu_out = Shared(self.local)
        self.pool_out = Shared(self.local)
        self.mlp2a = layers.linear(self.local, 2 * local, local)
        self.mlp2a_out = layers.point()
        self.mlp2a_gelu_out = layers.act(f"{name}.mlp2a_gelu")
        self.mlp2b = layers.linear(self.mlp2a_gelu_out, local, fused)
        self.mlp2b_out = layers.point()
        self.mlp2b_gelu_out = layers.act(f"{name}.mlp2b_gelu")
        self.mlp2c = layers.linear(self.mlp2b_gelu_out, fused, 2)
        self.mlp2c_out = layers.point()
        self.classes_out = layers.share(8)
        self.mean_out = layers.act(f"{name}.mean")
        self.mlp3a = layers.linear(self.mean_out, config.heads, hidden)
        self.mlp3a_out = layers.point()
        self.mlp3a_gelu_out = layers.act(f"{name}.mlp3a_gelu")
        self.mlp3b = layers.linear(self.mlp3a_gelu_out, hidden, config.heads)
        self.mlp3b_out = layers.point()
        self.importance_out = layers.share(8)
        self.score_out = layers.share(WIDE - 1)
        self.compact_out = layers.stream()
        self.threshold: Tensor
        self.register_buffer("threshold", torch.tensor(HALF))

    def linear_layers(self) -> list[tuple[str, nn.Linear]]:
        """The layers with weights, by the names of their ops within the selector."""
        layers = (self.mlp1, self.mlp2a, self.mlp2b, self.mlp2c, self.mlp3a, self.mlp3b)
        names = ("mlp1", "mlp2a", "mlp2b", "mlp2c", "mlp3a", "mlp3b")
        return list(zip(names, layers, strict=True))

    def _gelu(self, x: Tensor) -> Tensor:
        return poly_gelu(x, self.delta1) if self.quantized else nn.functional.gelu(x)

    def _classes(self, heads: Tensor, mask: Tensor | None) -> Tensor:
        """Probability that each head would keep each token, ``(B, N, H)``."""
        local = self.mlp1_gelu_out(self._gelu(self.mlp1_out(self.mlp1(heads))))
        if mask is None:
            mean = local.mean(dim=1, keepdim=True)
        else:
            weight = mask[:, :, None, None]
            mean = (local * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)
        # The local half passes the quantizer a second time, which changes nothing.
        x = self.pool_out(torch.cat([local, mean.expand_as(local)], dim=-1))
        x = self.mlp2a_gelu_out(self._gelu(self.mlp2a_out(self.mlp2a(x))))
        x = self.mlp2b_gelu_out(self._gelu(self.mlp2b_out(self.mlp2b(x))))
        x = self.mlp2c_out(self.mlp2c(x))
        chances = poly_softmax(x) if self.quantized else x.softmax(dim=-1)
        return self.classes_out(chances)[..., 0]

    def _importance(self, heads: Tensor) -> Tensor:
        """How much each head counts, ``(B, N, H)``."""
        x = self.mean_out(heads.mean(dim=-1))
        x = self.mlp3a_gelu_out(self._gelu(self.mlp3a_out(self.mlp3a(x))))
        x = self.mlp3b_out(self.mlp3b(x))
        x = plan_sigmoid(x) if self.quantized else torch.sigmoid(x)
        return self.importance_out(x.clamp(min=STEP))

    def score(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """Keep score of every token, ``(B, N)``, 0..1; ``x`` and ``mask`` as in :class:`Stream`."""
        heads = self.norm_out(self.norm(x)).unflatten(-1, (self.heads, -1))
        classes, importance = self._classes(heads, mask), self._importance(heads)
        return self.score_out((classes * importance).sum(-1) / importance.sum(-1))

    def _weights(self, score: Tensor) -> Tensor:
        """Weight of a token in the package."""
        if not self.quantized:
            return score.clamp(min=STEP)
        return _straight(score, (score.detach() / STEP).floor().clamp(min=1.0) * STEP)

    def decide(self, stream: Stream, noise: Generator | None) -> Selection:
        """Score the tokens and choose: at random in training, by the threshold otherwise."""
        score = self.score(stream.x, stream.mask)
        candidates = torch.ones_like(score, dtype=torch.bool)
        if stream.mask is not None:
            candidates = stream.mask > 0
        candidates[:, 0] = False
        if stream.package:
            candidates[:, -1] = False
        if self.training:
            chosen = gumbel(score, noise)
        else:
            chosen = (score >= self.threshold).to(score.dtype)
        present = candidates if stream.mask is None else candidates * stream.mask
        keep = chosen * present
        keep = torch.cat([torch.ones_like(keep[:, :1]), keep[:, 1:]], dim=1)
        return Selection(self.block, score, candidates, keep)

    def _package(self, stream: Stream, weight: Tensor) -> Tensor:
        """Weighted mean of the tokens that do not go on, ``(B, 1, C)``; 0 where there are none."""
        total = weight.sum(dim=1, keepdim=True)
        mean = (weight[..., None] * stream.x).sum(dim=1) / total.clamp(min=STEP / 2)
        return mean[:, None]

    def forward(self, stream: Stream, noise: Generator | None = None) -> tuple[Stream, Selection]:
        """The tokens that go on.

        Parameters
        ----------
        noise : of the decisions in training; None takes torch's own.
        """
        selection = self.decide(stream, noise)
        keep, x = selection.keep, stream.x
        here = torch.ones_like(keep) if stream.mask is None else stream.mask
        gone = here - keep
        package = self._package(stream, gone * self._weights(selection.score))
        exists = (gone.detach() > 0).any(dim=1, keepdim=True)
        if len(x) == 1 and not self.training:
            parts = [x[:, keep[0] > 0], package if bool(exists) else x[:, :0]]
            return Stream(self.compact_out(torch.cat(parts, 1)), None, bool(exists)), selection
        if stream.package:
            x, keep = x[:, :-1], keep[:, :-1]
        x = self.compact_out(torch.cat([x, package], dim=1))
        return Stream(x, torch.cat([keep, exists.to(keep.dtype)], dim=1), True), selection
