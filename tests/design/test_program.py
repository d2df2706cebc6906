"""Programs, packings and waits against a machine that decodes their bytes."""

import numpy as np
import pytest

from tests.support.graphs import StemSizes, random_patches, tiny_vit_graph
from tests.support.machine import Machine
from vitgen.design.instance import engine_for
from vitgen.design.isa import DONE_DEPTH, Source, decode, decode_program, encode_program
from vitgen.design.needs import needs_of
from vitgen.design.packing import from_slots
from vitgen.design.schedule import build_program
from vitgen.reference.execute import execute

SHAPES = [
    dict(array="dsp48", group_lanes=4, groups=1, dsp_rows=2, pot_rows=1, weight_ports=1),
    dict(array="dsp48", group_lanes=3, groups=2, dsp_rows=3, pot_rows=0, weight_ports=2),
    dict(array="dsp48", group_lanes=1, groups=1, dsp_rows=1, pot_rows=3, weight_ports=3),
    dict(array="hls", group_lanes=5, groups=3, dsp_rows=10, pot_rows=5, weight_ports=1),
]

GRAPHS = [
    dict(tokens=5, width=8, heads=2, depth=2, mlp=12, classes=3),
    dict(tokens=1, width=6, heads=3, mlp=7, classes=10, pot_ratio=0.0, act_bits=6),
    dict(tokens=17, width=15, heads=3, mlp=9, wide_ratio=0.3, pot_ratio=0.4),
    dict(tokens=13, width=10, heads=1, weight_bits=8, pot_ratio=1.0),
    dict(tokens=8, width=12, heads=2, weight_bits=8, pot_ratio=0.0, act_bits=4),
    dict(width=6, stem=StemSizes(12, 3, ((7, 2, 4), (3, 1, 5), (3, 1, 3)), 2)),
    dict(width=6, stem=StemSizes(8, 1, ((3, 2, 2),), 4), act_bits=5),
    dict(width=4, stem=StemSizes(5, 2, ((5, 1, 3),), 1)),
    dict(tokens=9, width=8, heads=2, depth=3, mlp=5, act_bits=7, shifts=(3, 0, 7)),
]


def engine_of(graph, shape):
    return engine_for(
        needs_of(graph), **shape, weight_fifo=16, requant_lanes=shape["group_lanes"],
        gelu_lanes=1, softmax_lanes=1, norm_lanes=1,
    )  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", GRAPHS)
def test_decoded_program_computes_every_tensor(kind, shape):
    rng = np.random.default_rng(7)
    graph = tiny_vit_graph(rng, **kind)
    patches = random_patches(rng, graph)
    engine = engine_of(graph, shape)
    program = build_program(graph, engine)
    expected = execute(graph, patches, keep=list(graph.tensors))
    image = program.pack_image(engine, patches)
    machine = Machine(engine, program.weights, program.params, program.constants, image)
    compared = 0
    for index in machine.run(encode_program(program.instructions)):
        output = program.outputs[index]
        if output is None:
            continue
        want = np.asarray(expected[output.tensor], dtype=np.int64)
        if output.bank == "output":
            assert machine.logits == want[0].tolist()
        else:
            slots = engine.slots(output.tokens)
            words = np.stack([
                machine.banks[output.bank][
                    output.base + s * output.stride :
                ][: output.features].transpose(1, 0, 2)
                for s in range(slots)
            ])  # fmt: skip
            got = from_slots(words, output.tokens)
            want = output.expected(want)
            np.testing.assert_array_equal(got, want, err_msg=output.tensor)
        compared += 1
    written = {o.tensor for o in program.outputs if o is not None}
    fused = {
        t for t in graph.tensors
        if t.endswith((".qk", ".proj", ".fc1", ".fc2", ".unfold"))
        or t.startswith(("embed", "stem.patches"))
    }  # fmt: skip
    assert compared and written | fused | {"embed.add"} >= set(graph.tensors) - {"embed"}


def test_instructions_round_trip_through_bits():
    graph = tiny_vit_graph(np.random.default_rng(1), tokens=9)
    program = build_program(graph, engine_of(graph, SHAPES[0]))
    for instruction in program.instructions:
        fields = decode(instruction.encode())
        for name, value in instruction.fields.items():
            assert fields[name] == value
        for source, count in instruction.waits.items():
            assert fields[f"wait_{source.name.lower()}"] == count




@pytest.mark.parametrize("kind", GRAPHS)
def test_no_completion_stream_can_fill(kind):
    graph = tiny_vit_graph(np.random.default_rng(2), **kind | {"depth": 4})
    engine = engine_of(graph, SHAPES[0])
    program = build_program(graph, engine)
    issued = dict.fromkeys(Source, 0)
    collected = dict.fromkeys(Source, 0)
    for instruction in program.instructions:
        fields = instruction.fields
        opcode, route = fields["opcode"], fields.get("route", 0)
        commands = []
        if opcode == 2:
            commands = [Source.RESIDUAL if fields["load_target"] else Source.ACT_WRITE]
        elif opcode == 3:
            alone = not fields["by_slot"]
            commands = [Source.ACT_WRITE, *([Source.RESIDUAL] if alone else [])]
        elif opcode == 4:
            writer = [
                Source.ACT_WRITE, Source.KEY_WRITE, Source.VALUE_WRITE, Source.ACT_WRITE,
                Source.PROB_WRITE, Source.RESIDUAL, Source.STORE,
            ][route]  # fmt: skip
            reader = {1: [Source.KEYS], 2: [Source.VALUE_TURN]}.get(fields["row_source"], [])
            commands = [writer, Source.FEED, *reader]
        for source in commands:
            issued[source] += 1
        for source, count in instruction.waits.items():
            before = issued[source] - (source in commands and opcode != 0)
            assert count <= before, "an instruction may only wait for earlier ones"
            collected[source] = max(collected[source], count)
        for source in Source:
            assert issued[source] - collected[source] < DONE_DEPTH
    assert issued == collected, "STOP collects every completion"


def test_a_program_in_memory_is_read_back():
    graph = tiny_vit_graph(np.random.default_rng(7), **GRAPHS[0])
    program = build_program(graph, engine_of(graph, SHAPES[0])).instructions
    found = decode_program(encode_program(program) + bytes(64), len(program))
    assert len(found) == len(program)
    for index, (got, want) in enumerate(zip(found, program, strict=True)):
        assert got.op == f"number {index}" and got.encode() == want.encode()
        assert {n: v for n, v in got.fields.items() if v} == {n: v for n, v in want.fields.items() if v}
        assert {s: n for s, n in got.waits.items() if n} == {s: n for s, n in want.waits.items() if n}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", [kind for kind in GRAPHS if "stem" not in kind])
def test_layernorms_between_products_run_slot_by_slot(kind, shape):
    """Every LayerNorm but the one of the class token alone; nothing that it writes is still read."""
    graph = tiny_vit_graph(np.random.default_rng(5), **kind | {"depth": 2})
    engine = engine_of(graph, shape)
    program = build_program(graph, engine)
    fields = [decode(i.encode()) for i in program.instructions]
    norms = [index for index, f in enumerate(fields) if f["opcode"] == 3]
    chained = [index for index in norms if fields[index]["by_slot"]]
    tokens = kind["tokens"]
    assert len(chained) == 4 + (tokens == 1) and len(norms) == 5
    for index in chained:
        adds, norm, reads = fields[index - 1 : index + 2]
        assert (adds["opcode"], adds["route"], reads["opcode"], reads["by_slot"]) == (4, 5, 4, 1)
        assert adds["tokens_register"] == norm["tokens_register"] == reads["tokens_register"]
        assert (adds["dest_base"], adds["dest_stride"]) == (norm["act_base"], norm["k"])
        slots = engine.slots(tokens)
        read, written, taken = (
            set(range(f[base], f[base] + f["k"] * slots))
            for f, base in ((adds, "act_base"), (norm, "dest_base"), (reads, "act_base"))
        )
        assert not read & written and written == taken
        # The rows of the last tile that are kept, from the records in memory.
        rows = adds["fixed_rows"] + adds["pot_rows"]
        first = adds["param_address"] + (adds["row_tiles"] - 1) * rows
        kept = [program.params[16 * (first + row) + 8] >> 2 & 1 for row in range(rows)]
        assert adds["post_mult"] == sum(kept) > 0
    tied = {index + step for index in chained for step in (-1, 0, 1)}
    for index, f in enumerate(fields):
        assert f["by_slot"] == (index in tied)


def test_who_reads_a_layernorm_later_waits_for_it():
    graph = tiny_vit_graph(np.random.default_rng(5), **GRAPHS[0])
    program = build_program(graph, engine_of(graph, SHAPES[0]))
    written, checked = 0, 0
    last: dict[int, int] = {}
    for index, instruction in enumerate(program.instructions):
        f = decode(instruction.encode())
        if f["opcode"] == 4 and f["act_source"] == 0 and not f["by_slot"] and f["act_base"] in last:
            assert instruction.waits[Source.ACT_WRITE] >= last[f["act_base"]], index
            checked += 1
        if Source.ACT_WRITE in instruction.reports:
            written += 1
            last.pop(f["dest_base"], None)
            if f["opcode"] == 3 and f["by_slot"]:
                last[f["dest_base"]] = written
    assert checked >= 4
