"""Names: ops and tensors of the IR, and the module of the model that produces each. Free of torch."""

from dataclasses import dataclass

from vitgen.models.config import VitConfig
from vitgen.quant.config import QuantConfig

WIDE = 16  # bits of the residual stream, scores, GELU input and logits
PIXEL_BITS = 8


@dataclass(frozen=True)
class Window:
    """An unfolding of the stem.

    Parameters
    ----------
    op : its name.
    source : name of the tensor that it reads, a map of ``side`` x ``side`` tokens.
    reader : name of the linear op that reads it.
    side, channels : of the map.
    kernel, stride, padding, lead : as :class:`vitgen.ir.Unfold` has them.
    """

    op: str
    source: str
    reader: str
    side: int
    channels: int
    kernel: int
    stride: int
    padding: int
    lead: int


def input_name(config: VitConfig) -> str:
    """Tensor of the image: ``image`` where a stem reads pixels, ``patches`` elsewhere."""
    return "image" if config.stem else "patches"


def conv_op(number: int) -> str:
    """Op, and module, of a convolution of the stem, counted from 1."""
    return f"patch_embed.conv{number}"


def windows(config: VitConfig) -> list[Window]:
    """What the linear ops of the stem and of the embedding read; none without a stem."""
    if not config.stem:
        return []
    result = []
    source = input_name(config)
    for number, conv in enumerate(config.stem, 1):
        op = conv_op(number)
        side, channels = config.maps[number - 1]
        result.append(
            Window(
                f"{op}.unfold",
                source,
                op,
                side,
                channels,
                conv.kernel,
                conv.stride,
                conv.padding,
                0,
            )
        )
        source = f"{op}.out"
    side, channels = config.maps[-1]
    # One zero token in front: the class token's place in the embedding.
    patches = Window(
        "patch_embed.proj.unfold",
        source,
        "embed",
        side,
        channels,
        config.window,
        config.window,
        0,
        1,
    )
    return [*result, patches]


SELECTOR_OPS = (
    "norm",
    "mlp1",
    "mlp1_gelu",
    "pool",
    "mlp2a",
    "mlp2a_gelu",
    "mlp2b",
    "mlp2b_gelu",
    "mlp2c",
    "classes",
    "mean",
    "mlp3a",
    "mlp3a_gelu",
    "mlp3b",
    "importance",
    "score",
    "compact",
)
"""Ops of a token selector, in order."""


def selector_ops(index: int) -> dict[str, str]:
    """Ops of the token selector before a block, in order, and the module whose output is the op's."""
    name = f"blocks.{index}.selector"
    return {f"{name}.{op}": f"{name}.{op}_out" for op in SELECTOR_OPS}


def block_ops(index: int) -> dict[str, str]:
    """Ops of a block, in order, and the module whose output is the op's."""
    name = f"blocks.{index}"
    return {
        f"{name}.norm1": f"{name}.norm1_out",
        f"{name}.attn.q": f"{name}.attn.q_out",
        f"{name}.attn.k": f"{name}.attn.k_out",
        f"{name}.attn.v": f"{name}.attn.v_out",
        f"{name}.attn.qk": f"{name}.attn.qk_out",
        f"{name}.attn.softmax": f"{name}.attn.softmax_out",
        f"{name}.attn.av": f"{name}.attn.av_out",
        f"{name}.attn.proj": f"{name}.attn.proj_out",
        f"{name}.attn.add": f"{name}.attn_add_out",
        f"{name}.norm2": f"{name}.norm2_out",
        f"{name}.mlp.fc1": f"{name}.mlp.fc1_out",
        f"{name}.mlp.gelu": f"{name}.mlp.gelu_out",
        f"{name}.mlp.fc2": f"{name}.mlp.fc2_out",
        f"{name}.mlp.add": f"{name}.mlp_add_out",
    }


def op_sites(config: VitConfig) -> dict[str, str]:
    """Every op of the lowered network but the unfoldings, in order, and the module whose output is
    the op's."""
    sites = {conv_op(n): f"{conv_op(n)}_out" for n in range(1, len(config.stem) + 1)}
    sites.update({"embed": "embed_out", "embed.add": "embed_add_out"})
    for index in range(config.depth):
        if index in config.kept:
            sites.update(selector_ops(index))
        sites.update(block_ops(index))
    sites.update({"norm": "norm_out", "head": "head_out"})
    return sites


def op_names(config: VitConfig) -> list[str]:
    """Names of the ops, in order."""
    before = {window.reader: window.op for window in windows(config)}
    names = []
    for op in op_sites(config):
        names += [before[op], op] if op in before else [op]
    return names


@dataclass(frozen=True)
class RowShape:
    """Weights of a linear op.

    Parameters
    ----------
    rows, features : of its matrix.
    groups : consecutive rows that share schemes and widths equally: heads of q, k and v, else 1.
    """

    rows: int
    features: int
    groups: int = 1


def row_shapes(config: VitConfig) -> dict[str, RowShape]:
    """The linear ops, in order."""
    width, hidden = config.embed_dim, config.hidden
    shapes = {
        window.reader: RowShape(conv.channels, window.kernel**2 * window.channels)
        for window, conv in zip(windows(config), config.stem, strict=False)
    }
    shapes["embed"] = RowShape(width, config.patch_features)
    for index in range(config.depth):
        name = f"blocks.{index}"
        for part in "qkv":
            shapes[f"{name}.attn.{part}"] = RowShape(width, width, config.heads)
        shapes[f"{name}.attn.proj"] = RowShape(width, width)
        shapes[f"{name}.mlp.fc1"] = RowShape(hidden, width)
        shapes[f"{name}.mlp.fc2"] = RowShape(width, hidden)
    shapes["head"] = RowShape(config.classes, width)
    return shapes


def site_bits(config: VitConfig, quant: QuantConfig) -> dict[str, int]:
    """Bits of the output of every op that is not on the residual stream, in order."""
    stream = ("embed", "add", "proj", "fc2")
    wide = ("qk", "fc1", "head")
    found = {}
    for op in op_sites(config):
        last = op.rpartition(".")[2]
        if last not in stream:
            found[op] = WIDE if last in wide else quant.layer(op).act_bits
    return found
