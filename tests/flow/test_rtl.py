"""``rtl/`` of a build: the accelerator as it was simulated, the same bytes for the same design."""

import json
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.emit.tools import run_tcl
from tests.flow.conftest import files_of
from vitgen.boards import Board
from vitgen.design.choice import Design
from vitgen.design.instance import engine_for
from vitgen.design.needs import needs_of
from vitgen.emit.wiring import ports
from vitgen.errors import VitgenError
from vitgen.flow.build import Build, build, verify
from vitgen.flow.precision import Settled, Tell, settle
from vitgen.flow.request import BuildRequest
from vitgen.flow.waveform import Waveform
from vitgen.ir import Graph
from vitgen.rtl.verilator import find_verilator

SHARED = {"stream_fifo.sv", "process_ram.sv"}
SHELL = {"vit_top.sv", "control.sv", "axi_read.sv", "axi_write.sv"}
MODULE = re.compile(r"^\s*module (\w+)", re.MULTILINE)


@pytest.fixture(scope="module")
def small():
    """The smallest engine in the place of the one that fills the board; nothing is counted."""

    def choose(graph: Graph, board: Board, clock: float, array: str) -> Design:
        engine = engine_for(
            needs_of(graph), array=array, group_lanes=2, groups=1, dsp_rows=2, pot_rows=1,
            weight_ports=1, weight_fifo=16, requant_lanes=1, gelu_lanes=1, softmax_lanes=1,
            norm_lanes=1,
        )  # fmt: skip
        return Design(board.name, clock, engine, "lut", {"lut": 0.1}, 1)

    def unsearched(request: BuildRequest, tell: Tell) -> Settled:
        return replace(settle(request, tell), outcome=None)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vitgen.flow.steps.settle", unsearched)
        patch.setattr("vitgen.flow.steps.choose_design", choose)
        patch.setattr(Build, "count_resources", lambda self: None)
        yield


@pytest.fixture(scope="module")
def built(small, tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("rtl") / "out"
    request = BuildRequest(model=str(tiny), bits="4/8", seed=1)
    return request, out, build(request, out, verify="rtl")


def rtl_of(out) -> dict[str, str]:
    return {
        name.removeprefix("rtl/"): data.decode()
        for name, data in files_of(out).items()
        if name.startswith("rtl/")
    }


def test_it_is_the_whole_accelerator(built):
    _, out, report = built
    assert report["verification"]["rtl"]["mismatches"] == 0
    texts = rtl_of(out)
    assert {"vit_core.sv", "multiply.json", "dispatch_process.sv"} | SHARED | SHELL <= set(texts)
    defined = [
        m for name, text in texts.items() if name != "multiply.json" for m in MODULE.findall(text)
    ]
    assert len(defined) == len(set(defined)), "every module is there once"
    assert {"vit_top", "vit_core", "token_group", "multiply_array"} <= set(defined)
    digest = json.loads((out / "manifest.json").read_text())
    assert {f"rtl/{name}" for name in texts} <= set(digest)
    for name, text in texts.items():
        assert str(out) not in text and not re.search(r"/(tmp|home|root|work)/", text), name


def test_vivado_gets_all_of_it(built, tmp_path):
    """What the script puts into the IP elaborates by itself, below the top module of the IP."""
    _, out, _ = built
    design = Design.from_json(json.loads((out / "design.json").read_text()))
    buses = ["s_axi_control", *(f"m_axi_gmem_{port.name}" for port in ports(design.engine))]
    ran = run_tcl(
        out / "scripts/vivado.tcl", ["open", "-", str(tmp_path / "bit")], tool="vivado",
        place=tmp_path / "work", buses=buses,
    )  # fmt: skip
    assert ran.status == 0, ran.err
    packaged = ran.commands[: ran.names().index("close_project")]
    files = [file for name, *words in packaged if name == "add_files" for word in words
             for file in word.split() if file.startswith("/")]  # fmt: skip
    assert {"vit_ip.v", "vit_core.sv"} <= {Path(file).name for file in files}
    tool = find_verilator()
    command = [
        tool.command,
        "--lint-only",
        "-Wno-fatal",
        "-Wno-lint",
        "-Wno-style",
        "--top-module",
        "vit_ip",
    ]
    environment = dict(os.environ)
    if tool.root is not None:
        environment["VERILATOR_ROOT"] = str(tool.root)
    done = subprocess.run(
        [*command, *files], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_its_bytes_depend_on_the_design_alone(built, small, tiny, tmp_path):
    """And a build without a simulation has those of the array."""
    _, out, _ = built
    other = BuildRequest(model=str(tiny), bits="4/8", seed=2)
    build(other, tmp_path / "out")
    assert (tmp_path / "out/data/weights_0.bin").read_bytes() != (
        out / "data/weights_0.bin"
    ).read_bytes()
    found, all_of_it = rtl_of(tmp_path / "out"), rtl_of(out)
    assert found.items() < all_of_it.items()
    assert "multiply.json" in found and "multiply_array.v" in found
    verify(tmp_path / "out", level="rtl", images=1)
    assert rtl_of(tmp_path / "out") == all_of_it


def test_a_changed_file_is_written_again(built):
    request, out, report = built
    before = files_of(out)
    file = out / "rtl/gelu_process.sv"
    file.write_text(file.read_text() + "\n")
    assert build(request, out, verify="rtl") == report
    assert files_of(out) == before


def test_a_build_without_simulation_keeps_no_changed_file(built):
    """What was simulated is gone, so its result is too."""
    request, out, report = built
    file = out / "rtl/gelu_process.sv"
    file.write_text(file.read_text() + "\n")
    assert build(request, out)["verification"]["rtl"] is None
    assert not file.exists() and (out / "rtl/multiply.json").exists()
    assert build(request, out, verify="rtl") == report


@pytest.mark.slow  # a second compilation
def test_a_waveform_has_the_cycles_of_its_window(built, tmp_path):
    _, out, report = built
    file = tmp_path / "run.vcd"
    assert verify(out, level="rtl", images=1, vcd=file, window="100:120") == report
    text = file.read_text()
    times = [int(time) for time in re.findall(r"^#(\d+)$", text, re.MULTILINE)]
    assert (times[0], times[-1]) == (200, 241)  # two a cycle
    assert "dispatch_i" in text
    beyond = report["verification"]["rtl"]["cycles"] + 1
    with pytest.raises(VitgenError, match=f"the run has {beyond - 1}"):
        verify(out, level="rtl", images=1, vcd=file, window=f"{beyond}:{beyond}")


@pytest.mark.parametrize("window", ["", "5", "5:", "9:8", "-1:4", "1:2:3", "a:b", "1:" + "9" * 19])
def test_a_bad_window_is_refused(tmp_path, window):
    with pytest.raises(VitgenError, match=re.escape(f"--window is {window!r}")):
        Waveform.asked("rtl", tmp_path / "x.vcd", window)


def test_options_that_do_not_fit(tmp_path):
    with pytest.raises(VitgenError, match="no waveform is asked for"):
        Waveform.asked("rtl", None, "1:2")
    with pytest.raises(VitgenError, match="not simulated"):
        Waveform.asked("csim", tmp_path / "x.vcd", None)
    for place in (tmp_path, tmp_path / "none" / "x.vcd"):
        with pytest.raises(VitgenError, match="no place for a file"):
            Waveform.asked("rtl", place, None)
    assert Waveform.asked("rtl", None, None) is None
