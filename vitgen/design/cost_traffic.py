"""Bytes between the accelerator and the DRAM for one image."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from vitgen.design.cost_cycles import BEAT_BYTES, load_beats
from vitgen.design.cost_work import Load, Norm, Product, Task
from vitgen.design.engine import Engine
from vitgen.design.isa import INSTRUCTION_BEATS, Route, RowSource

LOGITS_PER_BEAT = 8


@dataclass(frozen=True)
class Traffic:
    """Bytes per image, padding included.

    Parameters
    ----------
    weights : every row tile once, padded to whole beats of every port.
    params : row records of linear layers and LayerNorms.
    image, constants : patches and embedding as words of the token lanes.
    program : instructions.
    output : logits.
    """

    weights: int
    params: int
    image: int
    constants: int
    program: int
    output: int

    @property
    def total(self) -> int:
        """Read and written together."""
        return sum(asdict(self).values())


def traffic(engine: Engine, tasks: Sequence[Task]) -> Traffic:
    """Bytes that a program moves."""
    beats = dict(weights=0, params=0, image=0, constants=0, output=0)
    for task in tasks:
        work = task.work
        if isinstance(work, Load):
            beats["constants" if work.residual else "image"] += load_beats(engine, work)
        elif isinstance(work, Norm):
            beats["params"] += work.features
        elif isinstance(work, Product):
            if work.source is RowSource.WEIGHTS:
                steps = engine.weight_steps(8 if work.wide else 4)
                beats["weights"] += work.row_tiles * work.k * steps * engine.weight_ports
                beats["params"] += work.row_tiles * work.tile_rows
            if work.route is Route.STORE:
                beats["output"] += -(-work.slots * work.limit // LOGITS_PER_BEAT)
    sizes = {name: count * BEAT_BYTES for name, count in beats.items()}
    return Traffic(program=len(tasks) * INSTRUCTION_BEATS * BEAT_BYTES, **sizes)
