"""The numbers of a calibrated Brevitas Vision Transformer, and the integer graph that they make."""

import math

import torch

from vitgen.arith.gelu import DELTA_ONE
from vitgen.arith.selection import SCORE_FRACTION
from vitgen.errors import VitgenError
from vitgen.ir import Graph
from vitgen.lower.network import assemble
from vitgen.lower.numbers import Norm, Numbers, Rows, Site, graph_meta
from vitgen.lower.rows import folded_rows, head_means, rows_of
from vitgen.models.config import VitConfig
from vitgen.models.layers import Shared
from vitgen.models.selector import Selector
from vitgen.models.sites import op_sites, windows
from vitgen.models.vit import Vit
from vitgen.quant.activations import ActQuant, act_quantizer
from vitgen.quant.calibration import act_quantizers


def _site(quantizer: ActQuant) -> Site:
    return Site(quantizer.bits, quantizer.scale, quantizer.fraction)


def _sites(model: Vit) -> dict[str, Site]:
    """Outputs of all ops that have a quantizer of their own."""
    modules = {op: model.get_submodule(place) for op, place in op_sites(model.config).items()}
    sites = {
        op: _site(act_quantizer(module))
        for op, module in modules.items()
        if not isinstance(module, Shared)
    }
    for selector in model.selectors():
        sites[f"blocks.{selector.block}.selector.mlp1_gelu"] = _site(act_quantizer(selector.local))
    return sites


def _norm(module: torch.nn.LayerNorm) -> Norm:
    gamma, beta = (p.detach().double().numpy() for p in (module.weight, module.bias))
    return Norm(gamma, beta, module.eps)


def _embedding_rows(model: Vit) -> dict[str, Rows]:
    """Rows of the patch embedding and of the stem before it."""
    embed = model.patch_embed
    rows = rows_of(embed.proj, bias=False)
    if not model.config.stem:
        return {"embed": rows}
    *convolutions, last = windows(model.config)
    found = {
        window.reader: folded_rows(*embed.stage(number)).by_window(window.kernel)
        for number, window in zip(embed.numbers, convolutions, strict=True)
    }
    return found | {"embed": rows.by_window(last.kernel)}


def _selector_rows(selector: Selector, config: VitConfig) -> dict[str, Rows]:
    """Rows of a token selector's layers."""
    name = f"blocks.{selector.block}.selector"
    rows = {f"{name}.{part}": rows_of(layer) for part, layer in selector.linear_layers()}
    return rows | {f"{name}.mean": head_means(config.heads, config.head_dim)}


def numbers_of(model: Vit) -> Numbers:
    """What lowering takes of a quantized and calibrated model."""
    quant, config = model.quant, model.config
    assert quant is not None
    rows = _embedding_rows(model)
    norms: dict[str, Norm] = {}
    factors, shifts = {}, {}
    for index, block in enumerate(model.block_list()):
        name = f"blocks.{index}"
        if block.selector is not None:
            rows |= _selector_rows(block.selector, config)
            norms[f"{name}.selector.norm"] = _norm(block.selector.norm)
        parts = rows_of(block.attn.qkv).split(3)
        rows |= {f"{name}.attn.{part}": own for part, own in zip("qkv", parts, strict=True)}
        rows[f"{name}.attn.proj"] = rows_of(block.attn.proj)
        rows[f"{name}.mlp.fc1"] = rows_of(block.mlp.fc1)
        rows[f"{name}.mlp.fc2"] = rows_of(block.mlp.fc2)
        norms |= {f"{name}.norm1": _norm(block.norm1), f"{name}.norm2": _norm(block.norm2)}
        factors[f"{name}.attn.qk"] = 1.0 / math.sqrt(config.head_dim)
        shifts[f"{name}.attn.softmax"] = act_quantizer(block.attn.softmax_out).shift
    delta = round(quant.delta1 * DELTA_ONE)
    return Numbers(
        config=config,
        meta=_meta(model),
        pixels=_site(act_quantizer(model.patch_embed.pixels)),
        stream=_site(act_quantizer(model.residual)),
        sites=_sites(model),
        rows=rows | {"head": rows_of(model.head)},
        norms=norms | {"norm": _norm(model.norm)},
        position=model.position_constant().detach().double().numpy(),
        factors=factors,
        shifts=shifts,
        deltas={op: delta for op in op_sites(config) if op.endswith("gelu")},
        divisor=config.skip_lam,
        thresholds={
            selector.block: round(float(selector.threshold) * 2**SCORE_FRACTION)
            for selector in model.selectors()
        },
    )


def _meta(model: Vit) -> dict[str, object]:
    """What preprocessing and reports need; no integer of the graph depends on it."""
    assert model.quant is not None
    input_scale = act_quantizer(model.patch_embed.pixels).scale
    return graph_meta(model.config, model.quant, input_scale)


def lower(model: Vit, name: str) -> Graph:
    """See :func:`vitgen.lower.lower`."""
    if model.quant is None:
        raise VitgenError(
            "A float model cannot be lowered.", "Create it with a quantization (QuantConfig)."
        )
    for site, quantizer in act_quantizers(model).items():
        if not bool(quantizer.ready):
            raise VitgenError(
                f"The model is not calibrated: {site.split('.act_quant')[0]} has no scale.",
                "Call vitgen.quant.calibrate, or load a checkpoint that holds scales.",
            )
    with torch.no_grad():
        return assemble(numbers_of(model), name)
