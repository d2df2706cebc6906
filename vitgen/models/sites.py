"""Names: ops and tensors of the IR, and the module of the model that produces each. Free of torch."""

from vitgen.models.config import VitConfig


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
    """Every op of the lowered network, in order, and the module whose output is the op's."""
    sites = {"embed": "embed_out", "embed.add": "embed_add_out"}
    for index in range(config.depth):
        sites.update(block_ops(index))
    sites.update({"norm": "norm_out", "head": "head_out"})
    return sites


def op_names(config: VitConfig) -> list[str]:
    """Names of the ops, in order."""
    return list(op_sites(config))
