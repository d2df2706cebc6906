"""The block design around the accelerator, as scripts for Vivado."""

import re
from collections.abc import Sequence

from vitgen.boards import Board
from vitgen.design.cost_memory import type_widths
from vitgen.design.engine import Engine
from vitgen.emit import registers, wiring
from vitgen.emit.hls import design_digest
from vitgen.emit.plan import BuildPlan
from vitgen.emit.render import render
from vitgen.emit.rtl import ARRAY_FILES
from vitgen.emit.shell import IP_TOP
from vitgen.errors import VitgenError

IP_INSTANCE = "vit_top_0"
"""The accelerator's cell in the block design."""

VITIS_IP = "xilinx.com:hls:vit_top:1.0"
OPEN_IP = "vitgen:rtl:vit_top:1.0"
"""The IP that Vitis HLS exports, and that of the open road."""

ADDRESSES = {IP_INSTANCE: "0xA0000000", "axi_intc_0": "0xA0010000"}
"""Byte addresses of the slaves, 64 KiB each: the first ones behind the port M_AXI_HPM0_FPD."""

CONTROL, INTERRUPT, CLOCK = "M_AXI_HPM0_FPD", "pl_ps_irq0", "pl_clk0"
"""Pins of the processing system that the scripts wire."""

_FILES = ("vivado.tcl", "package_rtl.tcl")
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,63}")
_BOARD_PART = re.compile(r"([a-z0-9.-]+:[A-Za-z0-9_-]+:part0)(:[0-9.]+)?")
_CONNECTION = re.compile(r"[A-Za-z0-9_.: -]{1,200}")
_HP_PORT = re.compile(r"S_AXI_(HPC|HP)(\d)_FPD")

# Slave ports of the processing system by their number in its properties.
_SLAVES = 7  # PSU__USE__S_AXI_GP0 to GP6
_FIRST_SLAVE = {"HPC": 0, "HP": 2}


def _check(board: Board) -> None:
    """Refuse names that would not survive in Tcl, whoever made the board.

    Raises
    ------
    VitgenError : such a name, no DRAM port or one twice, a pin that the scripts do not know.
    """
    checks: list[tuple[object, bool, str]] = [
        (board.part, bool(_PART.fullmatch(board.part)), "the name of an FPGA part"),
        (
            board.board_part,
            not board.board_part or bool(_BOARD_PART.fullmatch(board.board_part)),
            "Vivado's name of a board",
        ),
        (board.ps.hp_ports, bool(board.ps.hp_ports), "a list of DRAM ports"),
        (board.dram.port_bits, board.dram.port_bits in (32, 64, 128), "a width of a DRAM port"),
        (board.ps.family, board.ps.family == "zynqmp", "a processing system that vitgen wires"),
        (board.ps.control, board.ps.control == CONTROL, f"the port {CONTROL}"),
        (board.ps.interrupt, board.ps.interrupt == INTERRUPT, f"the pin {INTERRUPT}"),
        (board.ps.clock, board.ps.clock == CLOCK, f"the pin {CLOCK}"),
        *(
            (
                port,
                _slave(port) is not None and board.ps.hp_ports.count(port) == 1,
                "a DRAM port, once",
            )
            for port in board.ps.hp_ports
        ),
        *(
            (connection, bool(_CONNECTION.fullmatch(connection)), "a board connection")
            for connection in board.ps.connections
        ),
    ]
    for value, fits, what in checks:
        if not fits:
            raise VitgenError(f"{value!r} is not {what}.", "Correct the board's data.")


def _slave(port: str) -> int | None:
    """Number of a DRAM port among the slaves of the processing system."""
    found = _HP_PORT.fullmatch(port)
    if found is None:
        return None
    number = _FIRST_SLAVE[found[1]] + int(found[2])
    return number if number < (2 if found[1] == "HPC" else 6) else None


def share_ports(engine: Engine, ports: Sequence[str]) -> dict[str, list[str]]:
    """Which buffers reach the DRAM through which port.

    Every weight port of the engine has one of its own, as the cost model has it. The other buffers
    move little beside the weights: they lie on the ports that are left, in turn, or, where weights
    take all of them, share those, the last ones first.

    Parameters
    ----------
    engine : the design.
    ports : names of the DRAM ports, in order of use.

    Returns
    -------
    Arguments of ``vit_top`` by port; ports without one are not there.

    Raises
    ------
    VitgenError : more weight ports than ports.
    """
    found = wiring.ports(engine)
    weights = [port.name for port in found if port.buffer == "weights"]
    others = [port.name for port in found if port.buffer != "weights"]
    if len(weights) > len(ports):
        raise VitgenError(
            f"The engine reads weights over {len(weights)} DRAM ports, the board has {len(ports)}.",
            f"Set weight_ports to {len(ports)} or less.",
        )
    shared: dict[str, list[str]] = {port: [] for port in ports}
    for port, name in zip(ports, weights, strict=False):
        shared[port].append(name)
    places = list(ports[len(weights) :]) or list(reversed(ports))
    for number, name in enumerate(others):
        shared[places[number % len(places)]].append(name)
    return {port: names for port, names in shared.items() if names}


def design_name(engine: Engine) -> str:
    """Name of the block design; that of a bitstream's top module is this and ``_wrapper``."""
    return f"vit_{design_digest(engine)}"


def emit_vivado(engine: Engine, board: Board, *, clock_mhz: float) -> BuildPlan:
    """Vivado's files of ``scripts/``: ``vivado.tcl`` and ``package_rtl.tcl``.

    Parameters
    ----------
    engine : the design.
    board : its part, board file and pins of the processing system.
    clock_mhz : clock of the logic, which the processing system makes.

    Raises
    ------
    VitgenError : the clock is out of range, the board has too few DRAM ports, or its data do not fit.
    """
    if not 1 <= clock_mhz <= 1000:
        raise VitgenError(f"A clock of {clock_mhz} MHz is out of range.", "Choose 1 to 1000 MHz.")
    _check(board)
    shared = share_ports(engine, board.ps.hp_ports)
    board_file = _BOARD_PART.fullmatch(board.board_part)
    values = {
        "name": design_name(engine),
        "design": design_digest(engine),
        "part": board.part,
        "board": board_file[1] if board_file else "",
        "connections": board.ps.connections,
        "vitis_ip": VITIS_IP,
        "open_ip": OPEN_IP,
        "vlnv": OPEN_IP,
        "addresses": ADDRESSES,
        "ps_properties": _ps_properties(list(shared), board.dram.port_bits, clock_mhz),
        "ps_clocks": ["maxihpm0_fpd_aclk", *(_clock_pin(port) for port in shared)],
        "dram": [
            {
                "cell": f"smartconnect_{port.split('_')[2].lower()}",
                "pin": port,
                "buses": [f"m_axi_gmem_{name}" for name in names],
            }
            for port, names in shared.items()
        ],
        "banks": _banks(engine),
        "buses": [f"m_axi_gmem_{port.name}" for port in wiring.ports(engine)],
        "verilog": _verilog(engine),
        "words": registers.catalogue(engine),
    }
    digest = design_digest(engine)
    return BuildPlan({name: render(f"scripts/{name}.j2", values, digest, "tcl") for name in _FILES})


def _clock_pin(port: str) -> str:
    """Clock of a slave port: ``saxihp0_fpd_aclk`` of ``S_AXI_HP0_FPD``."""
    return f"{port.replace('S_AXI_', 'saxi').lower()}_aclk"


def _ps_properties(ports: Sequence[str], bits: int, clock_mhz: float) -> dict[str, str]:
    """Ports, clock and interrupt of the processing system; the board's preset decides the rest."""
    used = {_slave(port) for port in ports}
    properties = {
        "PSU__FPGA_PL0_ENABLE": "1",
        "PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ": f"{clock_mhz:g}",
        "PSU__USE__IRQ0": "1",
        "PSU__USE__M_AXI_GP0": "1",
        "PSU__USE__M_AXI_GP1": "0",
        "PSU__USE__M_AXI_GP2": "0",
        "PSU__MAXIGP0__DATA_WIDTH": "32",
    }
    for slave in range(_SLAVES):
        properties[f"PSU__USE__S_AXI_GP{slave}"] = "1" if slave in used else "0"
        if slave in used:
            properties[f"PSU__SAXIGP{slave}__DATA_WIDTH"] = str(bits)
    return properties


def _banks(engine: Engine) -> list[dict[str, str | int]]:
    widths = type_widths(engine)
    return [
        {
            "name": name.removesuffix("_rd"),
            "width": widths[bank.type],
            "depth": bank.depth,
            "address_bits": max(1, (bank.depth - 1).bit_length()),
            "ultra": int(bank.name in engine.ultra_banks),
        }
        for name, bank, side in wiring.bank_ports(engine)
        if side == "rd"
    ]


def _verilog(engine: Engine) -> list[str]:
    """Verilog of ``rtl/`` that the IP holds beside the SystemVerilog; ``multiply.v`` is for Vitis."""
    array = [name for name in ARRAY_FILES if name != "multiply.v"]
    return [IP_TOP, *(array if engine.array == "dsp48" else [])]
