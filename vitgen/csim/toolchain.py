"""The C++ compiler and the headers that the C-sim stands on."""

import functools
import importlib.util
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from vitgen.errors import VitgenError

MINIMUM_MAJOR = 9  # complete C++17
INCLUDE = Path(__file__).parent / "include"
RUNTIME = Path(__file__).parent / "runtime"


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler.

    Parameters
    ----------
    command : the program and fixed options, such as ``("ccache", "g++")``.
    identity : what it says of itself and its target; changes with any other compiler.
    """

    command: tuple[str, ...]
    identity: str


def _output_of(command: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise VitgenError(
            f"{command[0]} does not work as a C++ compiler: {error}.",
            "Set CXX to a g++ of version 9 or later.",
        ) from error
    return done.stdout


@functools.cache
def _examine(command: tuple[str, ...]) -> Compiler:
    version = _output_of((*command, "-dumpversion")).strip()
    major = version.split(".")[0]
    if not major.isdigit() or int(major) < MINIMUM_MAJOR:
        raise VitgenError(
            f"{' '.join(command)} is version {version!r}; the C-sim needs {MINIMUM_MAJOR} or later.",
            "Set CXX to a newer g++.",
        )
    identity = _output_of((*command, "--version")) + _output_of((*command, "-dumpmachine"))
    return Compiler(command, identity)


def find_compiler() -> Compiler:
    """The compiler that CXX names, else ``g++``; VitgenError when missing or too old."""
    said = os.environ.get("CXX", "").strip()
    command = tuple(shlex.split(said)) if said else ("g++",)
    if shutil.which(command[0]) is None:
        if said:
            raise VitgenError(
                f"CXX is {said!r}, but {command[0]} was not found.",
                "Set CXX to a g++ of version 9 or later, or unset it.",
            )
        raise VitgenError("g++ not found.", "Install it: apt-get install g++.")
    return _examine(command)


@functools.cache
def native_macros(command: tuple[str, ...]) -> str:
    """What ``-march=native`` means here; a cache that machines share must tell them apart."""
    return _output_of((*command, "-march=native", "-dM", "-E", "-x", "c++", os.devnull))


@functools.cache
def ap_int_headers() -> Path:
    """Directory of ``ap_int.h`` in the installed hls4ml, found without importing it."""
    spec = importlib.util.find_spec("hls4ml")
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        headers = Path(place) / "templates" / "vivado" / "ap_types"
        if (headers / "ap_int.h").is_file():
            return headers
    raise VitgenError(
        "The ap_int headers were not found: the package hls4ml is missing or has moved them.",
        "Install it: pip install 'hls4ml~=1.3'.",
    )
