"""Training of a network that prunes tokens: selectors one by one, all together, then quantized."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from vitgen import models, quant
from vitgen.models.config import VitConfig
from vitgen.models.keep import Keep
from vitgen.models.vit import Vit
from vitgen.quant import QuantConfig
from vitgen.train.loop import Evaluation, Trainer
from vitgen.train.recipe import Recipe
from vitgen.train.record import settings_of
from vitgen.train.schedule import Given, Outcome, Pruning, Search

STAGE_DRAWS = 1000
"""Between the random draws of two stages; phases have fewer epochs."""


class PrunedTrainer(Trainer):
    """A :class:`Trainer` with HeatViT's stages between the float and the quantized phase.

    Every stage and the phases after it lower the classification loss, the squared difference between
    kept and asked shares, and the divergence from the answers of the unpruned network. After every
    epoch the thresholds are set so that the asked shares of the training images' patches go on.

    Parameters
    ----------
    config, quantization, recipe, seed, out : as for :class:`Trainer`; ``config.keep`` is what is trained
        for where ``pruning`` has no target.
    pruning : the latency table, and the target if rates are to be found.

    Raises
    ------
    VitgenError : as :class:`Trainer`; or no rates reach the target.
    """

    def __init__(
        self,
        config: VitConfig,
        quantization: QuantConfig,
        recipe: Recipe,
        seed: int,
        out: Path,
        pruning: Pruning,
    ) -> None:
        super().__init__(config, quantization, recipe, seed, out)
        self.pruning = pruning
        self.settings = settings_of(config, quantization, recipe, seed, pruning)
        self._teacher: Vit | None = None
        self._plan(1.0)  # a target that no rates reach is refused now, not after the first phase

    def _plan(self, unpruned: float) -> Given | Search:
        asked = self.pruning
        if asked.target is None:
            return Given(self.config.keep)
        return Search(
            self.config.depth, asked.table, asked.target, unpruned, asked.budget, asked.first
        )

    def _prune(
        self, model: Vit, before: dict[str, Any], saved: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        self._teacher = model.eval()
        if saved.get("phase") == "quant":
            return before, saved
        plan = self._plan(before["float_accuracy"])
        outcomes = [Outcome(_keep(keep), reached) for keep, reached in before.get("outcomes", [])]
        while saved.get("phase") != "joint" and (keep := plan.next(outcomes)) is not None:
            pruned = self._network(keep, before)
            reached = self._phase("stage", pruned, saved, before)
            saved = {}
            outcomes.append(Outcome(keep, reached.accuracy))
            told = [(outcome.keep, outcome.accuracy) for outcome in outcomes]
            before = {**before, "outcomes": told}
            if plan.accepted(outcomes):
                before["pruned"] = pruned.state_dict()
        keep = plan.result(outcomes)
        pruned = self._network(keep, before)
        self._phase("joint", pruned, saved, before)
        return {**before, "keep": keep, "pruned": pruned.state_dict()}, {}

    def _network(self, keep: Keep, before: dict[str, Any]) -> Vit:
        """A float network with these selectors and the weights so far; new selectors have their own."""
        network = models.create(replace(self.config, keep=keep), None, self.seed)
        weights = before.get("pruned", before["float"])
        own = network.state_dict()
        network.load_state_dict({**own, **{k: v for k, v in weights.items() if k in own}})
        return network

    def _schedule(self, phase: str, before: dict[str, Any]) -> tuple[int, float, int]:
        stages = len(before.get("outcomes", []))
        draws = STAGE_DRAWS * (stages + 1)
        if phase == "stage":
            return self.recipe.stage_epochs, self.recipe.prune_rate, draws
        if phase == "joint":
            return self.recipe.joint_epochs, self.recipe.prune_rate, draws
        return super()._schedule(phase, before)

    def _epochs_done(self, before: dict[str, Any]) -> int:
        stages = len(before["outcomes"]) * self.recipe.stage_epochs
        return super()._epochs_done(before) + stages + self.recipe.joint_epochs

    def _cycles(self, config: VitConfig, rates: tuple[float, ...]) -> float | None:
        reached = tuple((block, rate) for (block, _), rate in zip(config.keep, rates, strict=True))
        return self.pruning.table.share(config.depth, reached)

    def _evaluate(self, model: Vit) -> Evaluation:
        if model.config.keep:
            quant.calibrate_thresholds(model, self._some_images())
        return super()._evaluate(model)

    def _loss(self, model: Vit, images: Tensor, labels: Tensor, noise: torch.Generator) -> Tensor:
        if not model.config.keep:
            return super()._loss(model, images, labels, noise)
        assert self._teacher is not None
        recipe = self.recipe
        logits, chosen = model.run(images, noise)
        loss = functional.cross_entropy(logits, labels, label_smoothing=recipe.smoothing)
        patches = model.config.tokens - 1
        for one, (_, rate) in zip(chosen, model.config.keep, strict=True):
            loss = loss + recipe.ratio_weight * (one.kept().mean() / patches - rate) ** 2
        with torch.no_grad():
            taught = functional.log_softmax(self._teacher(images), dim=-1)
        own = functional.log_softmax(logits, dim=-1)
        divergence = functional.kl_div(own, taught, reduction="batchmean", log_target=True)
        return loss + recipe.distill_weight * divergence


def _keep(pairs: Any) -> Keep:
    return tuple((int(block), float(rate)) for block, rate in pairs)
