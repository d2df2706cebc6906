"""Published accelerators, each figure with its source and how far it can be trusted.

``benchmarks/published.toml`` holds them; :func:`read` checks it.
"""

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from vitgen.errors import VitgenError
from vitgen.resources import published_file

Trust = Literal["stated", "derived", "unverified", "measured", "estimated"]
"""How far a figure carries. ``measured`` (RTL simulation, yosys) and ``estimated`` (cost model) are of
designs of this project, the others of published ones."""

RANK: tuple[Trust, ...] = ("measured", "stated", "derived", "estimated", "unverified")
"""From what carries furthest to what carries least."""


def least(*trusts: Trust) -> Trust:
    """The trust that carries least."""
    return max(trusts, key=RANK.index)


Line = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*$")]
Key = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
BitsLabel = Annotated[str, StringConstraints(pattern=r"^\d+(\+\d+)?/\d+$")]
Positive = Annotated[float, Field(gt=0, lt=1e9)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class _Entry(_Table):
    trust: Literal["stated", "derived", "unverified"]
    source: Key
    note: Line | None = None


class _Text(_Entry):
    value: Line


class _Bits(_Entry):
    value: BitsLabel


class _Number(_Entry):
    value: Positive


class _Share(_Entry):
    value: Annotated[float, Field(gt=0, le=1)]


class _Percent(_Entry):
    value: Annotated[float, Field(gt=0, le=100)]


class _Model(_Table):
    vitgen: Key | None = None
    gmac: _Number | None = None


class _Design(_Table):
    key: Key
    name: Line
    model: _Text
    device: _Text
    board: Key | None = None
    lut_lanes: bool = False
    bits: _Bits | None = None
    clock_mhz: _Number | None = None
    dsp: _Number | None = None
    lut: _Number | None = None
    bram36: _Number | None = None
    watts: _Number | None = None
    fps: _Number | None = None
    gops: _Number | None = None
    gops_per_dsp: _Number | None = None
    efficiency: _Share | None = None
    gmac: _Number | None = None
    top1: _Percent | None = None


class _File(_Table):
    sources: dict[Key, Line]
    models: dict[Line, _Model]
    designs: list[_Design]


NUMBERS = ("clock_mhz", "dsp", "lut", "bram36", "watts", "fps", "gops", "gops_per_dsp", "efficiency",
           "gmac", "top1")  # fmt: skip
"""Figures that a design may have, by their keys in the file."""


@dataclass(frozen=True)
class Figure:
    """A number with what it rests on.

    Parameters
    ----------
    value : the number.
    trust : how far it carries.
    source : where it is from; empty where it was computed of others.
    note : what to know beside it; may be empty.
    """

    value: float
    trust: Trust
    source: str = ""
    note: str = ""


@dataclass(frozen=True)
class Published:
    """A published design.

    Parameters
    ----------
    key, name : unique key, and what a reader is shown.
    model : what it runs, as published.
    vitgen : name of vitgen's model with the same products; empty for none.
    device, board : what it runs on, and vitgen's name of that board; empty for none.
    bits : weights/activations; empty where unknown.
    lut_lanes : whether LUTs make some of its products, so that its DSPs do not tell its lanes.
    trust : of ``model``, ``device`` and ``bits``, by these names, as far as they are known.
    figures : what is known, by the keys of :data:`NUMBERS`; ``gmac`` is the model's where the design
        has none of its own.
    """

    key: str
    name: str
    model: str
    vitgen: str
    device: str
    board: str
    bits: str
    lut_lanes: bool
    trust: Mapping[str, Trust]
    figures: Mapping[str, Figure]


@functools.cache
def published() -> tuple[Published, ...]:
    """The designs that vitgen ships, in the order of the file."""
    return read(published_file())


def read(path: Path) -> tuple[Published, ...]:
    """The designs of a file like ``benchmarks/published.toml``.

    Raises
    ------
    VitgenError : the file cannot be read, is no TOML, a key is missing, unknown or out of range, or
        names a model or a source that the file does not have; the message names file and key.
    """
    try:
        record = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise VitgenError(
            f"The file {path} cannot be read: {error.strerror}.", "Check its permissions."
        ) from error
    except ValueError as error:  # tomllib's TOMLDecodeError and UnicodeDecodeError
        raise VitgenError(f"The file {path} is not TOML: {error}.", "Correct the line.") from error
    try:
        parsed = _File.model_validate(record)
    except ValidationError as error:
        raise _refusal(path, error, record) from error
    _check(path, parsed)
    return tuple(_published(parsed, design) for design in parsed.designs)


def _refusal(path: Path, error: ValidationError, record: Mapping[str, Any]) -> VitgenError:
    first = error.errors(include_url=False)[0]
    place = list(first["loc"])
    if place[:1] == ["designs"] and len(place) > 1 and isinstance(place[1], int):
        design = record["designs"][place[1]]
        key = design.get("key") if isinstance(design, dict) else None
        place[:2] = [f"design {key or place[1] + 1}"]
    key = ".".join(str(part) for part in place)
    if first["type"] == "missing":
        problem, remedy = f"{key} is missing", "Add it"
    elif first["type"] == "extra_forbidden":
        problem, remedy = f"{key} is unknown", "Remove it or correct its spelling"
    else:
        message = first["msg"][:1].lower() + first["msg"][1:]
        problem, remedy = f"{key} is {first['input']!r}: {message}", "Correct it"
    return VitgenError(f"In {path}, {problem}.", f"{remedy}; the head of the file lists the keys.")


def _entries(table: _Model | _Design) -> dict[str, _Entry]:
    fields = {name: getattr(table, name) for name in type(table).model_fields}
    return {name: entry for name, entry in fields.items() if isinstance(entry, _Entry)}


def _check(path: Path, parsed: _File) -> None:
    """What no single key shows: keys that are given twice, and names without their entry."""
    seen: set[str] = set()
    tables: list[tuple[str, _Model | _Design]] = []
    tables += [(f"model {name}", model) for name, model in parsed.models.items()]
    tables += [(f"design {design.key}", design) for design in parsed.designs]
    for where, table in tables:
        for name, entry in _entries(table).items():
            if entry.source not in parsed.sources:
                raise VitgenError(
                    f"In {path}, {where}.{name}.source is {entry.source!r}, no key of [sources].",
                    "Add the source or correct its spelling.",
                )
            if entry.trust == "derived" and isinstance(table, _Design) and not entry.note:
                raise VitgenError(
                    f"In {path}, {where}.{name} is derived and does not say how.", "Add a note."
                )
    for design in parsed.designs:
        if design.key in seen:
            raise VitgenError(f"In {path}, two designs have the key {design.key}.", "Rename one.")
        seen.add(design.key)
        if design.model.value not in parsed.models:
            raise VitgenError(
                f"In {path}, design {design.key} runs {design.model.value!r}, no key of [models].",
                "Add the model or correct its spelling.",
            )


def _published(parsed: _File, design: _Design) -> Published:
    model = parsed.models[design.model.value]

    def figure(entry: Any) -> Figure:
        return Figure(
            float(entry.value), entry.trust, parsed.sources[entry.source], entry.note or ""
        )

    figures = {name: figure(entry) for name, entry in _entries(design).items() if name in NUMBERS}
    if "gmac" not in figures and model.gmac is not None:
        counted = figure(model.gmac)
        figures["gmac"] = replace(counted, trust=least(counted.trust, design.model.trust))
    words = {name: getattr(design, name) for name in ("model", "device", "bits")}
    return Published(
        key=design.key,
        name=design.name,
        model=design.model.value,
        vitgen=model.vitgen or "",
        device=design.device.value,
        board=design.board or "",
        bits=design.bits.value if design.bits else "",
        lut_lanes=design.lut_lanes,
        trust={name: entry.trust for name, entry in words.items() if entry is not None},
        figures=figures,
    )
