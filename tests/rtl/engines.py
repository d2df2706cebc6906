"""Few small engines that differ in what is emitted for them."""

from vitgen.design.engine import Engine

_COMMON = dict(array="hls", weight_fifo=16, max_k=40, replay_depth=40, max_tokens=70, max_features=50,
               max_head_dim=12, residual_depth=90, act_depth=80, prob_depth=70, key_depth=60,
               value_depth=64)  # fmt: skip

ENGINES = {
    # units of one, two and four beats a word
    "even": Engine(group_lanes=4, groups=2, dsp_rows=5, pot_rows=2, weight_ports=1, act_bits=8,
                   requant_lanes=2, gelu_lanes=4, softmax_lanes=2, norm_lanes=1, **_COMMON),
    # lanes that fill no byte, two ports, no power-of-two rows, every unit a word per beat
    "odd": Engine(group_lanes=3, groups=3, dsp_rows=6, pot_rows=0, weight_ports=2, act_bits=5,
                  requant_lanes=3, gelu_lanes=1, softmax_lanes=3, norm_lanes=3, **_COMMON),
    # the most lanes that a group can have (37 x 27 bits), units of three and of one beats a word
    "wide": Engine(group_lanes=36, groups=1, dsp_rows=36, pot_rows=0, weight_ports=2, act_bits=8,
                   requant_lanes=12, gelu_lanes=12, softmax_lanes=36, norm_lanes=12,
                   **(_COMMON | {"array": "dsp48"})),
    # tiles of QK^T that take the keys of two slots
    "paired": Engine(group_lanes=3, groups=2, dsp_rows=6, pot_rows=1, weight_ports=1, act_bits=6,
                     requant_lanes=1, gelu_lanes=3, softmax_lanes=1, norm_lanes=1,
                     **(_COMMON | {"array": "dsp48"})),
}  # fmt: skip
