"""Every tensor of a forward pass under the name that the IR gives it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from vitgen.models.sites import conv_op, input_name, op_sites, windows

if TYPE_CHECKING:
    from vitgen.models.vit import Vit


def _keep(kept: dict[str, Tensor], name: str, _module: nn.Module, _args: Any, out: Tensor) -> None:
    kept[name] = out.detach()


def im2col(images: Tensor, patch: int) -> Tensor:
    """``(B, C, H, W)`` to ``(B, patches, C * patch**2)``, features ordered channel, row, column."""
    return nn.functional.unfold(images, patch, stride=patch).transpose(1, 2)


def _tokens(maps: Tensor) -> Tensor:
    """``(B, C, H, W)`` to ``(B, H * W, C)``."""
    return maps.flatten(2).transpose(1, 2)


def _trace_stem(model: Vit, kept: dict[str, Tensor]) -> None:
    """Bring the maps of the stem into the IR's layout, and add their unfoldings."""
    config = model.config
    for window in windows(config):
        found = nn.functional.unfold(
            kept[window.source], window.kernel, padding=window.padding, stride=window.stride
        )
        # torch orders the features by channel first.
        batch, _, count = found.shape
        parts = found.reshape(batch, window.channels, window.kernel**2, count)
        rows = parts.permute(0, 3, 2, 1).flatten(2)
        kept[f"{window.op}.out"] = nn.functional.pad(rows, (0, 0, window.lead, 0))
    names = [f"{conv_op(number)}.out" for number in model.patch_embed.numbers]
    for name in (input_name(config), *names):
        kept[name] = _tokens(kept[name])


def trace(model: Vit, images: Tensor) -> dict[str, Tensor]:
    """See :func:`vitgen.quant.trace`."""
    kept: dict[str, Tensor] = {}
    places = {f"{op}.out": site for op, site in op_sites(model.config).items()}
    places[input_name(model.config)] = "patch_embed.pixels"
    places["embedding"] = "embedding"
    hooks = [
        model.get_submodule(site).register_forward_hook(partial(_keep, kept, name))
        for name, site in places.items()
    ]
    try:
        with torch.no_grad():
            kept["logits"] = model(images)
    finally:
        for hook in hooks:
            hook.remove()
    if model.config.stem:
        _trace_stem(model, kept)
    else:
        patches = im2col(kept["patches"], model.config.patch)
        kept["patches"] = nn.functional.pad(patches, (0, 0, 1, 0))
    kept["embedding"] = kept["embedding"].expand(len(images), -1, -1)
    return kept
