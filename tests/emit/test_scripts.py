"""Scripts for Vitis HLS, run against stand-ins of its launchers."""

import os
import subprocess

import pytest

from tests.emit.engines import make
from vitgen.emit.scripts import emit_scripts
from vitgen.errors import VitgenError

PART = "xczu9eg-ffvb1156-2-e"


def emit(array="hls", **changes):
    arguments = dict(project="vit_top", part=PART, clock_mhz=150.0) | changes
    return emit_scripts(make("b", array), **arguments)


@pytest.fixture
def build(tmp_path):
    """A build directory whose path has no surprises, with launchers that log their arguments."""
    data = tmp_path / "build" / "data"
    data.mkdir(parents=True)
    sizes = dict(params=48, constants=16, image=33, weights_0=160, weights_1=160, logits=20)
    for name, size in sizes.items():
        (data / f"{name}.bin").write_bytes(bytes(size))
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("v++", "vitis-run"):
        (tools / name).write_text(f'#!/bin/sh\necho {name} "$@" >>"$LOG"\n')
        (tools / name).chmod(0o755)
    return tmp_path / "build"


def run(build, *steps, array="hls"):
    emit(array).under("scripts").write(build)
    log = build.parent / "log"
    env = {
        "PATH": f"{build.parent / 'tools'}{os.pathsep}{os.environ['PATH']}",
        "LOG": str(log),
    }
    done = subprocess.run(
        ["bash", build / "scripts/run_hls.sh", *steps], cwd=build.parent, env=env,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done, log.read_text().splitlines() if log.exists() else []


def test_steps_of_the_new_launcher(build):
    done, log = run(build)
    assert done.returncode == 0, done.stderr
    where = "--config vit_top/hls_config.cfg --work_dir vit_top/hls"
    assert log == [
        f"vitis-run --mode hls --csim {where}",
        f"v++ --compile --mode hls {where}",
        f"vitis-run --mode hls --package {where}",
    ]
    config = (build.parent / "vit_top/hls_config.cfg").read_text()
    settings = dict(line.split("=", 1) for line in config.splitlines() if line[:1].isalpha())
    assert settings["part"] == PART
    assert settings["clock"] == "6.667ns"
    assert settings["syn.file"] == f"{build}/hls/vit_top.cpp"
    assert settings["csim.argv"] == f"{build}/data csim"
    flags = settings["tb.cflags"].split()
    assert flags[0] == "-std=c++14"
    assert flags == settings["syn.cflags"].split()
    assert "-DALLOW_EMPTY_HLS_STREAM_READS" not in flags
    for size in ("PROGRAM=24", "PARAMS=3", "IMAGE=3", "CONSTANTS=1", "WEIGHTS=10", "OUTPUT=2"):
        name, _, beats = size.partition("=")
        assert f"-DCOSIM_{name}_BEATS={beats}" in flags


def test_only_cosimulation_may_read_empty_streams(build):
    done, log = run(build, "csynth", "cosim")
    assert done.returncode == 0 and len(log) == 2
    config = (build.parent / "vit_top/hls_config.cfg").read_text()
    assert config.count(" -DALLOW_EMPTY_HLS_STREAM_READS\n") == 2
    assert f"cosim.argv={build}/data cosim\n" in config


def test_an_unknown_step_runs_nothing(build):
    done, log = run(build, "csim", "impl")
    assert done.returncode == 2
    assert "impl is no step" in done.stderr
    assert log == []


def test_a_failing_step_ends_the_script(build):
    (build.parent / "tools/vitis-run").write_text("#!/bin/sh\nexit 1\n")
    done, log = run(build)
    assert done.returncode == 1
    assert log == []


def test_the_rtl_array_must_be_there_for_synthesis(build):
    done, log = run(build, "csynth", array="dsp48")
    assert done.returncode == 2
    assert "rtl/multiply.json is missing" in done.stderr
    assert log == []
    (build / "rtl").mkdir()
    (build / "rtl/multiply.json").write_text("{}")
    done, log = run(build, "csynth", array="dsp48")
    assert done.returncode == 0
    config = (build.parent / "vit_top/hls_config.cfg").read_text()
    assert f"syn.blackbox.file={build}/rtl/multiply.json\n" in config
    assert "multiply.json" not in emit("hls").texts()["run_hls.sh"]


def test_the_old_launcher_gets_the_same(build):
    text = emit().texts()["vitis_hls.tcl"]
    for line in ("set_top vit_top", f"set_part {PART}", "create_clock -period 6.667 -name default"):
        assert f"\n{line}\n" in text
    order = [text.index(f"{step}_design") for step in ("csim", "csynth", "cosim", "export")]
    assert order == sorted(order)
    assert text.count("{") == text.count("}")
    assert text.count("[") == text.count("]")


@pytest.mark.parametrize(
    "change, said",
    [
        (dict(project="x; exec rm"), "x; exec rm"),
        (dict(project=""), "''"),
        (dict(part="xc]zu9"), "xc]zu9"),
        (dict(part="$(x)"), "FPGA part"),
        (dict(clock_mhz=0.0), "0.0 MHz"),
        (dict(clock_mhz=float("nan")), "nan"),
    ],
)
def test_what_would_not_survive_is_refused(change, said):
    with pytest.raises(VitgenError) as refused:
        emit(**change)
    assert said in str(refused.value)
