"""Quantization-aware training; importing the package loads no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from vitgen.train.recipe import Recipe, recipe_for

if TYPE_CHECKING:
    from vitgen.quant import QuantConfig
    from vitgen.train.loop import Epoch
    from vitgen.train.record import TrainResult

__all__ = ["Recipe", "recipe_for", "train"]


def train(
    model: str,
    quant: QuantConfig | str,
    out: str | Path,
    *,
    seed: int = 0,
    epochs: int | None = None,
    progress: Callable[[Epoch], None] | None = None,
) -> TrainResult:
    """Train a model on scikit-learn's digits: in float, then quantization-aware.

    The directory keeps the state after every epoch: the same call goes on after an interruption, and
    ends with the checkpoint, byte for byte, that an uninterrupted run writes. A finished training
    gives its recorded result at once, as long as the checkpoint is as it left it.

    Parameters
    ----------
    model : ``vit_digits``, or the config file of another model of 8 x 8 grey images and 10 classes.
    quant : bits and schemes, or a label such as ``4/8``.
    out : directory of the state and the checkpoint.
    seed : 0 to 2**32 - 1, of weights, batches and augmentation.
    epochs : of both phases together, at least 2; None takes the recipe's.
    progress : called after every epoch; what it raises ends the call, resumably.

    Returns
    -------
    result : top-1 of both networks on the held-out third, and the checkpoint's path.

    Raises
    ------
    VitgenError : a model without training images, fewer than 2 epochs, bad bits, a directory that
        cannot be written or holds another training, a training that diverged.
    """
    from vitgen.models import config
    from vitgen.quant import QuantConfig
    from vitgen.train.record import load_result, settings_of

    architecture = config(model)
    recipe = recipe_for(architecture, epochs)
    quantization = QuantConfig.parse(quant) if isinstance(quant, str) else quant
    finished = load_result(Path(out), settings_of(architecture, quantization, recipe, seed))
    if finished is not None:
        return finished
    from vitgen.train.loop import Trainer

    trainer = Trainer(architecture, quantization, recipe, seed, Path(out))
    return trainer.run() if progress is None else trainer.run(progress)
