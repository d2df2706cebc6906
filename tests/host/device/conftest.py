"""A build of the digits' model, and its accelerator behind raw pynq: no driver between."""

import time
from pathlib import Path

import numpy as np
import pytest
from pynq import DefaultIP, Overlay, allocate

import vitgen as package
from tests.flow.conftest import vitgen  # noqa: F401 - a fixture
from vitgen import ir
from vitgen.host import handoff, open_device, stand_in

PATIENCE = 120
"""Seconds for a run of some milliseconds to some seconds."""
INPUTS = ("program", "params", "image", "constants", "weights_0")


class Raw(DefaultIP):
    """No driver: pynq's registers of the accelerator."""

    bindto = tuple(handoff.IPS.values())


Raw.unregister()  # the shipped driver binds to the same names


class Bench:
    """An overlay, and a buffer for every pointer.

    Parameters
    ----------
    build : directory of the build.
    cached : whether the buffers need flush and invalidate.
    overlay : that is loaded; None loads the stand-in.
    """

    def __init__(self, build: Path, device, *, cached: bool = True, overlay=None) -> None:
        self.device, self.data = device, build / "data"
        self.overlay = overlay or Overlay(str(stand_in(build)), device=device)
        description = self.overlay.ip_dict["vit_top_0"] | {"device": device}
        self.ip = Raw(description)
        self.buffers = {}
        for name in INPUTS:
            content = np.fromfile(self.data / f"{name}.bin", np.uint8)
            self.buffers[name] = allocate(content.shape, "u1", target=device, cacheable=cached)
            self.buffers[name][:] = content
            self.buffers[name].flush()
        self.buffers["output"] = allocate(32, "u1", target=device, cacheable=cached)
        for name, buffer in self.buffers.items():
            self.point(name, buffer.device_address)
        self.ip.register_map.instructions = self.buffers["program"].size // 64

    def point(self, name: str, address: int) -> None:
        stem = f"{name}_r" if name in ("program", "output") else name
        setattr(self.ip.register_map, f"{stem}_1", address & 0xFFFF_FFFF)
        setattr(self.ip.register_map, f"{stem}_2", address >> 32)

    def start(self) -> None:
        self.ip.register_map.CTRL.AP_START = 1

    def end(self) -> int:
        """Wait until the run ends, or never will; the status word."""
        end = time.monotonic() + PATIENCE
        while not self.ip.mmio.read(0) & 4 and self.device.failure is None:
            assert time.monotonic() < end
            time.sleep(0.001)
        return int(self.ip.register_map.status)

    def run(self) -> int:
        self.start()
        status = self.end()
        assert self.device.failure is None, self.device.failure
        return status

    def logits(self) -> np.ndarray:
        self.buffers["output"].invalidate()
        return np.array(self.buffers["output"][:20]).view("<i2")

    def golden(self) -> np.ndarray:
        return np.fromfile(self.data / "logits.bin", "<i2")


@pytest.fixture(scope="session")
def digits(tmp_path_factory) -> Path:
    """Directory of a build with synthetic weights."""
    out = tmp_path_factory.mktemp("host") / "vit_digits"
    package.build("vit_digits", bits="4/8", out=out)
    return out


@pytest.fixture(scope="session")
def graph(digits):
    return ir.load(digits)


@pytest.fixture(scope="session")
def csim(digits):
    """One C-sim for all tests that leave it idle."""
    device = open_device(digits, "csim", raises=False)
    yield device
    device.close()


@pytest.fixture(scope="session")
def loaded(digits, csim):
    """Its overlay, loaded once: every download begins with a new process."""
    return Overlay(str(stand_in(digits)), device=csim)


@pytest.fixture
def bench(digits, csim, loaded):
    csim.activate()
    if csim.failure is not None or not loaded.is_loaded():
        loaded.download()
    return Bench(digits, csim, overlay=loaded)
