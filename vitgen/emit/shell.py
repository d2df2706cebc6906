"""The hand-written SystemVerilog around the core of the open road: FIFOs, RAMs, AXI, registers."""

import re
from dataclasses import dataclass
from typing import Any

from vitgen.design import isa, netlist
from vitgen.design.engine import Engine
from vitgen.design.netlist import READ_BURSTS, WRITE_BURSTS
from vitgen.emit import registers, wiring
from vitgen.emit.hls import design_digest
from vitgen.emit.plan import BuildPlan
from vitgen.emit.render import banner, render
from vitgen.resources import templates_dir

STATIC_FILES = ("stream_fifo.sv", "process_ram.sv", "axi_read.sv", "axi_write.sv")
"""Modules that are the same for every design."""

RENDERED_FILES = ("control.sv", "vit_top.sv")

IP_TOP = "vit_ip.v"
"""The top module of the packaged IP, around ``vit_top``."""

BANK = "bank_ram.v"
"""An activation RAM beside the IP of Vitis HLS."""

ADDRESS_BITS = 28
"""Bits of the address and of the length in a request to a master, both in beats (dram_address_t)."""

_PORT = re.compile(r"^\s*(input|output) \w+ (\[\d+:\d+\] )?m_axi_(\w+)", re.MULTILINE)
_LITE_PORT = re.compile(r"^\s*(input|output) wire (\[.*?\] )?s_axi_(\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Master:
    """A DRAM buffer's AXI4 master and the streams that it serves.

    Parameters
    ----------
    name : the argument of ``vit_top``; its bus is ``m_axi_gmem_<name>``.
    written : whether it writes.
    request, beats : names of its streams.
    outstanding : bursts on their way.
    """

    name: str
    written: bool
    request: str
    beats: str
    outstanding: int


def masters(engine: Engine) -> list[Master]:
    """Every master, in the order of the arguments of ``vit_top``."""
    names = {}
    for process in netlist.processes(engine):
        if process.function in ("dma_read", "dma_write"):
            names[process.args[0].removesuffix("[]")] = process
    found = []
    for port in wiring.ports(engine):
        process = names[port.buffer]
        element = port.name.removeprefix(port.buffer)  # "", or the weight port's "_<p>"
        bursts = WRITE_BURSTS if port.written else READ_BURSTS
        request, beats = (name.removesuffix("[]") + element for name in process.args[1:3])
        found.append(Master(port.name, port.written, request, beats, bursts))
    return found


def core_streams(engine: Engine) -> list[str]:
    """Streams between the masters and ``vit_core``, which is instantiated with their ``_data``,
    ``_vld`` and ``_rdy``, ``clk`` and ``rst``; ``program_beats``, the first, among them."""
    streams = [name for master in masters(engine) for name in (master.request, master.beats)]
    return [*streams[1:], "store_done"]


def emit_shell(engine: Engine) -> BuildPlan:
    """The shell's files, for ``rtl/``: all that ``vit_top`` needs but the module ``vit_core``.

    Returns
    -------
    SystemVerilog by name. ``stream_fifo.sv`` and ``process_ram.sv`` serve the core as well.
    """
    design = design_digest(engine)
    files = {name: _static(name, design) for name in STATIC_FILES}
    values = _context(engine)
    for name in RENDERED_FILES:
        files[name] = render(f"rtl/{name}.j2", values, design, "verilog")
    return BuildPlan(files)


def emit_ip_top(engine: Engine) -> BuildPlan:
    """:data:`IP_TOP`, for ``rtl/``: Verilog with the ports of ``vit_top``, which it instantiates."""
    values = _context(engine)
    return BuildPlan({IP_TOP: render(f"rtl/{IP_TOP}.j2", values, design_digest(engine), "verilog")})


def emit_bank(engine: Engine) -> BuildPlan:
    """:data:`BANK`, for ``rtl/``."""
    return BuildPlan({BANK: _static(BANK, design_digest(engine))})


def _static(name: str, design: str) -> bytes:
    text = _template(name)
    return f"{banner(f'rtl/{name}', design, 'verilog')}\n{text}".encode()


def _template(name: str) -> str:
    return (templates_dir() / "rtl" / name).read_text(encoding="utf-8")


def _axi_signals(name: str) -> list[dict[str, str]]:
    """The bus of a master as its module declares it."""
    return [
        {"direction": direction, "range": extent, "name": signal}
        for direction, extent, signal in _PORT.findall(_template(name))
    ]


def _lite_ports(bits: int) -> list[dict[str, str]]:
    """The slave of the registers, its addresses ``bits`` wide."""
    address = f"[{bits - 1}:0] "
    return [
        {
            "direction": direction,
            "range": address if name.endswith("ADDR") else extent,
            "name": name,
        }
        for direction, extent, name in _LITE_PORT.findall(_template("control.sv.j2"))
    ]


def _context(engine: Engine) -> dict[str, Any]:
    found = masters(engine)
    status, cycles = registers.status_registers(engine)
    bits = registers.address_bits(engine)
    low, width = isa.offsets()["opcode"]
    return {
        "ports": found,
        "arguments": registers.argument_registers(engine),
        "status": status,
        "cycles": cycles,
        "address_bits": bits,
        "word": lambda offset: f"{bits - 2}'h{offset >> 2:x}",
        "read_signals": _axi_signals("axi_read.sv"),
        "write_signals": _axi_signals("axi_write.sv"),
        "lite_signals": [port["name"] for port in _lite_ports(bits)],
        "lite_ports": _lite_ports(bits),
        "request_bits": 2 * ADDRESS_BITS + 1,
        "request_address_bits": ADDRESS_BITS,
        "instructions": wiring.INSTRUCTIONS,
        "instructions_bits": registers.INSTRUCTIONS_BITS,
        "instruction_beats": isa.INSTRUCTION_BEATS,
        "place_bits": (isa.INSTRUCTION_BEATS - 1).bit_length(),
        "opcode": {
            "low": low,
            "high": low + width - 1,
            "bits": width,
            "stop": int(isa.Opcode.STOP),
        },
        "core_stopped": [f"{master.name}_stopped" for master in found if master.name != "program"],
        "errors": [f"{master.name}_error" for master in reversed(found)],
        "core_streams": core_streams(engine)[1:],
    }
