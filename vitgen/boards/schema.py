"""From a ``board.toml`` to a :class:`~vitgen.boards.board.Board`, or one sentence why not."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from vitgen.boards.board import Board, Dram, Provenance, Resources, Trust
from vitgen.errors import VitgenError

FILE = "board.toml"

# Part names reach Tcl: no character that means anything there. ($ is the very end: the patterns are
# matched by Rust.)
PartName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$", max_length=100)]
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
    usable_mb_per_s: _Positive
    latency_cycles: _Positive


class _File(_Table):
    title: Line
    part: _Name
    board_part: _Name | None = None
    clock_mhz: _Positive
    resources: _Resources
    dram: _Dram


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
    _check_port(path, parsed)
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


def _check_port(path: Path, parsed: _File) -> None:
    """A port that moves more than a beat per cycle is a mistake of the file."""
    dram = parsed.dram
    if dram.port_bits.value % 8:
        raise VitgenError(
            f"In the board file {path}, dram.port_bits.value is {dram.port_bits.value}.",
            "Give a multiple of 8.",
        )
    peak = dram.port_bits.value // 8 * parsed.clock_mhz.value
    if dram.port_mb_per_s.value > peak:
        raise VitgenError(
            f"In the board file {path}, dram.port_mb_per_s.value is {dram.port_mb_per_s.value}.",
            f"A port of {dram.port_bits.value} bits at {parsed.clock_mhz.value} MHz moves at most "
            f"{peak} MB/s.",
        )


def _entries(table: _Table, prefix: str = "") -> Iterator[tuple[str, _Entry]]:
    for key in type(table).model_fields:
        value = getattr(table, key)
        if isinstance(value, _Entry):
            yield prefix + key, value
        elif isinstance(value, _Table):
            yield from _entries(value, f"{prefix}{key}.")


def _values(table: _Table) -> dict[str, int]:
    return {key: getattr(table, key).value for key in type(table).model_fields}


def _board(name: str, parsed: _File) -> Board:
    return Board(
        name=name,
        title=parsed.title,
        part=parsed.part.value,
        board_part=parsed.board_part.value if parsed.board_part else "",
        clock_mhz=parsed.clock_mhz.value,
        resources=Resources(**_values(parsed.resources)),
        dram=Dram(**_values(parsed.dram)),
        provenance={key: Provenance(e.trust, e.source) for key, e in _entries(parsed)},
    )
