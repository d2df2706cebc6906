"""What the accelerator's RTL takes, module by module, as yosys counts it.

The stitched core says which modules there are and how often. Every distinct module (a process, a
FIFO or a RAM of one size) is mapped once, by itself. The modules of a shell around the core are not
stitched: they can be given.
"""

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vitgen.design.engine import Engine
from vitgen.rtl.modules import process_modules, support_files
from vitgen.rtl.stitch import GROUP, stitch
from vitgen.rtl.yosys import Counts, Job, count_all, require_yosys

_INSTANCE = re.compile(r"^  (\w+) (?:#\((.*?)\) )?(\w+) \($", re.MULTILINE)
_PARAMETER = re.compile(r"\.(\w+)\((\d+)\)")
_KINDS = {"stream_fifo": "fifo", "process_ram": "ram"}


@dataclass(frozen=True)
class Instance:
    """A module of the accelerator.

    Parameters
    ----------
    name : of the instance.
    kind : "process", "fifo", "ram" or "shell".
    copies : how often it exists.
    job : its Verilog.
    """

    name: str
    kind: str
    copies: int
    job: Job


@dataclass(frozen=True)
class Line:
    """An instance with what one copy takes."""

    name: str
    kind: str
    copies: int
    each: Counts

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "name": self.name,
            "kind": self.kind,
            "copies": self.copies,
            **asdict(self.each),
        }


@dataclass(frozen=True)
class Counted:
    """What an accelerator takes.

    Parameters
    ----------
    lines : processes, FIFOs and RAMs, in the order of the core.
    absent : parts of the accelerator that were not there to be counted.
    """

    lines: tuple[Line, ...]
    absent: tuple[str, ...]

    @property
    def total(self) -> Counts:
        """All copies of all lines."""
        found = (line.each.times(line.copies) for line in self.lines)
        return functools.reduce(Counts.__add__, found, Counts())

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "total": asdict(self.total),
            "absent": list(self.absent),
            "modules": [line.to_json() for line in self.lines],
        }


def accelerator_resources(
    engine: Engine,
    shell: Sequence[Instance] = (),
    *,
    cache: Path | None = None,
    workers: int = 2,
) -> Counted:
    """Count the resources of an engine's RTL.

    Parameters
    ----------
    engine : a design.
    shell : modules around the core: DMA masters, registers. Without any they are named absent.
    cache : directory of results of yosys, as for :func:`vitgen.rtl.yosys.count`.
    workers : runs of yosys side by side, at least 1.

    Raises
    ------
    VitgenError : a tool is missing, a process cannot be translated, or yosys refuses it.
    """
    require_yosys()
    found = [*instances(engine), *shell]
    counts = count_all([instance.job for instance in found], cache, workers)
    lines = tuple(
        Line(instance.name, instance.kind, instance.copies, each)
        for instance, each in zip(found, counts, strict=True)
    )
    return Counted(lines, () if shell else ("DMA masters", "control registers"))


def instances(engine: Engine) -> list[Instance]:
    """The modules of the core, those of one token group with as many copies as there are groups.

    Raises
    ------
    VitgenError : a tool is missing, or a process cannot be translated.
    """
    modules = process_modules(engine)
    core = stitch(engine, modules).files["vit_core.sv"]
    texts = {module.name: module.verilog for module in modules.values()}
    support = {name.removesuffix(".sv"): text for name, text in support_files().items()}
    return list(_instances(core, texts | support, engine.groups))


def _instances(core: str, texts: Mapping[str, str], groups: int) -> Iterator[Instance]:
    scopes = re.split(r"^module (\w+)", core, flags=re.MULTILINE)[1:]
    for scope, body in zip(scopes[::2], scopes[1::2], strict=True):
        for module, parameters, name in _INSTANCE.findall(body):
            if module == GROUP:
                continue
            sizes = {key: int(value) for key, value in _PARAMETER.findall(parameters)}
            yield Instance(
                name, _KINDS.get(module, "process"), groups if scope == GROUP else 1,
                Job(texts[module], module, sizes),
            )  # fmt: skip
