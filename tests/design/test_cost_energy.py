"""Events of an image counted by hand, and energies as products with the table's coefficients."""

from dataclasses import replace

import pytest

from tests.support.deit_steps import deit_steps, vit_steps
from vitgen import boards
from vitgen.boards import TRUST_LEVELS
from vitgen.design.cost import Workload, estimate
from vitgen.design.cost_energy import Events, coefficients, energy, events
from vitgen.design.cost_work import Load, Norm, Product, Task
from vitgen.design.instance import engine_for
from vitgen.design.isa import Route, RowSource
from vitgen.design.needs import needs_of

BOARD = boards.load("zcu102")


@pytest.fixture(scope="module")
def engine():
    return engine_for(
        needs_of(None, deit_steps("t")), array="dsp48", group_lanes=10, groups=2, dsp_rows=8,
        pot_rows=4, requant_lanes=10, gelu_lanes=5, softmax_lanes=5, norm_lanes=5, weight_ports=2,
        weight_fifo=512,
    )  # fmt: skip


def test_a_product_by_hand(engine):
    # 3 row tiles, 5 token tiles, 100 beats each; 22 fixed rows of 4 bits take 8 DSP rows.
    work = Product(RowSource.WEIGHTS, Route.ACT, False, 100, 3, 5, 22, 4, 70, 90)
    beats = 3 * 5 * 100
    found = events(engine, [Task("fc", work)], 4096)
    word = 8 * (8 * 2) + 4 * 4  # 8-bit mode is the wider one: 16 rows, and 4 codes
    ram = beats * 2 * 10 * 8 + beats * word + 70 * 5 * 20 * 8
    assert found == Events(beats * 20 * 8, beats * 20 * 4, ram, 4096)


def test_attention_and_the_stream_by_hand(engine):
    scores = Product(RowSource.KEYS, Route.SOFTMAX, True, 64, 10, 10, 15, 0, 197, 197)
    found = events(engine, [Task("qk", scores)], 0)
    assert found.dsp_beats == 64 * 100 * 20 * 8 and found.pot_beats == 0
    adds = replace(scores, source=RowSource.WEIGHTS, route=Route.RESIDUAL)
    more = events(engine, [Task("proj", adds)], 0).ram_bits - found.ram_bits
    assert more == 197 * 10 * 20 * (16 - 8)
    tasks = [Task("norm", Norm(192, 10)), Task("load", Load(768, 10, False))]
    assert events(engine, tasks, 0).ram_bits == 192 * 200 * 40 + 768 * 200 * 8


def test_energies_are_events_times_the_table(engine):
    steps = vit_steps(192, 3, depth=2, pot_ratio=0.25)
    workload = Workload(steps)
    found = estimate(engine, workload, BOARD, 150.0)
    tasks = workload.tasks(engine)
    record = energy(found, tasks, BOARD, found.cycles)
    seen = events(engine, tasks, found.traffic.total)
    items = {item["name"]: item for item in record["items"]}
    table = coefficients()
    for name, count in (
        ("dsp_beat", seen.dsp_beats), ("pot_beat", seen.pot_beats), ("ram_bit", seen.ram_bits),
        ("dram_byte", found.traffic.total),
    ):  # fmt: skip
        assert items[name]["count"] == count > 0
        assert items[name]["millijoules"] == pytest.approx(count * table[name].value / 1e9)
    seconds = found.cycles / 150e6
    static = BOARD.resources.lut * table["static_lut"].value * 1e-6 * seconds
    assert items["static_lut"]["millijoules"] == pytest.approx(static * 1e3)
    for name in ("clock_routing", "processor"):
        assert items[name]["millijoules"] is None and items[name]["coefficient"] is None
    known = [item["millijoules"] for item in record["items"] if item["millijoules"] is not None]
    assert record["millijoules"] == pytest.approx(sum(known))
    assert record["watts"] == pytest.approx(sum(known) / 1e3 / seconds)
    # Twice the time costs twice the static energy and nothing else.
    slow = energy(found, tasks, BOARD, 2 * found.cycles)
    assert slow["millijoules"] - record["millijoules"] == pytest.approx(static * 1e3)


def test_every_coefficient_says_where_it_is_from():
    for name, one in coefficients().items():
        assert one.origin.trust in TRUST_LEVELS and len(one.origin.source) > 30, name
        assert one.value is None or one.value > 0
        assert one.unit in ("pJ", "uW", "W")
