"""A hand-off file (.hwh) in the form that Vivado writes, for the block design that stands in for a board.

Element and attribute names are those of Vivado 2018 to 2025; only what pynq reads is there. The design:
the processing system, the accelerator and an interrupt controller between them, which pynq needs to
find the interrupt.
"""

from collections.abc import Iterable
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from vitgen.boards import Board
from vitgen.design.engine import BEAT_BITS, Engine
from vitgen.emit import registers, wiring
from vitgen.emit.hls import design_digest

ACCELERATOR, CONTROLLER, PROCESSOR = "vit_top_0", "axi_intc_0", "zynq_ultra_ps_e_0"
IPS = {"hls": "xilinx.com:hls:vit_top:1.0", "rtl": "vitgen:rtl:vit_top:1.0"}
"""The accelerator as an IP: exported by Vitis HLS, or the open road's SystemVerilog."""
BASES = {ACCELERATOR: 0xA000_0000, CONTROLLER: 0xA001_0000}
"""Where the slaves lie behind M_AXI_HPM0_FPD; 64 KiB each."""
RANGE = 0x1_0000
SOURCE_MHZ = 1499.985
"""IOPLL of the processing system: 33.333 MHz times 45."""

_INTERRUPT_REGISTERS = {
    "ISR": (0x00, "read-write"), "IPR": (0x04, "read-only"), "IER": (0x08, "read-write"),
    "IAR": (0x0C, "write-only"), "SIE": (0x10, "read-write"), "CIE": (0x14, "read-write"),
    "IVR": (0x18, "read-only"), "MER": (0x1C, "read-write"),
}  # fmt: skip
_LITE = {
    "AWADDR": "I", "AWVALID": "I", "AWREADY": "O", "WDATA": "I", "WSTRB": "I", "WVALID": "I",
    "WREADY": "O", "BRESP": "O", "BVALID": "O", "BREADY": "I", "ARADDR": "I", "ARVALID": "I",
    "ARREADY": "O", "RDATA": "O", "RRESP": "O", "RVALID": "O", "RREADY": "I",
}  # fmt: skip
_READ = {
    "ARADDR": "O", "ARLEN": "O", "ARSIZE": "O", "ARBURST": "O", "ARVALID": "O", "ARREADY": "I",
    "RDATA": "I", "RRESP": "I", "RLAST": "I", "RVALID": "I", "RREADY": "O",
}  # fmt: skip
_WRITE = {
    "AWADDR": "O", "AWLEN": "O", "AWSIZE": "O", "AWBURST": "O", "AWVALID": "O", "AWREADY": "I",
    "WDATA": "O", "WSTRB": "O", "WLAST": "O", "WVALID": "O", "WREADY": "I", "BRESP": "I",
    "BVALID": "I", "BREADY": "O",
}  # fmt: skip
_WIDTHS = {
    "AWADDR": 64, "ARADDR": 64, "LEN": 8, "SIZE": 3, "BURST": 2, "RESP": 2,
}  # fmt: skip
_CONTROL_FIELDS = {
    "CTRL": (registers.AP_CTRL, "read-write", {
        "AP_START": (0, "read-write"), "AP_DONE": (1, "read-only"), "AP_IDLE": (2, "read-only"),
        "AP_READY": (3, "read-only"), "AUTO_RESTART": (7, "read-write"),
        "INTERRUPT": (9, "read-only"),
    }),
    "GIER": (registers.GLOBAL_INTERRUPT_ENABLE, "read-write", {"Enable": (0, "read-write")}),
    "IP_IER": (registers.INTERRUPT_ENABLE, "read-write", {
        "CHAN0_INT_EN": (0, "read-write"), "CHAN1_INT_EN": (1, "read-write"),
    }),
    "IP_ISR": (registers.INTERRUPT_STATUS, "read-write", {
        "CHAN0_INT_ST": (0, "read-write"), "CHAN1_INT_ST": (1, "read-write"),
    }),
}  # fmt: skip


def _pair(parent: Element, tag: str, name: str, value: object) -> None:
    SubElement(parent, tag, NAME=name, VALUE=str(value))


def _register(
    parent: Element, name: str, offset: int, access: str, fields: dict[str, tuple[int, int, str]]
) -> None:
    """A REGISTER of 32 bits; fields by name: lowest bit, bits, access."""
    register = SubElement(parent, "REGISTER", NAME=name)
    for key, value in (
        ("DESCRIPTION", f"Data signal of {name}"), ("ADDRESS_OFFSET", offset), ("SIZE", 32),
        ("ACCESS", access), ("IS_ENABLED", "true"), ("RESET_VALUE", 0),
    ):  # fmt: skip
        _pair(register, "PROPERTY", key, value)
    listed = SubElement(register, "FIELDS")
    for field, (low, width, field_access) in fields.items():
        made = SubElement(listed, "FIELD", NAME=field)
        for key, value in (
            ("DESCRIPTION", f"Bit {low + width - 1} to {low} of {name}"), ("ADDRESS_OFFSET", low),
            ("ACCESS", field_access), ("MODIFIED_READ_VALUES", ""), ("WRITE_CONSTRAINT", 0),
            ("READ_ACTION", ""), ("BIT_OFFSET", low), ("BIT_WIDTH", width),
        ):  # fmt: skip
            _pair(made, "PROPERTY", key, value)


def _module(parent: Element, instance: str, kind: str, vlnv: str, **more: str) -> Element:
    attributes = {
        "FULLNAME": f"/{instance}", "HWVERSION": vlnv.rpartition(":")[2], "INSTANCE": instance,
        "IPTYPE": "PERIPHERAL", "IS_ENABLE": "1", "MODTYPE": kind, "VLNV": vlnv,
    }  # fmt: skip
    module = SubElement(parent, "MODULE", dict(sorted((attributes | more).items())))
    SubElement(module, "DOCUMENTS")
    return module


def _block(module: Element, interface: str) -> Element:
    """REGISTERS of the one address block."""
    blocks = SubElement(module, "ADDRESSBLOCKS")
    block = SubElement(
        blocks, "ADDRESSBLOCK", ACCESS="read-write", INTERFACE=interface, NAME="Reg",
        RANGE=str(RANGE), USAGE="register",
    )  # fmt: skip
    return SubElement(block, "REGISTERS")


def _port(
    ports: Element, name: str, direction: str, signal: str = "", to: Iterable[str] = (), **more: str
) -> None:
    """A PORT; ``to`` are the pins at the other ends of its net, ``instance/port``."""
    found = {"DIR": direction, "NAME": name, "SIGIS": "undef"} | more
    if signal:
        found["SIGNAME"] = signal
    port = SubElement(ports, "PORT", dict(sorted(found.items())))
    if signal:
        connections = SubElement(port, "CONNECTIONS")
        for pin in to:
            instance, _, other = pin.partition("/")
            SubElement(connections, "CONNECTION", INSTANCE=instance, PORT=other)


def _bus(module: Element, name: str, master: bool, signals: dict[str, str], data_bits: int) -> None:
    """A BUSINTERFACE, and its pins among the PORTS."""
    ports, buses = module.find("PORTS"), module.find("BUSINTERFACES")
    assert ports is not None and buses is not None
    bus = SubElement(
        buses, "BUSINTERFACE", BUSNAME="__NOC__", DATAWIDTH=str(data_bits), NAME=name,
        TYPE="MASTER" if master else "SLAVE", VLNV="xilinx.com:interface:aximm:1.0",
    )  # fmt: skip
    _pair(bus, "PARAMETER", "DATA_WIDTH", data_bits)
    maps = SubElement(bus, "PORTMAPS")
    for signal, direction in signals.items():
        width = {"WDATA": data_bits, "RDATA": data_bits, "WSTRB": data_bits // 8}.get(signal)
        width = width or _WIDTHS.get(signal) or _WIDTHS.get(signal[2:], 1)
        if name == "s_axi_control" and signal.endswith("ADDR"):
            width = 7
        extent = {} if width == 1 else {"LEFT": str(width - 1), "RIGHT": "0"}
        _port(ports, f"{name}_{signal}", direction, **extent)
        SubElement(maps, "PORTMAP", LOGICAL=signal, PHYSICAL=f"{name}_{signal}")


def _accelerator(modules: Element, engine: Engine, ip: str) -> None:
    module = _module(modules, ACCELERATOR, "vit_top", IPS[ip], MODCLASS="PERIPHERAL")
    block = _block(module, "s_axi_control")
    for name, (offset, access, fields) in _CONTROL_FIELDS.items():
        _register(block, name, offset, access, {f: (b, 1, a) for f, (b, a) in fields.items()})
    for register in registers.argument_registers(engine):
        field = registers.vitis_name(register.name)
        for index, name in enumerate(registers.word_names(register)):
            width = min(32, register.width - 32 * index)
            _register(
                block, name, register.offset + 4 * index, "write-only",
                {field: (0, width, "write-only")},
            )  # fmt: skip
    if ip == "rtl":
        for register in registers.status_registers(engine):
            name = register.name
            _register(block, name, register.offset, "read-only", {name: (0, 32, "read-only")})
    parameters = SubElement(module, "PARAMETERS")
    _pair(parameters, "PARAMETER", "C_S_AXI_CONTROL_BASEADDR", f"0x{BASES[ACCELERATOR]:08X}")
    _pair(
        parameters, "PARAMETER", "C_S_AXI_CONTROL_HIGHADDR",
        f"0x{BASES[ACCELERATOR] + RANGE - 1:08X}",
    )  # fmt: skip
    ports = SubElement(module, "PORTS")
    _port(ports, "ap_clk", "I", "pl_clk0", [f"{PROCESSOR}/pl_clk0"], SIGIS="clk")
    _port(ports, "ap_rst_n", "I", "pl_resetn0", [f"{PROCESSOR}/pl_resetn0"], SIGIS="rst")
    _port(
        ports, "interrupt", "O", "vit_top_0_interrupt", [f"{CONTROLLER}/intr"],
        SIGIS="INTERRUPT", SENSITIVITY="LEVEL_HIGH",
    )  # fmt: skip
    SubElement(module, "BUSINTERFACES")
    _bus(module, "s_axi_control", False, _LITE, 32)
    for port in wiring.ports(engine):
        signals = _WRITE if port.written else _READ
        _bus(module, f"m_axi_gmem_{port.name}", True, signals, BEAT_BITS)


def _controller(modules: Element) -> None:
    vlnv = "xilinx.com:ip:axi_intc:4.1"
    module = _module(modules, CONTROLLER, "axi_intc", vlnv, MODCLASS="INTERRUPT_CNTLR")
    block = _block(module, "S_AXI")
    for name, (offset, access) in _INTERRUPT_REGISTERS.items():
        _register(block, name, offset, access, {"INT": (0, 1, access)})
    SubElement(module, "PARAMETERS")
    ports = SubElement(module, "PORTS")
    _port(ports, "s_axi_aclk", "I", "pl_clk0", [f"{PROCESSOR}/pl_clk0"], SIGIS="clk")
    _port(
        ports, "intr", "I", "vit_top_0_interrupt", [f"{ACCELERATOR}/interrupt"],
        SIGIS="INTERRUPT", SENSITIVITY="LEVEL_HIGH", LEFT="0", RIGHT="0",
    )  # fmt: skip
    _port(
        ports, "irq", "O", "axi_intc_0_irq", [f"{PROCESSOR}/pl_ps_irq0"],
        SIGIS="INTERRUPT", SENSITIVITY="LEVEL_HIGH",
    )  # fmt: skip
    SubElement(module, "BUSINTERFACES")
    _bus(module, "s_axi", False, _LITE, 32)


def _divisors(clock_mhz: float) -> tuple[int, int]:
    """The two divisors, 1 to 63 each, that come nearest to a clock; the first is the larger."""
    pairs = [(a, b) for a in range(1, 64) for b in range(1, a + 1)]
    return min(pairs, key=lambda pair: (abs(SOURCE_MHZ / (pair[0] * pair[1]) - clock_mhz), pair[1]))


def _clock_parameters(clock_mhz: float) -> dict[str, object]:
    """Clock 0 of the logic, by two divisors of the IOPLL; the other three are off."""
    divisor, second = _divisors(clock_mhz)
    found: dict[str, object] = {}
    for clock in range(4):
        prefix = f"PSU__CRL_APB__PL{clock}_REF_CTRL__"
        found[f"PSU__FPGA_PL{clock}_ENABLE"] = int(clock == 0)
        found[f"{prefix}DIVISOR0"] = divisor if clock == 0 else 15
        found[f"{prefix}DIVISOR1"] = second if clock == 0 else 1
        found[f"{prefix}SRCSEL"] = "IOPLL"
        mhz = SOURCE_MHZ / (divisor * second) if clock == 0 else 100
        found[f"{prefix}ACT_FREQMHZ"] = f"{mhz:.6f}"
        found[f"{prefix}FREQMHZ"] = f"{clock_mhz:g}" if clock == 0 else "100"
    return found


def _processor(modules: Element, clock_mhz: float) -> None:
    vlnv = "xilinx.com:ip:zynq_ultra_ps_e:3.5"
    module = _module(
        modules, PROCESSOR, "zynq_ultra_ps_e", vlnv, CONFIGURABLE="TRUE", IS_PL="FALSE"
    )
    parameters = SubElement(module, "PARAMETERS")
    widths = {"C_MAXIGP0_DATA_WIDTH": 128, "C_SAXIGP2_DATA_WIDTH": BEAT_BITS, "PSU__USE__IRQ0": 1}
    for name, value in (_clock_parameters(clock_mhz) | widths).items():
        _pair(parameters, "PARAMETER", name, value)
    ports = SubElement(module, "PORTS")
    first, second = _divisors(clock_mhz)
    hertz = str(round(SOURCE_MHZ / (first * second) * 1e6))
    clocked = [f"{ACCELERATOR}/ap_clk", f"{CONTROLLER}/s_axi_aclk"]
    _port(ports, "pl_clk0", "O", "pl_clk0", clocked, SIGIS="clk", CLKFREQUENCY=hertz)
    _port(ports, "pl_resetn0", "O", "pl_resetn0", [f"{ACCELERATOR}/ap_rst_n"], SIGIS="rst")
    _port(
        ports, "pl_ps_irq0", "I", "axi_intc_0_irq", [f"{CONTROLLER}/irq"],
        SIGIS="INTERRUPT", SENSITIVITY="LEVEL_HIGH", LEFT="0", RIGHT="0",
    )  # fmt: skip
    SubElement(module, "BUSINTERFACES")
    _bus(module, "M_AXI_HPM0_FPD", True, _READ | _WRITE, 128)
    memory = SubElement(module, "MEMORYMAP")
    for instance, interface in ((ACCELERATOR, "s_axi_control"), (CONTROLLER, "s_axi")):
        stem = "C_S_AXI_CONTROL" if instance == ACCELERATOR else "C"
        SubElement(
            memory, "MEMRANGE", ADDRESSBLOCK="Reg", BASENAME=f"{stem}_BASEADDR",
            BASEVALUE=f"0x{BASES[instance]:08X}", HIGHNAME=f"{stem}_HIGHADDR",
            HIGHVALUE=f"0x{BASES[instance] + RANGE - 1:08X}", INSTANCE=instance, IS_DATA="TRUE",
            IS_INSTRUCTION="TRUE", MASTERBUSINTERFACE="M_AXI_HPM0_FPD", MEMTYPE="REGISTER",
            SLAVEBUSINTERFACE=interface,
        )  # fmt: skip
    peripherals = SubElement(module, "PERIPHERALS")
    for instance in (ACCELERATOR, CONTROLLER):
        SubElement(peripherals, "PERIPHERAL", INSTANCE=instance)


def hand_off(engine: Engine, board: Board, clock_mhz: float, ip: str = "rtl") -> bytes:
    """The .hwh of the stand-in.

    Parameters
    ----------
    clock_mhz : of the logic; the processing system makes the nearest that it can.
    ip : a key of :data:`IPS`; the one of the open road has the registers ``status`` and ``cycles``.

    Returns
    -------
    XML, the same bytes for the same design.
    """
    device, package, speed = (board.part.split("-") + ["", ""])[:3]
    root = Element(
        "EDKSYSTEM", EDWVERSION="1.2", TIMESTAMP="Thu Jan  1 00:00:00 1970", VIVADOVERSION="0.0"
    )
    root.append(
        ElementTree.Comment(" A stand-in of vitgen's for tests off the board, not Vivado's. ")
    )
    SubElement(
        root, "SYSTEMINFO", ARCH="zynquplus", BOARD=board.board_part, DEVICE=device,
        NAME=f"vit_{design_digest(engine)}", PACKAGE=package, SPEEDGRADE=f"-{speed}",
    )  # fmt: skip
    SubElement(root, "EXTERNALPORTS")
    SubElement(root, "EXTERNALINTERFACES")
    modules = SubElement(root, "MODULES")
    _controller(modules)
    _accelerator(modules, engine, ip)
    _processor(modules, clock_mhz)
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8" standalone="no" ?>\n{text}\n'.encode()
