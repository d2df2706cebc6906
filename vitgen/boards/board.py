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

Image = Literal["official", "maker", "none"]

IMAGES: tuple[str, ...] = get_args(Image)
"""Who offers PYNQ for a board.

``official``: the PYNQ project. ``maker``: the maker of the board or module, in a repository of its
own. ``none``: nobody; an image must be built.
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
    peak_mb_per_s : what the DRAM chips move with every cycle used, 10^6 bytes/s.
    usable_mb_per_s : most that all ports move together, reads plus writes, 10^6 bytes/s; it does not
        depend on the clock of the logic.
    latency_cycles : cycles from an address to its first beat at the board's own clock.
    """

    ports: int
    port_bits: int
    port_mb_per_s: int
    burst_beats: int
    peak_mb_per_s: int
    usable_mb_per_s: int
    latency_cycles: int


@dataclass(frozen=True)
class ProcessingSystem:
    """The hard processor beside the logic, as a block design names its pins.

    Its other settings (DRAM timing, pins, clocks) come from the preset of the board file.

    Parameters
    ----------
    family : "zynqmp".
    hp_ports : interfaces of the DRAM ports, in the order in which designs take them; ``dram.ports``
        of them, each ``dram.port_bits`` wide.
    control : interface from the processor to the registers of the logic.
    interrupt : input for interrupts of the logic.
    clock : clock output for the logic.
    connections : connectors between board files, ``"connector vendor:board:connector:version"``,
        where a module sits on a carrier; empty for a single board.
    """

    family: str
    hp_ports: tuple[str, ...]
    control: str
    interrupt: str
    clock: str
    connections: tuple[str, ...]


@dataclass(frozen=True)
class Pynq:
    """How PYNQ comes onto the board.

    Parameters
    ----------
    board : what the environment variable ``BOARD`` holds there.
    image : one of :data:`IMAGES`.
    version : PYNQ's version in that image or installation; empty where there is none.
    road : how to get it, a sentence.
    """

    board: str
    image: Image
    version: str
    road: str


@dataclass(frozen=True)
class Power:
    """What measures power.

    Parameters
    ----------
    monitor : the chips, a phrase.
    rails : keys of ``pynq.get_rails()`` there; empty where no configuration names them.
    logic : the rail of ``rails`` that supplies the core of the logic; empty where unknown.
    total : the rail of ``rails`` that supplies the whole board; empty where unknown.
    """

    monitor: str
    rails: tuple[str, ...]
    logic: str
    total: str


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
    max_clock_mhz : clock that no design on the part can exceed; real designs stay well below it.
    resources, dram, ps, pynq, power : see there.
    provenance : source and trust of every figure, by its key in the file (``resources.dsp``).
    """

    name: str
    title: str
    part: str
    board_part: str
    clock_mhz: int
    max_clock_mhz: int
    resources: Resources
    dram: Dram
    ps: ProcessingSystem
    pynq: Pynq
    power: Power
    provenance: Mapping[str, Provenance] = field(hash=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "provenance", MappingProxyType(dict(self.provenance)))

    def to_dict(self) -> dict[str, Any]:
        """Plain values, by the names of the fields."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        values.update(
            resources=asdict(self.resources),
            dram=asdict(self.dram),
            ps=asdict(self.ps),
            pynq=asdict(self.pynq),
            power=asdict(self.power),
            provenance={key: asdict(p) for key, p in self.provenance.items()},
        )
        return values

    def value(self, key: str) -> Any:
        """The entry of the file under ``key``, a key of ``provenance``."""
        value: Any = self
        for name in key.split("."):
            value = getattr(value, name)
        return value

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
