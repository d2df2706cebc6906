"""The interrupt on its way from the accelerator to pynq: an AXI interrupt controller and a UIO device."""

import asyncio
import threading
from collections.abc import Callable
from typing import Protocol

ISR, IPR, IER, IAR, SIE, CIE, IVR, MER = range(0x00, 0x20, 4)
"""Words of the controller (AMD PG099)."""


class Event(Protocol):
    """What pynq waits for."""

    def set(self) -> None:
        """It has happened."""


class Controller:
    """Registers of an AXI interrupt controller with one level-sensitive input.

    Parameters
    ----------
    interrupt : called when the output rises.
    """

    def __init__(self, interrupt: Callable[[], None]) -> None:
        self._interrupt = interrupt
        self._lock = threading.Lock()
        self._input = False
        self._status = self._enable = self._master = 0
        self._line = False

    def drive(self, level: bool) -> None:
        """The input has changed."""
        self._input = level
        self._update()

    def read(self, offset: int) -> int:
        """The word at ``offset``."""
        pending = self._status & self._enable
        words = {ISR: self._status, IPR: pending, IER: self._enable, MER: self._master}
        return words.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """Write the word at ``offset``."""
        with self._lock:
            if offset == IER:
                self._enable = value & 1
            elif offset == SIE:
                self._enable |= value & 1
            elif offset == CIE:
                self._enable &= ~value
            elif offset == IAR:
                self._status &= ~value
            elif offset == MER:
                self._master = value & 3
        self._update()

    def _update(self) -> None:
        with self._lock:
            self._status |= int(self._input)
            line = bool(self._status & self._enable) and self._master == 3
            rises, self._line = line and not self._line, line
        if rises:
            self._interrupt()


class Uio:
    """The processor's interrupt as pynq waits for it: the ``UioController`` of a board."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[tuple[Event, asyncio.AbstractEventLoop]] = []
        self._missed = False

    def add_event(self, event: Event, number: int) -> None:
        """Set ``event`` at the next interrupt, or at once if it came while nobody waited."""
        loop = asyncio.get_event_loop()
        with self._lock:
            if not self._missed:
                self._waiting.append((event, loop))
                return
            self._missed = False
        loop.call_soon(event.set)

    def interrupt(self) -> None:
        """The line has risen; may be called from any thread."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
            self._missed = not waiting
        for event, loop in waiting:
            loop.call_soon_threadsafe(event.set)
