"""The bill of the cost model against yosys's count of the same engine's RTL."""

from dataclasses import replace

import pytest

from tests.rtl.engines import ENGINES
from vitgen.design.cost_memory import memories
from vitgen.design.cost_resources import bill
from vitgen.design.engine import Engine
from vitgen.rtl.resources import Instance, instances
from vitgen.rtl.yosys import Counts, count_all

SMALL = Engine(
    array="dsp48", group_lanes=2, groups=3, dsp_rows=6, pot_rows=6, act_bits=8, requant_lanes=2,
    gelu_lanes=2, softmax_lanes=2, norm_lanes=2, weight_ports=1, weight_fifo=32, max_k=128,
    replay_depth=128, max_tokens=17, max_features=64, max_head_dim=16, residual_depth=192,
    act_depth=576, prob_depth=102, key_depth=192, value_depth=192,
)  # fmt: skip
WIDE = replace(
    ENGINES["even"], array="dsp48", group_lanes=16, groups=2, dsp_rows=8, pot_rows=4,
    requant_lanes=4, gelu_lanes=2, softmax_lanes=4, norm_lanes=2, max_k=400, replay_depth=400,
    max_tokens=197, max_features=192, max_head_dim=64, residual_depth=1000, act_depth=2000,
    prob_depth=500, key_depth=800, value_depth=800, weight_fifo=256, weight_ports=2,
)  # fmt: skip
LARGE = Engine(
    array="dsp48", group_lanes=25, groups=2, dsp_rows=28, pot_rows=28, act_bits=8,
    requant_lanes=25, gelu_lanes=25, softmax_lanes=25, norm_lanes=25, weight_ports=2,
    weight_fifo=512, max_k=3072, replay_depth=3072, max_tokens=197, max_features=768,
    max_head_dim=64, residual_depth=3072, act_depth=15360, prob_depth=1576, key_depth=3072,
    value_depth=3072,
)  # fmt: skip
NARROW = replace(LARGE, requant_lanes=5, softmax_lanes=5)
# DSPs, LUTs and flip-flops of single processes of LARGE, an engine for DeiT-B, and of those that differ
# in NARROW, as yosys 0.70 counted them once: it takes minutes for each of the larger ones.
LARGE_COUNTS = {
    "requant_i": (25, 6285, 825),
    "gelu_i": (125, 8101, 4185),
    "softmax_max_i": (0, 1213, 437),
    "softmax_exp_i": (100, 5826, 3118),
    "softmax_recip_i": (0, 2491, 1909),
    "softmax_scale_i": (25, 2882, 1122),
    "norm_sum_i": (29, 3338, 3904),
    "norm_root_i": (0, 5023, 6623),
    "norm_scale_i": (75, 7754, 2302),
    "feed_i": (0, 464, 191),
    "residual_i": (0, 1457, 955),
    "act_write_i": (0, 344, 98),
    "key_write_i": (0, 69, 52),
    "value_write_i": (0, 69, 52),
    "prob_write_i": (0, 125, 66),
    "dispatch_i": (5, 3613, 2496),
    "turn_i": (0, 2957, 2082),
    "load_i": (0, 657, 670),
    "gather_i": (0, 1221, 595),
    "replay_i": (0, 702, 640),
    "key_i": (0, 201, 127),
    "value_i": (0, 639, 601),
    "select_i": (0, 626, 54),
    "record_i": (0, 60, 51),
    "param_i": (0, 404, 442),
    "norm_param_i": (0, 217, 165),
    "store_i": (0, 363, 206),
}
NARROW_COUNTS = LARGE_COUNTS | {
    "requant_i": (5, 2489, 1450),
    "softmax_max_i": (0, 1051, 758),
    "softmax_exp_i": (20, 2685, 2121),
    "softmax_scale_i": (5, 1701, 1246),
}

# Modules of the RTL by the items of the bill that estimate them.
UNITS = {
    "array": ("array_i",),
    "requant": ("requant_i",),
    "gelu": ("gelu_i",),
    "softmax": ("softmax_max_i", "softmax_exp_i", "softmax_recip_i", "softmax_scale_i"),
    "norm": ("norm_sum_i", "norm_root_i", "norm_scale_i"),
    "moves": ("feed_i", "residual_i", "act_write_i", "key_write_i", "value_write_i",
              "prob_write_i"),
    "dispatch": ("dispatch_i",),
    "value_turn": ("turn_i",),
    "shared": ("load_i", "gather_i", "replay_i", "key_i", "value_i", "select_i", "record_i",
               "param_i", "norm_param_i", "store_i"),
    "shell": ("vit_top",),
}  # fmt: skip


def estimated(engine, unit):
    """DSPs, LUTs and halves of block RAMs of a unit's items, all copies."""
    items = [i for i in bill(engine).items if i.name.split(".")[0] == unit]
    return sum(i.dsp for i in items), sum(i.lut for i in items), sum(i.bram18 for i in items)


def counted(found: list[Instance]) -> Counts:
    total = Counts()
    for instance, each in zip(found, count_all([i.job for i in found]), strict=True):
        total += each.times(instance.copies)
    return total


def check(engine: Engine, made: list[Instance], unit: str) -> None:
    total = counted([i for i in made if i.name in UNITS[unit]])
    dsp, lut, bram18 = estimated(engine, unit)
    assert (dsp, bram18 / 2) == (total.dsp, total.bram36)
    assert lut == pytest.approx(total.lut, rel=0.15)


PER_GROUP = ("requant", "gelu", "softmax", "norm", "moves")
LARGE_UNITS = [unit for unit in UNITS if unit not in ("array", "shell")]


@pytest.mark.parametrize(
    ("engine", "counts", "unit"),
    [(LARGE, LARGE_COUNTS, unit) for unit in LARGE_UNITS]
    + [(NARROW, NARROW_COUNTS, unit) for unit in ("requant", "softmax")],
)
def test_processes_of_deit_b(engine, counts, unit):
    copies = engine.groups if unit in PER_GROUP else 1
    columns = zip(*(counts[name] for name in UNITS[unit]), strict=True)
    dsp, lut, ff = (copies * sum(column) for column in columns)
    items = [i for i in bill(engine).items if i.name.split(".")[0] == unit]
    assert sum(i.dsp for i in items) == dsp
    assert sum(i.lut for i in items) == pytest.approx(lut, rel=0.05)
    assert sum(i.ff for i in items) == pytest.approx(ff, rel=0.1)


@pytest.fixture(scope="session")
def small():
    return instances(SMALL)


def test_every_module_has_an_estimate(small):
    named = {name for names in UNITS.values() for name in names}
    assert {i.name for i in small if i.kind not in ("fifo", "ram")} == named


@pytest.mark.parametrize("unit", ["requant", "gelu", "moves", "array"])
def test_units(small, unit):
    check(SMALL, small, unit)


def test_memories(small):
    total = counted([i for i in small if i.kind in ("fifo", "ram")])
    # The program's requests have a FIFO in the C++ alone.
    found = [memory for memory in memories(SMALL) if memory.name != "program_request"]
    assert sum(m.bram18 for m in found) / 2 == total.bram36
    assert sum(m.ff for m in found) == total.ff
    assert sum(m.lut for m in found) == pytest.approx(total.lut, rel=0.05)


@pytest.mark.slow  # minutes of yosys
@pytest.mark.parametrize("engine", [SMALL, WIDE], ids=["small", "wide"])
def test_whole_engines(engine):
    made = instances(engine)
    for unit in UNITS:
        check(engine, made, unit)
