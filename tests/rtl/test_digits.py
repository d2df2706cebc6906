"""The whole way of the open road on vit_digits: built, simulated, compared, counted, timed."""

import json
from collections import defaultdict

import numpy as np
import pytest

import vitgen
from vitgen import boards, ir
from vitgen.design.choice import Design
from vitgen.design.cost_cycles import Road, breakdown
from vitgen.design.cost_work import Product, tasks_of_program
from vitgen.design.schedule import build_program
from vitgen.design.stepping import single_steps
from vitgen.flow.build import open_build
from vitgen.flow.images import verification_images
from vitgen.rtl.build import build_simulation
from vitgen.rtl.simulate import Memory, Simulation

WITHIN = 0.02


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Directory and report of a build with synthetic weights."""
    out = tmp_path_factory.mktemp("digits") / "vit_digits"
    report = vitgen.build("vit_digits", bits="4/8", verify="rtl", out=out)
    return out, report


def test_every_tensor_is_compared_and_equal(built):
    _, report = built
    found = report["verification"]["rtl"]
    assert found["mismatches"] == 0 and found["tensors"] > 60 and found["values"] > 50_000


def test_the_design_turns_every_loop(built):
    """At least three tiles in rows and in tokens, both schemes, and rows of 8 bits beside them."""
    out, _ = built
    design = Design.from_json(json.loads((out / "design.json").read_text()))
    graph = ir.load(out)
    program = build_program(graph, design.engine)
    works = [t.work for t in tasks_of_program(design.engine, program.instructions)]
    products = [work for work in works if isinstance(work, Product)]
    assert any(p.row_tiles >= 3 and p.slots >= 3 for p in products)
    assert any(p.pot_rows and p.fixed_rows for p in products)
    assert any(p.wide for p in products) and any(not p.wide for p in products)


def test_cycles_and_resources_are_in_the_report(built):
    _, report = built
    assert report["fps_from"] == "rtl" and report["resources_from"] == "yosys"
    estimated, simulated = report["cycles"]["estimated"], report["cycles"]["rtl"]
    assert simulated == pytest.approx(estimated, rel=WITHIN)
    counted = {name: r["synthesized"] for name, r in report["resources"].items()}
    assert counted.pop("uram") == 0  # the board has none
    assert all(count > 0 for count in counted.values())
    for layer in report["layers"]:
        cycles = layer["cycles"]
        assert abs(cycles["completed"] - cycles["rtl"]) <= max(WITHIN * cycles["rtl"], 24), layer


def test_the_cost_model_knows_every_type_of_instruction(built):
    """Each instruction alone, from its last beat of the program to its completion."""
    out, _ = built
    design = Design.from_json(json.loads((out / "design.json").read_text()))
    graph, board = ir.load(out), boards.load(design.board)
    program = build_program(graph, design.engine)
    tasks = tasks_of_program(design.engine, program.instructions)
    road = Road.of(board, design.clock_mhz, design.engine.weight_ports)
    _, request = open_build(out)
    image = verification_images(graph, request, 1)[0].astype(np.int64)
    packed = program.pack_image(design.engine, image)
    totals = defaultdict(lambda: np.zeros(2))
    memory = Memory.of(board, design.clock_mhz)
    simulation = build_simulation(design.engine)
    with Simulation(simulation, design.engine, program, memory=memory) as device:
        for index, cut in single_steps(program):
            device.run(packed, cut)
            moment, work = device.last.moments[-2], tasks[index].work
            simulated = moment.completed - moment.read
            estimated = breakdown(design.engine, work, road).total
            assert abs(estimated - simulated) <= max(WITHIN * simulated, 12), moment.op
            kind = (type(work).__name__, getattr(work, "source", None), getattr(work, "route", None))
            totals[kind] += (estimated, simulated)
    assert len(totals) >= 9
    for kind, (estimated, simulated) in totals.items():
        assert estimated == pytest.approx(simulated, rel=WITHIN), kind
