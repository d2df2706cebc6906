"""The C++ front end: one process of the emitted accelerator becomes LLVM IR."""

import functools
import importlib.util
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from vitgen.errors import VitgenError
from vitgen.rtl.llvm import WIDTHS
from vitgen.rtl.structs import HEADER, packing_header

MINIMUM_MAJOR = 16  # the first whose _BitInt holds more than 128 bits
INCLUDE = Path(__file__).parent / "include"

_ADVICE = "Install one: pip install 'ziglang~=0.17.1', or a system clang of version 16 or later."

# O1 with complete unrolling and no vectors, jump tables or lookup tables leaves integers, selects and
# branches. What has no `static` is inlined by the keyword itself: at O1 nothing else would be.
_FLAGS = (
    "-std=c++17", "-ffreestanding", "-nostdinc++", "-O1", "-gline-tables-only", "-w",
    "-fno-vectorize", "-fno-slp-vectorize", "-fno-exceptions", "-fno-jump-tables",
    "-fno-stack-protector", "-fno-discard-value-names",
    "-mllvm", "-unroll-threshold=100000000", "-mllvm", "-switch-to-lookup=false",
    # A struct's own assignment can carry no attribute; a long one would otherwise stay a call.
    "-mllvm", "-inline-threshold=100000000", "-mllvm", "-inlinehint-threshold=100000000",
    # Accesses of different ports in two branches stay two accesses.
    "-mllvm", "-sink-common-insts=false", "-mllvm", "-hoist-common-insts=false",
    # An access stays in its loop: a word that is kept outside of it would be read in one iteration
    # and written in a later one, and those two accesses of a RAM must be in one stage.
    "-mllvm", "-disable-licm-promotion",
    "-Dinline=__attribute__((always_inline)) inline",
)  # fmt: skip

_PIPELINE = re.compile(
    r"#pragma\s+HLS\s+pipeline\b(?![^\n]*\boff\b)(?:[^\n]*?\bII\s*=\s*(\d+))?[^\n]*", re.IGNORECASE
)
_OUTER = re.compile(r"while \(true\) \{")
_UNIT = "unit.cpp"


@functools.cache
def find_clang() -> tuple[str, ...]:
    """Command of a clang of version 16 or later: the system's, else that of the package ziglang.

    Raises
    ------
    VitgenError : neither is there.
    """
    names = ["clang++", *(f"clang++-{major}" for major in range(30, MINIMUM_MAJOR - 1, -1))]
    for name in names:
        path = shutil.which(name)
        if path is not None and _major((path,)) >= MINIMUM_MAJOR:
            return (path, "-target", "x86_64-unknown-unknown")
    if importlib.util.find_spec("ziglang") is not None:
        command = (sys.executable, "-m", "ziglang", "c++")
        if _major(command) >= MINIMUM_MAJOR:
            return (*command, "-target", "x86_64-freestanding", "-fno-sanitize=all")
    raise VitgenError(
        "No clang of version 16 or later was found; the way to RTL needs one.", _ADVICE
    )


def _major(command: tuple[str, ...]) -> int:
    """Major version of a clang; 0 if it does not run or is something else."""
    try:
        said = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return 0
    found = re.search(r"clang version (\d+)\.", said.stdout)
    return int(found[1]) if found else 0


def prepare(text: str) -> str:
    """Replaces the pragmas that clang would ignore by calls that mark the same place.

    A mark cannot be duplicated: it keeps the optimizer from splitting a pipelined loop, and from
    reading the next command at the end of the command before, which would hold back its results.
    Lines keep their numbers. Without an II the pragma asks for 1, as in Vitis.
    """
    text = _PIPELINE.sub(lambda found: f"vitgen_pipeline({found[1] or 1});", text)
    return _OUTER.sub("while (true) { vitgen_pipeline(0);", text)


def compile_process(files: Mapping[str, str], header: str, *functions: str) -> str:
    """LLVM IR of one process, or of several of one header.

    Parameters
    ----------
    files : emitted sources by name (:func:`vitgen.emit.hls.emit_hls`).
    header : the one that defines the processes.
    functions : their C++ names.

    Raises
    ------
    VitgenError : no clang, or the C++ does not compile with the open road's headers.
    """
    for function in functions:
        if not function.isidentifier():
            raise VitgenError(f"{function!r} is not the name of a process.")
    command = find_clang()
    with tempfile.TemporaryDirectory(prefix="vitgen-rtl-") as scratch:
        place = Path(scratch)
        for name, text in files.items():
            if name.endswith(".h"):
                (place / Path(name).name).write_text(prepare(text))
        (place / HEADER).write_text(packing_header(files))
        unit = [f'#include "{HEADER}"\n#include "{header}"\n']
        for function in functions:
            unit.append(
                f"extern auto* const vitgen_process_{function} = &{function};\n"
                f"extern constexpr auto {WIDTHS}_{function} = hls::port_widths_of(&{function});\n"
            )
        (place / _UNIT).write_text("".join(unit))
        done = subprocess.run(
            [*command, *_FLAGS, "-isystem", str(INCLUDE), "-I", ".", "-S", "-emit-llvm",
             "-o", "unit.ll", _UNIT],
            cwd=place, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            first = re.search(r"^.*\berror:.*$", done.stderr, re.MULTILINE)
            raise VitgenError(
                f"clang does not compile {', '.join(functions)} of {header}: "
                f"{first[0] if first else done.stderr.strip()[-300:]}",
                "The open road's ap_int.h and hls_stream.h hold only what the templates use.",
            )
        return (place / "unit.ll").read_text()
