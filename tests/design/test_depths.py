"""Depths of FIFOs against sums by hand; what they say of themselves is what they are."""

import re
from dataclasses import replace

import pytest

from tests.emit.engines import NAMES, make
from vitgen.design.depths import BLOCK_ROW, Guard
from vitgen.design.netlist import processes, streams

# Streams whose words wait for a number that takes another way, and those that run backwards.
AGAINST_DEADLOCK = {"scores", "terms", "norm_words"}
BACKWARDS = {"slot_ready"}


def depths(engine):
    return {stream.name: stream.depth for stream in streams(engine)}


def test_by_hand():
    """70 tokens, 50 features, groups of 22 lanes; units of 2, 11 and 22 lanes."""
    engine = replace(make("c"), requant_lanes=11, softmax_lanes=22, norm_lanes=2)
    found = depths(engine)
    # The maximum comes 4 cycles behind the last score, the first word of a block RAM 2 later.
    assert found["scores"] == 70 + 4 + 2
    # 22 reciprocals one after the other, 12 stages.
    assert found["terms"] == 70 + 22 + 12 + 2
    # 22 roots one after the other, 18 stages; a word every 11 cycles.
    assert found["norm_words"] == 50 + 4
    # Four cycles between two tiles, a row requantized every two.
    assert found["sums"] == 1 + 1 + 2
    # In C++ the last of 5 x 2 + 1 rows leaves in the beat in which the fourth has been requantized.
    assert depths(replace(make("d", "hls"), requant_lanes=3))["sums"] == 1 + 1 + 4
    assert depths(make("d", "hls"))["sums"] == 1 + 1 + 2 + 8
    # A tile of 33 x 3 rows of every other slot of 70 tokens; more than a block RAM holds are left out.
    assert found["requant_residual"] == 2 + 3 * 99 and found["slot_ready"] == 4 + 1
    assert depths(replace(make("c"), max_tokens=200))["requant_residual"] == 512
    assert found["turned_rows"] == 70 and found["weight_words"] == engine.weight_fifo
    assert found["acts"] == found["requant_act"] == found["gelu_act"] == 2
    assert found["feed_done"] == 14 + 1 + 1
    assert found["weight_beats"] == found["output_beats"] == 2 * 16


@pytest.mark.parametrize(("features", "depth"), [(511, 512), (512, 512), (513, 555), (1000, 1024)])
def test_what_guards_the_rate_takes_no_other_row_of_block_rams(features, depth):
    engine = replace(make("c"), norm_lanes=22, max_features=features)
    assert depths(engine)["norm_words"] == depth
    assert depth <= -(-features // BLOCK_ROW) * BLOCK_ROW


@pytest.mark.parametrize("name", NAMES)
def test_the_reason_adds_up(name):
    for stream in streams(make(name)):
        numbers = [int(n) for n in re.findall(r"(?:^|\+ )(\d+) ", stream.why)]
        assert sum(numbers) == stream.depth > 0, stream.why
        deadlock = stream.name in AGAINST_DEADLOCK | BACKWARDS or stream.name.endswith("_done")
        guard = Guard.DEADLOCK if deadlock else Guard.RATE
        assert stream.bound.guards is guard and stream.why.endswith(f"({guard.value})")


def test_what_guards_against_deadlock_has_another_way_beside_it():
    """From its writer to its reader words go over other streams as well."""
    ends: dict[str, list[str]] = {}
    for process in processes(make("c")):  # a writer before its reader
        for argument in process.args:
            ends.setdefault(argument.removesuffix("[]"), []).append(process.function)

    def reaches(start, goal, without):
        ways = [
            (name, pair[1]) for name, pair in ends.items() if len(pair) == 2 and pair[0] == start
        ]
        return any(
            name != without and (end == goal or reaches(end, goal, without)) for name, end in ways
        )

    for stream in AGAINST_DEADLOCK:
        writer, reader = ends[stream]
        assert reaches(writer, reader, stream), stream
    for stream in ("probs", "acts", "sums", "weight_words", "turned_rows"):
        writer, reader = ends[stream]
        assert not reaches(writer, reader, stream), stream
