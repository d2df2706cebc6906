"""Files of a training: its state after an epoch, and the checkpoint it ends with.

Both appear whole or not at all. Loading a state executes nothing (``weights_only``).
"""

import contextlib
import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_bytes

from vitgen import __version__
from vitgen.errors import VitgenError
from vitgen.models.vit import Vit

METADATA = "vitgen"
"""Key of a checkpoint's metadata. One key only: safetensors writes several in random order."""


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under another name, then rename it.

    Raises
    ------
    VitgenError : the place is full or cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(data)
        os.replace(partial, path)
    except OSError as error:
        raise VitgenError(
            f"{path} cannot be written: {error}.", "Make room there, or choose another --out."
        ) from error
    finally:
        # Also where Ctrl-C comes in between; after the renaming there is nothing to remove.
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def open_directory(path: Path) -> None:
    """Make the directory of a training.

    Raises
    ------
    VitgenError : it cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise VitgenError(
            f"The directory {path} cannot be made: {error}.", "Choose another --out."
        ) from error
    for partial in path.glob(".*.partial"):  # of a run that was killed while it wrote
        partial.unlink(missing_ok=True)


def save_state(path: Path, settings: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Write tensors and numbers, with the settings that they hold for."""
    buffer = io.BytesIO()
    torch.save({**state, "settings": json.dumps(settings, sort_keys=True)}, buffer)
    write_whole(path, buffer.getvalue())


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values under dotted names."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def load_state(path: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What :func:`save_state` wrote; empty where there is no file.

    Raises
    ------
    VitgenError : the file is damaged, or of a training with other settings, which are named.
    """
    if not path.exists():
        return {}
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        before = dict(json.loads(state["settings"]))
    # torch reports damage as whatever it stumbles over.
    except Exception as error:
        reason = "".join(str(error).strip().splitlines()[:1])
        raise VitgenError(
            f"The training state {path} cannot be read ({reason}).",
            "Delete it to start over, or choose another --out.",
        ) from error
    old, new = _flat(before), _flat(json.loads(json.dumps(settings)))
    changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    if changed:
        named = ", ".join(f"{key}: {old.get(key)!r}, not {new.get(key)!r}" for key in changed[:3])
        raise VitgenError(
            f"{path.parent} holds a training with other settings ({named}).",
            "Choose another --out, or delete the directory.",
        )
    return dict(state)


def save_checkpoint(model: Vit, path: Path, seed: int, epochs: int) -> None:
    """Write a quantized model as safetensors: the same training gives the same bytes.

    The metadata's one key holds JSON: ``model``, ``bits``, ``scheme``, ``seed``, ``epoch``,
    ``version`` (of vitgen), and in full ``config`` and ``quant``.
    """
    assert model.quant is not None
    about = {
        "model": model.config.name,
        "bits": model.quant.label,
        "scheme": model.quant.scheme,
        "seed": seed,
        "epoch": epochs,
        "version": __version__,
        "config": model.config.to_dict(),
        "quant": model.quant.to_dict(),
    }
    tensors = {key: value.detach().contiguous() for key, value in model.state_dict().items()}
    write_whole(path, to_bytes(tensors, {METADATA: json.dumps(about, sort_keys=True)}))
