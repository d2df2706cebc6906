"""A block design from the commands that made it, and what is wrong with it.

The ports of Vivado's own IPs stand here by hand; those of the accelerator are read from what was
emitted for it. Names of pins and properties are those of public Vivado scripts.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.emit.tools import Ran

# Pins by IP: direction, and "clock" or "reset" where every cell needs it connected.
_PINS: dict[str, dict[str, str]] = {
    "smartconnect": {"aclk": "in clock", "aresetn": "in reset"},
    "proc_sys_reset": {
        "slowest_sync_clk": "in clock", "ext_reset_in": "in reset", "aux_reset_in": "in",
        "mb_debug_sys_rst": "in", "dcm_locked": "in", "mb_reset": "out", "bus_struct_reset": "out",
        "peripheral_reset": "out", "interconnect_aresetn": "out", "peripheral_aresetn": "out",
    },
    "axi_intc": {
        "s_axi_aclk": "in clock", "s_axi_aresetn": "in reset", "intr": "in needed", "irq": "out",
    },
    "bank_ram": {
        "clk": "in clock", "rd_address": "in needed", "rd_ce": "in needed", "rd_data": "out needed",
        "wr_address": "in needed", "wr_ce": "in needed", "wr_we": "in needed", "wr_data": "in needed",
    },
}  # fmt: skip

_PROPERTIES = {
    "zynq_ultra_ps_e": [
        r"PSU__FPGA_PL0_ENABLE", r"PSU__CRL_APB__PL0_REF_CTRL__FREQMHZ", r"PSU__USE__IRQ0",
        r"PSU__USE__M_AXI_GP[0-2]", r"PSU__USE__S_AXI_GP[0-6]", r"PSU__MAXIGP[0-2]__DATA_WIDTH",
        r"PSU__SAXIGP[0-6]__DATA_WIDTH",
    ],
    "smartconnect": [r"NUM_SI", r"NUM_MI"],
    "axi_intc": [r"C_IRQ_CONNECTION"],
    "bank_ram": [r"WIDTH", r"DEPTH", r"ADDRESS_BITS", r"ULTRA"],
}  # fmt: skip

_HP = [
    ("S_AXI_HPC", 0, 2),
    ("S_AXI_HP", 2, 4),
]  # name, number of the first in the properties, count

_OTHER_PROPERTIES = {
    "board_part", "board_connections", "target_language", "ip_repo_paths", "top",
    "synth_checkpoint_mode",
    # of the IP packager
    "name", "version", "display_name", "description", "value", "range", "width",
    "master_address_space_ref", "slave_memory_map_ref", "base_address", "usage", "access",
    "address_offset", "size", "bit_offset", "bit_width", "core_revision",
}  # fmt: skip


@dataclass
class Accelerator:
    """The ports of ``vit_top_0``: pins with direction and width, buses as "master" or "slave"."""

    pins: dict[str, tuple[str, int]]
    buses: dict[str, str]

    @classmethod
    def of_verilog(cls, text: str) -> "Accelerator":
        """From a module of Verilog; buses are ``m_axi_*`` and ``s_axi_*``, found by their signals."""
        pins: dict[str, tuple[str, int]] = {}
        buses: dict[str, str] = {}
        for way, high, name in re.findall(
            r"^\s*(input|output) wire (?:\[(\d+):0\] )?(\w+),?$", text, re.MULTILINE
        ):
            bus, _, signal = name.rpartition("_")
            if name.startswith(("m_axi_", "s_axi_")) and signal.isupper():
                buses[bus] = "master" if name[0] == "m" else "slave"
            else:
                pins[name] = (way.removesuffix("put"), int(high or 0) + 1)
        return cls(pins, buses)

    @classmethod
    def of_hls(cls, top: str, config: dict[str, int], widths: dict[str, int]) -> "Accelerator":
        """From the pragmas and parameters of the C++ top function, by the rules of Vitis HLS."""
        pins = {"ap_clk": ("in", 1), "ap_rst_n": ("in", 1), "interrupt": ("out", 1)}
        buses = {"s_axi_control": "slave"}
        for bundle in re.findall(r"mode=m_axi port=\w+ bundle=(\w+)", top):
            buses[f"m_axi_{bundle}"] = "master"
        for port in re.findall(r"mode=ap_memory port=(\w+) storage_type=ram_1p latency=1", top):
            found = re.search(rf"(const )?(\w+) {port}\[(\w+)\]", top)
            assert found is not None, port
            word, depth = widths[found[2]], config[found[3]]
            pins[f"{port}_address0"] = ("out", max(1, math.ceil(math.log2(depth))))
            pins[f"{port}_ce0"] = ("out", 1)
            if found[1]:
                pins[f"{port}_q0"] = ("in", word)
            else:
                pins[f"{port}_we0"] = ("out", 1)
                pins[f"{port}_d0"] = ("out", word)
        return cls(pins, buses)


@dataclass
class _Cell:
    kind: str
    properties: dict[str, str] = field(default_factory=dict)


class BlockDesign:
    """What the commands of a script built.

    Parameters
    ----------
    ran : the script's run.
    accelerator : ports of the cell ``vit_top_0``.
    """

    def __init__(self, ran: Ran, accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        self.cells: dict[str, _Cell] = {}
        self.nets: list[tuple[str, ...]] = []
        self.intf_nets: list[tuple[str, str]] = []
        self.assigned: list[dict[str, str]] = []
        self.assigned_all = False
        self._wrong: list[str] = []
        for name, *words in ran.commands:
            getattr(self, f"_{name}", lambda words: None)(words)

    def _create_bd_cell(self, words: list[str]) -> None:
        *_, name = words
        kind = words[words.index("-reference" if "-reference" in words else "-vlnv") + 1]
        if name in self.cells:
            self._wrong.append(f"two cells {name}")
        self.cells[name] = _Cell(kind.split(":")[2] if ":" in kind else kind)

    def _set_property(self, words: list[str]) -> None:
        name, value, target = words
        if not name.startswith("CONFIG."):
            if name not in _OTHER_PROPERTIES:
                self._wrong.append(f"no property {name}")
            return
        if target not in self.cells:
            self._wrong.append(f"a property of {target}, which is no cell")
            return
        cell, key = self.cells[target], name.removeprefix("CONFIG.")
        if not any(re.fullmatch(known, key) for known in _PROPERTIES.get(cell.kind, [])):
            self._wrong.append(f"{target} has no property {key}")
        cell.properties[key] = value

    def _connect_bd_net(self, words: list[str]) -> None:
        self.nets.append(tuple(words))

    def _connect_bd_intf_net(self, words: list[str]) -> None:
        self.intf_nets.append((words[0], words[1]))

    def _assign_bd_address(self, words: list[str]) -> None:
        if not words:
            self.assigned_all = True
            return
        record = {words[i]: words[i + 1] for i in range(0, len(words) - 1, 2)}
        self.assigned.append(record | {"segment": words[-1]})

    def pins(self, name: str) -> dict[str, str]:
        """Pins of a cell with direction and need."""
        cell = self.cells[name]
        if name == "vit_top_0":
            known = {"ap_clk": "in clock", "ap_rst_n": "in reset"}
            return {
                pin: known.get(pin, f"{way} needed")
                for pin, (way, _) in self.accelerator.pins.items()
            }
        if cell.kind == "zynq_ultra_ps_e":
            return self._ps_pins(cell)
        return _PINS[cell.kind]

    def _ps_pins(self, cell: _Cell) -> dict[str, str]:
        pins = {"pl_clk0": "out", "pl_resetn0": "out"}
        if cell.properties.get("PSU__USE__IRQ0") == "1":
            pins["pl_ps_irq0"] = "in needed"
        if cell.properties.get("PSU__USE__M_AXI_GP0") == "1":
            pins["maxihpm0_fpd_aclk"] = "in clock"
        for port, number, count in _HP:
            for i in range(count):
                if cell.properties.get(f"PSU__USE__S_AXI_GP{number + i}") == "1":
                    pins[f"{port.replace('S_AXI_', 'saxi').lower()}{i}_fpd_aclk"] = "in clock"
        return pins

    def buses(self, name: str) -> dict[str, str]:
        """Interface pins of a cell."""
        cell = self.cells[name]
        if name == "vit_top_0":
            return self.accelerator.buses
        if cell.kind == "smartconnect":
            masters = int(cell.properties["NUM_MI"])
            slaves = int(cell.properties["NUM_SI"])
            return {f"M{i:02d}_AXI": "master" for i in range(masters)} | {
                f"S{i:02d}_AXI": "slave" for i in range(slaves)
            }
        if cell.kind == "axi_intc":
            return {"s_axi": "slave"}
        found = {}
        if cell.kind == "zynq_ultra_ps_e":
            if cell.properties.get("PSU__USE__M_AXI_GP0") == "1":
                found["M_AXI_HPM0_FPD"] = "master"
            for port, number, count in _HP:
                for i in range(count):
                    if cell.properties.get(f"PSU__USE__S_AXI_GP{number + i}") == "1":
                        found[f"{port}{i}_FPD"] = "slave"
        return found

    def faults(self) -> list[str]:
        """Everything that is wrong; empty if nothing is."""
        return [
            *self._wrong, *self._pin_faults(), *self._width_faults(), *self._bus_faults(),
            *self._address_faults(),
        ]  # fmt: skip

    def _pin_faults(self) -> Iterator[str]:
        clock = "zynq_ultra_ps_e_0/pl_clk0"
        resets = ("proc_sys_reset_0/peripheral_aresetn", "zynq_ultra_ps_e_0/pl_resetn0")
        sources: dict[str, set[str]] = defaultdict(set)
        for net in self.nets:
            drivers = []
            for pin in net:
                cell, _, name = pin.partition("/")
                if cell not in self.cells or name not in self.pins(cell):
                    yield f"no pin {pin}"
                elif self.pins(cell)[name].startswith("out"):
                    drivers.append(pin)
            if len(drivers) != 1:
                yield f"{len(drivers)} drivers of {' '.join(net)}"
            for pin in net:
                sources[pin].update(drivers)
        for cell in self.cells:
            for name, kind in self.pins(cell).items():
                pin, needs = f"{cell}/{name}", kind.split()[1:]
                if needs and not sources[pin]:
                    yield f"{pin} is not connected"
                if kind.startswith("in") and len(sources[pin]) > 1:
                    yield f"{pin} has {len(sources[pin])} drivers"
                if needs == ["clock"] and sources[pin] - {clock}:
                    yield f"{pin} is clocked by {sources[pin]}"
                if needs == ["reset"] and sources[pin] - set(resets):
                    yield f"{pin} is reset by {sources[pin]}"

    def _width(self, pin: str) -> int:
        cell, _, name = pin.partition("/")
        if cell == "vit_top_0":
            return self.accelerator.pins[name][1]
        settings = self.cells[cell].properties
        if name.endswith("_address"):
            return int(settings["ADDRESS_BITS"])
        return int(settings["WIDTH"]) if name.endswith("_data") else 1

    def _width_faults(self) -> Iterator[str]:
        for net in self.nets:
            ends = [pin for pin in net if pin.startswith(("vit_top_0/", "bank_"))]
            if any(pin.startswith("bank_") for pin in ends) and len(ends) == len(net):
                try:
                    widths = {self._width(pin) for pin in ends}
                except KeyError:
                    continue  # a pin that does not exist is a fault already
                if len(widths) != 1:
                    yield f"widths {sorted(widths)} of {' '.join(net)}"
        for name, cell in self.cells.items():
            if cell.kind == "bank_ram":
                depth = int(cell.properties["DEPTH"])
                if not 2 ** int(cell.properties["ADDRESS_BITS"]) >= depth:
                    yield f"{name} has {depth} words"

    def _bus_faults(self) -> Iterator[str]:
        ends: dict[str, int] = defaultdict(int)
        for pair in self.intf_nets:
            kinds = []
            for pin in pair:
                ends[pin] += 1
                cell, _, name = pin.partition("/")
                if cell not in self.cells or name not in self.buses(cell):
                    yield f"no interface {pin}"
                else:
                    kinds.append(self.buses(cell)[name])
            if len(kinds) == 2 and sorted(kinds) != ["master", "slave"]:
                yield f"{' and '.join(pair)} are both {kinds[0]}s"
        for cell in self.cells:
            for name in self.buses(cell):
                if ends[f"{cell}/{name}"] != 1:
                    yield f"{cell}/{name} is connected {ends[f'{cell}/{name}']} times"

    def behind(self, bus: str) -> str | None:
        """The DRAM port that a master of the accelerator reaches."""
        there = dict(self.intf_nets)
        crossbar = there.get(f"vit_top_0/{bus}", "").partition("/")[0]
        return there.get(f"{crossbar}/M00_AXI", "").partition("/")[2] or None

    def _address_faults(self) -> Iterator[str]:
        segments = {record["segment"]: record for record in self.assigned}
        for segment in ("vit_top_0/s_axi_control/Reg", "axi_intc_0/S_AXI/Reg"):
            record = segments.pop(segment, None)
            if record is None:
                yield f"{segment} has no address"
            elif record.get("-target_address_space") != "zynq_ultra_ps_e_0/Data":
                yield f"{segment} is not in the processor's space"
        for segment in segments:
            yield f"no segment {segment}"
        places = [int(record["-offset"], 16) for record in self.assigned if "-offset" in record]
        for place in places:
            if not 0xA0000000 <= place < 0xB0000000 or places.count(place) > 1:
                yield f"address {place:#x}"
        for bus, kind in self.accelerator.buses.items():
            port = self.behind(bus) if kind == "master" else "none"
            if port is None or not (port == "none" or port.startswith("S_AXI_HP")):
                yield f"{bus} does not reach the DRAM"
        if not self.assigned_all:
            yield "the masters have no addresses"
