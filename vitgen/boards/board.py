"""What is known of a board."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal, get_args

Trust = Literal["stated", "derived", "unverified", "chosen"]

TRUST_LEVELS: tuple[str, ...] = get_args(Trust)
"""How far a figure carries.

``stated``: a published source says so. ``derived``: arithmetic on stated figures. ``unverified``: a
planning figure, good for an estimate and never for a claim. ``chosen``: a decision of this project.
"""


@dataclass(frozen=True)
class Provenance:
    """Where a figure comes from.

    Parameters
    ----------
    trust : one of :data:`TRUST_LEVELS`.
    source : the document, table or reasoning, for a reader to check.
    """

    trust: Trust
    source: str


@dataclass(frozen=True)
class Resources:
    """What the programmable logic holds, in sites: DSP slices, LUTs, flip-flops, RAMs of 36 kbit
    (each two of 18) and of 288 kbit."""

    dsp: int
    lut: int
    ff: int
    bram36: int
    uram: int

    def to_dict(self) -> dict[str, int]:
        """The figures by name, in the order of the fields."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True)
class Dram:
    """The road to the DRAM.

    Parameters
    ----------
    ports : AXI ports from the logic to the DRAM.
    port_bits : data width of a port.
    port_mb_per_s : most that a port moves per direction at the board's own clock, 10^6 bytes/s; it
        scales with the clock.
    burst_beats : longest burst of a port.
    usable_mb_per_s : most that all ports move together, reads plus writes, 10^6 bytes/s; it does not
        depend on the clock of the logic.
    latency_cycles : cycles from an address to its first beat at the board's own clock.
    """

    ports: int
    port_bits: int
    port_mb_per_s: int
    burst_beats: int
    usable_mb_per_s: int
    latency_cycles: int


@dataclass(frozen=True)
class Board:
    """A board.

    Parameters
    ----------
    name : what ``--board`` takes.
    title : its name in full, for reports.
    part : the device with package and speed grade, as Vivado writes it.
    board_part : Vivado's name of its board file; empty where there is none.
    clock_mhz : clock of a design that asks for no other.
    resources, dram : see there.
    provenance : source and trust of every figure, by its key in the file (``resources.dsp``).
    """

    name: str
    title: str
    part: str
    board_part: str
    clock_mhz: int
    resources: Resources
    dram: Dram
    provenance: Mapping[str, Provenance] = field(hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, by the names of the fields."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        values.update(
            resources=asdict(self.resources),
            dram=asdict(self.dram),
            provenance={key: asdict(p) for key, p in self.provenance.items()},
        )
        return values

    def bytes_per_cycle(self, ports: int = 1, clock_mhz: float | None = None) -> float:
        """Most bytes that ``ports`` ports move per cycle in one direction.

        At a high clock the DRAM behind the ports is the limit, and the figure falls as 1/clock.

        Parameters
        ----------
        ports : 1 to ``dram.ports``.
        clock_mhz : clock of the logic; None for the board's own.

        Raises
        ------
        ValueError : the board has fewer ports, or the clock is not positive.
        """
        if not 1 <= ports <= self.dram.ports:
            raise ValueError(f"{ports} ports, and {self.name} has {self.dram.ports}")
        clock = self.clock_mhz if clock_mhz is None else clock_mhz
        if not clock > 0:
            raise ValueError(f"clock of {clock} MHz")
        port = self.dram.port_mb_per_s / self.clock_mhz
        return min(ports * port, self.dram.usable_mb_per_s / clock)
