"""The device under raw pynq: runs, faults and what a careless driver meets."""

import asyncio
import itertools
import json
import os
import signal
import threading
import time

import numpy as np
import pynq
import pytest

from tests.host.device.conftest import PATIENCE, Bench
from tests.rtl.engines import ENGINES
from vitgen import boards
from vitgen.data import digits as sample_digits
from vitgen.design.choice import Design
from vitgen.design.isa import INSTRUCTION_BITS
from vitgen.design.packing import pack_image
from vitgen.errors import VitgenError
from vitgen.host import open_device, stand_in
from vitgen.host.backend import Outcome
from vitgen.host.bitfile import bitfile
from vitgen.host.device import SimulatedDevice
from vitgen.host.handoff import hand_off
from vitgen.host.memory import DeviceMemory
from vitgen.reference import predict, preprocess

INSTRUCTION = INSTRUCTION_BITS // 8
POINTERS = ("program", "params", "image", "constants", "weights_0", "output")


def error_of(pointer: str) -> int:
    return 1 << 8 + POINTERS.index(pointer)


def test_images_run_one_after_the_other(bench, csim, graph):
    pictures = sample_digits()[1].images[:3]
    for picture in pictures:
        patches = preprocess(graph.meta, picture).astype(np.int64)
        bench.buffers["image"][:] = pack_image(csim.engine, patches)
        bench.buffers["image"].flush()
        assert bench.run() == 0
        assert (bench.logits() == predict(graph, patches[None])[0]).all()


def test_registers_have_pynqs_names(bench):
    assert bench.ip.register_map.CTRL.AP_IDLE == 1
    assert pynq.Clocks.fclk0_mhz == pytest.approx(150, abs=0.01)
    assert bench.overlay.is_loaded()


def test_a_forgotten_flush_is_not_seen(bench):
    bench.buffers["image"].flush()
    bench.buffers["image"][:] = 0
    bench.run()
    assert (bench.logits() == bench.golden()).all(), "the picture before it"
    bench.buffers["image"].flush()
    bench.run()
    assert (bench.logits() != bench.golden()).any()


def test_a_forgotten_invalidate_shows_old_bytes(bench):
    before = np.array(bench.buffers["output"])
    bench.run()
    assert (np.array(bench.buffers["output"]) == before).all()
    assert (bench.logits() == bench.golden()).all()


def test_part_of_a_buffer_is_flushed(bench):
    image = bench.buffers["image"]
    whole = np.array(image)
    image[:] = 0
    image[: image.size // 2].flush()
    image[:] = whole
    bench.run()
    assert (bench.logits() != bench.golden()).any()
    image[: image.size // 2].flush()
    bench.run()
    assert (bench.logits() == bench.golden()).all()


def test_buffers_without_a_cache(digits, csim, bench, monkeypatch):
    monkeypatch.setattr(csim, "_strict", False)
    bench = Bench(digits, csim, cached=False, overlay=bench.overlay)
    bench.run()
    out = np.array(bench.buffers["output"][:20]).view("<i2")
    assert (out == bench.golden()).all()


def test_output_is_written_where_it_points(bench):
    wide = pynq.allocate(4096, "u1", target=bench.device, cacheable=True)
    bench.point("output", wide.device_address + 64)
    wide[:] = 0xEE
    wide.flush()
    assert bench.run() == 0
    wide.invalidate()
    assert (np.array(wide[64:84]).view("<i2") == bench.golden()).all()
    assert (wide[:64] == 0xEE).all() and (wide[96:] == 0xEE).all()


@pytest.mark.parametrize(
    ("pointer", "place"),
    [
        *itertools.product(POINTERS[1:], ["outside", "unaligned", "too short"]),
        ("program", "too short"),
    ],
)
def test_a_wrong_pointer_is_an_error_bit(bench, pointer, place):
    buffer = bench.buffers[pointer]
    address = buffer.device_address
    if place == "outside":
        bench.point(pointer, address & 0xFFFF_FFFF)  # the high word is lost
    elif place == "unaligned":
        bench.point(pointer, address + 8)
    elif pointer == "program":  # reads on behind its end, where there are zeros: stops
        bench.ip.register_map.instructions = buffer.size // INSTRUCTION + 1
    else:  # one beat is left of two at least
        bench.point(pointer, address + buffer.size - 16)
    bench.start()
    status = bench.end() & ~0b10
    if bench.device.failure is None:
        assert status == error_of(pointer)
        bench.point(pointer, address)
        bench.ip.register_map.instructions = bench.buffers["program"].size // INSTRUCTION
        assert bench.run() == 0 and (bench.logits() == bench.golden()).all(), "it recovers"
    else:  # with zeros for parameters the rows of a product have no end
        assert pointer == "params" and status == error_of(pointer) | 1
        assert "deadlock" in bench.device.failure


def test_a_freed_buffer_is_outside(bench):
    bench.buffers["image"].freebuffer()
    assert bench.run() == error_of("image")


def test_no_instruction_is_illegal(bench):
    bench.ip.register_map.instructions = 0
    assert bench.run() == 0b10


def test_a_stop_in_the_middle_is_illegal(bench):
    program = bench.buffers["program"]
    program[3 * INSTRUCTION] &= 0xF8  # opcode 0
    program.flush()
    # What waits for the cut-off rest stays in the streams: the run may also not end.
    bench.start()
    assert bench.end() & 0b10


def test_a_program_without_a_stop_hangs_until_the_next_download(bench, digits):
    bench.ip.register_map.instructions = 3
    bench.start()
    assert bench.end() == 0b11 and "no stop" in bench.device.failure
    assert not bench.ip.mmio.read(0) & 4
    bench.overlay.download()
    again = Bench(digits, bench.device, overlay=bench.overlay)
    assert again.run() == 0 and (again.logits() == again.golden()).all()


def test_a_crash_of_the_simulation_is_a_hang(digits):
    device = open_device(digits, "csim", raises=False)
    bench = Bench(digits, device)
    bench.run()
    os.kill(device._backend._worker._child.pid, signal.SIGKILL)
    bench.start()
    assert bench.end() == 1 and "SIGKILL" in device.failure
    device.close()


def test_what_vitis_exports_has_no_status(digits, csim):
    csim.activate()
    bench = Bench(digits, csim, overlay=pynq.Overlay(str(stand_in(digits, "hls")), device=csim))
    stand_in(digits)
    assert not hasattr(bench.ip.register_map, "status") and not hasattr(
        bench.ip.register_map, "cycles"
    )
    assert bench.overlay.ip_dict["vit_top_0"]["type"] == "xilinx.com:hls:vit_top:1.0"
    bench.start()
    while not bench.ip.mmio.read(0) & 2:
        time.sleep(0.001)
    assert (bench.logits() == bench.golden()).all()


def test_the_interrupt_wakes_who_waits(bench):
    ip = bench.ip

    async def run() -> None:
        ip.register_map.GIER.Enable = 1
        ip.register_map.IP_IER.CHAN0_INT_EN = 1
        for _ in range(2):
            bench.start()
            # pynq acknowledges a level before its source is cleared: one more is due then.
            while not ip.register_map.IP_ISR.CHAN0_INT_ST:
                await asyncio.wait_for(ip.interrupt.wait(), PATIENCE)
            assert ip.mmio.read(0) & 2
            ip.register_map.IP_ISR.CHAN0_INT_ST = 1
            assert (bench.logits() == bench.golden()).all()

    asyncio.run(run())
    ip.register_map.GIER.Enable = 0


def test_an_address_of_nobody_is_refused(bench):
    with pytest.raises(RuntimeError, match="No slave answers at 0xb0000000"):
        pynq.MMIO(0xB000_0000, 4, device=bench.device).read(0)


def test_another_designs_bitstream_is_refused(csim, tmp_path):
    engine, board = ENGINES["odd"], boards.load("zcu102")
    (tmp_path / "vit_top.bit").write_bytes(bitfile(engine, board))
    (tmp_path / "vit_top.hwh").write_bytes(hand_off(engine, board, 150.0))
    with pytest.raises(RuntimeError, match="this device simulates vit_"):
        pynq.Overlay(str(tmp_path / "vit_top.bit"), device=csim)


def test_a_directory_without_a_build_is_refused(tmp_path):
    with pytest.raises(VitgenError, match="holds no build"):
        open_device(tmp_path, "csim")
    with pytest.raises(VitgenError, match="holds no build"):
        stand_in(tmp_path)


def test_a_build_without_rtl_is_refused(digits):
    with pytest.raises(VitgenError, match="is missing"):
        open_device(digits, "rtl")


def test_an_unknown_kind_is_refused(digits):
    with pytest.raises(VitgenError, match="'fpga'"):
        open_device(digits, "fpga")


class Script:
    """A backend that does what it is told: nothing, until it is let go."""

    def __init__(self, outcome: Outcome | None = None) -> None:
        self.outcome = outcome
        self.entered, self.go = threading.Event(), threading.Event()

    def run(self, buffers, instructions) -> Outcome:
        self.entered.set()
        if self.outcome is None:
            self.go.wait(PATIENCE)
            raise RuntimeError("closed")
        return self.outcome

    def reset(self) -> None:
        """Nothing runs yet."""

    def close(self) -> None:
        self.go.set()


@pytest.fixture
def scripted(digits):
    """Devices with a backend that follows a script."""
    made = []

    def make(outcome: Outcome | None = None, memory: DeviceMemory | None = None) -> SimulatedDevice:
        design = Design.from_json(json.loads((digits / "design.json").read_text()))
        made.append(SimulatedDevice(design.engine, Script(outcome), memory))
        made[-1].activate()
        return made[-1]

    yield make
    for device in made:
        device.close()


def test_a_device_that_never_answers_stays_busy(scripted, digits):
    bench = Bench(digits, scripted())
    bench.start()
    assert bench.ip.mmio.read(0) == 1 and int(bench.ip.register_map.status) == 1
    bench.device.close()
    assert bench.ip.mmio.read(0) == 1


def test_cycles_and_faults_of_the_backend_are_in_the_registers(scripted, digits):
    bench = Bench(digits, scripted(Outcome(cycles=1234, faults=frozenset(["image", "output"]))))
    assert bench.run() == error_of("image") | error_of("output")
    assert int(bench.ip.register_map.cycles) == 1234


def test_memory_runs_out(scripted, digits):
    device = scripted(memory=DeviceMemory(capacity=8192))
    first = pynq.allocate(8192, "u1")
    assert first.device is device
    with pytest.raises(RuntimeError, match="allocation failed"):
        pynq.allocate(1, "u1")
    first.freebuffer()
    pynq.allocate(8192, "u1")


def test_a_buffer_that_nobody_holds_is_freed(scripted):
    scripted(memory=DeviceMemory(capacity=8192))
    for _ in range(3):
        pynq.allocate((2, 4096), "u1")
    view = pynq.allocate((2, 4096), "u1")[1]
    assert view.device_address % 8192 == 4096
    with pytest.raises(RuntimeError):
        pynq.allocate(1, "u1")
