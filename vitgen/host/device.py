"""A ``pynq.Device`` whose programmable logic is a simulation of the accelerator."""

import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pynq.interrupt
import pynq.ps
from numpy.typing import DTypeLike
from pynq import Device
from pynq.buffer import PynqBuffer
from pynq.pl_server.embedded_device import parse_bit_header
from pynqmetadata.frontends import Metadata
from pynqmetadata.views.runtime import RuntimeMetadataParser

from vitgen.design.engine import BEAT_BITS, Engine
from vitgen.design.isa import INSTRUCTION_BITS, Opcode, offsets
from vitgen.emit import registers, wiring
from vitgen.emit.hls import design_digest
from vitgen.host import handoff
from vitgen.host.backend import Backend, Buffer, Outcome
from vitgen.host.control import Control
from vitgen.host.interrupts import Controller, Uio
from vitgen.host.memory import DeviceMemory

_log = logging.getLogger(__name__)

_INSTRUCTION_BYTES = INSTRUCTION_BITS // 8
# Clock registers of the processing system (AMD UG1087), 0x100 bytes each, and their words that are
# not 0: the IOPLL multiplies 33.333 MHz by 90 and halves it.
_CLOCK_REGISTERS = (0xFF5E_0000, 0xFD1A_0000)
_CLOCK_RESET = {0xFF5E_0020: 90 << 8 | 1 << 16}


class AcceleratorStopped(RuntimeError):
    """The simulated accelerator has stopped for good, or was ended."""


class SimulatedDevice(Device):
    """A Zynq UltraScale+ with one accelerator, in this process.

    pynq downloads to it, allocates from it and reads and writes its registers as on a board. A run
    begins with ap_start, goes on in the background and finds program, weights and image by the
    addresses in the registers. A run that would hang a board stays busy here, too, and
    :attr:`failure` says why.

    Parameters
    ----------
    engine : of the accelerator.
    backend : what executes it; the device closes it.
    memory : its DRAM.
    tag : pynq's name of the device, the same for every process that shares it.
    raises : whether a register of an accelerator that has stopped for good raises
        :class:`AcceleratorStopped`; a board only stays busy.
    strict : whether every buffer is cached, also one that the caller asked for without a cache (as
        pynq does unless told): so a driver that forgets a flush is found out.
    """

    arch = pynq.ps.ZU_ARCH

    def __init__(
        self,
        engine: Engine,
        backend: Backend,
        memory: DeviceMemory | None = None,
        *,
        tag: str = "vitgen",
        raises: bool = False,
        strict: bool = True,
    ) -> None:
        super().__init__(tag)
        self._raises = raises
        self._strict = strict
        self.capabilities = {"REGISTER_RW": True}
        self.engine = engine
        self.name = self.tag
        self.failure: str | None = None
        self._backend = backend
        self._memory = memory or DeviceMemory()
        self._clocks = dict(_CLOCK_RESET)
        self._slaves: dict[int, Control | Controller] = {}  # by base address
        self._control: Control | None = None
        self._run: threading.Thread | None = None
        self._generation = 0  # of the bitstream: a run outlives a download no more than on a board
        self._uio = Uio()

    # -- pynq: bitstream

    def get_bitfile_metadata(self, bitfile_name: str, partial: bool = False) -> Any:
        """What the hand-off file says, by the parser that pynq has on a board."""
        return RuntimeMetadataParser(Metadata(input=str(Path(bitfile_name).with_suffix(".hwh"))))

    def download(self, bitstream: Any, parser: Any = None) -> None:
        """Put the design of a bitstream into the logic.

        Raises
        ------
        RuntimeError : the file is damaged, or of a design that this device does not simulate.
        """
        header = parse_bit_header(Path(bitstream.bitfile_name).read_bytes())
        own = f"vit_{design_digest(self.engine)}_wrapper"
        if header["design"] != own:
            raise RuntimeError(
                f"{bitstream.bitfile_name} holds {header['design']}; this device simulates {own}"
            )
        self._reset()
        self._slaves = {}
        pins = parser.interrupt_pins if parser is not None else {}
        for description in (parser.ip_dict if parser is not None else {}).values():
            if description["type"] in handoff.IPS.values():
                self._place(description, f"{handoff.ACCELERATOR}/interrupt" in pins)
        self.post_download(bitstream, parser)

    def _reset(self) -> None:
        self._generation += 1
        self.failure = None
        self._backend.reset()

    def _place(self, description: Mapping[str, Any], interrupting: bool) -> None:
        """The accelerator's slave, and the interrupt controller's where it is wired."""
        controller = Controller(self._uio.interrupt)
        status = description["type"] == handoff.IPS["rtl"]
        self._control = Control(
            registers.argument_registers(self.engine),
            registers.status_registers(self.engine) if status else (),
            self._begin,
            controller.drive,
        )
        self._slaves[description["phys_addr"]] = self._control
        if interrupting:
            self._slaves[handoff.BASES[handoff.CONTROLLER]] = controller

    # -- pynq: memory

    def allocate(self, shape: Any, dtype: DTypeLike, cacheable: int = 0, **_: Any) -> PynqBuffer:
        """A buffer, as a board gives it: not coherent.

        Raises
        ------
        RuntimeError : the memory is full.
        """
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        region = self._memory.allocate(size, cached=self._strict or bool(cacheable))
        buffer = PynqBuffer(
            shape, dtype, buffer=region.host, device=self, device_address=region.address,
            bo=region.address, coherent=False,
        )  # fmt: skip
        # So that freebuffer, and the end of the array, give the memory back.
        buffer.memory, buffer.pointer, buffer.return_to = self._memory, region.address, self
        buffer.freed = True  # by a board's own means, which are not here
        return buffer

    def return_pointer(self, pointer: int) -> None:
        """Called by pynq when a buffer is freed."""
        self._memory.free(pointer)

    def flush(self, bo: int, offset: int, vaddr: int, nbytes: int) -> None:
        """Write cached bytes of a buffer, or of a part of it, back to the DRAM."""
        self._memory.flush(bo + offset, nbytes)

    def invalidate(self, bo: int, offset: int, vaddr: int, nbytes: int) -> None:
        """Drop cached bytes of a buffer, or of a part of it: the DRAM's count."""
        self._memory.invalidate(bo + offset, nbytes)

    # -- pynq: registers

    def _slave(self, address: int) -> tuple[Control | Controller, int]:
        for base, slave in self._slaves.items():
            if base <= address < base + handoff.RANGE:
                return slave, address - base
        raise RuntimeError(
            f"No slave answers at {address:#x}; a board would hang or stop the process"
        )

    def read_registers(self, address: int, length: int) -> bytes:
        """Words from ``address`` on."""
        words = []
        for place in range(address, address + length, 4):
            if any(base <= place < base + 0x100 for base in _CLOCK_REGISTERS):
                words.append(self._clocks.get(place, 0))
            else:
                slave, offset = self._slave(place)
                if self._raises and self.failure is not None:
                    raise AcceleratorStopped(self.failure)
                words.append(slave.read(offset))
        return np.array(words, "<u4").tobytes()

    def write_registers(self, address: int, data: bytes) -> None:
        """Words from ``address`` on."""
        for index, word in enumerate(np.frombuffer(bytes(data), "<u4")):
            place = address + 4 * index
            if any(base <= place < base + 0x100 for base in _CLOCK_REGISTERS):
                self._clocks[place] = int(word)
            else:
                slave, offset = self._slave(place)
                slave.write(offset, int(word))

    # -- the accelerator

    def _begin(self, values: Mapping[str, int]) -> None:
        self._run = threading.Thread(
            target=self._execute, args=(values, self._control, self._generation), daemon=True,
            name=f"{self.tag} run",
        )  # fmt: skip
        self._run.start()

    def _buffer(self, address: int) -> Buffer:
        region = self._memory.find(address)
        if region is None or address % (BEAT_BITS // 8):
            return Buffer()
        return Buffer(region, address - region.address)

    def _execute(self, values: Mapping[str, int], control: Control, generation: int) -> None:
        try:
            errors, outcome = self._outcome(values)
        except Exception as error:  # noqa: BLE001 - what stops a simulation hangs a board
            errors, outcome = 0, Outcome(failure=str(error))
        if generation != self._generation:
            return
        if outcome.failure is None:
            control.finish(errors, outcome.cycles)
        else:
            control.report(errors)
            self.failure = outcome.failure
            _log.warning("%s: the accelerator has stopped: %s", self.tag, self.failure)

    def _outcome(self, values: Mapping[str, int]) -> tuple[int, Outcome]:
        """Run the program in the buffers; the bits of the status word beside the running one."""
        ports = [port.name for port in wiring.ports(self.engine)]
        buffers = {name: self._buffer(values[name]) for name in ports}
        count = values[wiring.INSTRUCTIONS]
        if count == 0:
            return 1 << registers.ILLEGAL, Outcome()
        stops = _stops(buffers["program"], count)
        if not stops:
            failure = f"there is no stop in the {count} instructions of the program"
            return 1 << registers.ILLEGAL, Outcome(failure=failure)
        outcome = self._backend.run(buffers, stops[0] + 1)
        faults = set(outcome.faults)
        if buffers["program"].data.size < count * _INSTRUCTION_BYTES:
            faults.add("program")
        errors = sum(1 << registers.FIRST_ERROR + ports.index(name) for name in faults)
        return errors | (stops[0] != count - 1) << registers.ILLEGAL, outcome

    def close(self) -> None:
        """End the simulation, whatever it does. A run that goes on never ends."""
        self._generation += 1
        self.failure = self.failure or "the device was closed"
        self._backend.close()
        if self._run is not None:
            self._run.join(timeout=10)

    # -- this process

    def activate(self) -> None:
        """Make it the device that pynq uses."""
        Device.active_device = self
        # pynq keeps the clocks of the first device that it saw.
        if hasattr(pynq.ps.Clocks, "_real_instance"):
            del pynq.ps.Clocks._real_instance
        pynq.ps.Clocks.set_device(self)
        # And takes a board's first interrupt line for a file of its kernel's.
        first_line = 121
        pynq.interrupt._InterruptController._uio_devices[first_line] = self._uio
        pynq.interrupt._InterruptController._last_timestamp = None


def _stops(program: Buffer, count: int) -> list[int]:
    """Places of the stops among ``count`` instructions; memory that is not there reads 0."""
    low, width = offsets()["opcode"]
    data = program.data[: count * _INSTRUCTION_BYTES]
    words = np.zeros(count * _INSTRUCTION_BYTES, np.uint8)
    words[: data.size] = data
    first = words.reshape(count, _INSTRUCTION_BYTES)[:, 0] >> low & (1 << width) - 1
    return [int(i) for i in np.flatnonzero(first == Opcode.STOP)]
