"""What the accelerator's RTL takes, module by module, as yosys counts it.

The stitched core says which modules there are and how often. Every distinct module (a process, a
FIFO or a RAM of one size) is mapped once, by itself; the shell around the core is mapped as one.
"""

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vitgen.design.engine import Engine
from vitgen.emit.shell import emit_shell
from vitgen.rtl.modules import process_modules, support_files
from vitgen.rtl.stitch import CORE, GROUP, stitch
from vitgen.rtl.yosys import Counts, Job, count_all, require_yosys

_INSTANCE = re.compile(r"^  (\w+) (?:#\((.*?)\) )?(\w+) \($", re.MULTILINE)
_PARAMETER = re.compile(r"\.(\w+)\((\d+)\)")
_CORE_PORTS = re.compile(rf"^module {CORE} \(.*?\);", re.MULTILINE | re.DOTALL)
_SHELL = "vit_top"
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
    """What an accelerator takes: the shell, then processes, FIFOs and RAMs in the core's order."""

    lines: tuple[Line, ...]

    @property
    def total(self) -> Counts:
        """All copies of all lines."""
        found = (line.each.times(line.copies) for line in self.lines)
        return functools.reduce(Counts.__add__, found, Counts())

    def to_json(self) -> list[dict[str, Any]]:
        """The lines as JSON values."""
        return [line.to_json() for line in self.lines]


def accelerator_resources(
    engine: Engine, *, cache: Path | None = None, workers: int = 2
) -> Counted:
    """Count the resources of an engine's RTL.

    Parameters
    ----------
    engine : a design.
    cache : directory of results of yosys, as for :func:`vitgen.rtl.yosys.count`.
    workers : runs of yosys side by side, at least 1.

    Raises
    ------
    VitgenError : a tool is missing, a process cannot be translated, or yosys refuses it.
    """
    require_yosys()
    found = instances(engine)
    counts = count_all([instance.job for instance in found], cache, workers)
    return Counted(
        tuple(
            Line(instance.name, instance.kind, instance.copies, each)
            for instance, each in zip(found, counts, strict=True)
        )
    )


def instances(engine: Engine) -> list[Instance]:
    """The shell and the modules of the core, those of a token group as often as there are groups.

    Raises
    ------
    VitgenError : a tool is missing, or a process cannot be translated.
    """
    modules = process_modules(engine)
    core = stitch(engine, modules).files["vit_core.sv"]
    texts = {module.name: module.whole for module in modules.values()}
    support = {name.removesuffix(".sv"): text for name, text in support_files().items()}
    return [_shell(engine, core), *_instances(core, texts | support, engine.groups)]


def _shell(engine: Engine, core: str) -> Instance:
    """Registers, DMA masters and the control of a run, around a core that is left out."""
    ports = _CORE_PORTS.search(core)
    assert ports
    box = f"(* blackbox *)\n{ports.group()}\nendmodule\n"
    text = "\n".join([*emit_shell(engine).texts().values(), box])
    return Instance(_SHELL, "shell", 1, Job(text, _SHELL, left_out=frozenset((CORE,))))


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
