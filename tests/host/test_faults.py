"""What can go wrong with files, memory, device and user: a clear error, no hang, an idle device."""

import _thread
import json
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from tests.host.build import write_bitstream
from tests.host.fake import IDLE, FakeDevice, faulty, never, slowly

IMAGE = np.arange(64, dtype=np.uint8).reshape(8, 8)


def refused(driver, device, error, match, **options):
    """Opening fails as it should; nothing was loaded and nothing is held."""
    downloads = list(device.downloads)
    with pytest.raises(error, match=match) as caught:
        driver.Accelerator(**options)
    assert isinstance(caught.value, driver.AcceleratorError)
    assert caught.value.problem and caught.value.remedy
    assert not device.buffers and device.control == IDLE
    return device.downloads == downloads


# Bitstreams.


def test_no_bitstream(driver, device, built):
    for file in ("vit_top.bit", "vit_top.hwh"):
        (built.path / "bitstream" / file).unlink()
    assert refused(driver, device, driver.WrongBitstream, "no bitstream.*vitgen synth")


@pytest.mark.parametrize("where", ["header", "handoff", "both"])
def test_a_bitstream_of_another_build(driver, device, built, where):
    own = json.loads(next(built.host.glob("*/deployment.json")).read_text())["design"]
    other, suffix = "0123456789abcdef", "hwh" if where == "handoff" else "bit"
    write_bitstream(
        built.path / "bitstream",
        own if where == "handoff" else other,
        handoff=own if where == "header" else other,
    )
    match = f"vit_top.{suffix} holds the design 'vit_{other}.*drives vit_{own}"
    assert refused(driver, device, driver.WrongBitstream, match)


def test_a_bitstream_for_another_board(driver, device, built):
    own = json.loads(next(built.host.glob("*/deployment.json")).read_text())["design"]
    write_bitstream(built.path / "bitstream", own, part="xczu7ev-ffvc1156-2-e")
    assert refused(driver, device, driver.WrongBitstream, "part xczu7ev.*xczu9eg")
    write_bitstream(built.path / "bitstream", own, part="zu9eg-ffvb1156-2-e")
    driver.Accelerator().close()


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda bit, hwh: bit.write_bytes(bit.read_bytes()[:-1]), "cut short"),
        (lambda bit, hwh: bit.write_bytes(bit.read_bytes()[:40]), "not a bitstream with a header"),
        (lambda bit, hwh: bit.write_bytes(b""), "not a bitstream with a header"),
        (lambda bit, hwh: bit.write_bytes(b"\xff" * 5000), "not a bitstream with a header"),
        (lambda bit, hwh: hwh.unlink(), "handoff .* cannot be read.*copy both"),
        (lambda bit, hwh: hwh.write_text("<EDKSYSTEM><SYS"), "damaged"),
        (lambda bit, hwh: hwh.write_text("<EDKSYSTEM/>"), "names no block design"),
    ],
)
def test_a_damaged_bitstream(driver, device, built, damage, match):
    folder = built.path / "bitstream"
    damage(folder / "vit_top.bit", folder / "vit_top.hwh")
    assert refused(driver, device, driver.WrongBitstream, match)


def test_the_bitfile_that_is_asked_for(driver, device, built, tmp_path, monkeypatch):
    other = tmp_path / "elsewhere"
    (built.path / "bitstream").rename(other)
    with driver.Accelerator(other / "vit_top.bit") as vit:
        assert vit.bitfile_name == str(other / "vit_top.bit")
    monkeypatch.setenv("VITGEN_BITFILE", str(other / "vit_top.bit"))
    driver.Accelerator().close()
    assert refused(
        driver, device, driver.WrongBitstream, "cannot be read", bitfile_name=tmp_path / "no.bit"
    )


def test_a_design_without_the_accelerator(driver, device):
    device.vlnv = "somebody:else:vit_top:1.0"
    refused(driver, device, driver.WrongBitstream, "lists no IP of type")


def test_a_handoff_without_registers(driver, device, monkeypatch):
    monkeypatch.setattr(device, "described", dict)
    refused(driver, device, driver.WrongBitstream, "lists no register 'CTRL'; it lists none")


def test_a_bitstream_that_the_board_does_not_take(driver, device, monkeypatch):
    def fail(*_):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(device, "download", fail)
    refused(driver, device, driver.AcceleratorError, "does not take.*for this board")


def test_no_device(driver, monkeypatch):
    import pynq

    monkeypatch.delattr(type(pynq.Device), "_active_device", raising=False)
    monkeypatch.setattr(type(pynq.Device), "devices", property(lambda _: []))
    monkeypatch.delattr(pynq.Device, "_active_device", raising=False)
    with pytest.raises(driver.AcceleratorError, match="no device.*vitgen run"):
        driver.Accelerator()


# Data.


@pytest.mark.parametrize("file", ["weights_1.bin", "program.bin", "params.bin", "constants.bin"])
def test_data_that_is_not_the_builds(driver, device, built, file):
    path = built.path / "data" / file
    content = bytearray(path.read_bytes())
    path.write_bytes(content[:-16])
    refused(driver, device, driver.WrongData, f"{file} has {len(content) - 16} bytes instead of")
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    refused(driver, device, driver.WrongData, f"{file} has the digest .* instead of")
    path.unlink()
    refused(driver, device, driver.WrongData, f"{file} is missing")


@pytest.mark.parametrize("text", ["{", '{"format": 2}', "[]", None])
def test_a_damaged_deployment(driver, device, built, text):
    path = next(built.host.glob("*/deployment.json"))
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    assert refused(driver, device, driver.WrongData, "deployment.json .*(cannot be read|format 1)")


def test_memory_that_is_not_there(driver, device):
    device.memory = 3000
    refused(driver, device, driver.NoMemory, r"\d+ bytes for the buffer \w+ .*cma=")
    assert device.memory == 3000
    device.memory = 1 << 30
    device.next = 0x1000_0008
    refused(driver, device, driver.NoMemory, "multiples of 16")


# A device that misbehaves.


def test_a_device_that_never_answers(driver, device, built):
    device.behave = never
    with driver.Accelerator(timeout=0.2) as vit:
        with pytest.raises(driver.DeviceTimeout, match="0.2 seconds: control 0x1") as caught:
            vit.predict(IMAGE)
        assert (caught.value.control, caught.value.status, caught.value.cycles) == (1, 0, None)
        assert vit.status()["reload"] and not vit.status()["idle"]
        # The next run loads the logic and all data anew.
        device.behave = FakeDevice.compute
        assert np.array_equal(vit.predict(IMAGE).logits[0], built.logits(IMAGE))
        assert len(device.downloads) == 2 and not vit.status()["reload"]
    assert len(device.downloads) == 2 and not device.buffers


def test_closing_stops_a_device_that_hangs(driver, device):
    device.behave = never
    with driver.Accelerator(timeout=0.1) as vit, pytest.raises(driver.DeviceTimeout):
        vit.predict(IMAGE)
    assert len(device.downloads) == 2 and device.control == IDLE and not device.buffers


def test_a_timeout_says_what_the_status_says(driver, device):
    def behave(device: FakeDevice) -> None:
        device.set_status(1 << 0 | 1 << 9)
        never(device)

    device.behave = behave
    with driver.Accelerator(timeout=0.1) as vit:
        with pytest.raises(driver.DeviceTimeout, match="access to params") as caught:
            vit.predict(IMAGE)
        assert caught.value.status == 0x201


def test_a_timeout_without_a_status_register(driver, device, built):
    device.__init__(built, device.tag, counters=False)
    device.behave = never
    with driver.Accelerator(timeout=0.1) as vit:
        with pytest.raises(driver.DeviceTimeout, match="status not available") as caught:
            vit.predict(IMAGE)
        assert caught.value.status is None and caught.value.cycles is None


@pytest.mark.parametrize(
    ("status", "faults"),
    [
        (1 << 1, ["the program is illegal"]),
        (1 << 8, ["the memory answered an access to program with an error"]),
        (
            1 << 1 | 1 << 13 | 1 << 14,
            [
                "the program is illegal",
                "the memory answered an access to weights_1 with an error",
                "the memory answered an access to output with an error",
            ],
        ),
    ],
)
def test_a_device_that_answers_with_an_error(driver, device, built, status, faults):
    device.behave = faulty(status)
    with driver.Accelerator() as vit:
        with pytest.raises(driver.DeviceFault) as caught:
            vit.predict(IMAGE)
        assert caught.value.faults == faults and caught.value.status == status
        assert all(fault in str(caught.value) for fault in faults)
        device.behave = FakeDevice.compute
        assert np.array_equal(vit.predict(IMAGE).logits[0], built.logits(IMAGE))


def test_a_device_that_runs_already(driver, device):
    with driver.Accelerator() as vit:
        device.control = 0
        with pytest.raises(driver.DeviceBusy, match="runs already"):
            vit.predict(IMAGE)
        assert not device.runs
    assert len(device.downloads) == 2  # closing stopped it


def test_registers_that_somebody_else_writes(driver, device, built):
    with driver.Accelerator() as vit:
        device.words[device.offsets["weights_0"]] += 16
        with pytest.raises(driver.DeviceBusy, match="register of weights_0 holds 0x"):
            vit.predict(IMAGE)
        assert not device.runs


# Two who want it.


def test_two_accelerators_of_one_process(driver, device):
    with driver.Accelerator():
        with pytest.raises(driver.DeviceBusy, match="Another Accelerator of this process"):
            driver.Accelerator()
        assert device.buffers  # the first one's
    driver.Accelerator().close()


def test_two_processes(driver, device, built):
    script = textwrap.dedent("""
        import sys, warnings
        warnings.simplefilter("ignore")
        sys.path.insert(0, sys.argv[1])
        from pathlib import Path
        from vitgen_tiny_vit import lock
        lock.FOLDERS = (Path(sys.argv[1]).parent,)
        held = lock.DeviceLock(sys.argv[2])
        print("held", flush=True)
        sys.stdin.read()
    """)
    command = [sys.executable, "-W", "ignore", "-c", script, str(built.host), device.tag]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        try:
            assert other.stdout.readline() == "held\n"
            assert refused(driver, device, driver.DeviceBusy, f"Process {other.pid} uses")
        finally:
            other.kill()
            other.wait()
    driver.Accelerator().close()  # the system released the dead one's lock


def test_a_lock_file_that_cannot_be_opened(driver, device, tmp_path, monkeypatch):
    monkeypatch.setattr(driver.lock, "FOLDERS", (tmp_path / "nowhere",))
    assert refused(driver, device, driver.AcceleratorError, "lock file .* cannot be opened")
    (tmp_path / "target").touch()
    (tmp_path / "links").mkdir()
    name = f"vitgen-{device.tag.replace(' ', '_')}.lock"
    (tmp_path / "links" / name).symlink_to(tmp_path / "target")
    monkeypatch.setattr(driver.lock, "FOLDERS", (tmp_path / "links",))
    assert refused(driver, device, driver.AcceleratorError, "lock file .* cannot be opened")


def test_a_stream_holds_the_device(driver, device, built):
    with driver.Accelerator() as vit:
        stream = vit.predict_stream(iter([IMAGE] * 5))
        next(stream)
        with pytest.raises(driver.DeviceBusy, match="unfinished predict_stream"):
            vit.predict(IMAGE)
        stream.close()
        assert device.control & IDLE
        vit.predict(IMAGE)
        stream = vit.predict_stream(iter([IMAGE] * 5))
        next(stream)
    with pytest.raises(driver.AcceleratorError, match="closed"):
        list(stream)
    assert not device.buffers and device.control & IDLE


# Images.


@pytest.mark.parametrize(
    ("image", "match"),
    [
        (np.zeros((0, 8), np.uint8), "shape \\(0, 8\\) is no image"),
        (np.zeros((8, 8, 2), np.uint8), "is no image"),
        (np.zeros(8, np.uint8), "is no image"),
        (np.zeros((8, 8), np.int64), "array of int64"),
        (np.zeros((8, 8), bool), "array of bool"),
        (np.zeros((3, 8, 8)), "neither uint8"),
        (np.full((8, 8), 1.5), "outside 0..1"),
        (np.full((8, 8), np.nan), "no numbers"),
        (np.zeros((900, 8), np.uint8), "more than 100 times"),
        (None, "NoneType"),
        (7, "int"),
        ([[1, 2]], "list"),
        ("no such file.png", "cannot be read"),
    ],
)
def test_bad_images(driver, device, built, image, match):
    with driver.Accelerator() as vit:
        with pytest.raises(driver.BadImage, match=match):
            vit.predict(image)
        with pytest.raises(driver.BadImage, match=match):
            list(vit.predict_stream([IMAGE, IMAGE, image] if image is not None else [image]))
        assert device.control & IDLE and not vit.status()["reload"]
        assert np.array_equal(vit.predict(IMAGE).logits[0], built.logits(IMAGE))


@pytest.mark.parametrize("images", [[], (), iter([]), np.zeros((0, 8, 8, 1), np.uint8)])
def test_no_images(driver, device, images):
    with driver.Accelerator() as vit, pytest.raises(driver.BadImage, match="no images"):
        vit.predict(images)


def test_bad_settings(driver, device, monkeypatch):
    refused(driver, device, driver.AcceleratorError, "timeout of 0", timeout=0)
    monkeypatch.setenv("VITGEN_TIMEOUT", "soon")
    refused(driver, device, driver.AcceleratorError, "VITGEN_TIMEOUT is 'soon'")
    monkeypatch.setenv("VITGEN_TIMEOUT", "77")
    with driver.Accelerator() as vit:
        assert vit.timeout == 77
        with pytest.raises(driver.AcceleratorError, match="batch of 0"):
            next(vit.predict_stream([IMAGE], 0))


# Ctrl-C.


def interrupting(behave):
    """A device during whose run the user presses Ctrl-C."""

    def run(device: FakeDevice) -> None:
        device.behave = FakeDevice.compute
        time.sleep(0.1)
        _thread.interrupt_main()
        behave(device)

    return run


def test_ctrl_c_waits_for_the_run(driver, device, built):
    device.behave = interrupting(slowly(0.3))
    with driver.Accelerator() as vit:
        with pytest.raises(KeyboardInterrupt):
            vit.predict(IMAGE)
        assert device.control & IDLE and len(device.runs) == 1
        assert not vit.status()["reload"]
        assert np.array_equal(vit.predict(IMAGE).logits[0], built.logits(IMAGE))
    assert len(device.downloads) == 1


def test_ctrl_c_in_a_stream(driver, device, built):
    device.behave = interrupting(slowly(0.2))
    with driver.Accelerator() as vit:
        with pytest.raises(KeyboardInterrupt):
            list(vit.predict_stream([IMAGE] * 4))
        assert device.control & IDLE
        vit.predict(IMAGE)


def test_ctrl_c_in_a_run_that_hangs(driver, device, built):
    device.behave = interrupting(never)
    with driver.Accelerator(timeout=0.5) as vit:
        with pytest.raises(KeyboardInterrupt):
            vit.predict(IMAGE)
        assert vit.status()["reload"]
        assert np.array_equal(vit.predict(IMAGE).logits[0], built.logits(IMAGE))
        assert len(device.downloads) == 2


def test_ctrl_c_twice(driver, device):
    def behave(device: FakeDevice) -> None:
        for _ in range(2):
            time.sleep(0.2)
            _thread.interrupt_main()
        never(device)

    device.behave = behave
    begun = time.monotonic()
    with driver.Accelerator(timeout=30) as vit:
        with pytest.raises(KeyboardInterrupt):
            vit.predict(IMAGE)
        assert vit.status()["reload"]
    assert time.monotonic() - begun < 25  # neither run nor wait ran to the timeout
    assert device.control == IDLE and threading.active_count() < 50
