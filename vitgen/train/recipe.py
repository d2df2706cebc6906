"""How long and how fast a model is trained; free of torch."""

from dataclasses import dataclass, replace

from vitgen.errors import VitgenError
from vitgen.models.config import VitConfig


@dataclass(frozen=True)
class Recipe:
    """Two phases of AdamW with a cosine to zero each: float, then quantized.

    Parameters
    ----------
    float_epochs, quant_epochs : passes over the training images in each phase.
    batch : images of a step.
    float_rate, quant_rate : peak learning rates.
    warmup : share of a phase in which the rate rises.
    weight_decay : of AdamW.
    smoothing : of the labels.
    turn, zoom, move : largest rotation (radians), change of size (share) and shift (share of half
        the image) of an image, drawn anew every time it is seen.
    noise : standard deviation added to pixels of 0..1.
    """

    float_epochs: int = 50
    quant_epochs: int = 16
    batch: int = 64
    float_rate: float = 5e-3
    quant_rate: float = 1e-3
    warmup: float = 0.1
    weight_decay: float = 0.05
    smoothing: float = 0.1
    turn: float = 0.15
    zoom: float = 0.1
    move: float = 0.1
    noise: float = 0.05

    def scaled(self, epochs: int) -> "Recipe":
        """The same recipe in ``epochs`` epochs altogether, at least one of each phase."""
        quantized = max(1, round(epochs * self.quant_epochs / (self.float_epochs + self.quant_epochs)))
        return replace(self, float_epochs=max(1, epochs - quantized), quant_epochs=quantized)


DIGITS = Recipe()
"""For scikit-learn's 8 x 8 digits: about a minute on one core."""


def recipe_for(config: VitConfig, epochs: int | None = None) -> Recipe:
    """The recipe of a model, by the images that it reads.

    Parameters
    ----------
    epochs : of both phases together, at least 2; None takes the recipe's.

    Raises
    ------
    VitgenError : there are no training images for such a model, or too few epochs.
    """
    if (config.image, config.channels, config.classes) != (8, 1, 10):
        raise VitgenError(
            f"There are no training images for {config.name}.",
            "Train vit_digits, or a model of 8 x 8 grey images and 10 classes.",
        )
    if epochs is None:
        return DIGITS
    if epochs < 2:
        raise VitgenError(f"--epochs is {epochs}.", "Give at least 2: one float, one quantized.")
    return DIGITS.scaled(epochs)
