"""Latencies of the processes, in cycles of the accelerator's clock.

They were read off simulated RTL of the open road: instructions of vit_digits and of DeiT-T, each alone
and overlapped. They matter where instructions are short, and the depths of FIFOs follow from them.
"""

from vitgen.design.engine import Engine

DEAL_CYCLES = 10  # from an instruction read to its commands dealt
NEXT_CYCLES = 5  # from there to the next instruction read
AWAIT_CYCLES = 10  # from a completion to the commands that waited for it, less its place among them
COMMAND_LATENCY = 4  # from a command dealt to the first bank read of its process
ARRAY_LATENCY = 4  # from a word read to its product in the accumulator
FEED_LEAD = 8  # from a tile's last word read to its product in the accumulator
WEIGHT_LATENCY = 3  # from a beat of weights to the array
OPERAND_DEAL_CYCLES = 3  # more where keys or values are the rows
TURN_LATENCY = 21  # from the command of value_turn to its first row at the array, less its reads
REQUANT_LATENCY = 6  # from a drained row to the requantized word
WRITE_LATENCY = 3  # from a word to its completion
RESIDUAL_LATENCY = 3  # more where it is added to the residual stream
GELU_LATENCY = 9
MAX_LATENCY = 4  # from a token tile's last score to its maximum
EXP_LATENCY = 6
DIVIDER_STAGES = 12  # the lanes of a group pass one after the other
ROOT_STAGES = 18  # of the variance, its root and the reciprocal
SCALE_LATENCY = 2
STORE_LATENCY = 3  # besides the memory's
SLOT_LATENCY = 8  # from a slot's report to its first word in the accumulator

RESIDUAL_SETTLE = 16
"""Beats between a slot's last sum and its first word for a LayerNorm: more than the residual process
has stages, so that the word read is the one written."""

SLOT_SETTLE = 4
"""Beats from a slot's last word in the activation bank to its report, likewise."""


def sub_words(engine: Engine, lanes: int) -> int:
    """Beats that a unit of ``lanes`` lanes spends on a word."""
    return engine.group_lanes // lanes


def reciprocal_cycles(engine: Engine) -> int:
    """Cycles from the sums of a token tile's terms to their reciprocals."""
    return engine.group_lanes + DIVIDER_STAGES


def root_cycles(engine: Engine) -> int:
    """Cycles from a token tile's last residual word to its reciprocal roots: the lanes pass one
    after the other, first for their variances, then through the pipeline of the root."""
    return 2 * engine.group_lanes + ROOT_STAGES


def variance_wait(engine: Engine) -> int:
    """Of :func:`root_cycles`, those in which words of the next token tile can come: before, the
    variances of the lanes keep the sums busy."""
    return root_cycles(engine) - engine.group_lanes
