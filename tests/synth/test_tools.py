"""Where the vendor's tools are looked for, and how a run of one ends."""

import os
import re
import signal
import threading
import time

import pytest

from tests.synth.toolchain import Toolchain
from vitgen.errors import VitgenError
from vitgen.synth import tools
from vitgen.synth.run import VIVADO_PHASES, run


@pytest.fixture
def chain(tmp_path, monkeypatch):
    """An empty tool chain on PATH; nothing of this machine's own is seen."""
    found = Toolchain(tmp_path / "tools")
    monkeypatch.setattr(tools, "INSTALLS", (str(tmp_path / "installed"),))
    monkeypatch.setenv("PATH", f"{found.place}{os.pathsep}/usr/bin{os.pathsep}/bin")
    for variable in ("XILINX_VIVADO", "XILINX_HLS", "XILINX_VITIS_HLS", "XILINX_VITIS"):
        monkeypatch.delenv(variable, raising=False)
    return found


def test_the_launcher_follows_the_release(chain):
    chain.add_vitis_hls("2023.1")
    assert str(tools.find_hls().tool) == "vitis_hls 2023.1"
    chain.add_unified("2024.1")  # its v++ is not yet the one that the scripts take
    assert tools.find_hls().launcher == "vitis_hls"
    chain.add_unified("2024.2")
    found = tools.find_hls()
    assert found.launcher == "unified" and found.tool.version == (2024, 2)
    (chain.place / "vitis-run").unlink()
    assert tools.find_hls().launcher == "vitis_hls"


def test_path_then_variables_then_the_usual_places(chain, tmp_path, monkeypatch):
    for folder, version in (("Vivado/2022.2", "2022.2"), ("2025.1/Vivado", "2025.1")):
        Toolchain(tmp_path / "installed" / folder / "bin").add_vivado(version)
    assert tools.find_vivado().version == (2025, 1)
    Toolchain(tmp_path / "own" / "bin").add_vivado("2023.2")
    monkeypatch.setenv("XILINX_VIVADO", str(tmp_path / "own"))
    assert tools.find_vivado().version == (2023, 2)
    chain.add_vivado("2022.1")
    assert tools.find_vivado().version == (2022, 1)


def test_what_is_not_there(chain):
    with pytest.raises(VitgenError, match="Vitis HLS was not found.*--road open"):
        tools.find_hls()
    with pytest.raises(VitgenError, match="Vivado was not found.*everything else works"):
        tools.find_vivado()


def test_releases_that_are_too_old(chain):
    chain.add_vitis_hls("2020.1")
    with pytest.raises(VitgenError, match=r"vitis_hls 2020.1 in .* is too old.*2021.1 or later"):
        tools.find_hls()
    chain.add_vivado("2019.2")
    with pytest.raises(VitgenError, match="vivado 2019.2"):
        tools.find_vivado()


def test_a_program_that_names_no_version(chain):
    chain.add("vivado", "?")
    with pytest.raises(VitgenError, match="names no version: .*vivado v?"):
        tools.find_vivado()


def program(place, body):
    path = place / "program"
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return [str(path)]


def start(tmp_path, body, said=None):
    say = (said if said is not None else []).append
    run(
        program(tmp_path, body), title="Vivado", place=tmp_path, log=tmp_path / "log",
        phases=VIVADO_PHASES, say=say,
    )  # fmt: skip


def test_phases_are_told_and_all_is_logged(tmp_path):
    said: list[str] = []
    lines = ["Starting synth_design", "Start RTL Component Statistics", "INFO: nothing",
             "Starting Placer Task", "Phase 2.1 Floorplanning | Checksum: 7", "Starting Routing Task",
             "Creating bitstream..."]  # fmt: skip
    start(tmp_path, "\n".join(f"echo '{line}'" for line in lines), said)
    assert said == [
        "synthesis", "synthesis, RTL Component Statistics", "placement",
        "placement: Phase 2.1 Floorplanning", "routing", "writing the bitstream",
    ]  # fmt: skip
    assert (tmp_path / "log").read_text().splitlines() == lines


def test_a_failure_says_phase_and_errors(tmp_path):
    body = "echo Starting Placer Task\n" + "".join(f"echo 'ERROR: [P {n}]'\n" for n in range(5))
    with pytest.raises(VitgenError) as failed:
        start(tmp_path, body + "exit 3")
    text = str(failed.value)
    assert "Vivado failed at: placement. ERROR: [P 0] ERROR: [P 1] ERROR: [P 2] (2 more" in text
    assert str(tmp_path / "log") in text
    with pytest.raises(VitgenError, match="ended with status 4 and said no error"):
        start(tmp_path, "exit 4")
    with pytest.raises(VitgenError, match=r"killed \(SIGKILL\)"):
        start(tmp_path, "kill -9 $$")


def test_a_program_that_cannot_start(tmp_path):
    with pytest.raises(VitgenError, match="cannot be started: No such file"):
        run([str(tmp_path / "none")], title="Vivado", place=tmp_path, log=tmp_path / "log",
            phases=(), say=print)  # fmt: skip


def test_an_interruption_ends_all_of_its_processes(tmp_path):
    """Ctrl-C while a tool and a child of it sleep."""
    body = "sleep 600 & echo $! >child; echo $$ >parent; echo ready; wait"

    def interrupt() -> None:
        while not (tmp_path / "parent").exists() or not (tmp_path / "parent").read_text().strip():
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        start(tmp_path, body)
    for name in ("child", "parent"):
        assert not alive(int((tmp_path / name).read_text()))


def alive(number: int) -> bool:
    """Whether a process runs; one that nobody has collected yet does not."""
    try:
        with open(f"/proc/{number}/stat") as file:
            return re.sub(r"^.*\) ", "", file.read())[0] not in "ZX"
    except FileNotFoundError:
        return False
