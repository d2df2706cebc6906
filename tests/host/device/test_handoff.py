"""The stand-in's files, as pynq's own parsers read them, and beside files that Vivado wrote."""

from collections import defaultdict
from xml.etree import ElementTree

import pytest
from pynq.pl_server.embedded_device import bit2bin, parse_bit_header
from pynq.pl_server.hwh_parser import _HWHUltrascale
from pynqmetadata.frontends import Metadata
from pynqmetadata.views.runtime import RuntimeMetadataParser

from tests.rtl.engines import ENGINES
from vitgen import boards
from vitgen.emit import registers
from vitgen.emit.hls import design_digest
from vitgen.host.bitfile import bitfile
from vitgen.host.handoff import hand_off

ENGINE = ENGINES["odd"]
CONTROL = {"CTRL": 0, "GIER": 4, "IP_IER": 8, "IP_ISR": 12}
# Vitis HLS's names of the arguments, low and high word of each pointer, and how they are placed: from
# 0x10 on, a reserved word behind each.
POINTERS = ["program_r", "params", "image", "constants", "weights_0", "weights_1", "output_r"]
ARGUMENTS = {f"{n}_{w + 1}": 0x10 + 12 * i + 4 * w for i, n in enumerate(POINTERS) for w in (0, 1)}
ARGUMENTS["instructions"] = 0x10 + 12 * len(POINTERS)
STATUS = {"status": 0x6C, "cycles": 0x74}

# Elements and attributes in the hand-off file of PYNQ's base overlay for the ZCU104, as Vivado 2018.2
# wrote it (boards/ZCU104/base/base.hwh in the history of github.com/Xilinx/PYNQ): the attributes of
# every element, then those that all its elements have.
VIVADO = {
    "EDKSYSTEM": ("EDWVERSION TIMESTAMP VIVADOVERSION",) * 2,
    "SYSTEMINFO": ("ARCH BOARD DEVICE NAME PACKAGE SPEEDGRADE",) * 2,
    "EXTERNALPORTS": ("", ""),
    "EXTERNALINTERFACES": ("", ""),
    "PORT": ("CLKFREQUENCY DIR LEFT NAME RIGHT SENSITIVITY SIGIS SIGNAME", "DIR NAME SIGIS"),
    "CONNECTIONS": ("", ""),
    "CONNECTION": ("INSTANCE PORT",) * 2,
    "BUSINTERFACE": ("BUSNAME DATAWIDTH NAME TYPE VLNV", "BUSNAME NAME TYPE"),
    "PARAMETER": ("NAME VALUE", "NAME"),
    "PORTMAPS": ("", ""),
    "PORTMAP": ("LOGICAL PHYSICAL",) * 2,
    "MODULES": ("", ""),
    "MODULE": (
        "BD BDTYPE CONFIGURABLE DRIVERMODE FULLNAME HWVERSION INSTANCE IPTYPE IS_ENABLE IS_PL "
        + "MODCLASS MODTYPE PROCTYPE VLNV",
        "FULLNAME HWVERSION INSTANCE IPTYPE IS_ENABLE MODTYPE VLNV",
    ),
    "DOCUMENTS": ("", ""),
    "ADDRESSBLOCKS": ("", ""),
    "ADDRESSBLOCK": ("ACCESS INTERFACE NAME RANGE USAGE",) * 2,
    "REGISTERS": ("", ""),
    "REGISTER": ("NAME",) * 2,
    "PROPERTY": ("NAME VALUE",) * 2,
    "FIELDS": ("", ""),
    "FIELD": ("NAME",) * 2,
    "PARAMETERS": ("", ""),
    "PORTS": ("", ""),
    "BUSINTERFACES": ("", ""),
    "MEMORYMAP": ("", ""),
    "MEMRANGE": (
        "ADDRESSBLOCK BASENAME BASEVALUE HIGHNAME HIGHVALUE INSTANCE IS_DATA IS_INSTRUCTION "
        + "MASTERBUSINTERFACE MEMTYPE SLAVEBUSINTERFACE",
        "ADDRESSBLOCK BASENAME BASEVALUE HIGHNAME HIGHVALUE INSTANCE IS_DATA IS_INSTRUCTION "
        + "MEMTYPE SLAVEBUSINTERFACE",
    ),
    "PERIPHERALS": ("", ""),
    "PERIPHERAL": ("INSTANCE",) * 2,
}  # fmt: skip
REGISTER = ["DESCRIPTION", "ADDRESS_OFFSET", "SIZE", "ACCESS", "IS_ENABLED", "RESET_VALUE"]
FIELD = ["DESCRIPTION", "ADDRESS_OFFSET", "ACCESS", "MODIFIED_READ_VALUES", "WRITE_CONSTRAINT",
         "READ_ACTION", "BIT_OFFSET", "BIT_WIDTH"]  # fmt: skip


@pytest.fixture(params=["board", "hwh_parser"])
def parser(request, tmp_path):
    """pynq's parser on a board, and its older one."""

    def parse(engine=ENGINE, board="zcu102", clock=150.0, ip="rtl"):
        path = tmp_path / "vit_top.hwh"
        path.write_bytes(hand_off(engine, boards.load(board), clock, ip))
        if request.param == "board":
            return RuntimeMetadataParser(Metadata(input=str(path)))
        return _HWHUltrascale(hwh_name=str(path))

    return parse


@pytest.mark.parametrize("ip", ["rtl", "hls"])
def test_registers_are_where_vitis_puts_them(parser, ip):
    found = parser(ip=ip).ip_dict["vit_top_0"]
    offsets = {name: entry["address_offset"] for name, entry in found["registers"].items()}
    assert offsets == CONTROL | ARGUMENTS | (STATUS if ip == "rtl" else {})
    assert (
        found["type"] == {"rtl": "vitgen:rtl:vit_top:1.0", "hls": "xilinx.com:hls:vit_top:1.0"}[ip]
    )
    assert found["phys_addr"] == 0xA000_0000 and found["addr_range"] == 0x1_0000


def test_registers_are_where_the_slave_has_them(parser):
    found = parser().ip_dict["vit_top_0"]["registers"]
    for register in [*registers.argument_registers(ENGINE), *registers.status_registers(ENGINE)]:
        words = registers.word_names(register)
        assert [found[w]["address_offset"] for w in words] == [
            register.offset + 4 * i for i in range(register.words)
        ]


def test_fields_of_the_control_word(parser):
    fields = parser().ip_dict["vit_top_0"]["registers"]["CTRL"]["fields"]
    assert {n: (f["bit_offset"], f["bit_width"]) for n, f in fields.items()} == {
        "AP_START": (0, 1), "AP_DONE": (1, 1), "AP_IDLE": (2, 1), "AP_READY": (3, 1),
        "AUTO_RESTART": (7, 1), "INTERRUPT": (9, 1),
    }  # fmt: skip


def test_the_interrupt_goes_through_a_controller(parser):
    found = parser()
    assert found.interrupt_pins["vit_top_0/interrupt"]["controller"] == "axi_intc_0"
    assert found.interrupt_controllers["axi_intc_0"]["raw_irq"] == 121
    assert found.ip_dict["vit_top_0"]["interrupts"]["interrupt"]["index"] == 0


@pytest.mark.parametrize(("clock", "product"), [(150.0, 10), (300.0, 5), (100.0, 15), (8.0, 187)])
def test_the_clock(parser, clock, product):
    clocks = parser(clock=clock).clock_dict
    assert clocks[0]["enable"] == 1 and not any(clocks[i]["enable"] for i in (1, 2, 3))
    assert clocks[0]["divisor0"] * clocks[0]["divisor1"] == product


def test_it_has_vivados_elements_and_attributes():
    root = ElementTree.fromstring(hand_off(ENGINE, boards.load("zcu102"), 150.0))
    used, everywhere = defaultdict(set), {}
    for element in root.iter():
        names = set(element.attrib)
        used[element.tag] |= names
        everywhere[element.tag] = everywhere.get(element.tag, names) & names
    assert set(used) == set(VIVADO)
    for tag, (any_of, all_of) in VIVADO.items():
        assert used[tag] <= set(any_of.split()), tag
        assert everywhere[tag] >= set(all_of.split()), tag
    for register in root.iter("REGISTER"):
        assert [p.get("NAME") for p in register.findall("PROPERTY")] == REGISTER
    for field in root.iter("FIELD"):
        assert [p.get("NAME") for p in field.findall("PROPERTY")] == FIELD


def test_both_files_name_the_design_and_the_part():
    board, design = boards.load("zcu102"), design_digest(ENGINE)
    root = ElementTree.fromstring(hand_off(ENGINE, board, 150.0))
    system = root.find("SYSTEMINFO").attrib
    assert system["NAME"] == f"vit_{design}"
    assert (system["DEVICE"], system["PACKAGE"], system["SPEEDGRADE"]) == (
        "xczu9eg", "ffvb1156", "-2",
    )  # fmt: skip
    header = parse_bit_header(bitfile(ENGINE, board))
    assert header["design"] == f"vit_{design}_wrapper" and header["part"] == board.part
    assert bit2bin(bitfile(ENGINE, board))


def test_same_design_same_bytes():
    board = boards.load("zcu102")
    assert hand_off(ENGINE, board, 150.0) == hand_off(ENGINE, board, 150.0)
    assert hand_off(ENGINE, board, 150.0) != hand_off(ENGINES["wide"], board, 150.0)
