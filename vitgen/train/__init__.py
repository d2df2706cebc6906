"""Quantization-aware training; importing the package loads no torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from vitgen.errors import VitgenError
from vitgen.models.keep import Keep, parse_keep
from vitgen.train.recipe import Recipe, recipe_for

if TYPE_CHECKING:
    from vitgen.quant import QuantConfig
    from vitgen.train.latency import LatencyTable
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
    keep: Keep | str | None = None,
    target: float | None = None,
    table: LatencyTable | None = None,
    progress: Callable[[Epoch], None] | None = None,
) -> TrainResult:
    """Train a model on scikit-learn's digits: in float, then quantization-aware.

    With keep rates or a target latency its token selectors are trained between the two, one by one from
    the last block backwards and then together, with what the unpruned network answers (HeatViT).

    The directory keeps the state after every epoch: the same call goes on after an interruption, and
    ends with the checkpoint, byte for byte, that an uninterrupted run writes. A finished training
    gives its recorded result at once, as long as the checkpoint is as it left it.

    Parameters
    ----------
    model : ``vit_digits``, ``vit_canvas`` (the same digits on noisy canvases of 24 x 24), or the config
        file of another model of such images and 10 classes.
    quant : bits and schemes, or a label such as ``4/8``.
    out : directory of the state and the checkpoint.
    seed : 0 to 2**32 - 1, of weights, batches and augmentation.
    epochs : of both phases together, at least 2; None takes the recipe's.
    keep : keep rates, ``3:0.70,6:0.39``; None takes the model's own, most often none.
    target : cycles of an image, as a share of the unpruned network's: blocks and rates are found.
    table : cycles by keep rate; None counts products.
    progress : called after every epoch; what it raises ends the call, resumably.

    Returns
    -------
    result : top-1 of both networks on the held-out third, and the checkpoint's path.

    Raises
    ------
    VitgenError : a model without training images, fewer than 2 epochs, bad bits, bad keep rates, keep
        rates beside a target or a target that no rates reach, a directory that cannot be written or
        holds another training, a training that diverged.
    """
    from vitgen.models import config
    from vitgen.quant import QuantConfig
    from vitgen.train.latency import mac_table
    from vitgen.train.record import load_result, settings_of
    from vitgen.train.schedule import Pruning

    architecture = config(model)
    if keep is not None:
        architecture = replace(architecture, keep=parse_keep(keep) if isinstance(keep, str) else keep)
    if target is not None and architecture.keep:
        raise VitgenError(
            f"There are keep rates and a target latency of {target:g}.",
            "Give one of them: rates are what a target finds.",
        )
    recipe = recipe_for(architecture, epochs)
    quantization = QuantConfig.parse(quant) if isinstance(quant, str) else quant
    pruning = None
    if architecture.keep or target is not None:
        pruning = Pruning(table or mac_table(architecture), target)
    settings = settings_of(architecture, quantization, recipe, seed, pruning)
    finished = load_result(Path(out), settings)
    if finished is not None:
        return finished
    from vitgen.train.loop import Trainer
    from vitgen.train.pruned import PrunedTrainer

    if pruning is None:
        trainer = Trainer(architecture, quantization, recipe, seed, Path(out))
    else:
        trainer = PrunedTrainer(architecture, quantization, recipe, seed, Path(out), pruning)
    return trainer.run() if progress is None else trainer.run(progress)
