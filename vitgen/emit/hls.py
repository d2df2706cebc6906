"""The accelerator as Vitis HLS C++."""

import hashlib
import json
import textwrap
from itertools import groupby
from typing import Any

import vitgen
from vitgen.design import isa, netlist
from vitgen.design.depths import BURST_BEATS
from vitgen.design.engine import (
    BEAT_BITS,
    POST_BITS,
    POT_CODE_BITS,
    Engine,
)
from vitgen.design.lanes import ACCUMULATOR_BITS, layout_for
from vitgen.design.latencies import RESIDUAL_SETTLE, SLOT_SETTLE
from vitgen.design.netlist import READ_BURSTS, WRITE_BURSTS
from vitgen.design.turning import turn
from vitgen.emit import wiring
from vitgen.emit.plan import BuildPlan
from vitgen.emit.render import render

_FIRST = ("config.h", "types.h", "instruction.h", "commands.h", "process.h")
_TOP = ("vit_top.h", "vit_top.cpp", "testbench.cpp")
_ARRAYS = {"dsp48": "array.h", "hls": "array_hls.h"}

# What a DRAM controller behind a 128-bit HP port returns at 150 to 300 MHz, in clock cycles.
_AXI_LATENCY = 64
_AXI_READ = f"max_read_burst_length={BURST_BEATS} num_read_outstanding={READ_BURSTS}"
_AXI_WRITE = f"max_write_burst_length={BURST_BEATS} num_write_outstanding={WRITE_BURSTS}"


def design_digest(engine: Engine) -> str:
    """Name of a design: equal engines, equal digest."""
    record = json.dumps({"vitgen": vitgen.__version__, **engine.to_json()}, sort_keys=True)
    return hashlib.sha256(record.encode()).hexdigest()[:16]


def context(engine: Engine) -> dict[str, Any]:
    """What the templates of ``hls/`` and ``csim/`` may name."""
    headers = {process.file for process in netlist.processes(engine)}
    dispatch = next(p for p in netlist.processes(engine) if p.function == "dispatch")
    offsets = isa.offsets()
    return {
        "engine": engine,
        "turn": turn(engine),
        "post_bits": POST_BITS,
        "residual_settle": RESIDUAL_SETTLE,
        "slot_settle": SLOT_SETTLE,
        "acc_bits": ACCUMULATOR_BITS,
        "narrow": layout_for(engine.array, 4, engine.act_bits),
        "pot_code_bits": POT_CODE_BITS,
        "beat_bits": BEAT_BITS,
        "instruction_bits": isa.INSTRUCTION_BITS,
        "instruction_beats": isa.INSTRUCTION_BEATS,
        "opcodes": list(isa.Opcode),
        "row_sources": list(isa.RowSource),
        "act_sources": list(isa.ActSource),
        "routes": list(isa.Route),
        "load_targets": list(isa.LoadTarget),
        "fields": [
            {"name": name, "low": low, "width": width} for name, (low, width) in offsets.items()
        ],
        "wait_bits": isa.WIDTHS["wait_feed"],
        "first_wait_bit": offsets["wait_feed"][0],
        "alone_bits": isa.alone_bits(),
        "sources": [
            {
                "field": f"wait_{source.name.lower()}",
                "stream": stream,
                "collected": f"{source.name.lower()}_collected",
            }
            for source, stream in wiring.DONE_STREAMS.items()
        ],
        "signature": wiring.signature(engine, dispatch),
        "stops": wiring.commands_and_requests(engine, dispatch),
        "parameters": wiring.parameters(engine),
        "pointers": [{"buffer": pointer.name} for pointer in netlist.pointers()],
        "ports": [
            {
                "name": port.name,
                "buffer": port.buffer,
                "written": port.written,
                "burst": _AXI_WRITE if port.written else _AXI_READ,
            }
            for port in wiring.ports(engine)
        ],
        "latency": _AXI_LATENCY,
        "testbench_arguments": _testbench_arguments(engine),
        "banks": netlist.banks(engine),
        "bank_ports": [name for name, _, _ in wiring.bank_ports(engine)],
        "headers": sorted(headers),
        "streams": netlist.streams(engine),
        "stream_groups": _stream_groups(engine),
        "blocks": wiring.blocks(engine),
    }


def _testbench_arguments(engine: Engine) -> list[str]:
    """Arguments of the top function in terms of the testbench's variables."""
    buffers = [
        "step.data()" if port.name == "program" else f"{port.name}.data()"
        for port in wiring.ports(engine)
    ]
    banks = [name.rpartition("_")[0] for name, _, _ in wiring.bank_ports(engine)]
    return [*buffers, wiring.INSTRUCTIONS, *banks]


def _stream_groups(engine: Engine) -> list[dict[str, Any]]:
    """Streams in order, neighbours with the same reason for their depth under one comment."""
    return [
        {
            "why": textwrap.wrap(f"{why}.", width=94, break_on_hyphens=False),
            "streams": [
                {
                    "name": stream.name,
                    "type": stream.type,
                    "depth": stream.depth,
                    "declarator": wiring.declarator(stream),
                }
                for stream in members
            ],
        }
        for why, members in groupby(netlist.streams(engine), key=lambda stream: stream.why)
    ]


def emit_hls(engine: Engine) -> BuildPlan:
    """The files of ``hls/``: they depend on the engine alone, never on weights.

    Returns
    -------
    Headers, ``vit_top.cpp`` and ``testbench.cpp`` by name.
    """
    values, design = context(engine), design_digest(engine)
    process_files = {process.file for process in netlist.processes(engine)}
    files = {}
    for name in (*_FIRST, *sorted(process_files), *_TOP):
        template = _ARRAYS[engine.array] if name == "array.h" else name
        files[name] = render(f"hls/{template}.j2", values, design, "c++")
    return BuildPlan(files)
