"""Compiles emitted C++ for the C-sim, once per content.

Everything that can change the result goes into a digest (sources, runtime, headers, compiler,
flags), which names the file in the cache. Results are moved in whole, so two processes may compile
the same at once, and a killed one leaves nothing that could be taken for a result.
"""

import functools
import hashlib
import os
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vitgen.csim.toolchain import (
    INCLUDE,
    RUNTIME,
    Compiler,
    ap_int_headers,
    find_compiler,
    native_macros,
)
from vitgen.errors import VitgenError

OPTIMIZED = ("-O2",)
# ap_int.h sign-extends by shifting negative numbers left: undefined before C++20, defined by g++.
SANITIZED = ("-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined",
             "-fno-sanitize=shift-base", "-fno-sanitize-recover=undefined")

# Hidden names: the state of one library is its own, and the running process is reached directly.
# Clash protection: a frame larger than the guard must not step over it.
# HLS pragmas are not the C++ compiler's; ap_int's default constructor reads what it leaves unset,
# which g++ reports where it is inlined, in spite of -isystem.
_ALWAYS = ("-std=c++17", "-DVITGEN_CSIM", "-include", "vitgen_lanes.h", "-fPIC", "-pthread", "-fvisibility=hidden",
           "-fstack-clash-protection", "-Wall", "-Wextra", "-Wno-unknown-pragmas", "-Wno-maybe-uninitialized",
           "-Wno-uninitialized")
_UNIT_SUFFIXES = (".cpp", ".cc")
_FIRST_ERROR = re.compile(r"^.*\b(?:error|undefined reference)\b.*$", re.MULTILINE)

Sources = Mapping[str, str] | Path


@dataclass(frozen=True)
class Built:
    """A compiled library or program.

    Parameters
    ----------
    path : the file in the cache.
    warnings : what the compiler had to say; empty for clean sources.
    """

    path: Path
    warnings: str


def default_cache() -> Path:
    """``vitgen/csim`` under the user's cache directory (XDG)."""
    said = os.environ.get("XDG_CACHE_HOME", "")
    base = Path(said) if said and Path(said).is_absolute() else Path.home() / ".cache"
    return base / "vitgen" / "csim"


def compile_library(
    sources: Sources,
    *,
    units: Sequence[str] | None = None,
    flags: Sequence[str] = OPTIMIZED,
    cache: Path | None = None,
) -> Built:
    """Compiles sources and the runtime into a shared library.

    Parameters
    ----------
    sources : text by relative path, or a directory whose files are all taken.
    units : the sources to compile; by default every ``.cpp`` and ``.cc``. The others are headers.
    flags : options added to those that the C-sim always has.
    cache : directory of results; :func:`default_cache` if not given.

    Raises
    ------
    VitgenError : no compiler, no headers, an unwritable cache, or sources that do not compile.
    """
    return _build(sources, units, tuple(flags), ("-shared",), ".so", cache)


def compile_program(
    sources: Sources,
    *,
    units: Sequence[str] | None = None,
    flags: Sequence[str] = OPTIMIZED,
    cache: Path | None = None,
) -> Built:
    """As :func:`compile_library`, but sources that have a ``main`` become a program."""
    return _build(sources, units, tuple(flags), (), ".exe", cache)


def _build(
    sources: Sources,
    units: Sequence[str] | None,
    flags: tuple[str, ...],
    link: tuple[str, ...],
    suffix: str,
    cache: Path | None,
) -> Built:
    texts = _texts(sources)
    chosen = _units(texts, units)
    compiler = find_compiler()
    directory = cache if cache is not None else default_cache()
    name = _digest(texts, chosen, (*flags, *link), compiler)
    path, log = directory / f"{name}{suffix}", directory / f"{name}.log"
    if not path.is_file():
        try:
            directory.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="build-", dir=directory) as scratch:
                job = _Job(Path(scratch), compiler, flags, log)
                _link(job, _compile(job, texts, chosen) + _runtime(job), link, path)
        except OSError as error:
            raise VitgenError(
                f"Cannot compile in the cache directory {directory}: {error.strerror or error}.",
                "Free space there or choose another directory.",
            ) from error
    return Built(path, log.read_text() if log.is_file() else "")


def _texts(sources: Sources) -> dict[str, str]:
    if isinstance(sources, Path):
        if not sources.is_dir():
            raise VitgenError(f"{sources} is not a directory of C++ sources.")
        files = sorted(file for file in sources.rglob("*") if file.is_file())
        return {file.relative_to(sources).as_posix(): file.read_text() for file in files}
    for name in sources:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or name.startswith("-"):
            raise VitgenError(f"{name!r} is not a relative path of a source file.")
    return dict(sorted(sources.items()))


def _units(texts: Mapping[str, str], units: Sequence[str] | None) -> tuple[str, ...]:
    if units is None:
        chosen = tuple(name for name in texts if name.endswith(_UNIT_SUFFIXES))
    else:
        chosen = tuple(units)
        for name in chosen:
            if name not in texts:
                raise VitgenError(f"The source file {name!r} to compile does not exist.")
    if not chosen:
        raise VitgenError("There is no C++ source file to compile.")
    return chosen


@functools.cache
def _fixed_digest(headers: Path) -> str:
    """Digest of the files that come with vitgen and hls4ml."""
    digest = hashlib.sha256()
    for root in (INCLUDE, RUNTIME, headers):
        for file in sorted(root.rglob("*")):
            if file.is_file():
                content = file.read_bytes()
                digest.update(f"{file.relative_to(root)}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def _digest(
    texts: Mapping[str, str], units: Sequence[str], flags: Sequence[str], compiler: Compiler
) -> str:
    native = native_macros(compiler.command) if "-march=native" in flags else ""
    parts = [compiler.identity, *compiler.command, native, _fixed_digest(ap_int_headers())]
    parts += [*_ALWAYS, "flags", *flags, "units", *units, "sources"]
    for name, text in texts.items():
        parts += [name, text]
    digest = hashlib.sha256()
    for part in parts:
        raw = part.encode()
        digest.update(f"{len(raw)}:".encode() + raw)
    return digest.hexdigest()[:32]


@dataclass(frozen=True)
class _Job:
    """A compilation in a scratch directory of its own, inside the cache."""

    scratch: Path
    compiler: Compiler
    flags: tuple[str, ...]
    log: Path

    def command(self, *arguments: str) -> list[str]:
        # Our directory first: hls4ml's has an hls_stream.h, too.
        return [*self.compiler.command, *_ALWAYS, *self.flags, "-I", str(INCLUDE), "-I", ".",
                "-isystem", str(ap_int_headers()), "-include", "vitgen_csim.h", *arguments]


def _compile(job: _Job, texts: Mapping[str, str], units: Sequence[str]) -> list[str]:
    """Object files of the sources; of copies, so that what was hashed is what is compiled."""
    for name, text in texts.items():
        file = job.scratch / "sources" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    objects = [str(job.scratch / f"{index}.o") for index in range(len(units))]
    _run_all(job, [job.command("-c", unit, "-o", target)
                   for unit, target in zip(units, objects, strict=True)])
    return objects


def _runtime(job: _Job) -> list[str]:
    """Object files of the runtime: the same for all designs, so kept in the cache."""
    name = _digest({}, (), job.flags, job.compiler)
    kept = {source: job.log.parent / f"{name}-{source.stem}.o"
            for source in sorted(RUNTIME.glob("*.cpp"))}
    missing = {source: job.scratch / kept[source].name
               for source in kept if not kept[source].is_file()}
    _run_all(job, [job.command("-c", str(source), "-o", str(target))
                   for source, target in missing.items()])
    for source, target in missing.items():
        os.replace(target, kept[source])
    return [str(file) for file in kept.values()]


def _link(job: _Job, objects: Sequence[str], link: Sequence[str], path: Path) -> None:
    result = job.scratch / "result"
    _run_all(job, [job.command(*link, *objects, "-o", str(result))])
    # The log first: where the result is, its log is, too.
    _put_log(job)
    os.replace(result, path)


def _said(job: _Job) -> Path:
    return job.scratch / "said"


def _put_log(job: _Job) -> None:
    _said(job).touch()
    os.replace(_said(job), job.log)


def _run_all(job: _Job, commands: Sequence[list[str]]) -> None:
    """Runs commands side by side, one per core, and gathers what they say; VitgenError."""
    cores = os.cpu_count() or 1
    failed = False
    for start in range(0, len(commands), cores):
        batch = commands[start : start + cores]
        outputs = [job.scratch / f"output-{index}" for index in range(len(batch))]
        running: list[subprocess.Popen[bytes]] = []
        try:
            for command, file in zip(batch, outputs, strict=True):
                with file.open("wb") as sink:
                    running.append(
                        subprocess.Popen(command, cwd=job.scratch / "sources", stdout=sink,
                                         stderr=subprocess.STDOUT)
                    )
            codes = [process.wait() for process in running]
            failed = failed or any(codes)
        finally:
            for process in running:
                if process.poll() is None:
                    process.kill()
                    process.wait()
        with _said(job).open("a") as said:
            said.writelines(file.read_text(errors="replace") for file in outputs)
    if failed:
        text = _said(job).read_text()
        _put_log(job)
        first = _FIRST_ERROR.search(text)
        line = first.group().strip() if first else "the compiler gave no message"
        raise VitgenError(f"The C++ does not compile: {line}.", f"The full log is {job.log}.")
