"""``vitgen run``: the shipped driver on simulated devices, against the reference."""

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from vitgen.data import digits as sample_digits
from vitgen.host import open_device, stand_in
from vitgen.host.package import load_package
from vitgen.reference import predict, preprocess

PACKAGE = "vitgen_vit_digits"


def reference(graph, image) -> list[int]:
    return predict(graph, preprocess(graph.meta, image).astype(np.int64)[None])[0].tolist()


@pytest.fixture
def driver(digits, csim):
    """The shipped package, and the C-sim as its device."""
    csim.activate()
    return load_package(digits)


def test_twenty_digits(driver, digits, graph):
    images = sample_digits()[1].images[:20]
    with driver.Accelerator(str(stand_in(digits)), timeout=300) as vit:
        found = vit.predict(list(images)).logits
        assert vit.status()["interrupt"]
    assert found.tolist() == [reference(graph, image) for image in images]


def test_a_stream_gives_the_same(driver, digits, graph):
    images = list(sample_digits()[1].images[20:25])
    with driver.Accelerator(str(stand_in(digits)), timeout=300) as vit:
        found = [row for p in vit.predict_stream(images, batch=2) for row in p.logits.tolist()]
    assert found == [reference(graph, image) for image in images]


def test_single_instructions_give_the_same(driver, digits, graph):
    image = sample_digits()[1].images[30]
    with driver.Accelerator(str(stand_in(digits)), timeout=300) as vit:
        profile = vit.profile(image)
    assert profile.predictions.logits.tolist() == [reference(graph, image)]
    assert sum(layer.seconds for layer in profile.layers) > 0, "by the host's clock"


def test_a_driver_that_forgets_a_flush_is_found_out(driver, digits, monkeypatch):
    from pynq.buffer import PynqBuffer

    for method in ("flush", "invalidate"):
        with driver.Accelerator(str(stand_in(digits)), timeout=300) as vit:
            vit.predict([sample_digits()[1].images[1]])  # the golden one is another
            monkeypatch.setattr(PynqBuffer, method, lambda self: None)
            with pytest.raises(driver.DeviceFault, match="logits are wrong"):
                vit.self_test()
            monkeypatch.undo()
            vit.self_test()


def test_the_golden_input(vitgen, digits):
    said = vitgen("run", digits, "--json")
    result = json.loads(said.out)
    (answer,) = result["images"]
    assert said.status == 0 and answer["equal"] and answer["name"] == "golden input"
    assert len(answer["top"]) == 5 and answer["cycles"] is None and result["mismatches"] == 0


def test_digits_from_the_command_line(vitgen, digits):
    result = json.loads(vitgen("run", digits, "--images", 3, "--json").out)
    labels = sample_digits()[1].labels[:3]
    assert [a["label"] for a in result["images"]] == [str(label) for label in labels]
    assert all(a["equal"] for a in result["images"])
    assert result["accuracy"] is None, "synthetic weights"
    shown = vitgen("run", digits, "--images", 1)
    assert "1 of 1 equal the integer reference" in shown.out and "digit 0" in shown.out


def test_pictures_of_every_kind(vitgen, digits, tmp_path):
    grey = (sample_digits()[1].images[3][0] * 255).round().astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "digit.png")
    Image.fromarray(np.kron(grey, np.ones((5, 4), np.uint8))).save(tmp_path / "large.jpg")
    np.save(tmp_path / "byte.npy", grey)
    np.save(tmp_path / "real.npy", sample_digits()[1].images[3])
    names = ["digit.png", "large.jpg", "byte.npy", "real.npy"]
    result = json.loads(vitgen("run", digits, *(tmp_path / n for n in names), "--json").out)
    assert [a["name"] for a in result["images"]] == [str(tmp_path / n) for n in names]
    assert result["mismatches"] == 0


def test_a_difference_is_named(vitgen, digits, monkeypatch):
    from vitgen.flow import run

    honest = run.predict

    def wrong(graph, batch):
        logits = honest(graph, batch).copy()
        logits[0, 4] += 1
        return logits

    monkeypatch.setattr(run, "predict", wrong)
    said = vitgen("run", digits, "--images", 2)
    assert said.status == 1 and "2 of 2 pictures differ" in said.err and "logit 4 is" in said.err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--device", "fpga"], "Unknown device 'fpga'"),
        (["--images", "0"], "--images is 0"),
        (["--images", "600"], "--images is 600"),
        (["--images", "1", "x.png"], "Both pictures and --images"),
        (["missing.png"], "cannot be read"),
        (["missing.npy"], "cannot be read"),
        (["--device", "board"], "finds no board"),
        (["--notebook", "x.txt"], "--notebook is x.txt"),
        (["--notebook", "x.ipynb", "--images", "1"], "brings its own picture"),
        (["--notebook", "x.ipynb", "--device", "board"], "runs on a simulated device"),
    ],
)
def test_bad_input_is_refused(vitgen, digits, arguments, problem):
    said = vitgen("run", digits, *arguments)
    assert said.status == 2 and problem in " ".join(said.err.split())


def test_a_pickled_array_is_not_executed(vitgen, digits, tmp_path):
    np.save(tmp_path / "x.npy", np.array([object()]), allow_pickle=True)
    said = vitgen("run", digits, tmp_path / "x.npy")
    assert said.status == 2 and "cannot be read as an array" in said.err


def test_a_wrong_shape_is_refused_by_the_driver_too(vitgen, digits, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((3, 9, 9), np.float32))
    assert vitgen("run", digits, tmp_path / "x.npy").status == 2


def test_a_changed_driver_is_not_imported(vitgen, digits, tmp_path):
    import shutil

    copy = shutil.copytree(digits, tmp_path / "copy")
    file = copy / "host" / PACKAGE / "errors.py"
    file.write_text(file.read_text() + "raise SystemExit('executed')\n")
    said = vitgen("run", copy)
    assert said.status == 2 and "its files were changed" in said.err
    said = vitgen("run", tmp_path)
    assert said.status == 2 and "holds no build" in said.err


PROGRAM = """
import sys, time
from pathlib import Path
from vitgen.host import open_device, stand_in
from vitgen.host.package import load_package
build = Path(sys.argv[1])
device = open_device(build, "csim")
driver = load_package(build)
try:
    with driver.Accelerator(str(stand_in(build)), timeout=300) as vit:
        vit.self_test()
        print("open", flush=True)
        sys.stdin.readline()
except driver.DeviceBusy as error:
    print(error, flush=True)
device.close()
"""


def test_two_processes_on_one_device(digits):
    def start():
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(digits)], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    with start() as first:
        assert first.stdout.readline() == "open\n"
        with start() as second:
            assert f"Process {first.pid} uses the accelerator" in second.stdout.readline()
        first.communicate("\n")
    with start() as third:
        assert third.stdout.readline() == "open\n"
        third.communicate("\n")


def test_a_hung_accelerator_times_out_and_recovers(driver, digits, csim, monkeypatch):
    with driver.Accelerator(str(stand_in(digits)), timeout=300) as vit:
        vit.self_test()
        vit.timeout = 2
        real = csim._backend.run
        monkeypatch.setattr(csim._backend, "run", lambda *_: time.sleep(4))
        with pytest.raises(driver.DeviceTimeout, match="did not finish in 2 seconds"):
            vit.self_test()
        monkeypatch.setattr(csim._backend, "run", real)
        vit.timeout = 300
        vit.self_test()
        assert vit.status()["idle"]


def test_why_it_stopped_is_said(digits):
    """Off a board there is no need to wait for the end of a run that has none."""
    device = open_device(digits, "csim")
    driver = load_package(digits)
    with driver.Accelerator(str(stand_in(digits)), timeout=300) as vit:
        device._backend.close()
        begun = time.monotonic()
        with pytest.raises(RuntimeError, match="the device is closed"):
            vit.self_test()
        assert time.monotonic() - begun < 200
    device.close()


def test_ctrl_c_ends_it_at_once(digits):
    command = [sys.executable, "-m", "vitgen.cli", "run", str(digits), "--images", "599"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL) as running:
        time.sleep(4)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    # By its handler, or, where the interpreter was in the middle of an exec, by the signal itself.
    assert running.returncode in (130, -signal.SIGINT)
    assert b"interrupted" in said and b"Traceback" not in said
