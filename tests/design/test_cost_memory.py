"""Block RAMs as yosys counted them; every memory of the netlist on the bill once."""

from dataclasses import replace

import pytest

from tests.support.deit_steps import deit_steps
from vitgen.design.cost_memory import (
    LUTRAM_DEPTH,
    Memory,
    bram18,
    lutram_luts,
    memories,
    type_widths,
    ultra_banks,
    uram,
)
from vitgen.design.cost_resources import bill
from vitgen.design.instance import engine_for
from vitgen.design.needs import needs_of
from vitgen.design.netlist import Per, banks, streams

UNITS = dict(requant_lanes=3, gelu_lanes=1, softmax_lanes=3, norm_lanes=1)


# Width, depth and block RAMs of 36 Kb of process_ram.sv, counted by yosys 0.70. Of 72 x 19,200, where two
# layouts weigh the same to it, it takes 38 and the estimate says 40.
COUNTED = [
    (1, 9000, 0.5), (2, 15360, 1), (4, 4000, 0.5), (8, 19200, 5), (16, 1500, 1), (17, 3000, 1.5),
    (18, 19200, 10), (20, 4000, 2.5), (36, 19200, 20), (40, 8000, 10), (48, 5500, 9),
    (64, 10000, 20), (68, 800, 2), (96, 19200, 55), (100, 600, 3), (100, 5000, 15),
    (112, 19200, 65), (120, 7000, 24.5), (128, 3072, 11.5), (144, 7680, 32), (160, 1100, 7),
    (160, 1970, 9), (160, 2500, 11.5), (160, 3840, 18), (160, 5000, 22.5), (160, 9600, 45),
    (160, 13000, 58.5), (160, 19200, 90), (200, 12000, 69), (200, 15360, 86.5), (250, 15360, 105),
    (320, 2000, 18), (320, 3840, 36), (400, 1576, 22.5), (400, 3072, 34),
]  # fmt: skip


@pytest.mark.parametrize(("width", "depth", "bram36"), COUNTED)
def test_block_rams_are_those_that_yosys_takes(width, depth, bram36):
    assert bram18(width, depth) == 2 * bram36


def test_block_rams_hold_their_words():
    """36 Kb a block, 32 where a word has no parity; at most one row and one column of them too many."""
    for width in (1, 2, 3, 8, 9, 10, 17, 18, 36, 37, 64, 72, 73, 144, 264, 525):
        for depth in (65, 512, 513, 1000, 1024, 2048, 2304, 3072, 4097, 8192, 11520, 16385, 40000):
            kbits = bram18(width, depth) * 18
            assert width * depth <= kbits * 1024
            assert kbits * 1024 <= 1.25 * (width + 36) * (depth + 512)


def test_known_shapes():
    assert bram18(72, 512) == 2  # one whole block
    assert bram18(36, 512) == 1  # half of one
    assert bram18(1, 32768) == 2
    assert bram18(73, 512) == 3  # two blocks less a half


def test_ultra_rams_are_4096_words_of_72_bits():
    shapes = [(1, 1), (72, 4096), (73, 4096), (72, 4097), (144, 15360), (264, 1970)]
    assert [uram(*shape) for shape in shapes] == [1, 1, 2, 2, 8, 4]


def test_shallow_memories_are_lut_ram():
    assert Memory("m", 2, 27, LUTRAM_DEPTH, True).bram18 == 0
    assert Memory("m", 2, 27, LUTRAM_DEPTH + 1, True).bram18 == 2 * bram18(27, 65)
    # engine.md section 4: 27 bits x 32 at the end of a chain, beside one more, in 4 RAM32M16.
    assert lutram_luts(2 * 27, 32) == 32


def engine(**changes):
    needs = needs_of(None, deit_steps("t"))
    shape = dict(
        array="dsp48", group_lanes=6, groups=11, dsp_rows=33, pot_rows=5, weight_ports=2,
        weight_fifo=512,
    )  # fmt: skip
    return engine_for(needs, **(shape | UNITS | changes))


@pytest.mark.parametrize("array", ["dsp48", "hls"])
def test_every_bank_and_stream_is_listed_once(array):
    made = engine(array=array)
    listed = {memory.name: memory for memory in memories(made)}
    assert len(listed) == len(memories(made))
    copies = {Per.ACCELERATOR: 1, Per.GROUP: 11, Per.PORT: 2}
    for stream in streams(made):
        found = listed[stream.name]
        assert (found.copies, found.depth) == (copies[stream.per], stream.depth)
        assert found.width == type_widths(made)[stream.type] > 0
    for bank in banks(made):
        assert listed[f"bank.{bank.name}"].copies == 11
    extra = set(listed) - {s.name for s in streams(made)} - {f"bank.{b.name}" for b in banks(made)}
    assert extra == {
        "weight_replay", "value_replay", "param_replay", "norm_replay", "turned_tiles",
    }


def test_banks_go_to_ultra_ram_as_far_as_it_reaches():
    """Those that save most block RAM for each come first; whatever is left over is used as well."""
    lean = dict(group_lanes=18, groups=1)
    bare = engine(**lean)
    size = {m.name.removeprefix("bank."): m for m in memories(bare) if m.name.startswith("bank.")}
    need = {name: uram(m.width, m.depth) for name, m in size.items()}
    assert need == {"residual": 4, "act": 6, "prob": 4, "key": 2, "value": 2, "key_twin": 2}
    saved = {name: m.bram18 for name, m in size.items()}
    for available in range(sum(need.values()) + 1):
        made = engine(**lean, uram=available)
        chosen = made.ultra_banks
        assert sum(need[name] for name in chosen) <= available
        assert made == replace(bare, ultra_banks=chosen)
        assert bill(made).uram == sum(need[name] for name in chosen)
        halves = [sum(item.bram18 for item in bill(e).items) for e in (bare, made)]
        assert halves[0] - halves[1] == sum(saved[name] for name in chosen)
        for name in set(need) - set(chosen):  # left out for want of room alone
            rivals = [r for r in chosen if saved[r] / need[r] >= saved[name] / need[name]]
            assert need[name] > available - sum(need[r] for r in rivals)
    assert set(chosen) == set(need)


def test_a_bank_that_would_leave_ultra_ram_empty_stays_in_block_ram():
    shallow = replace(engine(), act_depth=600, prob_depth=64)
    for name in ("act", "prob"):
        assert name not in ultra_banks(shallow, 1000)
