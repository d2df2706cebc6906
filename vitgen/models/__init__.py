"""Vision Transformers: configurations (free of torch), modules and checkpoints.

Importing this package does not import torch; building or loading a model does.

A model is a ``torch.nn.Module`` whose ``forward`` takes images ``(B, C, H, W)``, float, already
normalised (``(pixel - mean) / std``), and returns logits ``(B, classes)``. Its attributes
``config`` and ``quant`` are what it was created from.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vitgen.models.config import VitConfig, config, names

if TYPE_CHECKING:
    from torch import Tensor

    from vitgen.models.vit import Vit
    from vitgen.quant.config import QuantConfig

__all__ = [
    "VitConfig",
    "config",
    "create",
    "load_checkpoint",
    "load_into",
    "names",
    "save_checkpoint",
]


def create(config: VitConfig, quant: QuantConfig | None = None, seed: int = 0) -> Vit:
    """A model with seeded weights; plain float where ``quant`` is None, else Brevitas modules.

    A quantized model fake-quantizes its weights at once and its activations once it is calibrated
    (:func:`vitgen.quant.calibrate`).

    Parameters
    ----------
    config : the architecture.
    quant : bits, schemes and per-layer overrides.
    seed : of the weights; the global random state is left as it was.
    """
    from vitgen.models.vit import build

    return build(config, quant, seed)


def load_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """Tensors by name from a ``.safetensors``, ``.pth``, ``.pt`` or ``.pth.tar`` file; executes nothing.

    The wrapping ``{"model": ...}`` or ``{"state_dict": ...}`` of training scripts is removed.

    Raises
    ------
    VitgenError : missing or truncated file, a pickle that holds code, or no tensors.
    """
    from vitgen.models.checkpoint import load

    return load(Path(path))


def load_into(model: Vit, state: Mapping[str, Tensor]) -> list[str]:
    """Copy a checkpoint into a model: timm's, DeiT's or LV-ViT's float weights, or a quantized one.

    Float weights alone leave a quantized model to be calibrated, with rows assigned anew. A
    quantized checkpoint brings its scales and rows; a float model takes only its weights. Float
    weights of an unpruned network leave token selectors as they are.

    Returns
    -------
    ignored : keys that were left out knowingly: LV-ViT's ``aux_head``, a classifier on every patch
        whose greatest logits the released network adds, halved, to those of the class token.

    Raises
    ------
    VitgenError : a key is missing, extra or of another shape, or a value is NaN or infinite.
    """
    from vitgen.models.checkpoint import load_into as implementation

    return implementation(model, state)


def save_checkpoint(model: Vit, path: str | Path) -> None:
    """Write the weights, scales and row assignment to a ``.safetensors`` file, all or nothing."""
    from vitgen.models.checkpoint import save

    save(model, Path(path))
