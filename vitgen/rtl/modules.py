"""Every process of an engine as a SystemVerilog module with ready/valid ports."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from vitgen.design import netlist
from vitgen.design.engine import Engine
from vitgen.emit.hls import emit_hls
from vitgen.emit.rtl import ARRAY_FILES, emit_array
from vitgen.resources import templates_dir
from vitgen.rtl.generate import VERILOG_PROCESSES, generate, generate_all
from vitgen.rtl.interface import Channel, Ram

_PARAMETER = re.compile(r"(\w+)\)?(?:\[[^\]]*\])?$")


@dataclass(frozen=True)
class Module:
    """A process as hardware.

    Parameters
    ----------
    name : of the module; ``clk``, ``rst`` and the signals of the channels are its ports.
    verilog : its text, but for what is in ``parts``.
    parameters : of the C++ function, in order: the channels of parameter ``p`` are ``p``, ``p_0``,
        ``p_1``... for an array of streams, or ``p_rd_req``, ``p_rd_resp``, ``p_wr_req`` for a bank.
    channels : ready/valid ports.
    rams : memories of its own, which belong beside it.
    bank_widths : bits of a word of its banks, by parameter: a request to write has the address
        above them.
    parts : Verilog of what it instantiates, by file name.
    """

    name: str
    verilog: str
    parameters: tuple[str, ...]
    channels: tuple[Channel, ...]
    rams: tuple[Ram, ...]
    bank_widths: Mapping[str, int]
    parts: Mapping[str, str] = field(default_factory=dict)

    @property
    def whole(self) -> str:
        """The text with its parts."""
        return "\n".join([*self.parts.values(), self.verilog])


def _array_module(engine: Engine) -> Module:
    """The Verilog array behind ports named as those of the translated processes."""
    widths = {
        "commands": 58, "rows": engine.row_word_bits, "acts": engine.act_word_bits,
        "sums": 27 * engine.group_lanes,
    }  # fmt: skip
    channels = tuple(Channel(name, width, name == "sums") for name, width in widths.items())
    ports = ["input wire clk", "input wire rst"]
    for channel in channels:
        forward, back = ("output", "input") if channel.sends else ("input", "output")
        ports += [
            f"{forward} wire [{channel.width - 1}:0] {channel.name}_data",
            f"{forward} wire {channel.name}_vld",
            f"{back} wire {channel.name}_rdy",
        ]
    links = [
        f".{pin}({name}_data), .{pin}_valid({name}_vld), .{pin}_ready({name}_rdy)"
        for pin, name in (
            ("command", "commands"),
            ("row", "rows"),
            ("act", "acts"),
            ("sum", "sums"),
        )
    ]
    wrapper = (
        "module multiply_process(\n    " + ",\n    ".join(ports) + "\n);\n"
        "  multiply_array array (\n      .clock(clk), .reset(rst), .stopped(),\n      "
        + ",\n      ".join(links)
        + "\n  );\nendmodule\n"
    )
    files = emit_array(engine).texts()
    parts = {name: files[name] for name in ARRAY_FILES if name != "multiply.v"}
    return Module("multiply_process", wrapper, tuple(widths), channels, (), {}, parts)


def _parameters(text: str, function: str) -> tuple[str, ...]:
    """Names of a process's C++ parameters, in order."""
    found = re.search(rf"inline void {function}\((.*?)\)\s*\{{", text, re.DOTALL)
    assert found, function
    names = []
    for part in re.split(r",\s*(?![^<]*>)", found[1]):
        name = _PARAMETER.search(part.strip())
        assert name, part
        names.append(name[1])
    return tuple(names)


def process_modules(
    engine: Engine, files: Mapping[str, str] | None = None, cache: Path | None = None
) -> dict[str, Module]:
    """The modules of the core's processes by C++ function.

    Parameters
    ----------
    engine : a design.
    files : C++ in the place of what is emitted for ``engine``.
    cache : directory of results, as for :func:`vitgen.rtl.generate.generate`.

    Raises
    ------
    VitgenError : a tool is missing, or a process cannot be translated.
    """
    own = emit_hls(engine).texts()
    texts = own if files is None else files
    headers = {process.function: process.file for process in netlist.processes(engine)}
    made = generate_all(engine, cache) if texts == own else {}
    found = {}
    for function, header in headers.items():
        if function in VERILOG_PROCESSES:
            continue
        if function == "multiply" and engine.array == "dsp48":
            found[function] = _array_module(engine)
            continue
        hardware = made.get(function) or generate(texts, header, function, cache)
        found[function] = Module(
            hardware.name, hardware.verilog, _parameters(texts[header], function),
            hardware.channels, hardware.rams, hardware.bank_widths,
        )  # fmt: skip
    return found


def support_files(storm: bool = False) -> dict[str, str]:
    """Modules that every core needs, by file name: streams' FIFOs and memories.

    Parameters
    ----------
    storm : FIFOs that can be held back at random and given other depths, for simulation alone.
    """
    place = templates_dir() / "rtl"
    found = {name: (place / name).read_text() for name in ("stream_fifo.sv", "process_ram.sv")}
    if storm:
        found["stream_fifo.sv"] = found["stream_fifo.sv"].replace(
            "stream_fifo #", "plain_fifo #", 1
        )
        found["stream_storm.sv"] = (place / "stream_storm.sv").read_text()
    return found
