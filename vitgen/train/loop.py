"""The training loop: seeded, deterministic, resumable after every epoch."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from vitgen import models, quant
from vitgen.data import Digits, canvases, digits, place
from vitgen.errors import VitgenError
from vitgen.models.config import VitConfig
from vitgen.models.keep import Keep
from vitgen.models.vit import Vit
from vitgen.quant import QuantConfig
from vitgen.train.recipe import Recipe
from vitgen.train.record import CHECKPOINT, RESULT, TrainResult, dump_result, settings_of
from vitgen.train.state import (
    load_state,
    open_directory,
    save_checkpoint,
    save_state,
    write_whole,
)

STATE = "state.pt"
DIGIT_SIDE = 8
CALIBRATION_IMAGES = 256
MAX_SEED = 2**32 - 1

Progress = Callable[["Epoch"], None]


@dataclass(frozen=True)
class Epoch:
    """What is told after an epoch.

    Parameters
    ----------
    phase : "float", "quant"; where tokens are pruned also "stage" and "joint".
    number, total : epochs done in the phase, and its length.
    loss : mean over the epoch.
    accuracy : top-1 on the held-out images, 0..1.
    keep : keep rates that the phase trains for.
    rates : shares of the patches that went on behind each selector in the held-out images, 0..1.
    cycles : modelled cycles of an image with these rates, over those of the unpruned network.
    """

    phase: str
    number: int
    total: int
    loss: float
    accuracy: float
    keep: Keep = ()
    rates: tuple[float, ...] = ()
    cycles: float | None = None


@dataclass(frozen=True)
class Evaluation:
    """A network on the held-out images.

    Parameters
    ----------
    accuracy : top-1, 0..1.
    rates : shares of the patches that went on behind each selector, 0..1.
    """

    accuracy: float
    rates: tuple[float, ...] = ()


def normalise(images: Tensor, config: VitConfig) -> Tensor:
    """Images ``(N, C, H, W)`` in 0..1 as the model takes them."""
    mean = torch.tensor(config.mean).view(-1, 1, 1)
    std = torch.tensor(config.std).view(-1, 1, 1)
    return (images - mean) / std


def evaluate(model: Vit, images: Tensor, labels: Tensor, batch: int = 256) -> Evaluation:
    """A model in evaluation mode on normalised images."""
    model.eval()
    right, kept = 0, [0.0] * len(model.selectors())
    with torch.no_grad(), quant.frozen_weights(model):
        for x, y in zip(images.split(batch), labels.split(batch), strict=True):
            logits, chosen = model.run(x)
            right += int((logits.argmax(dim=1) == y).sum())
            kept = [n + float(one.kept().sum()) for n, one in zip(kept, chosen, strict=True)]
    patches = len(labels) * (model.config.tokens - 1)
    return Evaluation(right / len(labels), tuple(n / patches for n in kept))


def warped(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Each image slightly turned, scaled and moved, with noise: seen anew every time."""
    count = len(images)

    def spread(reach: float) -> Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * reach

    angle, scale = spread(recipe.turn), 1 + spread(recipe.zoom)
    cosine, sine = torch.cos(angle) * scale, torch.sin(angle) * scale
    rows = [
        torch.stack([cosine, -sine, spread(recipe.move)], dim=1),
        torch.stack([sine, cosine, spread(recipe.move)], dim=1),
    ]
    grid = functional.affine_grid(
        torch.stack(rows, dim=1), list(images.shape), align_corners=False
    )
    moved = functional.grid_sample(images, grid, align_corners=False)
    return moved + recipe.noise * torch.randn(moved.shape, generator=generator)


def rate_at(step: int, steps: int, peak: float, warmup: float) -> float:
    """Learning rate of a step: linear up, then a cosine to zero."""
    rise = max(1, round(steps * warmup))
    if step < rise:
        return peak * (step + 1) / rise
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


class Trainer:
    """One training in a directory; a second one with the same settings resumes it.

    A finished training is not repeated: its state stays beside the checkpoint.

    Parameters
    ----------
    config, quantization, recipe : what is trained, and how.
    seed : 0 to 2**32 - 1, of weights, batches and warps. All of these together determine the
        checkpoint, byte for byte on one machine.
    out : where ``state.pt``, ``checkpoint.safetensors`` and ``result.json`` go.

    Raises
    ------
    VitgenError : the seed is outside its range.
    """

    def __init__(
        self, config: VitConfig, quantization: QuantConfig, recipe: Recipe, seed: int, out: Path
    ) -> None:
        if not 0 <= seed <= MAX_SEED:
            raise VitgenError(f"The seed is {seed}.", f"Give a number from 0 to {MAX_SEED}.")
        self.config, self.quantization, self.recipe, self.seed = config, quantization, recipe, seed
        self.out = Path(out)
        self.side = config.image
        # Digits for canvases are kept as they are, and placed anew every time they are seen.
        self.train_part = _tensors(digits()[0])
        self.held_out = _tensors((digits() if self.side == DIGIT_SIDE else canvases())[1])
        self.settings = settings_of(config, quantization, recipe, seed)

    def run(self, progress: Progress = lambda _: None) -> TrainResult:
        """Train, or go on where a killed run stood.

        Parameters
        ----------
        progress : called after every epoch, when its state is on the disk; whatever it raises ends
            the call, and the next one goes on from there.

        Raises
        ------
        VitgenError : the directory cannot be written, holds a damaged state or a training with other
            settings; or the training diverged.
        """
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # products this small lose more to waiting than they gain
        try:
            return self._run(progress)
        finally:
            torch.set_num_threads(threads)

    def _run(self, progress: Progress) -> TrainResult:
        started = time.monotonic()
        open_directory(self.out)
        self._tell = progress
        saved = load_state(self.out / STATE, self.settings)
        model = models.create(replace(self.config, keep=()), None, self.seed)
        if saved.get("phase", "float") == "float":
            reached = self._phase("float", model, saved, {})
            weights, saved = model.state_dict(), {}
            before: dict[str, Any] = {"float": weights, "float_accuracy": reached.accuracy}
        else:
            before = saved["before"]
            model.load_state_dict(before["float"])
        before, saved = self._prune(model, before, saved)
        config = replace(self.config, keep=before.get("keep", ()))
        quantized = models.create(config, self.quantization, self.seed)
        models.load_into(quantized, before.get("pruned", before["float"]))
        if not saved:
            self._calibrate(quantized)
        found = self._phase("quant", quantized, saved, before)
        epochs = self._epochs_done(before)
        save_checkpoint(quantized, self.out / CHECKPOINT, self.seed, epochs)
        result = TrainResult(
            before["float_accuracy"],
            found.accuracy,
            epochs,
            time.monotonic() - started,
            self.out / CHECKPOINT,
            config.keep,
            found.rates,
            self._cycles(config, found.rates),
        )
        write_whole(self.out / RESULT, dump_result(result, self.settings))
        return result

    def _prune(
        self, model: Vit, before: dict[str, Any], saved: dict[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What comes between the float and the quantized phase: nothing where no token is pruned.

        Parameters
        ----------
        model : the unpruned network, trained.
        before : what earlier phases left, kept in every state.
        saved : the state that a killed run left in a later phase; else empty.

        Returns
        -------
        both, as the quantized phase takes them up.
        """
        return before, saved

    def _epochs_done(self, before: dict[str, Any]) -> int:
        """Epochs of all phases."""
        return self.recipe.float_epochs + self.recipe.quant_epochs

    def _cycles(self, config: VitConfig, rates: tuple[float, ...]) -> float | None:
        """Modelled cycles with the rates that were reached, as a share; None where none is asked."""
        return None

    def _calibrate(self, model: Vit) -> None:
        quant.calibrate(model, self._some_images())

    def _some_images(self) -> Tensor:
        """Training images that scales and thresholds are set by, normalised."""
        part = digits()[0] if self.side == DIGIT_SIDE else canvases()[0]
        return normalise(_tensors(part)[0][:CALIBRATION_IMAGES], self.config)

    def _evaluate(self, model: Vit) -> Evaluation:
        """The model on the held-out images."""
        images, labels = self.held_out
        return evaluate(model, normalise(images, self.config), labels)

    def _loss(
        self, model: Vit, images: Tensor, labels: Tensor, noise: torch.Generator
    ) -> Tensor:
        """What a step lowers; ``noise`` is the epoch's."""
        return functional.cross_entropy(
            model(images), labels, label_smoothing=self.recipe.smoothing
        )

    def _schedule(self, phase: str, before: dict[str, Any]) -> tuple[int, float, int]:
        """Epochs and peak learning rate of a phase, and the number that sets its random draws apart."""
        recipe = self.recipe
        if phase == "float":
            return recipe.float_epochs, recipe.float_rate, 0
        return recipe.quant_epochs, recipe.quant_rate, 100_000

    def _phase(
        self, phase: str, model: Vit, saved: dict[str, Any], before: dict[str, Any]
    ) -> Evaluation:
        recipe = self.recipe
        epochs, peak, draws = self._schedule(phase, before)
        optimizer = torch.optim.AdamW(_groups(model, recipe.weight_decay))
        if saved:
            model.load_state_dict(saved["model"])
            optimizer.load_state_dict(saved["optimizer"])
        reached = Evaluation(*saved.get("reached", (0.0, ())))
        for epoch in range(saved.get("epoch", 0), epochs):
            # Seeded by the epoch, so that a resumed run draws what an uninterrupted one draws.
            generator = torch.Generator().manual_seed(self.seed * 200_000 + draws + epoch)
            loss = self._epoch(model, optimizer, generator, (epoch, epochs, peak))
            if not math.isfinite(loss):
                raise VitgenError(
                    f"The loss of epoch {epoch + 1} ({phase}) is {loss}: the training diverged.",
                    "Train with more bits, or another seed.",
                )
            reached = self._evaluate(model)
            state: dict[str, Any] = {
                "phase": phase,
                "epoch": epoch + 1,
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "reached": (reached.accuracy, reached.rates),
                "before": before,
            }
            save_state(self.out / STATE, self.settings, state)
            told = Epoch(
                phase, epoch + 1, epochs, loss, reached.accuracy, model.config.keep, reached.rates,
                self._cycles(model.config, reached.rates),
            )  # fmt: skip
            self._tell(told)
        return reached

    def _epoch(
        self,
        model: Vit,
        optimizer: torch.optim.Optimizer,
        generator: torch.Generator,
        turn: tuple[int, int, float],
    ) -> float:
        """One pass over the training images; the mean loss. ``turn``: the epoch, of how many, and the
        peak learning rate."""
        epoch, epochs, peak = turn
        steps = -(-len(self.train_part[1]) // self.recipe.batch)
        model.train()
        total = 0.0
        for step, (images, labels) in enumerate(self._batches(generator)):
            for group in optimizer.param_groups:
                rate = rate_at(epoch * steps + step, epochs * steps, peak, self.recipe.warmup)
                group["lr"] = rate
            optimizer.zero_grad()
            loss = self._loss(model, images, labels, generator)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total += float(loss.detach()) * len(labels)
        return total / len(self.train_part[1])

    def _batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        images, labels = self.train_part
        for chosen in torch.randperm(len(labels), generator=generator).split(self.recipe.batch):
            moved = warped(images[chosen], self.recipe, generator)
            if self.side != DIGIT_SIDE:
                draw = int(torch.randint(2**31, (1,), generator=generator))
                canvas = place(moved.numpy(), np.random.default_rng(draw), self.side)
                moved = torch.from_numpy(canvas)
            yield normalise(moved, self.config), labels[chosen]


def _tensors(part: Digits) -> tuple[Tensor, Tensor]:
    return torch.tensor(part.images), torch.tensor(part.labels)


def _groups(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Matrices decay; biases, norms, embeddings of one row and scales do not."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
