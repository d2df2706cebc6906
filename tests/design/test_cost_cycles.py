"""Cycles against sums by hand, beat-by-beat simulations, and the research's table for DeiT."""

import itertools
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tests.design.test_program import GRAPHS, SHAPES, engine_of
from tests.support.deit_steps import SIZES, deit_steps
from tests.support.graphs import tiny_vit_graph
from vitgen import boards
from vitgen.design.cost import Workload, estimate, estimate_program, instruction_cycles
from vitgen.design.cost_cycles import Road, array_cycles, norm_cycles, product_times
from vitgen.design.cost_timeline import schedule
from vitgen.design.cost_work import Control, Norm, Product, tasks_of_program
from vitgen.design.depths import norm_words
from vitgen.design.instance import engine_for
from vitgen.design.isa import Opcode, Route, RowSource
from vitgen.design.latencies import RESIDUAL_SETTLE, SCALE_LATENCY, root_cycles, sub_words
from vitgen.design.needs import needs_of
from vitgen.design.schedule import build_program
from vitgen.design.steps import fuse
from vitgen.errors import DoesNotFit

BOARD = boards.load("zcu102")


def deit_engine(size, **changes):
    needs = needs_of(None, deit_steps(size))
    lanes = changes.get("group_lanes", 33)
    shape = dict(
        array="dsp48", group_lanes=33, groups=2, dsp_rows=33, pot_rows=0, requant_lanes=lanes,
        gelu_lanes=lanes, softmax_lanes=lanes, norm_lanes=lanes, weight_ports=4, weight_fifo=2048,
    )  # fmt: skip
    return engine_for(needs, **(shape | changes))


def weights(k, row_tiles, slots, rows, route=Route.ACT, wide=False):
    return Product(
        RowSource.WEIGHTS, route, wide, k, row_tiles, slots, rows, 0, row_tiles * rows, slots * 66
    )


def test_a_product_by_hand():
    engine = deit_engine("t", dsp_rows=32)
    # 96 rows of 4 bits: 384 bits, one beat of four ports. Two chains of 16 drain, the last while
    # the next tile begins.
    product = weights(192, 2, 3, 96)
    times = product_times(engine, product, Road())
    assert (times.tile, times.word) == (192 + 15, 1)
    assert array_cycles(product, times, times.prefetch) == 6 * 207
    # Rows leave in three beats each: 288 beats hold the tile back.
    slow = replace(engine, requant_lanes=11)
    assert product_times(slow, product, Road()).tile == 288


def test_an_instruction_by_hand():
    engine = deit_engine("t", dsp_rows=32)
    fields = dict(
        opcode=Opcode.GEMM, row_source=RowSource.WEIGHTS, route=Route.ACT, k=192, row_tiles=2,
        fixed_rows=96, limit=192,
    )  # fmt: skip
    found = instruction_cycles(engine, fields, {0: 197})
    assert (found.ideal, found.drain, found.results, found.fetch) == (6 * 192, 6 * 15, 0, 0)
    assert found.total == found.busy + found.fill + found.tail
    found = instruction_cycles(engine, fields | {"tokens_register": 1}, {0: 197, 1: 1})
    assert found.ideal == 2 * 192
    norm = instruction_cycles(engine, dict(opcode=Opcode.NORM, k=192), {0: 197})
    assert norm.ideal == 3 * 192
    load = instruction_cycles(engine, dict(opcode=Opcode.LOAD, k=768), {0: 197})
    assert load.ideal == 3 * 2 * 768 * 3  # slots, groups, features, beats of 33 x 8 bits


def simulate_weights(k, row_tiles, slots, gap, word, fifo):
    """Beats of a product, one by one: a word arrives every ``word`` beats while the FIFO has room,
    the first token tile takes words from it, the others replay."""
    fetched = taken = 0
    since, beats = 0.0, 0
    held = row_tiles * k

    def step():
        nonlocal fetched, since
        since = min(since + 1, word) if fetched - taken >= fifo or fetched == held else since + 1
        if since >= word and fetched < held and fetched - taken < fifo:
            fetched += 1
            since -= word

    for _ in range(fifo * math.ceil(word)):  # the FIFO fills before the instruction starts
        step()
    for _ in range(row_tiles):
        for slot in range(slots):
            done = 0
            while done < k:
                step()
                beats += 1
                if slot:
                    done += 1
                elif fetched > taken:
                    taken += 1
                    done += 1
            for _ in range(gap):
                step()
                beats += 1
    return beats


@pytest.mark.parametrize("slots", [1, 2, 3])
@pytest.mark.parametrize("word", [1, 2, 3, 5])
@pytest.mark.parametrize("fifo", [8, 40, 200])
def test_weights_against_a_simulation(slots, word, fifo):
    k, row_tiles = 96, 6
    engine = replace(deit_engine("t", dsp_rows=32), weight_fifo=fifo)
    product = weights(k, row_tiles, slots, 60)
    times = product_times(engine, product, Road(weight_beat=word))
    assert times.word == word
    simulated = simulate_weights(k, row_tiles, slots, times.gap, word, fifo)
    modelled = array_cycles(product, times, min(fifo, row_tiles * k))
    # A word that arrives while others are taken lets its successor start earlier: at most a gap.
    assert modelled == pytest.approx(simulated, rel=0.03, abs=row_tiles * times.gap)


def simulate_norm(features, slots, sub, lanes, root, depth, settle):
    """Two stages, beat by beat, with a buffer of ``depth`` words between them; the first one has no
    time for words while it works out the variances of a tile, lane by lane. The residual stream is
    idle for ``settle`` beats before every tile."""
    beats = stored = summed = scaled = busy_sum = busy_scale = pause = 0
    idle = settle
    ready = [math.inf] * slots
    while scaled < slots * features:
        beats += 1
        waits = pause or idle
        pause, idle = max(0, pause - 1), max(0, idle - 1)
        if waits:
            pass
        elif summed < slots * features and (busy_sum or stored < depth):
            busy_sum += 1
            if busy_sum == sub:
                busy_sum, summed, stored = 0, summed + 1, stored + 1
                if summed % features == 0:
                    ready[summed // features - 1], pause = beats + root, lanes
                    idle = settle
        if scaled < summed and beats > ready[scaled // features]:
            busy_scale += 1
            if busy_scale == sub:
                busy_scale, scaled, stored = 0, scaled + 1, stored - 1
    return beats


@pytest.mark.parametrize("extra", [0, 40, 512])
@pytest.mark.parametrize(("features", "slots", "lanes"), [(192, 3, 33), (64, 5, 11), (8, 2, 3)])
def test_norm_against_a_simulation(features, slots, lanes, extra):
    """The buffer is made for a token tile of ``features + extra`` words."""
    engine = replace(deit_engine("t", norm_lanes=lanes), max_features=features + extra)
    sub, depth = sub_words(engine, lanes), norm_words(engine).depth
    simulated = simulate_norm(features, slots, sub, engine.group_lanes, root_cycles(engine), depth,
                              RESIDUAL_SETTLE)  # fmt: skip
    modelled = norm_cycles(engine, Norm(features, slots)) - SCALE_LATENCY
    # With a full buffer the sums lag the scaling by a word, which the formula leaves out.
    assert simulated - slots * (sub + 1) <= modelled <= simulated


def requests(engine, program):
    """Bytes of weights and of records that dispatch asks for."""
    weights = records = 0
    for fields in (i.fields for i in program.instructions):
        if fields["opcode"] == Opcode.NORM:
            records += 16 * fields["k"]
        if fields["opcode"] == Opcode.GEMM and fields["row_source"] == RowSource.WEIGHTS:
            beats = engine.weight_steps(8 if fields["wide"] else 4) * engine.weight_ports
            weights += 16 * fields["row_tiles"] * fields["k"] * beats
            rows = fields["fixed_rows"] + fields.get("pot_rows", 0)
            records += 16 * fields["row_tiles"] * rows
    return weights, records


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", GRAPHS)
def test_steps_and_program_give_the_same_tasks_and_bytes(kind, shape):
    graph = tiny_vit_graph(np.random.default_rng(3), **kind)
    engine = engine_of(graph, shape)
    program = build_program(graph, engine)
    workload = Workload(fuse(graph))
    assert workload.macs == graph.macs
    tasks = workload.tasks(engine)
    assert tasks == tasks_of_program(engine, program.instructions)
    by_steps = estimate(engine, workload, BOARD)
    by_program = estimate_program(engine, program, BOARD)
    assert by_steps.timeline == by_program.timeline and by_steps.macs == graph.macs
    moved = by_program.traffic
    if program.stem is None:  # whose weights and records are read once for every row of positions
        assert moved.weights == sum(part.size for part in program.weights)
        assert moved.params == program.params.size
    else:
        fetched, records = requests(engine, program)
        assert (moved.weights, moved.params) == (fetched, records)
    assert moved.constants == program.constants.size
    tokens, features = graph.tensors[graph.input].shape
    image = np.zeros((tokens, features), np.int64)
    assert moved.image == program.pack_image(engine, image).size
    assert moved.program == 64 * len(program.instructions)
    assert moved.output == -(-program.classes // 8) * 16


@pytest.mark.parametrize("shape", SHAPES[:2])
@pytest.mark.parametrize("kind", [kind for kind in GRAPHS if "stem" in kind])
def test_repeated_instructions_of_a_stem(kind, shape):
    graph = tiny_vit_graph(np.random.default_rng(4), **kind)
    engine = engine_of(graph, shape)
    (stem,) = Workload(fuse(graph)).stems

    def plain(work):
        return replace(work, useful=0) if isinstance(work, Product) else work

    counted = Counter()
    for times, work in stem.repeated(engine):
        counted[plain(work)] += times
    listed = Counter(plain(work) for work in stem.products(engine))
    assert counted == Counter({w: n for w, n in listed.items() if not isinstance(w, Control)})


def test_causes_sum_to_all_cycles():
    for size, lanes in itertools.product("tsb", (33, 3)):
        engine = deit_engine(size, softmax_lanes=lanes, norm_lanes=lanes, weight_ports=1)
        found = estimate(engine, Workload(deit_steps(size)), BOARD)
        timeline = found.timeline
        assert sum(timeline.where.values()) == pytest.approx(timeline.cycles)
        assert min(timeline.where.values()) >= 0
        assert timeline.ideal == sum(
            t.work.ideal_beats
            for t in Workload(deit_steps(size)).tasks(engine)
            if isinstance(t.work, Product)
        )
        ends = [span.end for span in timeline.spans]
        assert max(ends) <= timeline.cycles


def test_macs_of_deit():
    for size, macs in (("t", 1.254e9), ("s", 4.599e9), ("b", 17.564e9)):
        # The CLS row of the patches is multiplied too: 197 tokens where the paper counts 196.
        assert Workload(deit_steps(size)).macs == pytest.approx(macs, rel=2e-3)


def research_cycles(size, rows, key_rows, drain, lanes=66, tokens=197):
    """Array cycles by engine.md's model: k + 1 + drain beats a tile, everything else hidden."""
    width, heads = SIZES[size]

    def layer(out, k, count, tile, over=tokens):
        return count * math.ceil(out / tile) * math.ceil(over / lanes) * (k + 1 + drain)

    total = layer(width, 768, 1, rows, 196) + layer(1000, width, 1, rows, 1)
    for out, k in ((3 * width, width), (width, width), (4 * width, width), (width, 4 * width)):
        total += layer(out, k, 12, rows)
    total += layer(tokens, 64, 12 * heads, key_rows) + layer(64, tokens, 12 * heads, key_rows)
    return total


@pytest.mark.parametrize(("size", "frames"), [("b", 50.7), ("s", 184), ("t", 620)])
def test_research_model_gives_its_table(size, frames):
    """The row "V3a 32x66" of engine.md section 4: the oracle below is that model."""
    assert 150e6 / research_cycles(size, 96, 64, 16) == pytest.approx(frames, rel=0.005)


@pytest.mark.parametrize(("size", "array", "whole"), [("b", 0.02, 0.06), ("s", 0.035, 0.13),
                                                      ("t", 0.07, 0.27)])  # fmt: skip
def test_deit_against_the_research_model(size, array, whole):
    """33 x 66, V3a. The array's own cycles exceed the model's by ``array`` at most: the patch
    embedding and the classifier run at 8 bits (two rows a DSP, the model has three), and scores
    leave a row a beat, 66 of them for 64 beats of products. The rest of an image, ``whole``, is what
    the model takes as hidden: LayerNorms wait for the whole residual and the image is loaded first.
    """
    engine = deit_engine(size)
    assert (engine.fixed_rows(4), engine.attention_rows) == (99, 66)
    expected = research_cycles(size, 99, 66, 17)
    found = estimate(engine, Workload(deit_steps(size)), BOARD)
    where = found.timeline.where
    own = where["products"] + where["drain"] + where["results"] + where["fetch"]
    assert expected <= own <= expected * (1 + array)
    assert own <= found.cycles <= expected * (1 + whole)


@pytest.mark.parametrize("unit", ["requant", "gelu", "softmax", "norm"])
def test_more_lanes_never_take_longer(unit):
    workload = Workload(deit_steps("t"))
    cycles = [
        estimate(deit_engine("t", **{f"{unit}_lanes": n}), workload, BOARD).cycles
        for n in (1, 3, 11, 33)
    ]
    assert cycles == sorted(cycles, reverse=True)
    assert cycles[0] > cycles[-1]


def test_more_memory_bandwidth_never_takes_longer():
    workload, engine = Workload(deit_steps("t")), deit_engine("t")
    tasks = workload.tasks(engine)
    by_road = [schedule(engine, tasks, Road(w, w)).cycles for w in (4.0, 2.0, 1.0)]
    assert by_road == sorted(by_road, reverse=True) and by_road[0] > by_road[-1]
    narrow = replace(engine, weight_ports=1)
    by_fifo = [
        schedule(replace(narrow, weight_fifo=f), tasks, Road()).cycles for f in (32, 128, 512)
    ]
    assert by_fifo == sorted(by_fifo, reverse=True)


def test_the_array_in_cpp_overlaps_its_drain_except_the_last():
    engine = deit_engine("t", array="hls", dsp_rows=48, group_lanes=5, groups=14)
    product = weights(192, 2, 3, 96)
    times = product_times(engine, product, Road())
    assert array_cycles(product, times, times.prefetch) == 6 * 192 + 96


def test_too_many_ports_are_refused():
    with pytest.raises(DoesNotFit, match="4 DRAM ports, zcu102 has 2"):
        board = replace(BOARD, dram=replace(BOARD.dram, ports=2))
        estimate(deit_engine("t"), Workload(deit_steps("t")), board)
