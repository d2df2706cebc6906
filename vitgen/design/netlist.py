"""Processes and streams of the accelerator as data: one list for the top function, the stitcher of
the open road, the FIFO report and the cost model.

A name in ``args`` is a stream, a bank port, a DRAM pointer or a scalar. Things that exist once per
token group (or weight port) are arrays; ``name[]`` passes the element of the process's own group,
plain ``name`` passes the whole array (or the single one).
"""

from dataclasses import dataclass
from enum import Enum

from vitgen.design import depths
from vitgen.design.depths import Bound
from vitgen.design.engine import Engine

READ_BURSTS = 8
WRITE_BURSTS = 4
"""DRAM bursts of a port that can be on their way: 128 beats cover a latency of 100 cycles."""


class Per(Enum):
    """How often a process or stream exists."""

    ACCELERATOR = "accelerator"
    GROUP = "group"
    PORT = "port"


@dataclass(frozen=True)
class Stream:
    """A FIFO between two processes.

    Parameters
    ----------
    name : C++ identifier.
    type : C++ type of its values.
    per : whether it is one stream or an array of them.
    bound : its computed depth.
    """

    name: str
    type: str
    per: Per
    bound: Bound

    @property
    def depth(self) -> int:
        """Values that it holds."""
        return self.bound.depth

    @property
    def why(self) -> str:
        """The bound in words and numbers."""
        return self.bound.why


@dataclass(frozen=True)
class Process:
    """A call of the top function; ``file`` is the template that defines ``function``."""

    function: str
    file: str
    per: Per
    args: tuple[str, ...]


@dataclass(frozen=True)
class Bank:
    """Activation RAM of one token group, seen through a read and a write port."""

    name: str
    type: str
    depth: int


@dataclass(frozen=True)
class Pointer:
    """A DRAM buffer behind an m_axi bundle of its own; ``per`` PORT for the striped weights."""

    name: str
    per: Per
    written: bool


_COMMANDS = {
    Per.ACCELERATOR: (
        "gather", "replay", "key", "turn", "value", "select", "record", "param", "norm_param",
        "load", "store",
    ),
    Per.GROUP: (
        "feed", "array", "requant", "gelu", "softmax_max", "softmax_exp", "softmax_recip",
        "softmax_scale", "residual", "norm_sum", "norm_root", "norm_scale", "act_write",
        "key_write", "value_write", "prob_write",
    ),
}

_COMMAND_TYPES = {
    "softmax_max": "softmax_command",
    "softmax_exp": "softmax_command",
    "softmax_recip": "softmax_command",
    "softmax_scale": "softmax_command",
    "norm_sum": "norm_command",
    "norm_root": "norm_command",
    "norm_scale": "norm_command",
    "key_write": "write_command",
    "value_write": "write_command",
    "prob_write": "prob_write_command",
}

_DONE = {
    Per.ACCELERATOR: ("key", "turn", "store"),
    Per.GROUP: ("feed", "act_write", "key_write", "value_write", "prob_write", "residual"),
}


def streams(engine: Engine) -> list[Stream]:
    """Every stream of the accelerator."""
    one, group, port = Per.ACCELERATOR, Per.GROUP, Per.PORT
    pace, commands, tile = depths.HAND_OVER, depths.COMMANDS, depths.ONE_PER_TILE
    found = []
    for per, names in _COMMANDS.items():
        for name in names:
            kind = _COMMAND_TYPES.get(name, f"{name}_command")
            found.append(Stream(f"{name}_command", kind, per, commands))
    for per, names in _DONE.items():
        for name in names:
            found.append(Stream(f"{name}_done", "done_t", per, depths.COMPLETIONS))
    for name, per in (("program", one), ("param", one), ("image", one), ("constant", one),
                      ("weight", port)):
        asked = depths.RUN_REQUESTS if name == "program" else commands
        found.append(Stream(f"{name}_request", "dma_request", per, asked))
        found.append(Stream(f"{name}_beats", "beat_t", per, depths.BURSTS))
    found += [
        Stream("output_request", "dma_request", one, commands),
        Stream("output_beats", "beat_t", one, depths.BURSTS),
        Stream("weight_words", "row_word", one, depths.weight_words(engine)),
        Stream("weight_rows", "row_word", one, pace),
        Stream("key_rows", "row_word", one, pace),
        Stream("turned_rows", "row_word", one, depths.turned_rows(engine)),
        Stream("value_rows", "row_word", one, pace),
        Stream("rows", "row_word", group, pace),
        Stream("gemm_records", "record_t", one, pace),
        Stream("norm_records", "record_t", one, pace),
        Stream("gemm_params", "param", group, pace),
        Stream("norm_params", "param", group, pace),
        Stream("load_act", "tagged_act", group, pace),
        Stream("load_residual", "tagged_post", group, pace),
        Stream("slot_ready", "done_t", group, depths.slot_reports(engine)),
        Stream("acts", "act_word", group, pace),
        Stream("sums", "acc_word", group, depths.drained_rows(engine)),
        Stream("requant_act", "tagged_act", group, pace),
        Stream("requant_key", "tagged_act", group, pace),
        Stream("requant_value", "tagged_act", group, pace),
        Stream("requant_gelu", "tagged_post", group, pace),
        Stream("requant_softmax", "post_word", group, pace),
        Stream("requant_residual", "tagged_post", group, depths.residual_rows(engine)),
        Stream("requant_store", "post_word", group, pace),
        Stream("gelu_act", "tagged_act", group, pace),
        Stream("scores", "post_word", group, depths.scores(engine)),
        Stream("score_max", "post_word", group, tile),
        Stream("terms", "term_word", group, depths.terms(engine)),
        Stream("term_sum", "sum_word", group, tile),
        Stream("reciprocals", "sum_word", group, tile),
        Stream("probs", "act_word", group, pace),
        Stream("residual_norm", "post_word", group, depths.normalized_rows(engine)),
        Stream("norm_words", "post_word", group, depths.norm_words(engine)),
        Stream("norm_stats", "norm_stats_word", group, tile),
        Stream("norm_roots", "norm_root_word", group, tile),
        Stream("norm_act", "tagged_act", group, pace),
    ]
    return found


def _shared_processes(engine: Engine) -> list[Process]:
    one, port = Per.ACCELERATOR, Per.PORT
    commands = [f"{name}_command" for names in _COMMANDS.values() for name in names]
    dones = [f"{name}_done" for names in _DONE.values() for name in names]
    requests = ["param_request", "image_request", "constant_request", "weight_request",
                "output_request"]
    return [
        Process("program_fetch", "dispatch.h", one, ("instructions", "program_request")),
        Process("dma_read", "dma.h", one, ("program", "program_request", "program_beats")),
        Process("dispatch", "dispatch.h", one,
                ("program_beats", *requests, *commands, *dones)),
        Process("dma_read", "dma.h", one, ("params", "param_request", "param_beats")),
        Process("dma_read", "dma.h", one, ("image", "image_request", "image_beats")),
        Process("dma_read", "dma.h", one, ("constants", "constant_request", "constant_beats")),
        Process("dma_read", "dma.h", port, ("weights[]", "weight_request[]", "weight_beats[]")),
        Process("load", "load.h", one,
                ("load_command", "image_beats", "constant_beats", "load_act", "load_residual")),
        Process("weight_gather", "weights.h", one,
                ("gather_command", "weight_beats", "weight_words")),
        Process("weight_replay", "weights.h", one,
                ("replay_command", "weight_words", "weight_rows")),
        Process("key_read", "attention.h", one,
                ("key_command", *(f"{bank}_rd" for bank in key_banks(engine)), "key_rows",
                 "key_done")),
        Process("value_turn", "attention.h", one,
                ("turn_command", "value_rd", "turned_rows", "turn_done")),
        Process("value_replay", "attention.h", one,
                ("value_command", "turned_rows", "value_rows")),
        Process("row_select", "rows.h", one,
                ("select_command", "weight_rows", "key_rows", "value_rows", "rows")),
        Process("record_split", "params.h", one,
                ("record_command", "param_beats", "gemm_records", "norm_records")),
        Process("param_replay", "params.h", one,
                ("param_command", "gemm_records", "gemm_params")),
        Process("norm_replay", "params.h", one,
                ("norm_param_command", "norm_records", "norm_params")),
        Process("store", "store.h", one,
                ("store_command", "requant_store", "output_beats")),
        Process("dma_write", "dma.h", one,
                ("output", "output_request", "output_beats", "store_done")),
    ]


def _group_processes(engine: Engine) -> list[Process]:
    group = Per.GROUP
    return [
        Process("feed", "feed.h", group,
                ("feed_command[]", "act_rd[]", "prob_rd[]", "slot_ready[]", "acts[]",
                 "feed_done[]")),
        Process("multiply", "array.h", group, ("array_command[]", "rows[]", "acts[]", "sums[]")),
        Process("requantize", "requant.h", group,
                ("requant_command[]", "sums[]", "gemm_params[]", "requant_act[]", "requant_key[]",
                 "requant_value[]", "requant_gelu[]", "requant_softmax[]", "requant_residual[]",
                 "requant_store[]")),
        Process("gelu", "gelu.h", group, ("gelu_command[]", "requant_gelu[]", "gelu_act[]")),
        Process("softmax_max", "softmax.h", group,
                ("softmax_max_command[]", "requant_softmax[]", "scores[]", "score_max[]")),
        Process("softmax_exp", "softmax.h", group,
                ("softmax_exp_command[]", "scores[]", "score_max[]", "terms[]", "term_sum[]")),
        Process("softmax_recip", "softmax.h", group,
                ("softmax_recip_command[]", "term_sum[]", "reciprocals[]")),
        Process("softmax_scale", "softmax.h", group,
                ("softmax_scale_command[]", "terms[]", "reciprocals[]", "probs[]")),
        Process("residual", "residual.h", group,
                ("residual_command[]", "requant_residual[]", "load_residual[]", "residual_rd[]",
                 "residual_wr[]", "residual_norm[]", "residual_done[]")),
        Process("norm_sum", "norm.h", group,
                ("norm_sum_command[]", "residual_norm[]", "norm_words[]", "norm_stats[]")),
        Process("norm_root", "norm.h", group,
                ("norm_root_command[]", "norm_stats[]", "norm_roots[]")),
        Process("norm_scale", "norm.h", group,
                ("norm_scale_command[]", "norm_words[]", "norm_roots[]", "norm_params[]",
                 "norm_act[]")),
        Process("act_write", "banks.h", group,
                ("act_write_command[]", "requant_act[]", "gelu_act[]", "norm_act[]", "load_act[]",
                 "act_wr[]", "slot_ready[]", "act_write_done[]")),
        Process("bank_write" if engine.key_slots == 1 else "twin_write", "banks.h", group,
                ("key_write_command[]", "requant_key[]",
                 *(f"{bank}_wr[]" for bank in key_banks(engine)), "key_write_done[]")),
        Process("bank_write", "banks.h", group,
                ("value_write_command[]", "requant_value[]", "value_wr[]", "value_write_done[]")),
        Process("prob_write", "banks.h", group,
                ("prob_write_command[]", "probs[]", "prob_wr[]", "prob_write_done[]")),
    ]


def processes(engine: Engine) -> list[Process]:
    """Every call of the top function, in the order of the data's flow."""
    return _shared_processes(engine) + _group_processes(engine)


def key_banks(engine: Engine) -> tuple[str, ...]:
    """Banks of the keys: a second one with the same words where a tile of QK^T takes two token tiles."""
    return ("key", "key_twin")[: engine.key_slots]


def banks(engine: Engine) -> list[Bank]:
    """The activation RAMs of one token group."""
    twins = [Bank(name, "act_word", engine.key_depth) for name in key_banks(engine)[1:]]
    return [
        Bank("residual", "post_word", engine.residual_depth),
        Bank("act", "act_word", engine.act_depth),
        Bank("prob", "act_word", engine.prob_depth),
        Bank("key", "act_word", engine.key_depth),
        Bank("value", "act_word", engine.value_depth),
        *twins,
    ]


def pointers() -> list[Pointer]:
    """DRAM buffers of the top function."""
    return [
        Pointer("program", Per.ACCELERATOR, False),
        Pointer("params", Per.ACCELERATOR, False),
        Pointer("image", Per.ACCELERATOR, False),
        Pointer("constants", Per.ACCELERATOR, False),
        Pointer("weights", Per.PORT, False),
        Pointer("output", Per.ACCELERATOR, True),
    ]
