"""How faithful the integer network is: accuracy, agreement and signal-to-noise per op."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vitgen import quant
from vitgen.ir import Graph
from vitgen.models.vit import Vit
from vitgen.reference.execute import execute, predict
from vitgen.reference.preprocess import normalise, preprocess

BATCH = 32
LEAST_FOR_AGREEMENT = 100
TRACED = 8  # images over which the signal-to-noise ratio is taken

Sample = tuple[NDArray[Any], int | None]




def _batches(samples: Iterable[Sample], size: int) -> Iterator[list[Sample]]:
    iterator = iter(samples)
    while batch := list(islice(iterator, size)):
        yield batch


def _answers(
    graph: Graph, networks: tuple[Vit, Vit], batch: list[Sample]
) -> tuple[NDArray[np.int64], ...]:
    """Classes that the float, the fake-quantized and the integer network choose."""
    images = [image for image, _ in batch]
    real = torch.from_numpy(
        np.stack([normalise(graph.meta, image) for image in images]).astype(np.float32)
    )
    with torch.inference_mode():
        chosen = [network(real).argmax(dim=1).numpy() for network in networks]
    patches = np.stack([preprocess(graph.meta, image) for image in images])
    integer = predict(graph, patches.astype(np.int64)).argmax(axis=1)
    return (*chosen, integer)


def signal_to_noise(graph: Graph, model: Vit, images: list[NDArray[Any]]) -> dict[str, float]:
    """dB of each op's tensor in the fake-quantized model over its difference to the integers.

    Where a token selector decides otherwise in one than in the other, what follows in that image does
    not count.
    """
    real = torch.from_numpy(
        np.stack([normalise(graph.meta, image) for image in images]).astype(np.float32)
    )
    by_op = {op.output: op.name for op in graph.ops}
    signal = dict.fromkeys(by_op.values(), 0.0)
    noise = dict.fromkeys(by_op.values(), 0.0)
    for index, image in enumerate(images):
        patches = preprocess(graph.meta, image).astype(np.int64)
        values = execute(graph, patches, keep=list(by_op))
        with torch.inference_mode():
            # One by one: behind a token selector images have tokens of their own.
            traced = quant.trace(model, real[index : index + 1])
        for tensor, op in by_op.items():
            if tensor not in traced:
                continue
            want = traced[tensor][0].numpy().astype(np.float64)
            got = values[tensor] * graph.tensors[tensor].scale
            if want.size != got.size:
                continue  # a score beside the threshold: what follows is not comparable
            signal[op] += float(np.sum(want**2))
            noise[op] += float(np.sum((want.reshape(got.shape) - got) ** 2))
    return {
        op: float(10 * np.log10(signal[op] / noise[op]))
        for op in signal
        if signal[op] > 0 and noise[op] > 0
    }


def evaluate(
    graph: Graph,
    float_model: Vit,
    quantized: Vit,
    samples: Iterable[Sample],
    progress: Callable[[int], None] = lambda _: None,
) -> dict[str, Any]:
    """Float, fake-quantized and integer network side by side.

    Parameters
    ----------
    graph : lowered from ``quantized``.
    samples : images as :func:`vitgen.reference.preprocess.preprocess` takes them, with their class
        or None.
    progress : told the images done so far.

    Returns
    -------
    dict : ``images``; ``top1`` by network, 0..1, None without labels; ``top1_agreement``, the share of
        images where the integer and the fake-quantized network choose the same class, None for
        fewer than 100 images; ``sqnr_db`` per op over the first images.
    """
    chosen: list[list[NDArray[np.int64]]] = [[], [], []]
    labels: list[int | None] = []
    traced: list[NDArray[Any]] = []
    with quant.frozen_weights(quantized):
        for batch in _batches(samples, BATCH):
            for answers, new in zip(chosen, _answers(graph, (float_model, quantized), batch),
                                    strict=True):
                answers.append(new)
            labels += [label for _, label in batch]
            traced += [image for image, _ in batch][: TRACED - len(traced)]
            progress(len(labels))
        ratios = signal_to_noise(graph, quantized, traced)
    real, fake, integer = (np.concatenate(answers) for answers in chosen)
    top1: dict[str, float] | None = None
    if None not in labels:
        truth = np.asarray(labels)
        top1 = {
            "float": float(np.mean(real == truth)),
            "fake_quantized": float(np.mean(fake == truth)),
            "integer": float(np.mean(integer == truth)),
        }
    enough = len(labels) >= LEAST_FOR_AGREEMENT
    return {
        "images": len(labels),
        "top1": top1,
        "top1_agreement": float(np.mean(fake == integer)) if enough else None,
        "sqnr_db": ratios,
    }
