"""A convolutional stem as the cost model sees it; the schedule is that of ``program_stem.py``."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from vitgen.design.cost_work import Control, Load, Product, Work
from vitgen.design.engine import Engine
from vitgen.design.isa import Route, RowSource
from vitgen.design.stem import Region, Stage, Stem, conv_tiles
from vitgen.design.steps import LinearStep
from vitgen.design.tiling import tile_rows
from vitgen.design.waits import Access


def _access(region: Region, first: int, rows: int, writes: bool) -> Access:
    return Access("act", region.row_base(first), region.row_base(first + rows), writes)


@dataclass(frozen=True)
class StemShape:
    """Convolutions and projection, token tile after token tile.

    Parameters
    ----------
    stem : geometry of its regions.
    project : the projection.
    tokens : patches and class token.
    """

    stem: Stem
    project: LinearStep
    tokens: int

    @cached_property
    def macs(self) -> int:
        """Multiply-accumulates of one image, no margin counted twice."""
        convs = sum(stage.target.size**2 * int(stage.op.weight.size) for stage in self.stem.stages)
        return convs + self.tokens * int(self.project.op.weight.size)

    @property
    def narrow(self) -> bool:
        """Whether the projection has 4-bit fixed rows."""
        return self.project.rows_by_kind["w4"] > 0

    def parts(self, engine: Engine) -> Iterator[tuple[str, Work, tuple[Access, ...]]]:
        """Name, work and accesses of every instruction; accesses count words of the bank."""
        image, result = self.stem.image, self.stem.result
        read = _access(result, 0, result.side, False)
        write = Access("residual", 0, self.project.op.rows * engine.slots(self.tokens), True)
        for slot in range(engine.slots(self.tokens)):
            first = slot * engine.token_lanes
            tokens = min(engine.token_lanes, self.tokens - first)
            load = Load(image.all_words, 1, False)
            yield "load.image", load, (_access(image, 0, image.side, True),)
            for stage in self.stem.stages:
                yield "set_tokens.3", Control(), ()
                yield from self._stage(engine, stage, self.stem.patches_in(first, tokens))
            for product in self._projection(engine, tokens):
                yield self.project.name, product, (read, write)

    def _stage(
        self, engine: Engine, stage: Stage, patches: int
    ) -> Iterator[tuple[str, Work, tuple[Access, ...]]]:
        source, target, kernel = stage.source, stage.target, stage.unfold.kernel
        whole = self._row(engine, stage)
        for row in range(target.side):
            product = replace(whole, useful=stage.useful_macs(row, patches))
            first = row * stage.unfold.stride
            accesses = (_access(source, first, kernel, False), _access(target, row, 1, True))
            yield stage.op.name, product, accesses

    @staticmethod
    def _row(engine: Engine, stage: Stage) -> Product:
        """A row of positions, whatever the model asks for of it."""
        tiles, drained = conv_tiles(engine.fixed_rows(8), stage.rows)
        return Product(
            RowSource.WEIGHTS, Route.ACT, True, stage.k, tiles, stage.target.side, drained, 0,
            stage.rows + stage.target.flagged, 0, 0,
        )  # fmt: skip

    def repeated(self, engine: Engine) -> list[tuple[int, Work]]:
        """Distinct instructions, up to the products that the model asks for, and their numbers."""
        slots = engine.slots(self.tokens)
        found: list[tuple[int, Work]] = [(slots, Load(self.stem.image.all_words, 1, False))]
        found += [
            (slots * stage.target.side, self._row(engine, stage)) for stage in self.stem.stages
        ]
        return found + [(slots, product) for product in self._projection(engine, 0)]

    def _projection(self, engine: Engine, tokens: int) -> Iterator[Product]:
        kinds, k = self.project.rows_by_kind, int(self.project.op.weight.shape[1])
        for group in tile_rows(engine, kinds["w4"], kinds["w8"], kinds["pot"]).groups:
            rows = group.fixed + group.pot
            yield Product(
                RowSource.WEIGHTS, self.project.route, group.weight_bits == 8, k, group.row_tiles,
                1, group.fixed_rows, group.pot_rows, rows, min(engine.token_lanes, self.tokens),
                tokens * rows * k,
            )  # fmt: skip

    def products(self, engine: Engine) -> tuple[Work, ...]:
        """The work of every instruction."""
        return tuple(work for _, work, _ in self.parts(engine))
