"""Packings by property: bits that a plain Python integer reads back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.graphs import Rows, random_rows
from vitgen.design.engine import Engine
from vitgen.design.packing import (
    NO_ROW,
    from_slots,
    layout_rows,
    pack_lanes,
    pack_records,
    pack_weights,
    to_slots,
    unpack_lanes,
    unpack_logits,
)
from vitgen.design.tiling import tile_rows
from vitgen.errors import VitgenError
from vitgen.ir import POT, Linear

DEPTHS = dict.fromkeys(
    ("residual_depth", "act_depth", "prob_depth", "key_depth", "value_depth"), 64
)


def engine(**shape) -> Engine:
    defaults = dict(
        array="dsp48", group_lanes=2, groups=1, dsp_rows=2, pot_rows=1, act_bits=8,
        requant_lanes=1, gelu_lanes=1, softmax_lanes=1, norm_lanes=1, weight_ports=1,
        weight_fifo=4, max_k=64, replay_depth=64, max_tokens=8, max_features=64, max_head_dim=8,
    )  # fmt: skip
    return Engine(**(defaults | DEPTHS | shape))


@given(
    bits=st.integers(1, 32),
    lanes=st.integers(1, 40),
    spare=st.integers(0, 9),
    data=st.data(),
)
def test_lanes_are_read_back_by_a_big_integer(bits, lanes, spare, data):
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    values = np.array(
        data.draw(st.lists(st.integers(low, high), min_size=lanes, max_size=lanes)), np.int64
    )
    size = -(-lanes * bits // 8) + spare
    word = pack_lanes(values[None], bits, size)[0]
    number = int.from_bytes(word.tobytes(), "little")
    assert number >> (lanes * bits) == 0
    for lane, value in enumerate(values):
        field = number >> (lane * bits) & ((1 << bits) - 1)
        assert field == int(value) % (1 << bits)
    assert unpack_lanes(word[None], lanes, bits)[0].tolist() == values.tolist()


@given(st.integers(1, 7), st.integers(1, 4), st.integers(1, 40), st.integers(1, 9))
def test_tokens_stand_where_the_document_says(lanes, groups, tokens, features):
    shape = engine(group_lanes=lanes, groups=groups, dsp_rows=8)
    tensor = np.arange(1, tokens * features + 1).reshape(tokens, features)
    words = to_slots(shape, tensor)
    width = lanes * groups
    for token in range(tokens):
        held = words[token // width, token % width // lanes, :, token % lanes]
        assert held.tolist() == tensor[token].tolist()
    assert (words != 0).sum() == tensor.size
    assert np.array_equal(from_slots(words, tokens), tensor)


@given(
    st.lists(
        st.tuples(
            st.integers(-(1 << 31), (1 << 31) - 1),
            st.integers(-(1 << 17) + 1, (1 << 17) - 1),
            st.integers(0, (1 << 16) - 1),
            st.booleans(),
            st.booleans(),
        ),
        min_size=1,
        max_size=20,
    )
)
def test_records_hold_their_fields(rows):
    bias, mult, dest, keep, gate = (np.array(column) for column in zip(*rows, strict=True))
    packed = pack_records(bias, mult, dest, keep, gate).reshape(-1, 16)
    for record, row in zip(packed, rows, strict=True):
        number = int.from_bytes(record.tobytes(), "little")
        fields = [number & 0xFFFFFFFF, number >> 32 & 0x3FFFF, number >> 50 & 0xFFFF, number >> 66]
        assert fields == [row[0] % 2**32, row[1] % 2**18, row[2], row[3] + 2 * row[4]]


def test_a_destination_beyond_its_field_is_refused():
    one = np.ones(1, dtype=np.int64)
    with pytest.raises(VitgenError, match="65536"):
        pack_records(one, one, one << 16, one > 0, one > 1)


def linear(rng, rows: int, features: int, mix: Rows) -> Linear:
    arrays = random_rows(rng, rows, features, mix)
    ones = np.ones(rows, dtype=np.int32)
    return Linear("l", ("x",), "y", bias=ones, mult=ones, shift=1, **arrays)


MIXES = st.builds(
    Rows,
    bits=st.sampled_from((4, 8)),
    pot_ratio=st.sampled_from((0.0, 0.2, 0.5, 1.0)),
    wide_ratio=st.sampled_from((0.0, 0.3, 1.0)),
)


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 9), MIXES,
    st.integers(1, 5), st.integers(0, 4), st.integers(1, 4), st.sampled_from(("dsp48", "hls")),
)  # fmt: skip
def test_every_row_is_placed_once_in_a_lane_that_can_hold_it(
    seed, rows, features, mix, dsp_rows, pot_rows, ports, array
):
    shape = engine(dsp_rows=2 * dsp_rows, pot_rows=pot_rows, weight_ports=ports, array=array)
    op = linear(np.random.default_rng(seed), rows, features, mix)
    layouts = layout_rows(shape, op)
    placed = np.concatenate([layout.drained.ravel() for layout in layouts])
    assert sorted(placed[placed != NO_ROW].tolist()) == list(range(rows))
    for layout in layouts:
        fixed = layout.fixed[layout.fixed != NO_ROW]
        if layout.group.weight_bits == 4:
            assert np.all((op.row_bits[fixed] == 4) & (op.row_scheme[fixed] != POT))
        assert np.all(op.row_scheme[layout.pot[layout.pot != NO_ROW]] == POT)
        check_words(shape, op, layout)


def check_words(shape, op, layout):
    """Every weight of every word, by shifting a big integer."""
    bits = layout.group.weight_bits
    striped = pack_weights(shape, op, layout)
    steps = shape.weight_steps(bits)
    tiles, features = layout.group.row_tiles, op.weight.shape[1]
    for index in range(tiles * features):
        tile, k = divmod(index, features)
        number = 0
        for step in reversed(range(steps)):
            for port in reversed(range(shape.weight_ports)):
                at = 16 * (index * steps + step)
                beat = int.from_bytes(striped[port, at : at + 16].tobytes(), "little")
                number = number << 128 | beat
        for slot, row in enumerate(layout.pot[tile]):
            code = number >> 4 * slot & 15
            value = 0 if row == NO_ROW else int(op.weight[row, k])
            assert code == (0 if not value else (value < 0) << 3 | abs(value).bit_length())
        for slot, row in enumerate(layout.fixed[tile]):
            field = number >> (4 * shape.pot_rows + bits * slot) & ((1 << bits) - 1)
            assert field == (0 if row == NO_ROW else int(op.weight[row, k]) % (1 << bits))


@given(
    st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(1, 6),
    st.integers(0, 5),
)  # fmt: skip
def test_tiles_are_as_few_as_any_split_gives(w4, w8, pot, dsp_rows, pot_rows):
    if w4 + w8 + pot == 0:
        return
    shape = engine(dsp_rows=dsp_rows, pot_rows=pot_rows)
    found = tile_rows(shape, w4, w8, pot).row_tiles
    narrow, wide = shape.fixed_rows(4), shape.fixed_rows(8)
    best = None
    for widened in range(pot + 1):
        beside = pot - widened
        if beside and not pot_rows:
            continue
        tiles = -(-w4 // narrow) + -(-(w8 + widened) // wide)
        if beside:
            tiles = max(tiles, -(-beside // pot_rows))
        best = tiles if best is None else min(best, tiles)
    assert best is not None and found == best


def test_logits_are_sixteen_bits_little_endian():
    assert unpack_logits(np.array([1, 0, 255, 255, 0, 128, 9, 9], np.uint8), 3).tolist() == [
        1, -1, -32768,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (dict(array="hls", dsp_rows=129), "multipliers in a process"),
        (dict(array="hls", dsp_rows=4, max_k=4682), "adds 4681 products"),
        (dict(array="rtl"), "Unknown array"),
        (dict(softmax_lanes=3), "does not divide"),
        (dict(group_lanes=38), "between 1 and 37"),
        (dict(max_tokens=1024), "between 1 and 1023"),
        (dict(dsp_rows=86), "Words end at 1024"),
        (dict(dsp_rows=1, group_lanes=3), "hold no group"),
    ],
)
def test_impossible_engines_are_refused(shape, said):
    with pytest.raises(VitgenError, match=said):
        engine(**shape)
