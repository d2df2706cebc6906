"""Where the maps of a convolutional stem lie in the bank, and what a lane holds of them."""

import numpy as np
import pytest

from tests.support.graphs import StemSizes, tiny_vit_graph
from vitgen.design.stem import conv_tiles
from vitgen.design.steps import StemStep, fuse
from vitgen.errors import DoesNotFit, VitgenError

LVVIT = StemSizes(224, 3, ((7, 2, 64), (3, 1, 64), (3, 1, 64)), 8)
SIZES = [
    LVVIT,
    StemSizes(12, 3, ((7, 2, 4), (3, 1, 5), (3, 1, 3)), 2),
    StemSizes(8, 1, ((3, 2, 2),), 4),
    StemSizes(5, 2, ((5, 1, 3),), 1),
    StemSizes(24, 2, ((3, 1, 9), (5, 2, 2), (3, 2, 7)), 3),
]


def stem_of(sizes: StemSizes):
    graph = tiny_vit_graph(np.random.default_rng(1), stem=sizes, width=4, mlp=4, heads=1)
    return graph, next(step.stem for step in fuse(graph) if isinstance(step, StemStep))


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_no_word_is_written_over_that_is_still_read(sizes):
    """While a row is computed its window is read; rows behind the window's first are read later."""
    _, stem = stem_of(sizes)
    for stage in stem.stages:
        source, target = stage.source, stage.target
        end = source.base + source.all_words
        for row in range(target.side):
            written = range(target.row_base(row), target.row_base(row + 1))
            needed = range(stage.window(row)[0], end)
            assert not set(written) & set(needed), (stage.op.name, row)
        assert stage.window(target.side - 1)[1] == end, "the last row reads up to the last word"
        assert end <= stem.words


def test_the_regions_of_lvvit():
    _, stem = stem_of(LVVIT)
    regions = [stem.image, *(stage.target for stage in stem.stages)]
    assert [r.side for r in regions] == [29, 12, 10, 8]
    assert [r.origin for r in regions] == [-7, -2, -1, 0]
    assert [r.words for r in regions] == [4, 65, 65, 64]
    assert stem.words == 11_334 and stem.patches == 196


@pytest.mark.parametrize("sizes", SIZES[1:], ids=str)
def test_values_of_a_region_position_by_position(sizes):
    """Against the plain definition: the map where there is one, 0 and no flag elsewhere."""
    _, stem = stem_of(sizes)
    rng = np.random.default_rng(2)
    for region in (stem.image, *(stage.target for stage in stem.stages)):
        whole = rng.integers(-9, 10, (region.size**2, region.channels))
        got = region.values(whole, 0, stem.patches + 1, range(region.side))
        got = got.reshape(stem.patches + 1, region.side, region.side, region.words)
        assert not got[0].any(), "the class token has no patch"
        grid = region.size // region.pitch
        for patch in range(stem.patches):
            for i, j in np.ndindex(region.side, region.side):
                y = patch // grid * region.pitch + region.origin + i
                x = patch % grid * region.pitch + region.origin + j
                inside = 0 <= y < region.size and 0 <= x < region.size
                want = [0] * region.words
                if inside:
                    want = [*whole[y * region.size + x], *([1] if region.flagged else [])]
                assert got[patch + 1, i, j].tolist() == want


def test_products_that_the_model_asks_for():
    graph, stem = stem_of(SIZES[1])
    convs = {op.name: op.macs(graph.inputs_of(op)) for op in graph.ops if op.kind == "linear"}
    for stage in stem.stages:
        rows = range(stage.target.side)
        assert sum(stage.useful_macs(row, stem.patches) for row in rows) == convs[stage.op.name]


def test_refusals():
    with pytest.raises(DoesNotFit, match="one row"):
        conv_tiles(1, 4)
    with pytest.raises(VitgenError, match="cuts 6 positions into patches of 4"):
        stem_of(StemSizes(6, 1, ((3, 1, 2),), 4))
