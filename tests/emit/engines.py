"""Few engines that differ in what is emitted for them."""

from pathlib import Path

from vitgen.design.engine import Engine

SEQUENTIAL = Path(__file__).parent / "sequential"
"""Directory of an ``hls_stream.h`` that stands in for the vendor's."""

_SHAPES: dict[str, dict[str, int]] = {
    # three tiles of keys a slot, three ports
    "a": dict(group_lanes=5, groups=3, dsp_rows=3, pot_rows=3, act_bits=8, weight_ports=3),
    # one tile of keys a slot; words of 2 and 3 steps
    "b": dict(group_lanes=4, groups=4, dsp_rows=40, pot_rows=5, act_bits=6, weight_ports=2),
    # one group, no power-of-two rows, words of activations and residuals that span beats
    "c": dict(group_lanes=22, groups=1, dsp_rows=33, pot_rows=0, act_bits=7, weight_ports=1),
    # two tiles of keys a slot, four ports
    "d": dict(group_lanes=3, groups=6, dsp_rows=5, pot_rows=1, act_bits=4, weight_ports=4),
}

NAMES = list(_SHAPES)


def make(name: str, array: str = "dsp48") -> Engine:
    """An engine by name."""
    return Engine(
        array=array, requant_lanes=1, gelu_lanes=1, softmax_lanes=1, norm_lanes=1, weight_fifo=16,
        max_k=40, replay_depth=40, max_tokens=70, max_features=50, max_head_dim=12, residual_depth=90, act_depth=80,
        prob_depth=70, key_depth=60, value_depth=64, **_SHAPES[name],
    )  # fmt: skip
