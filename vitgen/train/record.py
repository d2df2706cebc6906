"""What a training was asked for and what it reached, as JSON beside the checkpoint; free of torch."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vitgen import __version__
from vitgen.models.config import VitConfig
from vitgen.models.keep import Keep
from vitgen.quant.config import QuantConfig
from vitgen.train.recipe import Recipe
from vitgen.train.schedule import Pruning

CHECKPOINT = "checkpoint.safetensors"
RESULT = "result.json"


@dataclass(frozen=True)
class TrainResult:
    """Outcome of a training.

    Parameters
    ----------
    accuracy_float, accuracy_quant : top-1 on the held-out images, 0..1, after each phase.
    epochs : of all phases.
    seconds : of this call; a training that went on after a break took longer altogether.
    checkpoint : the quantized weights with their scales.
    keep : keep rates of the token selectors; ``accuracy_float`` is that of the unpruned network.
    rates : shares of the patches that went on behind each in the held-out images, 0..1.
    cycles : modelled cycles of an image with these rates, over those of the unpruned network; None
        where nothing is pruned.
    """

    accuracy_float: float
    accuracy_quant: float
    epochs: int
    seconds: float
    checkpoint: Path
    keep: Keep = ()
    rates: tuple[float, ...] = ()
    cycles: float | None = None


def settings_of(
    config: VitConfig,
    quantization: QuantConfig,
    recipe: Recipe,
    seed: int,
    pruning: Pruning | None = None,
) -> dict[str, Any]:
    """All that determines a checkpoint, as plain values."""
    return {
        "pruning": None if pruning is None else dataclasses.asdict(pruning),
        "config": config.to_dict(),
        "quant": quantization.to_dict(),
        "recipe": dataclasses.asdict(recipe),
        "seed": seed,
        "vitgen": __version__,
    }


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def dump_result(result: TrainResult, settings: dict[str, Any]) -> bytes:
    """``result.json`` of a finished training."""
    record = {
        "accuracy_float": result.accuracy_float,
        "accuracy_quant": result.accuracy_quant,
        "epochs": result.epochs,
        "keep": result.keep,
        "rates": result.rates,
        "cycles": result.cycles,
        "checkpoint_sha256": _digest(result.checkpoint),
        "settings": settings,
    }
    return json.dumps(record, indent=1).encode() + b"\n"


def load_result(out: Path, settings: dict[str, Any]) -> TrainResult | None:
    """The result of a finished training with these settings whose checkpoint is as it left it.

    None where there is none: then the training itself says what is wrong, or goes on.
    """
    checkpoint = out / CHECKPOINT
    try:
        record = json.loads((out / RESULT).read_text())
        if record["settings"] != json.loads(json.dumps(settings)):
            return None
        if record["checkpoint_sha256"] != _digest(checkpoint):
            return None
        return TrainResult(
            record["accuracy_float"],
            record["accuracy_quant"],
            record["epochs"],
            0.0,
            checkpoint,
            tuple((block, rate) for block, rate in record["keep"]),
            tuple(record["rates"]),
            record["cycles"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
