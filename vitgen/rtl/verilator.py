"""Compiles SystemVerilog and a C++ harness with Verilator, once per content."""

import functools
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vitgen.csim.compile import default_cache
from vitgen.csim.toolchain import Compiler, find_compiler
from vitgen.errors import VitgenError

MINIMUM = (5, 30)
"""Below, configuration files cannot make the signals of hierarchical blocks readable."""

_ADVICE = (
    "Install it: pip install 'verilator-cli~=5.48', and make and perl of the system. Everything but "
    "RTL simulation works without."
)
# The package's makefile knows no option that includes a precompiled header.
_MAKE = "CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O1 OPT_SLOW=-O0 OPT_GLOBAL=-O0"
_FIRST_ERROR = re.compile(r"^.*(?:%Error|\berror:).*$", re.MULTILINE)


@dataclass(frozen=True)
class Verilator:
    """A Verilator.

    Parameters
    ----------
    command : the program.
    root : its ``VERILATOR_ROOT``; None where the program knows it.
    version : what it says of itself.
    """

    command: str
    root: Path | None
    version: str


@functools.cache
def find_verilator() -> Verilator:
    """The Verilator of the package ``verilator-cli``, else the system's.

    Raises
    ------
    VitgenError : there is none of version 5.30 or later, or no ``make``.
    """
    for tool in ("make", "perl"):
        if shutil.which(tool) is None:
            raise VitgenError(f"{tool} was not found; Verilator needs it.", _ADVICE)
    spec = importlib.util.find_spec("verilator")
    places: list[tuple[str, Path | None]] = []
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        if (Path(place) / "bin" / "verilator").is_file():
            places.append((str(Path(place) / "bin" / "verilator"), Path(place)))
    system = shutil.which("verilator")
    if system is not None:
        places.append((system, None))
    for command, root in places:
        said = _run([command, "--version"], root, Path.cwd()).stdout
        # A build from a repository's head names no number; the package's is of 2026 and later.
        found = re.search(r"Verilator (\d+)\.(\d+)", said)
        if root is not None or (found and (int(found[1]), int(found[2])) >= MINIMUM):
            return Verilator(command, root, said.strip())
    raise VitgenError("Verilator (5.30 or later) was not found; RTL simulation needs it.", _ADVICE)


def _run(
    command: Sequence[str], root: Path | None, place: Path
) -> subprocess.CompletedProcess[str]:
    environment = dict(os.environ)
    if root is not None:
        environment["VERILATOR_ROOT"] = str(root)
        # Its makefiles call python3: the one that runs this.
        environment["PATH"] = os.pathsep.join(
            [str(Path(sys.executable).parent), os.environ["PATH"]]
        )
    return subprocess.run(
        command, cwd=place, env=environment, check=False, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip


def build(
    files: Mapping[str, str],
    *,
    top: str,
    options: Sequence[str] = (),
    cache: Path | None = None,
    jobs: int | None = None,
) -> Path:
    """The program that Verilator and the C++ compiler make of ``files``; cached by content.

    Parameters
    ----------
    files : by name: ``.vlt`` (configuration), ``.v``, ``.sv``, and ``.cpp`` with ``main``.
    top : module.
    options : added to Verilator's command.
    cache : directory of results; ``vitgen/rtl`` under the user's cache directory if not given.
    jobs : compilations side by side; as many as there are cores if not given.

    Raises
    ------
    VitgenError : Verilator or the C++ compiler is missing, or the sources do not compile.
    """
    tool, compiler = find_verilator(), find_compiler()
    directory = cache if cache is not None else default_cache().parent / "rtl"
    command = [
        tool.command, "--cc", "--exe", "--build", "--top-module", top, "-Wno-fatal", "-Wno-lint",
        "-Wno-style", "--x-assign", "fast", "--x-initial", "unique", "--noassert",
        "-O3", "--output-split", "20000", "--output-split-cfuncs", "2000",
        "-MAKEFLAGS", f"CXX={compiler.command[-1]} {_MAKE}",
        "-CFLAGS", "-std=c++20", "--Mdir", "obj", "-o", "simulation",
        *options, *sorted(files, key=_order),
    ]  # fmt: skip
    path = directory / f"{_digest(files, tool, compiler, command)}.exe"
    if path.is_file():
        return path
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="build-", dir=directory) as scratch:
            place = Path(scratch)
            for name, text in files.items():
                (place / name).write_text(text)
            full = [*command, "-j", str(jobs or os.cpu_count() or 1)]
            done = _run(full, tool.root, place)
            made = place / "obj" / "simulation"
            if done.returncode or not made.is_file():
                log = path.with_suffix(".log")
                log.write_text(done.stdout)
                first = _FIRST_ERROR.search(done.stdout)
                raise VitgenError(
                    f"Verilator does not build {top}: {first[0] if first else 'it said no error'}",
                    f"The full log is {log}.",
                )
            os.replace(made, path)
    except OSError as error:
        raise VitgenError(
            f"Cannot build in the cache directory {directory}: {error.strerror or error}.",
            "Free space there or choose another directory.",
        ) from error
    return path


def _order(name: str) -> tuple[int, str]:
    """Configuration first, C++ last."""
    return (0 if name.endswith(".vlt") else 2 if name.endswith(".cpp") else 1), name


def _digest(
    files: Mapping[str, str], tool: Verilator, compiler: Compiler, command: Sequence[str]
) -> str:
    digest = hashlib.sha256()
    for part in (tool.version, compiler.identity, *command[1:]):
        digest.update(f"{len(part)}:{part}".encode())
    for name, text in sorted(files.items()):
        digest.update(f"{name}\0{len(text)}\0{text}".encode())
    return digest.hexdigest()[:32]
