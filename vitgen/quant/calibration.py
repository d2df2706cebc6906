"""Post-training calibration of a quantized Vision Transformer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from vitgen.errors import VitgenError
from vitgen.models.sites import conv_op, row_shapes
from vitgen.quant.activations import ActQuant, act_quantizer
from vitgen.quant.rows import assign_rows
from vitgen.quant.shifts import ShiftObserver
from vitgen.quant.weights import frozen_weights, row_quantizer

if TYPE_CHECKING:
    from vitgen.models.vit import Vit

BATCH = 16  # images at once: bounds memory when a whole data set is passed as one tensor

CLIPS = (1.0, 0.93, 0.86, 0.79, 0.72, 0.65, 0.58)
"""Shares of ``max|w|`` tried for rows of 4-bit fixed point: a few outliers would coarsen all."""

CHUNK = 1 << 20  # weights searched at once: stays in the cache


def act_quantizers(model: nn.Module) -> dict[str, ActQuant]:
    """Activation quantizers by module name."""
    return {name: m for name, m in model.named_modules() if isinstance(m, ActQuant)}


def forget_scales(model: nn.Module) -> None:
    """Return every calibrated quantizer to passing through."""
    for quantizer in act_quantizers(model).values():
        quantizer.forget()


Weighted = nn.Linear | nn.Conv2d


def row_layers(model: Vit) -> Iterator[tuple[Weighted, list[tuple[str, int]]]]:
    """Layers with weights, and the ops and head counts that share their rows equally."""
    groups = {op: shape.groups for op, shape in row_shapes(model.config).items()}

    def layer(module: Weighted, *ops: str) -> tuple[Weighted, list[tuple[str, int]]]:
        return module, [(op, groups[op]) for op in ops]

    for number in model.patch_embed.numbers:
        yield layer(model.patch_embed.stage(number)[0], conv_op(number))
    yield layer(model.patch_embed.proj, "embed")
    for index, block in enumerate(model.block_list()):
        name = f"blocks.{index}"
        if block.selector is not None:
            for part, module in block.selector.linear_layers():
                yield module, [(f"{name}.selector.{part}", 1)]
        yield layer(block.attn.qkv, *(f"{name}.attn.{part}" for part in "qkv"))
        yield layer(block.attn.proj, f"{name}.attn.proj")
        yield layer(block.mlp.fc1, f"{name}.mlp.fc1")
        yield layer(block.mlp.fc2, f"{name}.mlp.fc2")
    yield layer(model.head, "head")


def assign_model_rows(model: Vit) -> None:
    """Assign the rows of every layer by variance; their clips return to 1."""
    quant = model.quant
    assert quant is not None
    for layer, ops in row_layers(model):
        quantizer = row_quantizer(layer)
        parts = layer.weight.chunk(len(ops))
        masks = [
            assign_rows(part, quant.layer(op), heads)
            for part, (op, heads) in zip(parts, ops, strict=True)
        ]
        quantizer.pot_rows.copy_(torch.cat([pot for pot, _ in masks]))
        quantizer.wide_rows.copy_(torch.cat([wide for _, wide in masks]))
        quantizer.clip.fill_(1.0)


def best_clips(weight: Tensor, limit: int) -> Tensor:
    """Of :data:`CLIPS`, the one with the least squared error for every row.

    Parameters
    ----------
    weight : ``(rows, features)``.
    limit : largest code.
    """
    best = []
    for rows in weight.split(max(1, CHUNK // weight.shape[1])):
        largest = rows.abs().amax(dim=1, keepdim=True).clamp(min=1e-30)
        errors = []
        for clip in CLIPS:
            scale = largest * (clip / limit)
            code = (rows / scale).round_().clamp_(-limit, limit)
            errors.append(torch.linalg.vector_norm(code.mul_(scale).sub_(rows), dim=1))
        best.append(torch.stack(errors).argmin(dim=0))
    return torch.tensor(CLIPS)[torch.cat(best)]


def _search_clips(layer: Weighted) -> None:
    quantizer = row_quantizer(layer)
    narrow = ~(quantizer.pot_rows | quantizer.wide_rows)
    if bool(narrow.any()):
        weight = layer.weight.detach().reshape(layer.weight.shape[0], -1)
        quantizer.clip[narrow] = best_clips(weight[narrow], limit=7)


def image_batches(
    model: Vit, images: Tensor | Iterable[Tensor], size: int = BATCH
) -> Iterator[Tensor]:
    """Calibration images as the model takes them, ``size`` at a time; refuses those of another shape."""
    config = model.config
    expected = (config.channels, config.image, config.image)
    for given in [images] if isinstance(images, Tensor) else images:
        if given.dim() != 4 or tuple(given.shape[1:]) != expected:
            raise VitgenError(
                f"The calibration images have shape {tuple(given.shape)}.",
                f"Model {config.name} takes (batch, {', '.join(map(str, expected))}).",
            )
        yield from given.split(size)


def _hand_over(observer: ShiftObserver, _module: nn.Module, _args: Any, out: Tensor) -> None:
    observer.values = out


@contextmanager
def _values_beside_probabilities(model: Vit) -> Iterator[None]:
    """Within this context the observer of every softmax gets the values that it weighs."""
    hooks = []
    for block in model.block_list():
        observer = act_quantizer(block.attn.softmax_out).observer
        assert isinstance(observer, ShiftObserver)
        hooks.append(block.attn.v_out.register_forward_hook(partial(_hand_over, observer)))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def calibrate(model: Vit, images: Tensor | Iterable[Tensor], keep_rows: bool = False) -> None:
    """See :func:`vitgen.quant.calibrate`."""
    if model.quant is None:
        raise VitgenError(
            "A float model cannot be calibrated.", "Create it with a quantization (QuantConfig)."
        )
    training = model.training
    quantizers = act_quantizers(model).values()
    with torch.no_grad():
        if not keep_rows:
            assign_model_rows(model)
            for layer, _ in row_layers(model):
                _search_clips(layer)
        for quantizer in quantizers:
            quantizer.observe()
        model.eval()
        seen = 0
        try:
            with frozen_weights(model), _values_beside_probabilities(model):
                # One by one where tokens are pruned: those that went must not widen any range.
                for batch in image_batches(model, images, 1 if model.config.keep else BATCH):
                    model(batch)
                    seen += len(batch)
            if not seen:
                raise VitgenError("There are no calibration images.", "Give at least one.")
            for quantizer in quantizers:
                quantizer.settle()
        finally:
            for quantizer in quantizers:
                quantizer.observer = None
            model.train(training)
