"""The AXI4-Lite slave of the accelerator as software sees it: ``ap_ctrl_hs`` by Vitis's rule."""

import threading
from collections.abc import Callable, Iterable, Mapping

from vitgen.emit import registers
from vitgen.emit.registers import Register

START, DONE, IDLE, READY, AUTO_RESTART, INTERRUPT = 0, 1, 2, 3, 7, 9
"""Bits of the control word."""
SOURCES = 0b11
"""Interrupt sources: done and ready."""


class Control:
    """The registers. A host reads and writes words; a run, elsewhere, ends with :meth:`finish`.

    ap_start stays until the run is done and clears itself, unless auto_restart is set: then the next
    run begins. ap_done and ap_ready clear when the control word is read. Interrupt status bits toggle
    where a 1 is written. Words that do not exist read 0, and writing them does nothing.

    Parameters
    ----------
    arguments : of the slave, in order (:func:`vitgen.emit.registers.argument_registers`).
    status : ``status`` and ``cycles`` of the open road; empty for the slave of Vitis.
    start : called with the value of every argument when a run begins, outside any lock.
    interrupt : called with the level of the interrupt line when it changes.
    """

    def __init__(
        self,
        arguments: Iterable[Register],
        status: Iterable[Register],
        start: Callable[[Mapping[str, int]], None],
        interrupt: Callable[[bool], None] = lambda level: None,
    ) -> None:
        self._arguments = list(arguments)
        self._status = {register.offset: register.name for register in status}
        self._start = start
        self._interrupt = interrupt
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """As after the bitstream was loaded."""
        with self._lock:
            self._values = {register.name: 0 for register in self._arguments}
            self._running = self._starting = self._auto_restart = False
            self._flags = 0  # done and ready, until read
            self._global_enable = False
            self._enable = self._pending = 0
            self._line = False
            self._errors = 0
            self._cycles = 0

    @property
    def running(self) -> bool:
        """Whether a run is under way."""
        return self._running

    def read(self, offset: int) -> int:
        """The 32-bit word at byte ``offset``, a multiple of 4."""
        with self._lock:
            if offset == registers.AP_CTRL:
                return self._read_control()
            if offset == registers.GLOBAL_INTERRUPT_ENABLE:
                return int(self._global_enable)
            if offset == registers.INTERRUPT_ENABLE:
                return self._enable
            if offset == registers.INTERRUPT_STATUS:
                return self._pending
            if offset in self._status:
                return self._read_status(self._status[offset])
            register, low = self._argument(offset)
            return 0 if register is None else (self._values[register.name] >> low) & 0xFFFF_FFFF

    def _read_control(self) -> int:
        word = self._starting << START | self._flags
        word |= (not self._running and not self._starting) << IDLE
        word |= self._auto_restart << AUTO_RESTART | self._line << INTERRUPT
        self._flags = 0
        return word

    def _read_status(self, name: str) -> int:
        return (
            self._errors | self._running << registers.RUNNING
            if name == registers.STATUS
            else (self._cycles & 0xFFFF_FFFF)
        )

    def _argument(self, offset: int) -> tuple[Register | None, int]:
        """The argument that has a word at ``offset``, and the word's lowest bit in it."""
        for register in self._arguments:
            if register.offset <= offset < register.offset + 4 * register.words:
                return register, 8 * (offset - register.offset)
        return None, 0

    def write(self, offset: int, value: int) -> None:
        """Write the 32-bit word at byte ``offset``, a multiple of 4."""
        begin = False
        with self._lock:
            if offset == registers.AP_CTRL:
                self._auto_restart = bool(value >> AUTO_RESTART & 1)
                begin = bool(value >> START & 1) and not self._running
                if begin:
                    self._begin()
            elif offset == registers.GLOBAL_INTERRUPT_ENABLE:
                self._global_enable = bool(value & 1)
            elif offset == registers.INTERRUPT_ENABLE:
                self._enable = value & SOURCES
            elif offset == registers.INTERRUPT_STATUS:
                self._pending ^= value & SOURCES
            else:
                register, low = self._argument(offset)
                if register is not None:
                    mask = 0xFFFF_FFFF << low & ((1 << register.width) - 1)
                    old = self._values[register.name]
                    self._values[register.name] = old & ~mask | (value << low) & mask
            values = dict(self._values)
        self._drive_line()
        if begin:
            self._start(values)

    def _begin(self) -> None:
        self._running = self._starting = True
        self._errors = self._cycles = 0

    def finish(self, errors: int = 0, cycles: int = 0) -> None:
        """End a run.

        Parameters
        ----------
        errors : bits of the status word beside the running one.
        cycles : that it took; 0 where nothing counts them.
        """
        with self._lock:
            self._running = False
            self._starting = self._auto_restart
            self._flags = 1 << DONE | 1 << READY
            self._pending |= self._enable
            self._errors, self._cycles = errors, cycles
            if self._starting:
                self._begin()
            values = dict(self._values) if self._starting else None
        self._drive_line()
        if values is not None:
            self._start(values)

    def report(self, errors: int) -> None:
        """Error bits of a run that goes on."""
        with self._lock:
            self._errors = errors

    def _drive_line(self) -> None:
        with self._lock:
            level = self._global_enable and self._pending != 0
            changed, self._line = level != self._line, level
        if changed:
            self._interrupt(level)
