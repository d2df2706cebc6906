"""From a ``board.toml`` to a :class:`~vitgen.boards.board.Board`, or one sentence why not."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from vitgen.boards.board import (
    Board,
    Dram,
    Image,
    Power,
    ProcessingSystem,
    Provenance,
    Pynq,
    Resources,
    Trust,
)
from vitgen.errors import VitgenError

FILE = "board.toml"

# Names reach Tcl and shells: no character that means anything there. ($ is the very end: the patterns are
# matched by Rust.)
PartName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$", max_length=100)
]
PinName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=100)]
Connection = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]* [A-Za-z0-9][A-Za-z0-9._:-]*$")
]
HpPort = Literal["S_AXI_HP0_FPD", "S_AXI_HP1_FPD", "S_AXI_HP2_FPD", "S_AXI_HP3_FPD"]
Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")]
Count = Annotated[int, Field(ge=0, lt=10**9)]
Positive = Annotated[int, Field(gt=0, lt=10**9)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Entry(_Table):
    trust: Trust
    source: Line


class _Name(_Entry):
    value: PartName


class _Count(_Entry):
    value: Count


class _Positive(_Entry):
    value: Positive


class _Line(_Entry):
    value: Line


class _Lines(_Entry):
    value: list[Line]


class _Pin(_Entry):
    value: PinName


class _Family(_Entry):
    value: Literal["zynqmp"]


class _HpPorts(_Entry):
    value: Annotated[list[HpPort], Field(min_length=1)]


class _Connections(_Entry):
    value: list[Connection]


class _Image(_Entry):
    value: Image


class _Resources(_Table):
    dsp: _Count
    lut: _Positive
    ff: _Positive
    bram36: _Count
    uram: _Count


class _Dram(_Table):
    ports: _Positive
    port_bits: _Positive
    port_mb_per_s: _Positive
    burst_beats: _Positive
    peak_mb_per_s: _Positive
    usable_mb_per_s: _Positive
    latency_cycles: _Positive


class _ProcessingSystem(_Table):
    family: _Family
    hp_ports: _HpPorts
    control: _Pin
    interrupt: _Pin
    clock: _Pin
    connections: _Connections | None = None


class _Pynq(_Table):
    board: _Name
    image: _Image
    version: _Name | None = None
    road: _Line


class _Power(_Table):
    monitor: _Line
    rails: _Lines
    logic: _Line | None = None
    total: _Line | None = None


class _File(_Table):
    title: Line
    part: _Name
    board_part: _Name | None = None
    clock_mhz: _Positive
    max_clock_mhz: _Positive
    resources: _Resources
    dram: _Dram
    ps: _ProcessingSystem
    pynq: _Pynq
    power: _Power


def read(name: str, path: Path) -> Board:
    """The board ``name`` from the file ``path``.

    Raises
    ------
    VitgenError : the file cannot be read, is no TOML, or a key is missing, unknown or out of range;
        the message names file and key.
    """
    try:
        record = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise VitgenError(
            f"The board file {path} cannot be read: {error.strerror}.", "Check its permissions."
        ) from error
    except ValueError as error:  # tomllib's TOMLDecodeError and UnicodeDecodeError
        raise VitgenError(
            f"The board file {path} is not TOML: {error}.", "Correct the line."
        ) from error
    try:
        parsed = _File.model_validate(record)
    except ValidationError as error:
        raise _refusal(path, error) from error
    _check(path, parsed)
    return _board(name, parsed)


def _refusal(path: Path, error: ValidationError) -> VitgenError:
    first = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        problem, remedy = f"the key {key} is missing", "Add it"
    elif first["type"] == "extra_forbidden":
        problem, remedy = f"the key {key} is unknown", "Remove it or correct its spelling"
    else:
        message = first["msg"][:1].lower() + first["msg"][1:]
        problem, remedy = f"{key} is {first['input']!r}: {message}", "Correct it"
    return VitgenError(
        f"In the board file {path}, {problem}.", f"{remedy}; boards/zcu102/{FILE} is an example."
    )


def _check(path: Path, parsed: _File) -> None:
    """What no single key shows: entries that contradict each other."""
    dram, ports = parsed.dram, parsed.ps.hp_ports.value
    peak = dram.port_bits.value // 8 * parsed.clock_mhz.value
    rails = parsed.power.rails.value
    _require(
        path,
        dram.port_bits.value % 8 == 0,
        f"dram.port_bits.value is {dram.port_bits.value}",
        "Give a multiple of 8.",
    )
    _require(
        path,
        dram.port_mb_per_s.value <= peak,
        f"dram.port_mb_per_s.value is {dram.port_mb_per_s.value}",
        f"A port of {dram.port_bits.value} bits at {parsed.clock_mhz.value} MHz moves at most "
        f"{peak} MB/s.",
    )
    _require(
        path,
        dram.usable_mb_per_s.value <= dram.peak_mb_per_s.value,
        f"dram.usable_mb_per_s.value is {dram.usable_mb_per_s.value}",
        f"The DRAM moves at most {dram.peak_mb_per_s.value} MB/s (dram.peak_mb_per_s).",
    )
    _require(
        path,
        parsed.clock_mhz.value <= parsed.max_clock_mhz.value,
        f"clock_mhz.value is {parsed.clock_mhz.value}",
        f"No design exceeds {parsed.max_clock_mhz.value} MHz (max_clock_mhz).",
    )
    _require(
        path,
        len(set(ports)) == len(ports) == dram.ports.value,
        f"ps.hp_ports.value is {ports}",
        f"Name each of the {dram.ports.value} ports of dram.ports once.",
    )
    _require(
        path,
        (parsed.pynq.version is None) == (parsed.pynq.image.value == "none"),
        f"pynq.image.value is {parsed.pynq.image.value!r}",
        "Give pynq.version where there is an image, and only there.",
    )
    for key, rail in (("logic", parsed.power.logic), ("total", parsed.power.total)):
        _require(
            path,
            rail is None or rail.value in rails,
            f"power.{key}.value is {rail and rail.value!r}",
            f"Name one of power.rails: {', '.join(rails) or 'there are none'}.",
        )


def _require(path: Path, holds: bool, problem: str, remedy: str) -> None:
    if not holds:
        raise VitgenError(f"In the board file {path}, {problem}.", remedy)


def _entries(table: _Table, prefix: str = "") -> Iterator[tuple[str, _Entry]]:
    for key in type(table).model_fields:
        value = getattr(table, key)
        if isinstance(value, _Entry):
            yield prefix + key, value
        elif isinstance(value, _Table):
            yield from _entries(value, f"{prefix}{key}.")


def _values(table: _Table) -> dict[str, Any]:
    """Values by key: a list as a tuple, a missing entry as an empty one of its kind."""
    found: dict[str, Any] = {}
    for key in type(table).model_fields:
        entry = getattr(table, key)
        value = entry.value if entry else () if key == "connections" else ""
        found[key] = tuple(value) if isinstance(value, list) else value
    return found


def _board(name: str, parsed: _File) -> Board:
    return Board(
        name=name,
        title=parsed.title,
        part=parsed.part.value,
        board_part=parsed.board_part.value if parsed.board_part else "",
        clock_mhz=parsed.clock_mhz.value,
        max_clock_mhz=parsed.max_clock_mhz.value,
        resources=Resources(**_values(parsed.resources)),
        dram=Dram(**_values(parsed.dram)),
        ps=ProcessingSystem(**_values(parsed.ps)),
        pynq=Pynq(**_values(parsed.pynq)),
        power=Power(**_values(parsed.power)),
        provenance={key: Provenance(e.trust, e.source) for key, e in _entries(parsed)},
    )
