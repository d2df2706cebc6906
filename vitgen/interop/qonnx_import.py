"""A Vision Transformer that another tool quantized, as an integer graph.

Weights with their codes, scales and widths, and activations with theirs, are the file's. Where the
integer network needs a tensor of 16 bits and the file computes in float (residual stream, scores, input
of GELU, logits), the range comes from images.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitgen.errors import VitgenError
from vitgen.interop.onnx_view import View
from vitgen.interop.qonnx_read import WIDE, Found, Layer, Reader
from vitgen.ir import FIXED, POT, Graph
from vitgen.lower.numbers import Float, Numbers, Rows, Site, graph_meta
from vitgen.models.config import VitConfig
from vitgen.quant.config import QuantConfig
from vitgen.reference.execute import execute
from vitgen.reference.preprocess import patches_of

MARGIN = 1.5  # of 16-bit tensors over the range seen: as in vitgen's own calibration
POWERS = (0, 1, 2, 4, 8, 16, 32, 64)
LEAST_AGREEMENT = 3.0
"""dB of what varies in a tensor of the file over its difference to the integers. Two tensors that have
nothing to do with one another reach -3, rounding and polynomials leave more than 10."""


@dataclass(frozen=True)
class Imported:
    """A network that was read.

    Parameters
    ----------
    numbers : for lowering.
    view : of the file.
    places : values of the file that the outputs of ops stand for.
    """

    numbers: Numbers
    view: View
    places: Mapping[str, str]


def _rows(layer: Layer, powers: bool) -> Rows:
    """Rows as the IR has them; of 8 bits, those whose codes are powers of two are that scheme's."""
    codes, bits = layer.weights.codes, layer.weights.bits[:, 0]
    wide = bits > 4
    pot = wide & np.isin(np.abs(codes), POWERS).all(axis=1) & powers
    return Rows(
        codes.astype(np.int8),
        np.ascontiguousarray(layer.weights.scale[:, 0]),
        np.where(pot, POT, FIXED).astype(np.uint8),
        np.where(wide & ~pot, 8, 4).astype(np.uint8),
        np.ascontiguousarray(layer.bias),
    )


def _ranges(view: View, found: Found, images: NDArray[np.float32]) -> dict[str, float]:
    """Largest magnitude of every value that needs a range, over the images."""
    largest: dict[str, float] = {}
    names = {name for name, _ in found.probes.values()} | set(found.stream)
    for image in images:
        values = view.execute(image[None])
        for name in names:
            value = view.constants[name] if name in view.constants else values[name]
            largest[name] = max(largest.get(name, 0.0), float(np.abs(value).max()))
    return largest


def _measured(view: View, found: Found, images: NDArray[np.float32]) -> None:
    """Give every 16-bit tensor that the file computes in float a site."""
    if not found.probes and found.stream_site is not None:
        return
    ranges = _ranges(view, found, images)
    limit = 2 ** (WIDE - 1) - 1
    for op, (name, factor) in found.probes.items():
        largest = max(ranges[name] * MARGIN, 2.0**-20)
        if op == "head":
            found.sites[op] = Site(WIDE, largest * factor / limit)
        else:
            fraction = min(max(math.floor(math.log2(limit / largest)), 8), 12)
            found.sites[op] = Site(WIDE, 2.0**-fraction, fraction)
    if found.stream_site is None:
        largest = max([*(ranges[n] for n in found.stream), float(np.abs(found.position).max())])
        found.stream_site = Site(WIDE, largest * MARGIN / limit)


def _check_config(path: Path, config: VitConfig, found: Found) -> None:
    """Refuse a file that holds another architecture than the one asked for."""
    layers = found.layers
    embed = layers["embed"].weights.codes.shape
    has = {
        "depth": found.depth,
        "embed_dim": embed[0],
        "patch_features": embed[1],
        "tokens": len(found.position),
        "classes": len(layers["head"].weights.codes),
    }
    if found.depth:
        has["hidden"] = len(layers["blocks.0.mlp.fc1"].weights.codes)
        has["heads"] = min(found.heads)
    for what, value in has.items():
        if value != getattr(config, what):
            raise VitgenError(
                f"{path} has {what} {value}, the model {config.name} has {getattr(config, what)}.",
                "Give the model that the file was made of (--model NAME or a config file).",
            )
    if config.stem or len(found.heads) > 1:
        raise VitgenError(
            f"{path} cannot be read as {config.name}, which has a stem or heads of several counts.",
            "Networks without a stem and with as many heads in every block are recognised.",
        )


def _check_bits(path: Path, quant: QuantConfig, rows: dict[str, Rows], found: Found) -> None:
    """Refuse a file whose widths are not those that were asked for."""
    inner = [r for op, r in rows.items() if op.startswith("blocks.")]
    widths = {int(bits) for r in inner for bits in np.unique(r.bits)}
    scheme = any((r.scheme == POT).any() for r in inner)
    named = {"4": {4}, "8": {4, 8} if scheme else {8}, "4+8": {4, 8}}[quant.weight_bits]
    acts = max((s.bits for op, s in found.sites.items() if s.bits <= 8 and op != "norm"), default=8)
    if not widths <= named or acts != quant.act_bits:
        has = "+".join(str(w) for w in sorted(widths))
        raise VitgenError(
            f"{path} has weights of {has} bits and activations of up to {acts}, not {quant.label}.",
            f"Give --bits {has}/{acts}.",
        )


def read_qonnx(
    path: Path, config: VitConfig, quant: QuantConfig, images: NDArray[np.float32]
) -> Imported:
    """The numbers of a quantized Vision Transformer in a QONNX file.

    Parameters
    ----------
    path : as Brevitas exports it, or vitgen in the plain style.
    config : its architecture, and the normalisation of its images.
    quant : its widths; rows of powers of two are looked for where the scheme is not ``fixed``.
    images : ``(n, C, H, W)``, normalised; they set ranges that the file leaves open.

    Raises
    ------
    VitgenError : a node that is not recognised (named), another architecture, other widths.
    """
    view = View(path)
    expected = [1, config.channels, config.image, config.image]
    if view.shape(view.input) != expected:
        raise VitgenError(
            f"{path} takes images {view.shape(view.input)}, not {expected}.",
            "Export with a batch of 1, and give the model that the file was made of.",
        )
    found = Reader(view).run()
    # A file of vitgen's own holds the step of the image in float32, and beside it as it is.
    exact = view.own_input_scale()
    if exact is not None and math.isclose(exact, found.input_scale, rel_tol=1e-6):
        found.input_scale = exact
    _check_config(path, config, found)
    powers = quant.scheme != "fixed"
    rows = {
        op: _rows(layer, powers and op.startswith("blocks.")) for op, layer in found.layers.items()
    }
    _check_bits(path, quant, rows, found)
    _measured(view, found, images)
    assert found.stream_site is not None
    numbers = Numbers(
        config=config,
        meta=graph_meta(config, quant, found.input_scale),
        pixels=found.pixels,
        stream=found.stream_site,
        sites=found.sites,
        rows=rows,
        norms=found.norms,
        position=found.position,
        factors=found.factors,
        shifts=found.shifts,
        deltas=found.deltas,
    )
    return Imported(numbers, view, found.places)


def agreement(network: Imported, graph: Graph, images: NDArray[np.float32]) -> float:
    """Compare the integer graph of a file with the file, tensor by tensor.

    A wrong reading, say of the order of heads, keeps all shapes and is seen here alone.

    Parameters
    ----------
    graph : lowered from the numbers of the file.
    images : ``(n, C, H, W)``, normalised.

    Returns
    -------
    dB of the file's logits over their difference to those of the integers.

    Raises
    ------
    VitgenError : a tensor is another than the file's, beyond all rounding; names the node.
    """
    view, places = network.view, network.places
    codes = np.clip(np.rint(images / graph.meta["input_scale"]), -127, 127).astype(np.int64)
    pairs: dict[str, list[tuple[Float, Float]]] = {name: [] for name in (*places, "head")}
    for image, code in zip(images, codes, strict=True):
        wanted = view.execute(image[None])
        values = execute(
            graph, patches_of(code, graph.meta["patch"]).astype(np.int64), graph.tensors
        )
        for op, place in (*places.items(), ("head", view.output)):
            tensor = graph.tensors[f"{op}.out"]
            theirs, ours = wanted[place].astype(np.float64), values[tensor.name] * tensor.scale
            # Queries, keys and values lie elsewhere in the file; their scores do not.
            if theirs.squeeze().shape == ours.squeeze().shape:
                pairs[op].append((theirs.squeeze(), ours.squeeze()))
    for op, values_of in pairs.items():
        if values_of and _ratio(values_of, centred=True) < LEAST_AGREEMENT:
            view.refuse(
                places.get(op, view.output), f"computes another tensor than {op}, as which it was read",
                "Only plain pre-norm blocks are recognised, with heads in timm's order.",
            )  # fmt: skip
    return _ratio(pairs["head"], centred=False)


def _ratio(pairs: list[tuple[Float, Float]], centred: bool) -> float:
    """dB of the first of every pair over its difference to the second.

    Parameters
    ----------
    centred : only what varies counts as signal: probabilities in any order are much alike.
    """
    first, second = (np.stack(part) for part in zip(*pairs, strict=True))
    signal = float(np.square(first - (first.mean() if centred else 0.0)).sum())
    noise = float(np.square(first - second).sum())
    return 10 * math.log10(signal / noise) if signal and noise else math.inf
