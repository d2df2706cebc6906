"""The RTL simulation behind a device's registers."""

import re
import threading
from collections.abc import Mapping
from pathlib import Path

from vitgen.csim.loader import SimulationFailed
from vitgen.design.engine import Engine
from vitgen.design.isa import decode_program
from vitgen.design.netlist import processes
from vitgen.host.backend import Buffer, Outcome, Sent
from vitgen.rtl.record import refuse
from vitgen.rtl.simulate import Memory, SimulatedCore

_FAULT = re.compile(r"(\w+): beat \d+ is (?:read|written), beyond")


class RtlBackend:
    """The Verilated core in a process of its own; it counts cycles.

    Parameters
    ----------
    program_file : from :func:`vitgen.rtl.build.build_simulation`.
    engine : what it was built for.
    memory : the board's DRAM.
    """

    def __init__(self, program_file: Path, engine: Engine, memory: Memory) -> None:
        self._program_file, self._engine, self._memory = program_file, engine, memory
        self._core: SimulatedCore | None = None
        self._sent = Sent()
        self._lock = threading.Lock()
        self._closed = False

    def run(self, buffers: Mapping[str, Buffer], instructions: int) -> Outcome:
        """See :class:`vitgen.host.backend.Backend`."""
        core = self._open()
        for name, buffer in buffers.items():
            if self._sent.stale(name, buffer):
                core.put(name, buffer.data.tobytes())
        record, output = core.execute(instructions, buffers["output"].data.size)
        faults = frozenset(_FAULT.findall(record["fault"]))
        buffers["output"].write(output)
        failure = None
        try:
            program = decode_program(buffers["program"].data.tobytes(), instructions)
            refuse(record | {"fault": ""}, program, processes(self._engine))
        except SimulationFailed as error:
            failure = error.report
        return Outcome(record["cycles"], faults, failure)

    def _open(self) -> SimulatedCore:
        with self._lock:
            if self._closed:
                raise RuntimeError("the device is closed")
            if self._core is None:
                self._sent = Sent()
                self._core = SimulatedCore(self._program_file, self._engine, memory=self._memory)
            return self._core

    def reset(self) -> None:
        """End the process: the next run begins in a new one."""
        with self._lock:
            if self._core is not None:
                self._core.kill()
            self._core = None

    def close(self) -> None:
        """End the process, whatever it does."""
        self._closed = True
        self.reset()
