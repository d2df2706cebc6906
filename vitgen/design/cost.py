"""Cycles, resources and DRAM traffic of an engine, from the design alone.

Estimates: structure gives DSP slices of the array, block RAMs and array beats; latencies, LUTs and
flip-flops are planning figures until the RTL of the design has been simulated and synthesised.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vitgen.boards import Board
from vitgen.design.cost_cycles import Road, instruction_cycles
from vitgen.design.cost_resources import KNOBS, Bill, bill
from vitgen.design.cost_timeline import Timeline, schedule
from vitgen.design.cost_traffic import Traffic, traffic
from vitgen.design.cost_work import Product, Task, tasks_of_program
from vitgen.design.cost_workload import Workload
from vitgen.design.engine import Engine
from vitgen.design.isa import RowSource
from vitgen.design.program import Program
from vitgen.errors import DoesNotFit

__all__ = [
    "Bill",
    "Estimate",
    "Workload",
    "bill",
    "check_fit",
    "estimate",
    "estimate_program",
    "instruction_cycles",
]

RESOURCE_TITLES = {
    "dsp": "DSP slices",
    "lut": "LUTs",
    "ff": "flip-flops",
    "bram36": "block RAMs of 36 Kb",
    "uram": "UltraRAMs of 288 Kb",
}


@dataclass(frozen=True)
class Estimate:
    """What a design is expected to do and to take.

    Parameters
    ----------
    engine : its parameters.
    clock_mhz : clock of the logic.
    timeline : every instruction in time.
    bill : resources item by item.
    traffic : bytes per image.
    macs : products that the model asks for.
    lanes : products per beat of which the array is capable, 4-bit rows where the model has any.
    dram_cycles : cycles that the traffic takes of the whole DRAM, a lower bound.
    """

    engine: Engine
    clock_mhz: float
    timeline: Timeline
    bill: Bill
    traffic: Traffic
    macs: int
    lanes: int
    dram_cycles: float

    @property
    def cycles(self) -> float:
        """Cycles of an image, not below what the DRAM needs."""
        return max(self.timeline.cycles, self.dram_cycles)

    @property
    def fps(self) -> float:
        """Images per second, one after the other."""
        return self.clock_mhz * 1e6 / self.cycles

    @property
    def latency_ms(self) -> float:
        """Milliseconds of an image."""
        return 1e3 / self.fps

    @property
    def ideal(self) -> float:
        """Ideal beats of the chosen tiling over all cycles."""
        return self.timeline.ideal / self.cycles

    @property
    def busy_lanes(self) -> float:
        """Useful products over lanes times cycles: every stall and every padded row counts."""
        return self.macs / (self.lanes * self.cycles)


def array_lanes(engine: Engine, narrow: bool) -> int:
    """Products per beat, power-of-two rows included; ``narrow``: the model has 4-bit fixed rows."""
    products = engine.multipliers
    return products["w4" if narrow else "w8"] + products["pot"]


def _estimate(
    engine: Engine, tasks: Sequence[Task], board: Board, clock_mhz: float, narrow: bool
) -> Estimate:
    road = Road.of(board, clock_mhz, engine.weight_ports)
    moved = traffic(engine, tasks)
    macs = sum(task.work.macs for task in tasks if isinstance(task.work, Product))
    return Estimate(
        engine=engine,
        clock_mhz=clock_mhz,
        timeline=schedule(engine, tasks, road),
        bill=bill(engine),
        traffic=moved,
        macs=macs,
        lanes=array_lanes(engine, narrow),
        dram_cycles=moved.total / (board.dram.usable_mb_per_s / clock_mhz),
    )


def estimate(
    engine: Engine, workload: Workload, board: Board, clock_mhz: float | None = None
) -> Estimate:
    """The estimate of ``engine`` running ``workload``; it may not fit: see :func:`check_fit`.

    Parameters
    ----------
    clock_mhz : None for the board's own.

    Raises
    ------
    DoesNotFit : the board has fewer DRAM ports than the engine's weights use.
    """
    clock = board.clock_mhz if clock_mhz is None else clock_mhz
    return _estimate(engine, workload.tasks(engine), board, clock, workload.narrow)


def estimate_program(
    engine: Engine, program: Program, board: Board, clock_mhz: float | None = None
) -> Estimate:
    """The same from a program, instruction by instruction."""
    clock = board.clock_mhz if clock_mhz is None else clock_mhz
    tasks = tasks_of_program(engine, program.instructions)
    narrow = any(
        isinstance(task.work, Product)
        and task.work.source is RowSource.WEIGHTS
        and not task.work.wide
        for task in tasks
    )
    return _estimate(engine, tasks, board, clock, narrow)


def check_fit(engine: Engine, board: Board, utilisation: float = 1.0) -> Bill:
    """The bill of ``engine``, if ``board`` can pay it.

    Parameters
    ----------
    utilisation : share of each resource that the design may take, above 0 and at most 1.

    Raises
    ------
    DoesNotFit : names the resource that is missed by most, the need and the limit.
    """
    needed = bill(engine)
    stock = board.resources.to_dict()
    over = {
        name: need / max(stock[name] * utilisation, 1e-9)
        for name, need in needed.totals().items()
        if need > stock[name] * utilisation
    }
    if over:
        worst = max(over, key=lambda name: over[name])
        limit = int(stock[worst] * utilisation)
        raise DoesNotFit(
            f"The design needs {needed.totals()[worst]:,} {RESOURCE_TITLES[worst]}, {board.name} "
            f"gives {limit:,} of its {stock[worst]:,} (utilisation {utilisation:g}).",
            KNOBS[worst],
        )
    Road.of(board, board.clock_mhz, engine.weight_ports)
    return needed
