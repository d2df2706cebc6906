"""The interrupt: it wakes the driver, in a plain thread and inside a running event loop, and a run
never depends on it."""

import asyncio

import numpy as np
import pytest

from tests.host.fake import FakeDevice, never, slowly

IMAGE = np.arange(64, dtype=np.uint8).reshape(8, 8)


class Pin:
    """A pynq interrupt: a coroutine that returns when the line has risen."""

    def __init__(self, driver):
        self.event = asyncio.Event()
        self.loop = driver.ip.interrupt_loop()._loop
        self.waits = 0
        self.broken = False

    async def wait(self):
        self.waits += 1
        if self.broken:
            raise RuntimeError("Interrupt invalidated by Overlay change")
        await self.event.wait()
        self.event.clear()

    def rise(self):
        self.loop.call_soon_threadsafe(self.event.set)


@pytest.fixture
def wired(driver, device):
    """An accelerator whose interrupt is bound."""
    import importlib

    driver.ip = importlib.import_module("vitgen_tiny_vit.ip")
    with driver.Accelerator(timeout=5) as vit:
        vit.ip.interrupt = pin = Pin(driver)
        device.ended = pin.rise
        yield vit, pin


def test_it_is_used(wired, device, built):
    vit, pin = wired
    device.behave = slowly(0.05)
    found = vit.predict([IMAGE] * 3)
    assert np.array_equal(found.logits, np.stack([built.logits(IMAGE)] * 3))
    assert pin.waits == 3 and vit.status()["interrupt"]
    assert (device.words[4], device.words[8], device.words[12]) == (1, 1, 0)  # on, acknowledged


def test_inside_a_running_loop(wired, built):
    """As in a notebook: the kernel's loop runs while the cell does."""
    vit, pin = wired

    async def cell():
        return vit.predict(IMAGE)

    assert np.array_equal(asyncio.run(cell()).logits[0], built.logits(IMAGE))
    assert pin.waits == 1


def test_one_that_does_not_come_is_given_up(wired, device, built):
    vit, pin = wired
    device.ended = lambda: None
    with pytest.warns(RuntimeWarning, match="polled from now on"):
        found = vit.predict(IMAGE)
    assert np.array_equal(found.logits[0], built.logits(IMAGE))
    assert not vit.status()["interrupt"] and device.words[4] == 0
    vit.predict(IMAGE)
    assert pin.waits == 1


def test_one_that_pynq_lost_is_given_up(wired, device, built):
    vit, pin = wired
    pin.broken = True
    device.behave = slowly(0.1)
    with pytest.warns(RuntimeWarning, match="polled from now on"):
        found = vit.predict(IMAGE)
    assert np.array_equal(found.logits[0], built.logits(IMAGE))


def test_a_stale_one_does_not_end_a_run(wired, device, built):
    vit, pin = wired
    pin.event.set()
    device.behave = slowly(0.2)
    assert np.array_equal(vit.predict(IMAGE).logits[0], built.logits(IMAGE))
    assert pin.waits == 2


def test_a_device_that_never_answers(wired, device, driver):
    vit, _ = wired
    vit.timeout = 0.3
    device.behave = never
    with pytest.raises(driver.DeviceTimeout):
        vit.predict(IMAGE)
    device.behave = FakeDevice.compute


def test_it_is_bound_in_the_loop_of_the_driver(driver, device, monkeypatch):
    """pynq binds an interrupt to the loop that runs when it is made, and that must be the one in
    which the driver waits for it."""
    import importlib

    ip = importlib.import_module("vitgen_tiny_vit.ip")
    loops = []

    class Bound:
        def __init__(self, fullpath):
            loops.append((asyncio.get_event_loop(), fullpath))

    monkeypatch.setattr("pynq.overlay.Interrupt", Bound)
    description = device.get_bitfile_metadata("").ip_dict["vit_top_0"]
    description |= {
        "device": device,
        "interrupts": {"interrupt": {"fullpath": "vit_top_0/interrupt"}},
    }
    made = ip.VitTop.create(description)
    assert loops == [(ip.interrupt_loop()._loop, "vit_top_0/interrupt")]
    assert made.has_interrupt
