"""The block design around the accelerator, as scripts for Vivado."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

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

_FILES = ("vivado.tcl", "package_rtl.tcl")
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{2,63}")
_BOARD_PART = re.compile(r"([a-z0-9.-]+:[A-Za-z0-9_-]+:part0)(:[0-9.]+)?")
_CONNECTION = re.compile(r"[A-Za-z0-9_.: -]{1,200}")
_HP_PORT = re.compile(r"S_AXI_(HPC|HP)(\d)_FPD")

# Slave ports of the processing system by their number in its properties.
_SLAVES = 7  # PSU__USE__S_AXI_GP0 to GP6
_FIRST_SLAVE = {"HPC": 0, "HP": 2}


@dataclass(frozen=True)
class Platform:
    """What the scripts need of a board with a Zynq UltraScale+.

    Parameters
    ----------
    part : FPGA part, such as ``xczu9eg-ffvb1156-2-e``.
    board_part : Vivado's name of the board file, with or without a version; empty where there is none.
    hp_ports : pins of the processing system that lead to the DRAM, in order of use: ``S_AXI_HP0_FPD``.
    port_bits : their data width, 32, 64 or 128.
    connections : what Vivado's ``board_connections`` holds for a module on its carrier.

    Raises
    ------
    VitgenError : a name that would not survive in Tcl, no port or one twice, or another width.
    """

    part: str
    board_part: str
    hp_ports: tuple[str, ...]
    port_bits: int = 128
    connections: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _PART.fullmatch(self.part):
            raise _refused(self.part, "the name of an FPGA part")
        if self.board_part and not _BOARD_PART.fullmatch(self.board_part):
            raise _refused(self.board_part, "Vivado's name of a board")
        for port in self.hp_ports:
            if _slave(port) is None or self.hp_ports.count(port) > 1:
                raise _refused(port, "a port of the processing system, once")
        if not self.hp_ports:
            raise _refused(self.hp_ports, "a list of DRAM ports")
        if self.port_bits not in (32, 64, 128):
            raise _refused(self.port_bits, "a width of such a port (32, 64 or 128)")
        for connection in self.connections:
            if not _CONNECTION.fullmatch(connection):
                raise _refused(connection, "a board connection")


def _refused(value: object, what: str) -> VitgenError:
    return VitgenError(f"{value!r} is not {what}.", "Correct the board's data.")


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


def emit_vivado(engine: Engine, platform: Platform, *, clock_mhz: float) -> BuildPlan:
    """Vivado's files of ``scripts/``: ``vivado.tcl`` and ``package_rtl.tcl``.

    Parameters
    ----------
    engine : the design.
    platform : the board.
    clock_mhz : clock of the logic, which the processing system makes.

    Raises
    ------
    VitgenError : the clock is out of range, or the board has too few DRAM ports.
    """
    if not 1 <= clock_mhz <= 1000:
        raise VitgenError(f"A clock of {clock_mhz} MHz is out of range.", "Choose 1 to 1000 MHz.")
    shared = share_ports(engine, platform.hp_ports)
    board = _BOARD_PART.fullmatch(platform.board_part)
    values = {
        "name": design_name(engine),
        "design": design_digest(engine),
        "part": platform.part,
        "board": board[1] if board else "",
        "connections": platform.connections,
        "vitis_ip": VITIS_IP,
        "open_ip": OPEN_IP,
        "vlnv": OPEN_IP,
        "addresses": ADDRESSES,
        "ps_properties": _ps_properties(list(shared), platform.port_bits, clock_mhz),
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
            "ultra": int(bank.name in getattr(engine, "ultra_banks", ())),
        }
        for name, bank, side in wiring.bank_ports(engine)
        if side == "rd"
    ]


def _verilog(engine: Engine) -> list[str]:
    """Verilog of ``rtl/`` that the IP holds beside the SystemVerilog; ``multiply.v`` is for Vitis."""
    array = [name for name in ARRAY_FILES if name != "multiply.v"]
    return [IP_TOP, *(array if engine.array == "dsp48" else [])]
