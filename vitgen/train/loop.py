"""The training loop: seeded, deterministic, resumable after every epoch."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vitgen import models, quant
from vitgen.data import Digits, digits
from vitgen.errors import VitgenError
from vitgen.models.config import VitConfig
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
PHASES = ("float", "quant")
CALIBRATION_IMAGES = 256
MAX_SEED = 2**32 - 1

Progress = Callable[["Epoch"], None]


@dataclass(frozen=True)
class Epoch:
    """What is told after an epoch.

    Parameters
    ----------
    phase : "float" or "quant".
    number, total : epochs done in the phase, and its length.
    loss : mean over the epoch.
    accuracy : top-1 on the held-out images, 0..1.
    """

    phase: str
    number: int
    total: int
    loss: float
    accuracy: float


def normalise(images: Tensor, config: VitConfig) -> Tensor:
    """Images ``(N, C, H, W)`` in 0..1 as the model takes them."""
    mean = torch.tensor(config.mean).view(-1, 1, 1)
    std = torch.tensor(config.std).view(-1, 1, 1)
    return (images - mean) / std


def accuracy(model: Vit, images: Tensor, labels: Tensor, batch: int = 256) -> float:
    """Top-1 of a model in evaluation mode, 0..1."""
    model.eval()
    with torch.no_grad(), quant.frozen_weights(model):
        right = sum(
            int((model(x).argmax(dim=1) == y).sum())
            for x, y in zip(images.split(batch), labels.split(batch), strict=True)
        )
    return right / len(labels)


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
        self.train_part, self.held_out = (_tensors(part) for part in digits())
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
        saved = load_state(self.out / STATE, self.settings)
        accuracies = dict(saved.get("accuracies", {}))
        model = models.create(self.config, None, self.seed)
        if saved.get("phase") != "quant":
            accuracies["float"] = self._phase("float", model, saved, accuracies, progress)
            weights, saved = model.state_dict(), {}
        else:
            weights = saved["float"]
        quantized = models.create(self.config, self.quantization, self.seed)
        models.load_into(quantized, weights)
        if not saved:
            self._calibrate(quantized)
        accuracies["quant"] = self._phase(
            "quant", quantized, saved, accuracies, progress, float_weights=weights
        )
        epochs = self.recipe.float_epochs + self.recipe.quant_epochs
        save_checkpoint(quantized, self.out / CHECKPOINT, self.seed, epochs)
        result = TrainResult(
            accuracies["float"],
            accuracies["quant"],
            epochs,
            time.monotonic() - started,
            self.out / CHECKPOINT,
        )
        write_whole(self.out / RESULT, dump_result(result, self.settings))
        return result

    def _calibrate(self, model: Vit) -> None:
        images, _ = self.train_part
        quant.calibrate(model, normalise(images[:CALIBRATION_IMAGES], self.config))

    def _phase(
        self,
        phase: str,
        model: Vit,
        saved: dict[str, Any],
        accuracies: dict[str, float],
        progress: Progress,
        float_weights: dict[str, Tensor] | None = None,
    ) -> float:
        recipe = self.recipe
        epochs = recipe.float_epochs if phase == "float" else recipe.quant_epochs
        optimizer = torch.optim.AdamW(_groups(model, recipe.weight_decay))
        if saved:
            model.load_state_dict(saved["model"])
            optimizer.load_state_dict(saved["optimizer"])
        test_images, test_labels = self.held_out
        test_images = normalise(test_images, self.config)
        reached = accuracies.get(phase, 0.0)
        for epoch in range(saved.get("epoch", 0), epochs):
            loss = self._epoch(phase, model, optimizer, epoch, epochs)
            reached = accuracy(model, test_images, test_labels)
            accuracies[phase] = reached
            state: dict[str, Any] = {
                "phase": phase,
                "epoch": epoch + 1,
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "accuracies": accuracies,
            }
            if float_weights is not None:
                state["float"] = float_weights
            save_state(self.out / STATE, self.settings, state)
            progress(Epoch(phase, epoch + 1, epochs, loss, reached))
        return reached

    def _epoch(
        self, phase: str, model: Vit, optimizer: torch.optim.Optimizer, epoch: int, epochs: int
    ) -> float:
        recipe = self.recipe
        # Seeded by the epoch, so that a resumed run draws what an uninterrupted one draws.
        generator = torch.Generator().manual_seed(
            (self.seed * len(PHASES) + PHASES.index(phase)) * 100_000 + epoch
        )
        peak = recipe.float_rate if phase == "float" else recipe.quant_rate
        steps = -(-len(self.train_part[1]) // recipe.batch)
        model.train()
        total = 0.0
        for step, (images, labels) in enumerate(self._batches(generator)):
            for group in optimizer.param_groups:
                group["lr"] = rate_at(epoch * steps + step, epochs * steps, peak, recipe.warmup)
            optimizer.zero_grad()
            loss = functional.cross_entropy(
                model(images), labels, label_smoothing=recipe.smoothing
            )
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            total += float(loss.detach()) * len(labels)
        if not math.isfinite(total):
            raise VitgenError(
                f"The loss of epoch {epoch + 1} ({phase}) is {total}: the training diverged.",
                "Train with more bits, or another seed.",
            )
        return total / len(self.train_part[1])

    def _batches(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        images, labels = self.train_part
        for chosen in torch.randperm(len(labels), generator=generator).split(self.recipe.batch):
            moved = warped(images[chosen], self.recipe, generator)
            yield normalise(moved, self.config), labels[chosen]


def _tensors(part: Digits) -> tuple[Tensor, Tensor]:
    return torch.tensor(part.images), torch.tensor(part.labels)


def _groups(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Matrices decay; biases, norms, embeddings of one row and scales do not."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    return [{"params": matrices, "weight_decay": decay}, {"params": others, "weight_decay": 0.0}]
