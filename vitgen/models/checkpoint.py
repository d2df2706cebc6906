"""Checkpoints: safetensors, and torch files through ``weights_only``; nothing in them is executed."""

import json
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor

from vitgen.errors import VitgenError
from vitgen.models.vit import Vit
from vitgen.quant.calibration import assign_model_rows, forget_scales

QUANTIZER = ".tensor_quant."
"""In the name of every tensor that belongs to a quantizer and not to the float model."""

SELECTOR = ".selector."
"""In the name of every tensor of a token selector."""

AUXILIARY = ("aux_head.weight", "aux_head.bias")
"""The classifier on every patch of networks trained with token labels (LV-ViT). Class token and head
are a network without it; what it adds to the logits is left out."""

_ENDINGS = (".safetensors", ".pth", ".pt", ".pth.tar")
_WRAPPERS = ("model", "state_dict")
_FIXED_BY_CONFIG = ("bit_width", "pot_rows", "wide_rows")


def load(path: Path) -> dict[str, Tensor]:
    """See :func:`vitgen.models.load_checkpoint`."""
    if not path.name.endswith(_ENDINGS):
        raise VitgenError(
            f"The checkpoint {path} has the unknown ending {path.suffix!r}.",
            f"Give a {', '.join(_ENDINGS[:-1])} or {_ENDINGS[-1]} file.",
        )
    if not path.is_file():
        raise VitgenError(f"There is no checkpoint {path}.", "Check the path.")
    content: Any = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    if not isinstance(content, Mapping) or not content:
        raise VitgenError(
            f"The checkpoint {path} holds no tensors by name.", "Save the model's state_dict()."
        )
    for key, value in content.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise VitgenError(
                f"The checkpoint {path} holds a {type(value).__name__} under {key!r}.",
                "Save the model's state_dict(), which holds tensors only.",
            )
    return dict(content)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise _broken(path, error) from error


def _read_torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise VitgenError(
            f"The checkpoint {path} holds more than tensors, or is no torch file; it was not loaded, "
            "because a pickle can execute code.",
            "Save the model's state_dict() alone, or convert it to safetensors.",
        ) from error
    except (RuntimeError, OSError, EOFError, ValueError, KeyError, AttributeError) as error:
        reason = str(error).strip().splitlines()[:1]
        raise VitgenError(
            f"The checkpoint {path} is truncated or not a torch file ({''.join(reason)}).",
            "Download or save it again.",
        ) from error


def quantization_of(path: Path) -> dict[str, Any] | None:
    """What a checkpoint of :func:`save` was quantized to; None for float weights.

    Returns
    -------
    dict : fields of :class:`vitgen.quant.QuantConfig`; empty where the file holds quantizers and does
        not say of what.

    Raises
    ------
    VitgenError : the file cannot be read.
    """
    if path.suffix != ".safetensors":
        return {} if any(QUANTIZER in key for key in load(path)) else None
    try:
        with safe_open(path, "pt") as file:
            metadata, keys = file.metadata() or {}, list(file.keys())
            found = json.loads(metadata.get("vitgen_quant", "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise _broken(path, error) from error
    if not any(QUANTIZER in key for key in keys):
        return None
    return found if isinstance(found, dict) else {}


def _broken(path: Path, error: Exception) -> VitgenError:
    return VitgenError(
        f"The checkpoint {path} is truncated or not a safetensors file ({error}).",
        "Download or save it again.",
    )


def load_into(model: Vit, state: Mapping[str, Tensor]) -> list[str]:
    """See :func:`vitgen.models.load_into`."""
    own = model.state_dict()
    ignored = [key for key in AUXILIARY if key in state]
    state = {key: value for key, value in state.items() if key not in AUXILIARY}
    quantized = any(QUANTIZER in key for key in state)
    if quantized and model.quant is None:
        state = {key: value for key, value in state.items() if QUANTIZER not in key}
    wanted = {k: v for k, v in own.items() if quantized or QUANTIZER not in k}
    if not quantized and not any(SELECTOR in key for key in state):
        wanted = {key: value for key, value in wanted.items() if SELECTOR not in key}
    _check_keys(wanted, state)
    for key, value in state.items():
        _check_value(key, value, wanted[key])
    # Everything is checked before anything is written: a refused checkpoint changes nothing.
    with torch.no_grad():
        for key, value in state.items():
            own[key].copy_(value)
    if model.quant is not None and not quantized:
        forget_scales(model)
        assign_model_rows(model)
    return ignored


def _shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))


def _listed(keys: list[str]) -> str:
    return ", ".join(keys[:3]) + (f" and {len(keys) - 3} more" if len(keys) > 3 else "")


def _check_keys(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> None:
    missing = [key for key in own if key not in state]
    if missing:
        raise VitgenError(
            f"The checkpoint lacks {_listed(missing)} ({missing[0]} has shape "
            f"{_shape(own[missing[0]])}).",
            "Use a checkpoint of this architecture and quantization.",
        )
    extra = [key for key in state if key not in own]
    if extra:
        raise VitgenError(
            f"The checkpoint holds {_listed(extra)}, which the model has not ({extra[0]} has shape "
            f"{_shape(state[extra[0]])}).",
            "Give the keep rates that it was trained with."
            if SELECTOR in extra[0]
            else "Use a checkpoint of this architecture.",
        )


def _check_value(key: str, value: Tensor, own: Tensor) -> None:
    if value.shape != own.shape:
        raise VitgenError(
            f"The checkpoint's {key} has shape {_shape(value)}, the model's has {_shape(own)}.",
            "Use a checkpoint of this architecture.",
        )
    if value.is_floating_point() != own.is_floating_point():
        raise VitgenError(
            f"The checkpoint's {key} is {value.dtype}, the model's is {own.dtype}.",
            "Use a checkpoint that holds float weights.",
        )
    finite = torch.isfinite(value)
    if not bool(finite.all()):
        wrong = value[~finite].flatten()
        raise VitgenError(
            f"The checkpoint's {key}, of shape {_shape(value)}, holds {wrong.numel()} values that "
            f"are NaN or infinite (first: {float(wrong[0])}).",
            "Use a checkpoint whose training did not diverge.",
        )
    leaf = key.rsplit(".", 1)[-1]
    if leaf == "running_var" and float(value.min()) < 0:
        raise VitgenError(
            f"The checkpoint's {key} reaches {float(value.min()):.4g}; a variance is not negative.",
            "Use a checkpoint whose training did not diverge.",
        )
    if leaf in _FIXED_BY_CONFIG and QUANTIZER in key and int(value.sum()) != int(own.sum()):
        raise VitgenError(
            f"The checkpoint was quantized otherwise: {key} adds up to {int(value.sum())}, the "
            f"model's to {int(own.sum())}.",
            "Give the bits, scheme and ratios that it was trained with.",
        )


def save(model: Vit, path: Path) -> None:
    """See :func:`vitgen.models.save_checkpoint`."""
    metadata = {"format": "pt", "vitgen_config": json.dumps(model.config.to_dict())}
    if model.quant is not None:
        metadata["vitgen_quant"] = json.dumps(model.quant.to_dict())
    state = {key: value.detach().contiguous() for key, value in model.state_dict().items()}
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(to_bytes(state, metadata))
        os.replace(partial, path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise VitgenError(
            f"The checkpoint {path} cannot be written: {error}.", "Choose another place."
        ) from error
