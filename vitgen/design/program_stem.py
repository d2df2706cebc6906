"""Instructions of a convolutional stem: one token tile after the other goes through all its maps."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from vitgen.design.engine import Engine
from vitgen.design.images import Images
from vitgen.design.isa import ActSource, LoadTarget, Opcode, Route, RowSource
from vitgen.design.packing import pack_weights
from vitgen.design.stem import Region, Stage, StageRows, Stem, stage_rows
from vitgen.design.waits import Access

ONE_SLOT = 2  # register that holds the tokens of one token tile
POSITIONS = 3  # register whose slots are the positions of a row of a region


@dataclass(frozen=True)
class StemInstruction:
    """An instruction of the stem.

    Parameters
    ----------
    op : name of the IR op.
    fields : values by field name.
    accesses : words that it touches.
    region, rows : what it leaves in the ACT bank: rows of a region; None for SET_TOKENS.
    useful_macs : products that the model asks for.
    """

    op: str
    fields: dict[str, int]
    accesses: list[Access] = field(default_factory=list)
    region: Region | None = None
    rows: range = range(0)
    useful_macs: int = 0


def image_load(stem: Stem, slot_address: int) -> StemInstruction:
    """The regions of the image of one token tile."""
    image = stem.image
    fields = {
        "opcode": Opcode.LOAD,
        "tokens_register": ONE_SLOT,
        "load_target": LoadTarget.ACT,
        "param_address": slot_address,
        "k": image.all_words,
        "dest_base": image.base,
        "dest_stride": 0,
    }
    access = Access("act", image.base, image.base + image.all_words, True)
    return StemInstruction("load.image", fields, [access], image, range(image.side))


def positions(region: Region) -> StemInstruction:
    """Sets the register of positions."""
    fields = {
        "opcode": Opcode.SET_TOKENS,
        "tokens_register": POSITIONS,
        "row_tiles": region.side,
    }
    return StemInstruction(f"set_tokens.{POSITIONS}", fields)


def stage_accesses(stage: Stage, row: int) -> list[Access]:
    """Words that a row of a stage reads and writes."""
    target = stage.target
    return [
        Access("act", *stage.window(row), False),
        Access("act", target.row_base(row), target.row_base(row + 1), True),
    ]


class StemProgram:
    """The instructions of a stem, its weights and records packed once for all token tiles."""

    def __init__(self, stem: Stem, engine: Engine, images: Images, bits: dict[str, int]) -> None:
        self._stem, self._engine, self._bits = stem, engine, bits
        self._stages: list[tuple[Stage, StageRows, int, int]] = []
        for stage in stem.stages:
            rows = stage_rows(stage, engine.fixed_rows(8), engine.pot_rows)
            weights = images.add_weights(pack_weights(engine, rows.op, rows.layout))
            self._stages.append((stage, rows, weights, images.add_params(rows.records)))

    def slot(self, slot: int) -> Iterator[StemInstruction]:
        """The instructions of a token tile, up to the map that the projection reads."""
        engine, image = self._engine, self._stem.image
        beats = engine.groups * image.all_words * engine.act_load_beats
        yield image_load(self._stem, slot * beats)
        for stage, rows, weights, params in self._stages:
            yield positions(stage.target)
            for row in range(stage.target.side):
                fields = self._fields(stage, rows, row)
                fields |= {"weight_address": weights, "param_address": params}
                patches = self._stem.patches_in(slot * engine.token_lanes, engine.token_lanes)
                yield StemInstruction(
                    stage.op.name, fields, stage_accesses(stage, row), stage.target,
                    range(row, row + 1), stage.useful_macs(row, patches),
                )  # fmt: skip

    def _fields(self, stage: Stage, rows: StageRows, row: int) -> dict[str, int]:
        group = rows.layout.group
        return {
            "opcode": Opcode.GEMM,
            "tokens_register": POSITIONS,
            "row_source": RowSource.WEIGHTS,
            "act_source": ActSource.ACT,
            "wide": 1,
            "route": Route.ACT,
            "fixed_rows": group.fixed_rows,
            "row_tiles": group.row_tiles,
            "k": stage.k,
            "act_base": stage.window(row)[0],
            "act_stride": stage.unfold.stride * stage.source.words,
            "act_run": stage.run,
            "act_jump": stage.jump,
            "dest_base": stage.target.row_base(row),
            "dest_stride": stage.target.words,
            "limit": rows.kept,
            "shift": stage.op.shift,
            "bits": self._bits[stage.op.output],
            "relu": 1,
        }
