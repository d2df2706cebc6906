"""A convolutional stem as the token lanes run it: every lane owns a patch.

Neighbouring positions of a map lie in different lanes, and nothing moves between lanes. So each
patch holds the square of every map that its own result depends on, its *region*, and the margin that
regions share is computed more than once. Within a lane a convolution is then a product whose ``k``
words are read row by row of the window.

Positions outside a map must be 0, whatever the biases say. Each position therefore carries, behind
its channels, a *flag*: 1 inside the map and 0 outside. A gate row copies the flag under the middle of
the window into the next map and closes the lane for the other rows where it is 0. The class token
and lanes without a token hold 0 everywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vitgen.design.packing import NO_ROW, Bytes, RowLayout, linear_records
from vitgen.design.tiling import TileGroup
from vitgen.errors import DoesNotFit, VitgenError
from vitgen.ir import FIXED, Linear, Tensor, Unfold

Int = NDArray[np.int64]


@dataclass(frozen=True)
class Region:
    """What a lane holds of a map: ``side x side`` positions around its patch.

    Parameters
    ----------
    tensor : IR name of the map.
    size : height and width of the map.
    channels : of a position.
    flagged : whether the flag lies behind the channels.
    side : positions along the region.
    origin : first position of the region, counted from the patch's own first; 0 or negative.
    pitch : positions from one patch to the next.
    base : address of its first word in the ACT bank.
    """

    tensor: str
    size: int
    channels: int
    flagged: bool
    side: int
    origin: int
    pitch: int
    base: int = 0

    @property
    def words(self) -> int:
        """Words of a position."""
        return self.channels + self.flagged

    @property
    def row_words(self) -> int:
        """Words of a row of positions."""
        return self.side * self.words

    @property
    def all_words(self) -> int:
        """Words of the region."""
        return self.side * self.row_words

    def row_base(self, row: int) -> int:
        """Address of a row's first word."""
        return self.base + row * self.row_words

    def owns(self, row: int) -> bool:
        """Whether a row belongs to the patch itself, not to its margin."""
        return 0 <= row + self.origin < self.pitch

    def values(self, whole: Int, first: int, count: int, rows: range) -> Int:
        """Rows of the regions of some tokens.

        Parameters
        ----------
        whole : the map, ``(size * size, channels)``.
        first, count : tokens; token 0 is the class token, token 1 the first patch.
        rows : of the region.

        Returns
        -------
        ``(count, len(rows) * side * words)``.
        """
        grid = self.size // self.pitch
        low = -min(self.origin, 0)
        high = max(0, self.origin + self.side - self.pitch)
        cells = np.zeros((self.size + low + high,) * 2 + (self.words,), dtype=np.int64)
        inside = cells[low : low + self.size, low : low + self.size]
        inside[..., : self.channels] = whole.reshape(self.size, self.size, self.channels)
        if self.flagged:
            inside[..., self.channels] = 1
        result = np.zeros((count, len(rows), self.side, self.words), dtype=np.int64)
        for place in range(count):
            if first + place == 0:
                continue
            v, u = divmod(first + place - 1, grid)
            y = v * self.pitch + self.origin + low
            x = u * self.pitch + self.origin + low
            result[place] = cells[y + rows.start : y + rows.stop, x : x + self.side]
        return result.reshape(count, -1)


@dataclass(frozen=True)
class Stage:
    """A convolution with ReLU from one region to the next."""

    op: Linear
    unfold: Unfold
    source: Region
    target: Region

    @property
    def rows(self) -> int:
        """Rows of its product without the gate."""
        return self.op.rows

    @property
    def k(self) -> int:
        """Words of a window, flags included."""
        return self.unfold.kernel**2 * self.source.words

    @property
    def run(self) -> int:
        """Words of a row of the window."""
        return self.unfold.kernel * self.source.words

    @property
    def jump(self) -> int:
        """Words from the last of a row of the window to the first of the next."""
        return self.source.row_words - self.run + 1

    def source_row(self, row: int) -> int:
        """First row of the source's region that a row of the target reads."""
        return row * self.unfold.stride

    def window(self, row: int) -> tuple[int, int]:
        """Addresses of the source that a row of the target reads."""
        first = self.source_row(row)
        return self.source.row_base(first), self.source.row_base(first + self.unfold.kernel)

    def useful_macs(self, row: int, patches: int) -> int:
        """Products of a row of the target that the model asks for: margins count nothing."""
        if not self.target.owns(row):
            return 0
        return patches * self.target.pitch * int(self.op.weight.size)


@dataclass(frozen=True)
class Stem:
    """The stem of a graph.

    Parameters
    ----------
    image : region of the image.
    stages : its convolutions, in order.
    unfold : the last op before the projection, which is an ordinary product.
    words : of the ACT bank while it runs.
    """

    image: Region
    stages: tuple[Stage, ...]
    unfold: Unfold
    words: int

    @property
    def result(self) -> Region:
        """What the projection reads."""
        return self.stages[-1].target

    @property
    def patches(self) -> int:
        """Tokens without the class token."""
        return (self.image.size // self.image.pitch) ** 2

    def patches_in(self, first: int, count: int) -> int:
        """How many of the tokens ``first .. first + count - 1`` are patches."""
        return max(0, min(first + count, self.patches + 1) - max(first, 1))

    def input_words(self, pixels: Int) -> Int:
        """The image ``(size * size, channels)`` as ``(tokens, words of the region)``."""
        return self.image.values(pixels, 0, self.patches + 1, range(self.image.side))


def conv_tiles(row_capacity: int, rows: int) -> tuple[int, int]:
    """``(row tiles, rows drained per tile)`` of a convolution; each tile begins with a gate row.

    Raises
    ------
    DoesNotFit : a tile of ``row_capacity`` rows has no place for another row beside the gate.
    """
    if row_capacity < 2:
        raise DoesNotFit(
            "A tile of one row of 8 bits holds the gate of a convolution and no row beside it.",
            "Use more DSP rows.",
        )
    return -(-rows // (row_capacity - 1)), min(rows + 1, row_capacity)


@dataclass(frozen=True)
class StageRows:
    """A stage as a product of the engine.

    Parameters
    ----------
    op : its weights with the gate's row last and the flags among the features.
    layout : its tiles, all of them of 8-bit rows.
    records : row records.
    kept : rows of all tiles that are kept.
    """

    op: Linear
    layout: RowLayout
    records: Bytes
    kept: int


def stage_rows(stage: Stage, row_capacity: int, pot_rows: int) -> StageRows:
    """Weights, tiles and records of a stage on an engine with ``row_capacity`` rows of 8 bits."""
    rows, source, kernel = stage.rows, stage.source, stage.unfold.kernel
    weight = np.zeros((rows + 1, kernel * kernel, source.words), dtype=np.int8)
    weight[:rows, :, : source.channels] = stage.op.weight.reshape(rows, -1, source.channels)
    weight[rows, kernel * kernel // 2, source.channels] = 1  # the flag under the window's middle
    op = replace(
        stage.op,
        weight=weight.reshape(rows + 1, -1),
        row_scheme=np.full(rows + 1, FIXED, dtype=np.uint8),
        row_bits=np.full(rows + 1, 8, dtype=np.uint8),
        bias=np.append(stage.op.bias, np.int32(0)),
        mult=np.append(stage.op.mult, np.int32(0)),
    )
    tiles, drained = conv_tiles(row_capacity, rows)
    table = np.full((tiles, row_capacity), NO_ROW, dtype=np.int64)
    table[:, 0] = rows
    for tile, start in enumerate(range(0, rows, row_capacity - 1)):
        here = np.arange(start, min(start + row_capacity - 1, rows))
        table[tile, 1 : 1 + here.size] = here
    group = TileGroup(8, tiles, drained, 0, rows + tiles, 0)
    layout = RowLayout(group, table, np.full((tiles, pot_rows), NO_ROW, dtype=np.int64))
    order = layout.drained
    gate = order == rows
    keep = order != NO_ROW
    keep[:, 0] = False
    keep[0, 0] = stage.target.flagged
    records = linear_records(op, layout, keep=keep.reshape(-1), gate=gate.reshape(-1))
    return StageRows(op, layout, records, int(keep.sum()))


# -- from the graph


def _refuse(op: Unfold | Linear, why: str) -> VitgenError:
    return VitgenError(
        f"Op {op.name} ({op.kind}) {why}.",
        "A stem is convolutions with ReLU, then patches that do not overlap: "
        "see docs/accelerator.md.",
    )


def _check_conv(unfold: Unfold, op: Linear) -> None:
    if unfold.kernel % 2 == 0 or unfold.padding != unfold.kernel // 2 or unfold.lead:
        raise _refuse(unfold, "is no convolution that keeps its window's middle inside the map")
    if not op.relu:
        raise _refuse(op, "has no ReLU")


def _check_patches(unfold: Unfold) -> None:
    if unfold.kernel != unfold.stride or unfold.padding or unfold.lead != 1:
        raise _refuse(unfold, "does not cut the map into patches behind a class token")
    if unfold.height % unfold.kernel:
        raise _refuse(unfold, f"cuts {unfold.height} positions into patches of {unfold.kernel}")


def _regions(
    convs: list[tuple[Unfold, Linear]], last: Unfold, tensors: Mapping[str, Tensor]
) -> list[Region]:
    """Regions from the image to the map of the patches, without addresses."""
    side, origin, pitch = last.kernel, 0, last.kernel
    found = [Region(last.inputs[0], last.height, convs[-1][1].rows, False, side, origin, pitch)]
    for unfold, _ in reversed(convs):
        side = (side - 1) * unfold.stride + unfold.kernel
        origin = origin * unfold.stride - unfold.padding
        pitch *= unfold.stride
        name = unfold.inputs[0]
        channels = tensors[name].features
        found.append(Region(name, unfold.height, channels, True, side, origin, pitch))
    return found[::-1]


def _place(regions: list[Region], convs: list[tuple[Unfold, Linear]]) -> list[Region]:
    """Addresses, the last region lowest. A region lies above the one made of it, so far that no row
    is written over before it has been read for the last time."""
    placed = [regions[-1]]
    for source, (unfold, _) in zip(regions[-2::-1], convs[::-1], strict=True):
        target = placed[0]
        base = max(
            target.row_base(row + 1) - row * unfold.stride * source.row_words
            for row in range(target.side)
        )
        placed.insert(0, replace(source, base=max(base, 0)))
    return placed


def make_stem(
    convs: list[tuple[Unfold, Linear]], last: Unfold, tensors: Mapping[str, Tensor]
) -> Stem:
    """The stem of these ops.

    Parameters
    ----------
    convs : convolutions as pairs of ops, the first reading the image.
    last : the unfolding into patches.
    tensors : of the graph.

    Raises
    ------
    VitgenError : the maps are not square, or an op is not of a form that lanes can run.
    """
    if not convs:
        raise _refuse(last, "reads the image itself")
    for unfold, op in convs:
        _check_conv(unfold, op)
    _check_patches(last)
    for unfold in (*(u for u, _ in convs), last):
        if unfold.height != unfold.width:
            raise _refuse(unfold, f"reads a map of {unfold.height} x {unfold.width}")
    regions = _place(_regions(convs, last, tensors), convs)
    if regions[0].size != regions[0].pitch * (last.height // last.kernel):
        raise _refuse(last, f"does not divide an image of {regions[0].size}")
    stages = tuple(
        Stage(op, unfold, source, target)
        for (unfold, op), (source, target) in zip(convs, pairwise(regions), strict=True)
    )
    words = max(region.base + region.all_words for region in regions)
    return Stem(regions[0], stages, last, words)
