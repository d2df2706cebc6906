"""From the emitted C++ to SystemVerilog, process by process, once per content.

Everything that can change the result goes into a digest (sources, tools, this package), which names
the file in the cache. Results are moved in whole, so two processes may generate the same at once.
"""

import functools
import hashlib
import importlib.metadata
import json
import multiprocessing
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from pathlib import Path

from vitgen.csim.compile import default_cache
from vitgen.design import netlist
from vitgen.design.engine import Engine
from vitgen.emit.hls import emit_hls
from vitgen.errors import VitgenError
from vitgen.rtl.clang import compile_process, find_clang, prepare
from vitgen.rtl.interface import Channel, Ram
from vitgen.rtl.llvm_reader import parse_function
from vitgen.rtl.translate import Translation, translate
from vitgen.rtl.xls import Scheduled, schedule

VERILOG_PROCESSES = frozenset(("program_fetch", "dma_read", "dma_write"))
"""Processes that reach DRAM: Verilog of their own."""

_INCLUDED = re.compile(r'^#include "([^"]+)"', re.MULTILINE)
_RAM = re.compile(r"#pragma\s+HLS\s+bind_storage\s+variable=(\w+)\s+type=ram_\w+")
_STRUCT_SOURCES = ("types.h", "commands.h")
_FORMAT = 1


def translate_process(files: Mapping[str, str], header: str, function: str) -> Translation:
    """The XLS process of a C++ function; its arrays with ``bind_storage ... type=ram_2p`` are RAMs.

    Parameters
    ----------
    files : emitted sources by name (:func:`vitgen.emit.hls.emit_hls`).
    header : the one that defines ``function``.
    function : its C++ name.

    Raises
    ------
    VitgenError : no clang, C++ that does not compile, or a construct outside the process form.
    """
    rams = frozenset(_RAM.findall(files[header]))
    return translate(parse_function(compile_process(files, header, function), function), rams)


def generate(
    files: Mapping[str, str], header: str, function: str, cache: Path | None = None
) -> Scheduled:
    """The hardware of one process.

    Parameters
    ----------
    files, header, function : as for :func:`translate_process`.
    cache : directory of results; ``vitgen/rtl`` under the user's cache directory if not given.

    Raises
    ------
    VitgenError : as :func:`translate_process`; XLS is missing or has no schedule; the cache cannot
        be written.
    """
    path = _path(files, header, function, cache)
    found = _load(path)
    if found is None:
        found = schedule(translate_process(files, header, function))
        _store(path, found)
    return found


def generate_all(
    engine: Engine, cache: Path | None = None, workers: int = 2
) -> dict[str, Scheduled]:
    """The hardware of every process of an accelerator that is not Verilog of its own.

    Parameters
    ----------
    engine : a design.
    cache : as for :func:`generate`.
    workers : processes that generate side by side, at least 1.

    Returns
    -------
    By C++ function, in the order of the netlist. A function that is called for several banks or
    groups is there once.

    Raises
    ------
    VitgenError : as :func:`generate`.
    """
    files = {name: text for name, text in emit_hls(engine).texts().items() if name.endswith(".h")}
    headers = {process.function: process.file for process in netlist.processes(engine)}
    headers = {name: header for name, header in headers.items() if name in _wanted(engine, headers)}
    missing = [
        name for name, header in headers.items()
        if _load(_path(files, header, name, cache)) is None
    ]  # fmt: skip
    if workers > 1 and len(missing) > 1:
        # Not forked: XLS keeps threads and locks.
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(workers, len(missing)), context) as pool:
            jobs = [pool.submit(generate, files, headers[name], name, cache) for name in missing]
            for job in jobs:
                job.result()
    return {name: generate(files, header, name, cache) for name, header in headers.items()}


def _wanted(engine: Engine, functions: Iterable[str]) -> set[str]:
    array = {"multiply"} if engine.array == "dsp48" else set()
    return set(functions) - VERILOG_PROCESSES - array


# -- the cache


def _path(files: Mapping[str, str], header: str, function: str, cache: Path | None) -> Path:
    directory = default_cache().parent / "rtl" if cache is None else cache
    digest = hashlib.sha256()
    parts = [str(_FORMAT), _tools(), _package(), header, function]
    for name in sorted(_needed(files, header)):
        parts += [name, prepare(files[name])]
    for part in parts:
        raw = part.encode()
        digest.update(f"{len(raw)}:".encode() + raw)
    return directory / f"{digest.hexdigest()[:32]}.json"


def _needed(files: Mapping[str, str], header: str) -> set[str]:
    """The headers that a process is compiled from."""
    found: set[str] = set()
    left = [header, *_STRUCT_SOURCES]
    while left:
        name = left.pop()
        if name in files and name not in found:
            found.add(name)
            left += _INCLUDED.findall(files[name])
    return found


@functools.cache
def _tools() -> str:
    command = find_clang()
    said = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    try:
        xls = importlib.metadata.version("xls-python")
    except importlib.metadata.PackageNotFoundError:
        xls = ""
    return "\n".join([*command, said.stdout, xls])


@functools.cache
def _package() -> str:
    """Digest of the translator and its headers."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for file in sorted([*root.glob("*.py"), *root.glob("include/*.h")]):
        content = file.read_bytes()
        digest.update(f"{file.relative_to(root)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _load(path: Path) -> Scheduled | None:
    try:
        held = json.loads(path.read_text())
    except OSError:
        return None
    held["channels"] = tuple(Channel(**channel) for channel in held["channels"])
    held["rams"] = tuple(Ram(**ram) for ram in held["rams"])
    return Scheduled(**held)


def _store(path: Path, found: Scheduled) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False) as file:
            json.dump(asdict(found), file)
        os.replace(file.name, path)
    except OSError as error:
        raise VitgenError(
            f"Cannot write to the cache directory {path.parent}: {error.strerror or error}.",
            "Free space there or choose another directory.",
        ) from error
