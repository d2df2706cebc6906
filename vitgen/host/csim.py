"""The C-sim behind a device's registers."""

import ctypes
import mmap
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vitgen.csim.loader import Library, SimulationFailed
from vitgen.csim.simulate import Accelerator
from vitgen.csim.worker import Worker
from vitgen.design.engine import Engine
from vitgen.design.packing import BEAT_BYTES
from vitgen.emit import wiring
from vitgen.host.backend import Buffer, Outcome, Sent

ADDRESS_BITS = 28
"""Bits of an address and of a length in a request, in beats."""
# From MAP_NORESERVE of <sys/mman.h>: Python 3.11 does not name it.
_NO_RESERVE = 0x4000
_WINDOW = (2 << ADDRESS_BITS) * BEAT_BYTES


class _Window:
    """All that a pointer can reach: a buffer's bytes, and zeros behind them."""

    def __init__(self) -> None:
        self.size = 0
        self._map = mmap.mmap(
            -1, _WINDOW, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE
        )
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))

    def fill(self, data: bytes) -> None:
        data += bytes(-len(data) % BEAT_BYTES)  # a beat is never refused in part
        self._map[: len(data)] = data
        if len(data) < self.size:
            self._map[len(data) : self.size] = bytes(self.size - len(data))
        self.size = len(data)

    def read(self) -> bytes:
        """All of it, in whole beats."""
        return self._map[: self.size]


@dataclass
class _Opened:
    """The worker's side."""

    accelerator: Accelerator
    windows: dict[str, _Window] = field(default_factory=dict)


_opened: _Opened | None = None


def _stream(port: wiring.Port) -> str:
    """The stream of a port's requests, as the C-sim names it."""
    if port.name != port.buffer:
        index = port.name.removeprefix(f"{port.buffer}_")
        return f"{port.buffer.removesuffix('s')}_request[{index}]"
    return f"{port.buffer.removesuffix('s')}_request"


def open_accelerator(library: Path, engine: Engine) -> None:
    """Make this process, a worker's, simulate an accelerator."""
    global _opened
    accelerator = Accelerator(library, engine)
    ports = wiring.ports(engine)
    _opened = _Opened(accelerator, {port.name: _Window() for port in ports})


def load(name: str, data: bytes) -> None:
    """Contents of the memory behind a pointer."""
    assert _opened is not None
    _opened.windows[name].fill(data)


def _reach(library: Library, stream: str) -> int:
    """Bytes from a pointer to the end of the farthest transfer that was asked for on a stream."""
    try:
        tapped = library.tapped(stream)
    except KeyError:  # the run stopped before
        return 0
    if not len(tapped):
        return 0
    # struct dma_request: a bit, and two words of ADDRESS_BITS.
    stop, address, beats = tapped.view(np.uint32).T.astype(np.int64)
    transfers = (stop & 1 == 0) & (beats > 0)
    return int((address + beats)[transfers].max(initial=0)) * BEAT_BYTES


def execute(instructions: int) -> tuple[bytes, frozenset[str], str | None]:
    """Run the program that was loaded.

    Returns
    -------
    The output; pointers with a transfer beyond their end; what went wrong, or None.
    """
    assert _opened is not None
    accelerator, windows = _opened.accelerator, _opened.windows
    ports = wiring.ports(accelerator.engine)
    for port in ports:
        accelerator.library.tap(_stream(port))
    faults, failure = set(), None
    try:
        accelerator.execute({name: w.address for name, w in windows.items()}, instructions)
    except SimulationFailed as error:
        failure = error.report
    output = windows["output"].read()
    for port in ports:
        if _reach(accelerator.library, _stream(port)) > windows[port.name].size:
            faults.add(port.name)
            if port.written:  # nobody clears what was written behind the end
                windows[port.name] = _Window()
    return output, frozenset(faults), failure


class CsimBackend:
    """The compiled C++ in a process of its own.

    Parameters
    ----------
    library : from :func:`vitgen.csim.build.compile_engine`.
    engine : what it was compiled for.
    """

    def __init__(self, library: Path, engine: Engine) -> None:
        self._library, self._engine = library, engine
        self._worker: Worker | None = None
        self._sent = Sent()
        self._lock = threading.Lock()
        self._closed = False

    def run(self, buffers: Mapping[str, Buffer], instructions: int) -> Outcome:
        """See :class:`vitgen.host.backend.Backend`."""
        worker = self._open()
        for name, buffer in buffers.items():
            if self._sent.stale(name, buffer):
                worker.call(load, name, buffer.data.tobytes())
        output, faults, failure = worker.call(execute, instructions)
        buffers["output"].write(np.frombuffer(output, np.uint8))
        return Outcome(faults=faults, failure=failure)

    def _open(self) -> Worker:
        with self._lock:
            if self._closed:
                raise RuntimeError("the device is closed")
            if self._worker is not None:
                return self._worker
            worker = self._worker = Worker()
        self._sent = Sent()
        worker.call(open_accelerator, self._library, self._engine)
        return worker

    def reset(self) -> None:
        """End the process: the next run begins in a new one."""
        with self._lock:
            if self._worker is not None:
                self._worker.close()
            self._worker = None

    def close(self) -> None:
        """End the process, whatever it does."""
        self._closed = True
        self.reset()
