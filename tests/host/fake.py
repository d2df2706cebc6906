"""A PYNQ device whose accelerator is the integer reference behind trapped register writes."""

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pynq
from pynq.buffer import PynqBuffer

from tests.host.build import Built
from vitgen.design.packing import from_slots, unpack_lanes
from vitgen.emit.registers import argument_registers, status_registers
from vitgen.emit.wiring import ports
from vitgen.reference import predict

BASE = 0xA000_0000
START, DONE, IDLE, READY = 1, 2, 4, 8
ILLEGAL, FIRST_ERROR = 1, 8
VERILOG_WORDS = ("program",)  # Vitis appends _r to them


class FakeDevice(pynq.Device):
    """One accelerator.

    Parameters
    ----------
    built : what is on it.
    counters : whether it has the registers ``status`` and ``cycles``.
    vlnv : name of the IP in the .hwh.

    Attributes
    ----------
    runs : programs that were executed, encoded.
    downloads : bitstreams that were loaded.
    buffers : those that are allocated, by address.
    behave : what a run does, a function of the device; by default it computes and ends.
    memory : bytes that can be allocated.
    contents : what is in the device's memory, by the address of the buffer; the driver's arrays are
        the caches in front of it.
    ended : called at the end of a run, an interrupt.
    """

    def __init__(
        self,
        built: Built,
        tag: str,
        *,
        counters: bool = True,
        vlnv: str = "vitgen:rtl:vit_top:1.0",
    ) -> None:
        super().__init__(tag)
        self.capabilities = {"REGISTER_RW": True}
        self.built = built
        self.vlnv = vlnv
        self.counters = counters
        self.offsets = {r.name: r.offset for r in argument_registers(built.engine)}
        if counters:
            self.offsets |= {r.name: r.offset for r in status_registers(built.engine)}
        self.runs: list[bytes] = []
        self.downloads: list[str] = []
        self.buffers: dict[int, PynqBuffer] = {}
        self.behave: Callable[[FakeDevice], None] = FakeDevice.compute
        self.memory = 1 << 30
        self.next = 0x1000_0000
        self.contents: dict[int, np.ndarray] = {}
        self.ended: Callable[[], None] = lambda: None
        self.halted = threading.Event()
        self.timestamp = ""
        self.reset_registers()

    # What pynq asks a device for.

    def get_bitfile_metadata(self, bitfile_name: str, partial: bool = False) -> Any:
        ip = {
            "vit_top_0": {
                "type": self.vlnv, "phys_addr": BASE, "addr_range": 0x10000, "state": None,
                "fullpath": "vit_top_0", "parameters": {}, "registers": self.described(),
                "interrupts": {}, "gpio": {}, "mem_id": "s_axi_control", "driver": None,
            },
            "zynq_ultra_ps_e_0": {
                "type": "xilinx.com:ip:zynq_ultra_ps_e:3.4", "phys_addr": 0, "addr_range": 0,
                "fullpath": "zynq_ultra_ps_e_0", "parameters": {}, "registers": {},
                "interrupts": {}, "gpio": {}, "driver": None,
            },
        }  # fmt: skip
        empty: dict[str, Any] = {}
        return SimpleNamespace(
            ip_dict=ip, mem_dict=empty, gpio_dict=empty, interrupt_pins=empty,
            interrupt_controllers=empty, hierarchy_dict=empty, clock_dict=empty, systemgraph=None,
        )  # fmt: skip

    def described(self) -> dict[str, Any]:
        """Registers as a .hwh lists them."""
        found = {"CTRL": 0, "GIER": 4, "IP_IER": 8, "IP_ISR": 12}
        for port in ports(self.built.engine):
            name = f"{port.name}_r" if port.name in VERILOG_WORDS else port.name
            found |= {
                f"{name}_1": self.offsets[port.name],
                f"{name}_2": self.offsets[port.name] + 4,
            }
        found["instructions"] = self.offsets["instructions"]
        for name in ("status", "cycles") if self.counters else ():
            found[name] = self.offsets[name]
        return {
            name: {"address_offset": offset, "size": 32, "access": "read-write", "fields": {},
                   "description": name}
            for name, offset in found.items()
        }  # fmt: skip

    def download(self, bitstream: Any, parser: Any = None) -> None:
        self.downloads.append(bitstream.bitfile_name)
        self.halted.set()
        self.halted = threading.Event()
        self.reset_registers()
        self.post_download(bitstream, parser, "fake")

    def allocate(self, shape: Any, dtype: Any, **_: Any) -> PynqBuffer:
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        if size > self.memory:
            raise RuntimeError("BO allocation failed: no memory")
        self.memory -= size
        buffer = PynqBuffer(shape, dtype=dtype, device_address=self.next, device=self)
        buffer.memory, buffer.pointer, buffer.return_to = self, self.next, self
        self.buffers[self.next] = buffer
        self.contents[self.next] = np.full(size, 0x5A, dtype=np.uint8)
        self.next += size + 0x1000 & ~0xFFF
        buffer.fill(0xA5)  # nothing is zero by accident
        return buffer

    def return_pointer(self, address: int) -> None:
        buffer = self.buffers.pop(address)
        del self.contents[address]
        self.memory += buffer.nbytes
        buffer.freed = True

    def cached(self, address: int) -> tuple[np.ndarray, np.ndarray]:
        """The driver's array at a virtual address, and the memory behind it."""
        for start, buffer in self.buffers.items():
            if buffer.virtual_address == address:
                return np.asarray(buffer), self.contents[start]
        raise AssertionError("no buffer is there")

    def flush(self, bo: Any, offset: int, address: int, size: int) -> None:
        cache, memory = self.cached(address)
        memory[:] = cache

    def invalidate(self, bo: Any, offset: int, address: int, size: int) -> None:
        cache, memory = self.cached(address)
        cache[:] = memory

    def read_registers(self, address: int, length: int) -> bytes:
        offset = address - BASE
        if offset == 0:
            word = self.control
            self.control &= ~(DONE | READY)
            return word.to_bytes(4, "little")
        return self.words.get(offset, 0).to_bytes(4, "little")

    def write_registers(self, address: int, data: bytes) -> None:
        offset, word = address - BASE, int.from_bytes(data, "little")
        if offset == 12:
            self.words[12] = self.words.get(12, 0) ^ word
        elif offset:
            self.words[offset] = word
        elif word & START:
            assert self.control & IDLE, "started while it was running"
            self.control = START
            halted = self.halted

            def run() -> None:
                self.behave(self)
                if not halted.is_set():
                    self.end()

            threading.Thread(target=run, daemon=True).start()

    # The accelerator.

    def reset_registers(self) -> None:
        self.words: dict[int, int] = {}
        self.control = IDLE

    def end(self) -> None:
        if self.words.get(8, 0) & 1:
            self.words[12] = self.words.get(12, 0) | 1
        self.control = DONE | IDLE | READY
        if self.words.get(12, 0) and self.words.get(4, 0):
            self.ended()

    def set_status(self, word: int) -> None:
        self.words[self.offsets["status"]] = word

    def pointer(self, name: str) -> int:
        offset = self.offsets[name]
        return self.words.get(offset, 0) | self.words.get(offset + 4, 0) << 32

    def at(self, name: str) -> np.ndarray:
        """Bytes from where a register points to the end of its buffer."""
        address = self.pointer(name)
        for start, buffer in self.buffers.items():
            if start <= address < start + buffer.nbytes:
                return self.contents[start][address - start :]
        raise AssertionError(f"{name} points to {address:#x}, where no buffer is")

    def compute(self) -> None:
        """The program's logits by the reference, from the image and the weights' bytes in memory."""
        count = self.words[self.offsets["instructions"]]
        code = self.at("program")[: 64 * count].tobytes()
        program, engine = self.built.program, self.built.engine
        for name, expected in (("params", program.params), ("constants", program.constants)):
            assert self.at(name)[: expected.size].tobytes() == expected.tobytes(), name
        for port, weights in enumerate(program.weights):
            assert self.at(f"weights_{port}")[: weights.size].tobytes() == weights.tobytes(), port
        self.runs.append(code)
        if self.counters:
            self.words[self.offsets["cycles"]] = 1000 + len(self.runs)
        tensor = self.built.graph.tensors[self.built.graph.input]
        slots = engine.slots(tensor.tokens)
        words = self.at("image")[: slots * engine.groups * tensor.features * self.word_bytes]
        words = words.reshape(slots, engine.groups, tensor.features, self.word_bytes)
        lanes = unpack_lanes(words, engine.group_lanes, engine.act_bits)
        patches = from_slots(lanes, tensor.tokens)
        logits = predict(self.built.graph, patches[None])[0]
        self.at("output")[: 2 * program.classes] = logits.astype("<i2").view(np.uint8)

    @property
    def word_bytes(self) -> int:
        return self.built.engine.act_load_beats * 16


def slowly(seconds: float) -> Callable[[FakeDevice], None]:
    """A device that takes its time."""

    def behave(device: FakeDevice) -> None:
        time.sleep(seconds)
        device.compute()

    return behave


def never(device: FakeDevice) -> None:
    """A device that hangs until the logic is loaded anew."""
    device.halted.wait()


def faulty(status: int) -> Callable[[FakeDevice], None]:
    """A device that ends with these bits in its status word."""

    def behave(device: FakeDevice) -> None:
        device.compute()
        device.set_status(status)

    return behave
