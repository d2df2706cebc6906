"""Searches against all designs of a tiny space, the frontier against its definition, bounds."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from tests.support.deit_steps import vit_steps
from vitgen import boards
from vitgen.design import search as searching
from vitgen.design import search_moves
from vitgen.design.choice import choose_variant, too_slow
from vitgen.design.closed_form import LaneCosts
from vitgen.design.cost import RESOURCE_TITLES, Workload, array_lanes, estimate
from vitgen.design.cost_resources import bill, grid_cost
from vitgen.design.frontier import frontier, undominated
from vitgen.design.lane_bounds import least_cycles, widths_of
from vitgen.design.needs import needs_of
from vitgen.design.search import search
from vitgen.design.search_space import Grid, Lanes, Limits, build, token_grids, unit_lanes
from vitgen.design.variants import Variant
from vitgen.errors import DoesNotFit, VitgenError

TOKENS = 9
LIMITS = Limits(max_token_lanes=2, busy_floor=1e-9)
FIFOS = (32, 512)


def tiny(pot_ratio):
    steps = vit_steps(
        16, 2, depth=1, tokens=TOKENS, patch_features=12, classes=10, mlp=2, pot_ratio=pot_ratio
    )
    return Variant(needs_of(None, steps), Workload(steps), pot_ratio)


VARIANTS = [tiny(0.25), tiny(0.5)]


def grid_engine(variant, group, groups, dsp_rows, pot_rows, widths=(1, 1, 1, 1), fifo=32):
    grid, lanes = Grid(group, groups, dsp_rows, pot_rows), Lanes(*widths)
    return build(variant.needs, "dsp48", grid, lanes, 1, fifo)


def small_board():
    """Room for about four rows of each kind on two token lanes, and one port."""
    board = boards.load("zcu102")
    largest = bill(grid_engine(VARIANTS[0], 2, 1, 4, 4, (2, 2, 1, 1))).totals()
    room = {name: int(need / 0.9) + 1 for name, need in largest.items()}
    stock = replace(board.resources, **(room | {"ff": room["ff"] * 2, "bram36": 200, "uram": 0}))
    return replace(board, resources=stock, dram=replace(board.dram, ports=1))


BOARD = small_board()


def fits(engine):
    stock = BOARD.resources.to_dict()
    return all(need <= 0.9 * stock[name] for name, need in bill(engine).totals().items())


def size(engine):
    """Shares of what a design may take, all together."""
    stock, needs = BOARD.resources.to_dict(), bill(engine).totals()
    return sum(need / (0.9 * stock[name]) for name, need in needs.items() if stock[name])


@pytest.fixture(scope="module")
def space():
    """Every design that fits, timed: by loops that know nothing of bounds and moves."""
    found = []
    for place, variant in enumerate(VARIANTS):
        for group, groups in token_grids(TOKENS, LIMITS):
            widths = list(itertools.product(unit_lanes(group), repeat=4))
            for shape in itertools.product(range(1, 7), range(1, 9), widths, FIFOS):
                try:
                    engine = grid_engine(variant, group, groups, *shape)
                except VitgenError:
                    continue
                if fits(engine):
                    timed = estimate(engine, variant.workload, BOARD, 150.0)
                    found.append((place, engine, timed.cycles, size(engine)))
    assert len(found) > 200
    return found


@pytest.fixture
def looked(monkeypatch):
    monkeypatch.setattr(searching, "FIFOS", FIFOS)
    monkeypatch.setattr(search_moves, "FIFOS", FIFOS)
    return search(VARIANTS, BOARD, 150.0, limits=LIMITS)


def test_no_design_of_the_space_is_faster(space, looked):
    found = looked.fastest()
    least = min(cycles for _, _, cycles, _ in space)
    assert least <= found.estimate.cycles <= least * (1 + searching.TIE) ** 2
    assert looked.bound >= 150e6 / least


def test_no_design_of_the_space_that_meets_a_target_is_smaller(space, looked):
    """Smaller by more than a percent: the search is no enumeration."""
    cycles = sorted(cycles for _, _, cycles, _ in space)
    looked.fastest()
    for part in (0.02, 0.3, 0.7):
        budget = cycles[int(part * len(cycles))]
        found = looked.smallest(150e6 / budget)
        assert found is not None and found.estimate.cycles <= budget
        best = min(size for _, _, needed, size in space if needed <= budget)
        assert size(found.estimate.engine) <= best * 1.01
    assert looked.smallest(150e6 / (cycles[0] * 0.99)) is None


def test_one_choice_smaller_misses_the_target(looked):
    fps = 0.8 * looked.fastest().estimate.fps
    found = looked.smallest(fps)
    own = size(found.estimate.engine)
    smaller = 0
    for engine, variant in search_moves.neighbours(looked, found.estimate.engine, found.variant):
        if fits(engine) and size(engine) < own:
            smaller += 1
            timed = estimate(engine, VARIANTS[variant].workload, BOARD, 150.0)
            assert timed.fps < fps
    assert smaller


def test_a_target_that_nothing_meets():
    found = choose_variant(VARIANTS, BOARD, 150.0, "dsp48", 1e7)
    assert not found.met and found.choice.estimate.fps < 1e7 and found.choice.bound < 1e7
    error = too_slow(found, BOARD, 150.0, 1e7, "4/8 mixed")
    assert isinstance(error, DoesNotFit)
    for part in ("1e+07", f"{found.choice.estimate.fps:.4g}", f"{found.choice.bound:.4g}", "4/8"):
        assert part in str(error)
    assert RESOURCE_TITLES[found.choice.binding] in error.remedy and "No clock" in error.remedy


def random_engines(count):
    rng = np.random.default_rng(5)
    board = boards.load("zcu102")
    steps = vit_steps(64, 4, depth=2, tokens=50, patch_features=48, classes=10, pot_ratio=0.25)
    variant = Variant(needs_of(None, steps), Workload(steps))
    grids = token_grids(50, Limits())
    while count:
        group, groups = grids[rng.integers(len(grids))]
        widths = tuple(int(rng.choice(unit_lanes(group))) for _ in range(4))
        rows = int(rng.integers(1, 40)), int(rng.integers(1, 30))
        lanes, grid = Lanes(*widths), Grid(group, groups, *rows)
        try:
            engine = build(variant.needs, "dsp48", grid, lanes, int(rng.integers(1, 5)), 512)
        except VitgenError:
            continue
        count -= 1
        yield variant, engine, estimate(engine, variant.workload, board, 150.0)


def test_bounds_bound_and_lane_costs_add_up():
    tight = []
    for variant, engine, timed in random_engines(60):
        grid = Grid(engine.group_lanes, engine.groups, engine.dsp_rows, engine.pot_rows)
        lanes = (
            engine.requant_lanes, engine.gelu_lanes, engine.softmax_lanes, engine.norm_lanes,
        )  # fmt: skip
        every = list(itertools.product(unit_lanes(engine.group_lanes), repeat=4))
        bounds = least_cycles(variant.workload, "dsp48", 8, grid)
        assert bounds[every.index(lanes)] <= timed.cycles
        tight.append(bounds[every.index(lanes)] / timed.cycles)
        cost = grid_cost("dsp48", grid.sizes, lanes, engine.max_k)
        assert LaneCosts(engine).of(Lanes(*lanes)) == pytest.approx((cost.dsp, cost.lut))
        least = grid_cost("dsp48", grid.sizes, max_k=engine.max_k)
        extra = widths_of("dsp48", grid.group_lanes, grid.groups).lut[every.index(lanes)]
        assert extra == pytest.approx(cost.lut - least.lut)
        assert timed.lanes == array_lanes(engine, True)
    assert np.median(tight) > 0.7  # they are worth something


def test_shapes_hold_every_grid_worth_a_look(looked):
    """Bounds of shapes are those of single grids, and what they take is no more than the bill."""
    shapes = looked.shapes
    assert len(shapes)
    for index in range(0, len(shapes), 7):
        grid, variant = shapes.grid(index), VARIANTS[shapes.variant[index]]
        least = least_cycles(variant.workload, "dsp48", 8, grid).min()
        assert shapes.bound[index] <= least
        engine = grid_engine(variant, *grid.sizes)
        assert shapes.lanes[index] == array_lanes(engine, variant.workload.narrow)
        assert shapes.lut[index] <= bill(engine).lut * 1.01
        assert shapes.dsp[index] <= bill(engine).dsp


def test_undominated_by_definition():
    rng = np.random.default_rng(1)
    for _ in range(30):
        points = [tuple(int(v) for v in rng.integers(0, 6, 3)) for _ in range(25)]
        expected = [
            not any(
                other != one and other[0] >= one[0] and other[1] <= one[1] and other[2] <= one[2]
                for other in points
            )
            for one in points
        ]
        assert undominated(points) == expected


def test_frontier_holds_the_choice_and_fits(looked):
    chosen = looked.fastest()
    points = frontier(looked, chosen)
    assert sum(point.chosen for point in points) == 1
    assert len(points) == len({(p.fps, *p.resources.values(), p.token_lanes) for p in points}) > 3
    for one in points:
        beaten = any(
            (p.fps, p.resources["dsp"], p.resources["lut"])
            != (one.fps, one.resources["dsp"], one.resources["lut"])
            and p.fps >= one.fps
            and p.resources["dsp"] <= one.resources["dsp"]
            and p.resources["lut"] <= one.resources["lut"]
            for p in points
        )
        assert one.frontier is not beaten
        assert one.resources["lut"] <= 0.9 * BOARD.resources.lut


def test_recounted_rows_are_those_of_the_model():
    """A variant with other kinds of rows is the variant of a model that has them."""
    from vitgen.design.cost_workload import RowKinds
    from vitgen.lower.outline import outline, row_counts
    from vitgen.models.config import config
    from vitgen.quant.config import QuantConfig

    for name, bits in (("vit_digits", "4/8"), ("deit_t", "4+8/6"), ("lvvit_s", "4/8")):
        shape = config(name)
        quants = [QuantConfig.parse(bits, scheme="mixed", pot_ratio=r) for r in (0.25, 0.375)]
        whole = [Variant.of(outline(shape, quant), quant.pot_ratio) for quant in quants]
        kinds = {op: RowKinds(*rows) for op, rows in row_counts(shape, quants[1]).items()}
        found = whole[0].recounted(kinds, 0.375)
        assert found.needs == whole[1].needs and found.pot_ratio == whole[1].pot_ratio
        linear = [[u for u in v.workload.units if hasattr(u.shape, "w4")] for v in (found, whole[1])]
        assert linear[0] == linear[1] and found.workload.narrow == whole[1].workload.narrow
        assert found.workload.macs == whole[1].workload.macs
