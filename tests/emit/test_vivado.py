"""Scripts for Vivado, run in Tcl with the tool's commands recorded, on both roads."""

import re
import shutil
from dataclasses import replace

import pytest

from tests.emit.block_design import Accelerator, BlockDesign
from tests.emit.engines import NAMES, make
from tests.emit.tools import run_tcl
from vitgen import boards
from vitgen.design.choice import Design
from vitgen.design.cost_memory import type_widths
from vitgen.design.netlist import banks
from vitgen.emit import registers, wiring
from vitgen.emit.build import emit_build
from vitgen.emit.hls import emit_hls
from vitgen.emit.rtl import emit_array
from vitgen.emit.scripts import emit_scripts
from vitgen.emit.shell import emit_bank, emit_ip_top, emit_shell
from vitgen.emit.vivado import design_name, emit_vivado, share_ports
from vitgen.errors import VitgenError

ZCU102, KV260 = boards.load("zcu102"), boards.load("kv260")
PORTS = tuple(f"S_AXI_HP{i}_FPD" for i in range(4))


def write(place, engine, board=ZCU102):
    """A build directory of ``engine`` as far as Vivado reads it."""
    scripts = emit_vivado(engine, board, clock_mhz=150.0)
    rtl = emit_shell(engine) | emit_ip_top(engine) | emit_bank(engine)
    if engine.array == "dsp48":
        rtl |= emit_array(engine)
    (scripts.under("scripts") | rtl.under("rtl") | emit_hls(engine).under("hls")).write(place)
    (place / "rtl/vit_core.sv").write_text("module vit_core; endmodule\n")
    return place


def accelerator(build, engine, road):
    if road == "open":
        return Accelerator.of_verilog((build / "rtl/vit_ip.v").read_text())
    names = re.findall(r"^#define (\w+_DEPTH) (\d+)|(\w+_DEPTH) = (\d+)",
                       (build / "hls/config.h").read_text(), re.MULTILINE)  # fmt: skip
    config = {a or c: int(b or d) for a, b, c, d in names}
    return Accelerator.of_hls((build / "hls/vit_top.cpp").read_text(), config, type_widths(engine))


def run(build, road, *more, ip=True, engine=None):
    place = build / "work"
    if road == "vitis" and ip:
        (place / "vit_top/solution/impl/ip").mkdir(parents=True, exist_ok=True)
        (place / "vit_top/solution/impl/ip/component.xml").write_text("")
    buses = ["s_axi_control", *(f"m_axi_gmem_{p.name}" for p in wiring.ports(engine or make("b")))]
    return run_tcl(
        build / "scripts/vivado.tcl", [road, *more], tool="vivado", place=place, buses=buses
    )


@pytest.fixture(params=["vitis", "open"])
def road(request):
    return request.param


@pytest.mark.parametrize("name", NAMES)
def test_the_block_design_holds_together(name, road, tmp_path):
    engine = make(name, "hls" if name == "d" else "dsp48")
    build = write(tmp_path / "build", engine)
    ran = run(build, road, engine=engine)
    assert ran.status == 0, ran.err
    design = BlockDesign(ran, accelerator(build, engine, road))
    assert design.faults() == []
    assert ran.of("create_bd_design") == [[design_name(engine)]]
    ram_cells = [cell for cell in design.cells if cell.startswith("bank_")]
    assert len(ram_cells) == (len(banks(engine)) * engine.groups if road == "vitis" else 0)
    reached = {bus: design.behind(bus) for bus, kind in design.accelerator.buses.items()
               if kind == "master"}  # fmt: skip
    weights = [reached[f"m_axi_gmem_weights_{p}"] for p in range(engine.weight_ports)]
    assert weights == list(PORTS[: engine.weight_ports])
    others = {port for bus, port in reached.items() if "weights" not in bus}
    assert engine.weight_ports == 4 or not others & set(weights)
    assert (build / "bitstream/vit_top.bit").read_text() == "bits\n"
    hwh = (build / "bitstream/vit_top.hwh").read_text()
    assert hwh == f"description of {design_name(engine)}\n"
    assert sorted(p.name for p in (build / "bitstream").iterdir()) == ["vit_top.bit", "vit_top.hwh"]


def test_steps_are_in_order(road, tmp_path):
    build = write(tmp_path / "build", make("b"))
    names = run(build, road).names()
    steps = ["create_bd_design", "assign_bd_address", "validate_bd_design", "generate_target",
             "make_wrapper", "synth_design", "opt_design", "place_design", "route_design",
             "report_timing_summary", "write_bitstream"]  # fmt: skip
    assert [name for name in names if name in steps and name != "assign_bd_address"] == [
        step for step in steps if step != "assign_bd_address"
    ]
    assert names[-1] == "exit"
    assert names.index("synth_design") > max(
        i for i, words in enumerate(names) if words == "assign_bd_address"
    )


def test_the_interrupt_goes_the_way_that_pynq_follows(road, tmp_path):
    build = write(tmp_path / "build", make("b"))
    nets = run(build, road).of("connect_bd_net")
    assert ["vit_top_0/interrupt", "axi_intc_0/intr"] in nets
    assert ["axi_intc_0/irq", "zynq_ultra_ps_e_0/pl_ps_irq0"] in nets


def test_the_packaged_ip_has_the_registers_of_the_shell(tmp_path):
    engine = make("b")
    build = write(tmp_path / "build", engine)
    ran = run(build, "open")
    offsets = {
        target.removeprefix("register:"): int(value, 16)
        for name, value, target in ran.of("set_property")
        if name == "address_offset"
    }
    expected = {"CTRL": 0x0, "GIER": 0x4, "IP_IER": 0x8, "IP_ISR": 0xC}
    for register in [*registers.argument_registers(engine), *registers.status_registers(engine)]:
        name = {"program": "program_r", "output": "output_r"}.get(register.name, register.name)
        if register.width == 64:
            expected |= {f"{name}_1": register.offset, f"{name}_2": register.offset + 4}
        else:
            expected[name] = register.offset
    assert offsets == expected
    targets = {target for name, _, target in ran.of("set_property") if name == "size"}
    assert targets == {f"register:{name}" for name in expected}
    assert ["value", "LEVEL_HIGH", "bus:interrupt/SENSITIVITY"] in ran.of("set_property")
    described = {target for name, _, target in ran.of("set_property") if name == "description"}
    assert all(f"register:{name}" in described for name in expected)


def test_the_packaged_ip_holds_what_it_instantiates(tmp_path):
    engine = make("b")
    build = write(tmp_path / "build", engine)
    ran = run(build, "open")
    added = [file.rpartition("/")[2] for words in ran.of("add_files") for word in words
             for file in word.split() if "/rtl/" in file]  # fmt: skip
    assert "vit_ip.v" in added and "vit_top.sv" in added and "vit_core.sv" in added
    assert "multiply.v" not in added and "bank_ram.v" not in added
    assert "multiply_array.v" in added and len(set(added)) == len(added)
    assert ["top", "vit_ip", "sources_1"] in ran.of("set_property")


def test_ports_are_those_of_the_systemverilog():
    for name in NAMES:
        engine = make(name)
        top = emit_shell(engine).texts()["vit_top.sv"].split(");\n")[0]
        top = re.sub(r"^\s*/\*.*\*/.*\n", "", top, flags=re.MULTILINE)
        pattern = r"^\s*((?:input|output) wire .*?\w+),?$"
        inner = re.findall(pattern, top, re.MULTILINE)
        outer = re.findall(pattern, emit_ip_top(engine).texts()["vit_ip.v"], re.MULTILINE)
        assert outer == inner and len(inner) > 50


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("get_bd_pins vit_top_0/interrupt", "get_bd_pins vit_top_0/interupt", "no pin vit_top_0/interupt"),
        ("clocked vit_top_0 ap_clk ap_rst_n\n", "", "vit_top_0/ap_clk is not connected"),
        ("connect_bd_net $clock [get_bd_pins zynq_ultra_ps_e_0/saxihp1_fpd_aclk]\n", "",
         "saxihp1_fpd_aclk is not connected"),
        ("    clocked $cell aclk aresetn\n", "    connect_bd_net $clock [get_bd_pins $cell/aclk]\n",
         "smartconnect_hp0/aresetn is not connected"),
        ("PSU__USE__S_AXI_GP3 {1}", "PSU__USE__S_AXI_GP3 {0}", "no interface zynq_ultra_ps_e_0/S_AXI_HP1_FPD"),
        ("PSU__USE__IRQ0", "PSU__USE_IRQ0", "zynq_ultra_ps_e_0 has no property PSU__USE_IRQ0"),
        ("CONFIG.NUM_SI [llength $buses]", "CONFIG.NUM_SI {1}", "no interface smartconnect_hp2/S01_AXI"),
        ("{m_axi_gmem_weights_0}", "{m_axi_gmem_weights_1}", "m_axi_gmem_weights_0 is connected 0 times"),
        ("\nassign_bd_address\n", "\n", "the masters have no addresses"),
        ("axi_intc_0/S_AXI/Reg 0xA0010000", "axi_intc_0/S_AXI/Reg 0xA0000000", "address 0xa0000000"),
        ("M01_AXI] [get_bd_intf_pins axi_intc_0/s_axi]", "M01_AXI] [get_bd_intf_pins axi_intc_0/S_AXI]",
         "no interface axi_intc_0/S_AXI"),
        ("act_1 24 80 7 0", "act_1 25 80 7 0", "widths [24, 25]"),
        ("key_2 24 60 6 0", "key_2 24 90 6 0", "bank_key_2 has 90 words"),
        ("wr_we wr_we0", "wr_we wr_ce0", "vit_top_0/act_0_wr_we0 is not connected"),
    ],
)  # fmt: skip
def test_planted_faults_are_found(old, new, said, tmp_path):
    engine = make("b")
    build = write(tmp_path / "build", engine)
    script = build / "scripts/vivado.tcl"
    assert old in script.read_text()
    script.write_text(script.read_text().replace(old, new))
    ran = run(build, "vitis")
    faults = BlockDesign(ran, accelerator(build, engine, "vitis")).faults()
    assert any(said in fault for fault in faults), faults


@pytest.mark.parametrize(
    "old, new, said",
    [
        ("opt_design\n", "optimise_design\n", "no such command: optimise_design"),
        ("opt_design\n", "exec ls\n", "no such command: exec"),
        ("-rebuild", "-rebuld", "no option -rebuld"),
        ("rtl/bank_ram.v", "rtl/bank.v", "no such file"),
    ],
)
def test_the_stand_in_refuses_what_vivado_has_not(old, new, said, tmp_path):
    build = write(tmp_path / "build", make("b"))
    script = build / "scripts/vivado.tcl"
    script.write_text(script.read_text().replace(old, new))
    ran = run(build, "vitis")
    assert ran.status == 3 and said in ran.err


def test_what_is_missing_is_said(tmp_path):
    build = write(tmp_path / "build", make("b"))
    assert (done := run(build, "fast")).status == 2 and "choose vitis or open" in done.err
    assert (done := run(build, "vitis", ip=False)).status == 2 and "left no IP here" in done.err
    (build / "rtl/vit_top.sv").unlink()
    done = run(build, "open")
    assert done.status == 2 and "vitgen synth --road open" in done.err
    shutil.rmtree(build)
    unknown = replace(ZCU102, board_part="xilinx.com:zcu111:part0:1.4")
    build = write(tmp_path / "build", make("b"), unknown)
    done = run(build, "vitis")
    assert done.status == 2 and "no board files of xilinx.com:zcu111:part0" in done.err


def test_a_bus_that_the_packager_does_not_find_ends_it(tmp_path):
    build = write(tmp_path / "build", make("b"))
    ran = run(build, "open", engine=make("c"))  # which has no second weight port
    assert ran.status == 1 and "no bus m_axi_gmem_weights_1" in ran.err


def test_an_ip_and_a_place_may_be_named(tmp_path):
    build = write(tmp_path / "build", make("b"))
    (tmp_path / "my ip").mkdir()
    (tmp_path / "my ip/component.xml").write_text("")
    ran = run(build, "vitis", str(tmp_path / "my ip"), str(tmp_path / "out"), ip=False)
    assert ran.status == 0, ran.err
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["vit_top.bit", "vit_top.hwh"]
    assert not (build / "bitstream").exists()


def test_a_module_on_a_carrier(tmp_path):
    build = write(tmp_path / "build", make("b"), KV260)
    found = {name: value for name, value, target in run(build, "open").of("set_property")
             if target == "project"}  # fmt: skip
    assert found["board_part"] == "xilinx.com:kv260_som:part0:1.4"  # the newest that is there
    assert found["board_connections"] == KV260.ps.connections[0]


def test_without_board_files_there_is_no_preset(tmp_path):
    build = write(tmp_path / "build", make("b"), replace(ZCU102, board_part=""))
    ran = run(build, "vitis")
    assert ran.status == 0 and "apply_bd_automation" not in ran.names()


def test_weights_have_ports_of_their_own():
    assert share_ports(make("b"), PORTS) == {
        PORTS[0]: ["weights_0"], PORTS[1]: ["weights_1"],
        PORTS[2]: ["program", "image", "output"], PORTS[3]: ["params", "constants"],
    }  # fmt: skip
    # Where weights take all, the last ports are shared first.
    assert share_ports(make("b"), PORTS[:2]) == {
        PORTS[0]: ["weights_0", "params", "constants"],
        PORTS[1]: ["weights_1", "program", "image", "output"],
    }
    assert list(share_ports(make("c"), PORTS[:2])) == list(PORTS[:2])
    with pytest.raises(VitgenError, match="over 2 DRAM ports, the board has 1"):
        share_ports(make("b"), PORTS[:1])


@pytest.mark.parametrize(
    "change",
    [
        dict(part="xczu9eg]"), dict(board_part="xilinx.com:zcu102:part0:$x"), dict(board_part="x y"),
        dict(hp_ports=()), dict(hp_ports=("S_AXI_HP4_FPD",)), dict(hp_ports=("exit",)),
        dict(hp_ports=("S_AXI_HP0_FPD", "S_AXI_HP0_FPD")), dict(port_bits=256),
        dict(connections=("a}; exec ls",)), dict(control="M_AXI_HPM1_FPD"), dict(clock="pl_clk1"),
        dict(interrupt="pl_ps_irq1"), dict(family="versal"),
    ],
)  # fmt: skip
def test_what_would_not_survive_in_tcl_is_refused(change):
    ((key, value),) = change.items()
    part = {"port_bits": "dram"}.get(key, "" if key.endswith("part") else "ps")
    if part:
        change = {part: replace(getattr(ZCU102, part), **change)}
    with pytest.raises(
        VitgenError,
        match=re.escape(str(value[-1] if isinstance(value, tuple) and value else value)),
    ):
        emit_vivado(make("b"), replace(ZCU102, **change), clock_mhz=150.0)


@pytest.mark.parametrize("name", boards.names())
def test_every_board_has_its_block_design(name, road, tmp_path):
    board = boards.load(name)
    engine = replace(make("c"), ultra_banks=("residual", "act"))
    build = write(tmp_path / "build", engine, board)
    ran = run(build, road, engine=engine)
    assert ran.status == 0, ran.err
    design = BlockDesign(ran, accelerator(build, engine, road))
    assert design.faults() == []
    ultra = {cell.removeprefix("bank_").removesuffix("_0") for cell, found in design.cells.items()
             if found.properties.get("ULTRA") == "1"}  # fmt: skip
    assert ultra == ({"residual", "act"} if road == "vitis" else set())
    chosen = [words[1] for words in ran.of("set_property") if words[0] == "board_part"]
    assert chosen and chosen[0].rpartition(":")[0] == board.board_part.rpartition(":")[0]
    assert ["-part", board.part] == ran.of("synth_design")[0][2:]


def test_a_clock_out_of_range_is_refused():
    with pytest.raises(VitgenError, match="nan MHz"):
        emit_vivado(make("b"), ZCU102, clock_mhz=float("nan"))


def test_scripts_of_vitis_hls_in_tcl(tmp_path):
    """The old launcher's script, its paths and commands."""
    engine = make("b")
    build = write(tmp_path / "build", engine)
    scripts = emit_scripts(engine, project="vit_top", part=ZCU102.part, clock_mhz=150.0)
    scripts.under("scripts").write(build)
    data = build / "data"
    data.mkdir()
    for name in ("params", "constants", "image", "weights_0", "weights_1", "logits"):
        (data / f"{name}.bin").write_bytes(bytes(48))
    ran = run_tcl(
        build / "scripts/vitis_hls.tcl", tool="vitis_hls", place=tmp_path / "work",
        env={"STEPS": "csim csynth cosim export"},
    )  # fmt: skip
    assert ran.status == 0, ran.err
    assert ran.names() == [
        "open_project", "set_top", "add_files", "add_files", "add_files", "open_solution", "set_part",
        "create_clock", "csim_design", "csynth_design", "cosim_design", "export_design", "exit",
    ]  # fmt: skip
    exported = ran.of("export_design")[0]
    assert exported == ["-format", "ip_catalog", "-vendor", "xilinx.com", "-library", "hls",
                        "-ipname", "vit_top", "-version", "1.0"]  # fmt: skip
    assert ["-blackbox", f"{build}/rtl/multiply.json"] in ran.of("add_files")


def test_every_build_has_the_scripts():
    files = emit_build(Design("zcu102", 150.0, make("b"), "lut", {}, 1)).files
    for name in ("scripts/vivado.tcl", "scripts/package_rtl.tcl", "rtl/vit_ip.v", "rtl/bank_ram.v"):
        assert name in files
    assert b"xczu9eg-ffvb1156-2-e" in files["scripts/vivado.tcl"]
