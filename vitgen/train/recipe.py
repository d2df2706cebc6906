"""How long and how fast a model is trained; free of torch."""

from dataclasses import dataclass, replace

from vitgen.errors import VitgenError
from vitgen.models.config import VitConfig


@dataclass(frozen=True)
class Recipe:
    """Phases of AdamW with a cosine to zero each: float, then quantized; between them, where tokens
    are pruned, a stage per selector and a joint one.

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
    stage_epochs, joint_epochs : of one selector's stage, and of all together in float.
    prune_rate : peak learning rate of these.
    ratio_weight : of the squared difference between kept and asked shares, summed over selectors.
    distill_weight : of the divergence from the unpruned network's answers.
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
    stage_epochs: int = 4
    joint_epochs: int = 12
    prune_rate: float = 1e-3
    ratio_weight: float = 4.0
    distill_weight: float = 0.5

    def scaled(self, epochs: int) -> "Recipe":
        """The same recipe in ``epochs`` epochs altogether, at least one of each phase."""
        share = epochs / (self.float_epochs + self.quant_epochs)
        quantized = max(1, round(self.quant_epochs * share))
        return replace(
            self,
            float_epochs=max(1, epochs - quantized),
            quant_epochs=quantized,
            stage_epochs=max(1, round(self.stage_epochs * share)),
            joint_epochs=max(1, round(self.joint_epochs * share)),
        )


DIGITS = Recipe()
"""For scikit-learn's 8 x 8 digits: about a minute on one core."""

CANVAS = Recipe(float_epochs=60, turn=0.1, zoom=0.1, move=0.05, noise=0.0)
"""For the digits on canvases: placed anew every time they are seen, with the canvas's own noise."""


def recipe_for(config: VitConfig, epochs: int | None = None) -> Recipe:
    """The recipe of a model, by the images that it reads.

    Parameters
    ----------
    epochs : of the float and the quantized phase together, at least 2; None takes the recipe's. The
        stages of selectors come on top, in proportion.

    Raises
    ------
    VitgenError : there are no training images for such a model, or too few epochs.
    """
    recipe = _RECIPES.get((config.image, config.channels, config.classes))
    if recipe is None:
        raise VitgenError(
            f"There are no training images for {config.name}.",
            "Train vit_digits or vit_canvas, or a model of 8 x 8 or 24 x 24 grey images and 10 "
            "classes.",
        )
    if epochs is None:
        return recipe
    if epochs < 2:
        raise VitgenError(f"--epochs is {epochs}.", "Give at least 2: one float, one quantized.")
    return recipe.scaled(epochs)


_RECIPES = {(8, 1, 10): DIGITS, (24, 1, 10): CANVAS}
