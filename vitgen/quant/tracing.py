"""Every tensor of a forward pass under the name that the IR gives it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from vitgen.models.sites import op_sites

if TYPE_CHECKING:
    from vitgen.models.vit import Vit


def _keep(kept: dict[str, Tensor], name: str, _module: nn.Module, _args: Any, out: Tensor) -> None:
    kept[name] = out.detach()


def im2col(images: Tensor, patch: int) -> Tensor:
    """``(B, C, H, W)`` to ``(B, patches, C * patch**2)``, features ordered channel, row, column."""
    return nn.functional.unfold(images, patch, stride=patch).transpose(1, 2)


def trace(model: Vit, images: Tensor) -> dict[str, Tensor]:
    """See :func:`vitgen.quant.trace`."""
    kept: dict[str, Tensor] = {}
    places = {f"{op}.out": site for op, site in op_sites(model.config).items()}
    places["patches"] = "patch_embed.pixels"
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
    patches = im2col(kept["patches"], model.config.patch)
    kept["patches"] = nn.functional.pad(patches, (0, 0, 1, 0))
    kept["embedding"] = kept["embedding"].expand(len(images), -1, -1)
    return kept
