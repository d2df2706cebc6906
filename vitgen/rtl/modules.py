"""Every process of an engine as a SystemVerilog module with ready/valid ports."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from vitgen.csim.compile import default_cache
from vitgen.design import netlist
from vitgen.design.engine import Engine
from vitgen.emit.hls import emit_hls
from vitgen.emit.rtl import ARRAY_FILES, emit_array
from vitgen.errors import VitgenError
from vitgen.resources import templates_dir
from vitgen.rtl.clang import compile_process
from vitgen.rtl.interface import Channel, Ram
from vitgen.rtl.llvm import parse_function
from vitgen.rtl.translate import translate
from vitgen.rtl.xls import Scheduled, schedule

DMA = frozenset(("program_fetch", "dma_read", "dma_write"))
"""Processes that reach DRAM: outside of the core, behind its ports."""

_STAGES = range(3, 17)
_RAM = re.compile(r"bind_storage variable=(\w+) type=ram")


@dataclass(frozen=True)
class Module:
    """A process as hardware.

    Parameters
    ----------
    function : C++ name of the process.
    name : of the module; ``clk``, ``rst`` and the signals of the channels are its ports.
    verilog : its text.
    parameters : of the C++ function, in order: the channels of parameter ``p`` are ``p``, ``p_0``,
        ``p_1``... for an array of streams, or ``p_rd_req``, ``p_rd_resp``, ``p_wr_req`` for a bank.
    channels : ready/valid ports.
    rams : memories of its own, which belong beside it.
    bank_widths : bits of a word of its banks, by parameter: a request to write has the address
        above them.
    """

    function: str
    name: str
    verilog: str
    parameters: tuple[str, ...]
    channels: tuple[Channel, ...]
    rams: tuple[Ram, ...]
    bank_widths: Mapping[str, int]


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
        for pin, name in (("command", "commands"), ("row", "rows"), ("act", "acts"), ("sum", "sums"))
    ]
    wrapper = (
        "module multiply_process(\n    " + ",\n    ".join(ports) + "\n);\n"
        "  multiply_array array (\n      .clock(clk), .reset(rst), .stopped(),\n      "
        + ",\n      ".join(links)
        + "\n  );\nendmodule\n"
    )
    files = emit_array(engine).texts()
    text = "\n".join([*(files[name] for name in ARRAY_FILES if name != "multiply.v"), wrapper])
    return Module("multiply", "multiply_process", text, tuple(widths), channels, (), {})


def _schedule(files: Mapping[str, str], header: str, function: str) -> Module:
    parsed = parse_function(compile_process(files, header, function), function)
    translation = translate(parsed, frozenset(_RAM.findall(files[header])))
    found: Scheduled | None = None
    for stages in _STAGES:
        try:
            found = schedule(translation, stages)
            break
        except VitgenError:
            if stages == _STAGES[-1]:
                raise
    assert found is not None
    return Module(
        function, found.name, found.verilog, tuple(p[1:] for p in parsed.parameters),
        translation.channels, translation.rams, translation.bank_widths,
    )  # fmt: skip


def _cached(files: Mapping[str, str], header: str, function: str, cache: Path) -> Module:
    headers = {name: text for name, text in sorted(files.items()) if name.endswith(".h")}
    own = [path.read_bytes() for path in sorted(Path(__file__).parent.rglob("*.py"))]
    seed = json.dumps([headers, header, function]).encode()
    digest = hashlib.sha256(b"\0".join([seed, *own])).hexdigest()[:32]
    place = cache / f"{digest}.json"
    if place.is_file():
        record = json.loads(place.read_text())
        record["channels"] = tuple(Channel(**channel) for channel in record["channels"])
        record["rams"] = tuple(Ram(**ram) for ram in record["rams"])
        return Module(**{**record, "parameters": tuple(record["parameters"])})
    module = _schedule(files, header, function)
    cache.mkdir(parents=True, exist_ok=True)
    part = place.with_suffix(".part")
    part.write_text(json.dumps(asdict(module)))
    part.replace(place)
    return module


def process_modules(
    engine: Engine, files: Mapping[str, str] | None = None, cache: Path | None = None
) -> dict[str, Module]:
    """The modules of the core's processes by C++ function; kept by the content of their sources."""
    texts = files or emit_hls(engine).texts()
    place = cache or default_cache().parent / "rtl"
    found = {}
    for process in netlist.processes():
        function = process.function
        if function in DMA or function in found:
            continue
        if function == "multiply" and engine.array == "dsp48":
            found[function] = _array_module(engine)
        else:
            found[function] = _cached(texts, process.file, function, place)
    return found


def support_files() -> dict[str, str]:
    """Modules that every core needs, by file name: streams' FIFOs and memories."""
    place = templates_dir() / "rtl"
    return {name: (place / name).read_text() for name in ("stream_fifo.sv", "process_ram.sv")}
