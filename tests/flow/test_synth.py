"""`vitgen synth` with programs in the place of the vendor's: figures, roads, and every way to fail."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.synth.toolchain import Toolchain
from vitgen.flow.build import Build, build
from vitgen.flow.request import BuildRequest
from vitgen.synth import tools

BIT = "bitstream/vit_top.bit"


@pytest.fixture(scope="module")
def built(tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("synth") / "out"
    build(BuildRequest(model=str(tiny), bits="4/8"), out)
    return out


@pytest.fixture
def copy(built, tmp_path):
    return shutil.copytree(built, tmp_path / "copy")


@pytest.fixture
def chain(tmp_path, monkeypatch):
    """An empty tool chain on PATH; RTL of the open road costs minutes and is not what is tested."""
    found = Toolchain(tmp_path / "tools")
    monkeypatch.setattr(tools, "INSTALLS", ())
    monkeypatch.setenv("PATH", f"{found.place}{os.pathsep}/usr/bin{os.pathsep}/bin")
    for variable in ("XILINX_VIVADO", "XILINX_HLS", "XILINX_VITIS_HLS", "XILINX_VITIS"):
        monkeypatch.delenv(variable, raising=False)

    def emit_rtl(self: Build) -> None:
        self.directory.step("rtl", ("design", "emit"), lambda: {"rtl/vit_top.sv": b"module\n"})

    monkeypatch.setattr(Build, "emit_rtl", emit_rtl)
    return found


@pytest.mark.parametrize("unified", [False, True])
def test_from_cpp_to_bitstream(copy, chain, vitgen, unified):
    chain.add_unified() if unified else chain.add_vitis_hls()
    chain.add_vivado("2025.2")
    said = vitgen("synth", copy, "--json")
    assert said.status == 0, said.err
    report = json.loads(said.out)
    found = report["synthesis"]
    assert found["hls"]["tool"] == ("v++ 2025.2" if unified else "vitis_hls 2023.1")
    assert [loop["loop"] for loop in found["hls"]["missed"]] == ["VITIS_LOOP_24_2", "lanes"]
    assert found["vivado"]["road"] == "vitis" and found["vivado"]["met"]
    assert {n: r["vivado"] for n, r in report["resources"].items()} == dict(
        dsp=47, lut=14310, ff=15021, bram36=42, uram=0
    )
    assert all(r["synthesized"] is None for r in report["resources"].values())
    assert (copy / BIT).read_text() == "bits of vitis\n"
    assert (copy / "synthesis/ip/hdl/verilog/vit_top.v").exists()
    manifest = json.loads((copy / "manifest.json").read_text())
    assert {BIT, "bitstream/vit_top.hwh", "synthesis/hls.json"} <= manifest.keys()
    html = (copy / "report.html").read_text()
    assert "VITIS_LOOP_24_2" in html and "worst slack 0.214 ns" in html
    steps = [call.split()[0] for call in chain.calls()]
    assert steps == (["v++", "vitis-run"] if unified else ["vitis_hls"]) + ["vivado"]
    again = vitgen("synth", copy)
    assert again.status == 0 and len(chain.calls()) == len(steps)  # nothing is done twice
    assert "gelu, loop VITIS_LOOP_24_2: II 2 where the pragma asks for II 1" in again.out
    assert "timing met" in again.out


def test_without_vitis_the_open_road_is_taken(copy, chain, vitgen):
    chain.add_vivado()
    said = vitgen("synth", copy, "--json")
    assert said.status == 0, said.err
    assert "Vitis HLS was not found" in said.err and "Taking the open road." in said.err
    found = json.loads(said.out)["synthesis"]
    assert found["hls"] is None and found["vivado"]["road"] == "open"
    assert (copy / BIT).read_text() == "bits of open\n"


def test_the_road_can_be_chosen(copy, chain, vitgen):
    chain.add_vivado()
    chain.add_vitis_hls()
    assert vitgen("synth", copy, "--road", "open").status == 0
    assert [call.split()[0] for call in chain.calls()] == ["vivado"]
    assert vitgen("synth", copy, "--road", "vitis").status == 0
    assert (copy / BIT).read_text() == "bits of vitis\n"


def test_one_tool_at_a_time(copy, chain, vitgen):
    chain.add_vitis_hls()
    said = vitgen("synth", copy, "--only", "vivado", "--road", "vitis")
    assert said.status == 2 and "no IP of Vitis HLS" in said.err
    said = vitgen("synth", copy)
    assert said.status == 2 and "Vivado was not found" in said.err
    assert "`vitgen synth --only hls` works with vitis_hls 2023.1" in said.err
    said = vitgen("synth", copy, "--only", "hls", "--json")
    assert said.status == 0, said.err
    assert json.loads(said.out)["synthesis"]["vivado"] is None
    (chain.place / "vitis_hls").unlink()
    chain.add_vivado()
    said = vitgen("synth", copy, "--only", "vivado", "--json")
    assert said.status == 0, said.err
    found = json.loads(said.out)["synthesis"]
    assert found["vivado"]["road"] == "vitis" and found["hls"] is not None


def test_no_tool_at_all(copy, chain, vitgen):
    before = (copy / "report.json").read_bytes()
    said = vitgen("synth", copy)
    assert said.status == 2
    assert "Vitis HLS was not found" in said.err and "Vivado was not found" in said.err
    assert "`vitgen verify --level rtl` and `vitgen resources` need no vendor tool" in said.err
    said = vitgen("synth", copy, "--only", "hls")
    assert said.status == 2 and "--road open" in said.err
    assert (copy / "report.json").read_bytes() == before


def test_a_clock_that_is_not_met_is_found_wrong(copy, chain, vitgen):
    chain.add_vivado(wns="-0.750", failing=12)
    said = vitgen("synth", copy)
    assert said.status == 1
    assert "timing NOT met at 150 MHz, worst slack -0.750 ns, 12 endpoints fail" in " ".join(
        said.out.split()
    )
    assert (copy / BIT).exists()


@pytest.mark.parametrize(
    "options, said",
    [
        (["--only", "vitis"], "--only is 'vitis'"),
        (["--road", "fast"], "--road is 'fast'"),
        (["--only", "hls", "--road", "open"], "no step of Vitis HLS"),
    ],
)
def test_bad_options(copy, chain, vitgen, options, said):
    done = vitgen("synth", copy, *options)
    assert done.status == 2 and said in done.err


def test_a_tool_that_fails_leaves_the_last_result(copy, chain, vitgen):
    chain.add_vivado()
    assert vitgen("synth", copy).status == 0
    chain.add_vivado("2025.1")  # another release: done again
    (chain.place / "fail").touch()
    said = vitgen("synth", copy)
    assert said.status == 2
    assert "Vivado failed at: starting. ERROR: [vivado 1-2] no licence" in said.err
    assert "synthesis/vivado.log" in said.err
    assert "no licence" in (copy / "synthesis/vivado.log").read_text()
    assert (copy / BIT).read_text() == "bits of open\n"
    (chain.place / "fail").rename(chain.place / "kill")
    said = vitgen("synth", copy)
    assert said.status == 2 and "killed (SIGKILL)" in said.err
    (chain.place / "kill").unlink()
    assert vitgen("synth", copy).status == 0


def test_results_that_are_missing(copy, chain, vitgen):
    chain.add_vitis_hls(ip=False)
    said = vitgen("synth", copy, "--only", "hls")
    assert said.status == 2 and "has left no IP" in said.err
    assert not (copy / "synthesis/hls.json").exists()
    chain.add("vivado", "2024.1", "exit 0\n")
    said = vitgen("synth", copy, "--road", "open")
    assert said.status == 2 and "Vivado has left no report" in said.err
    chain.add_vivado()
    script = (chain.place / "vivado").read_text()
    (chain.place / "vivado").write_text(script.replace("$4/vit_top.hwh", "elsewhere"))
    said = vitgen("synth", copy, "--road", "open")
    assert said.status == 2 and "Vivado has left no vit_top.hwh" in said.err
    assert not (copy / BIT).exists()


def test_a_tool_of_a_release_that_is_too_old(copy, chain, vitgen):
    chain.add_vivado("2019.1")
    said = vitgen("synth", copy, "--road", "open")
    assert said.status == 2 and "vivado 2019.1" in said.err and "too old" in said.err


def test_a_vivado_older_than_the_ip(copy, chain, vitgen):
    chain.add_vitis_hls("2024.1")
    chain.add_vivado("2023.2")
    said = vitgen("synth", copy)
    assert said.status == 2 and "vivado 2023.2 is older than vitis_hls 2024.1" in said.err
    assert chain.calls() == []
    assert vitgen("synth", copy, "--only", "hls").status == 0
    said = vitgen("synth", copy, "--only", "vivado")
    assert said.status == 2 and "older than vitis_hls 2024.1" in said.err


def test_changed_rtl_drops_its_bitstream(copy, chain, vitgen, tiny):
    chain.add_vivado()
    assert vitgen("synth", copy).status == 0
    (copy / "rtl/vit_top.sv").write_text("module other\n")
    report = build(BuildRequest(model=str(tiny), bits="4/8"), copy)
    assert report["synthesis"]["vivado"] is None
    assert not (copy / BIT).exists() and not (copy / "synthesis/vivado.json").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_no_process_and_begins_anew(copy, chain, vitgen, number):
    """Ctrl-C (or the end of a session) for the command as a user runs it, while Vivado works; then the same command again."""
    chain.add_vitis_hls()
    chain.add_vivado()
    assert vitgen("synth", copy, "--only", "hls").status == 0
    (chain.place / "hang").touch()
    command = [sys.executable, "-m", "vitgen.cli", "synth", str(copy), "--only", "vivado"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command, env={**os.environ, "PYTHONPATH": str(root)}, stderr=subprocess.PIPE, text=True
    ) as process:
        while not (chain.place / "hanging").exists() and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number, said
    assert number != signal.SIGINT or "interrupted" in said
    sleeper = int((chain.place / "hanging").read_text())
    assert not Path(f"/proc/{sleeper}").exists()
    assert not (copy / BIT).exists()
    (chain.place / "hang").unlink()
    (copy / "synthesis/vivado/half").write_text("of the killed run")
    assert vitgen("synth", copy, "--only", "vivado").status == 0
    assert (copy / BIT).exists() and not (copy / "synthesis/vivado/half").exists()
    assert [call.split()[0] for call in chain.calls()] == ["vitis_hls", "vivado", "vivado"]
