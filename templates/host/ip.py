"""The accelerator's registers: where they are and how they work says the ``.hwh``."""

from __future__ import annotations

import asyncio
import threading
import time
import warnings
from collections.abc import Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from pynq import DefaultIP

from .errors import WrongBitstream

# Bits of the control register and of the interrupt registers (Vitis's protocol ap_ctrl_hs).
START, DONE, IDLE = 1, 2, 4
DONE_INTERRUPT = 1

CONTROL, GLOBAL_ENABLE, ENABLE, PENDING = "CTRL", "GIER", "IP_IER", "IP_ISR"
INSTRUCTIONS, STATUS, CYCLES = "instructions", "status", "cycles"
INTERRUPT = "interrupt"

WORD = 0xFFFFFFFF

SHORTEST_POLL = 20e-6
LONGEST_POLL = 5e-3
POLL_SHARE = 1 / 50
"""Polling waits this part of the time that has passed: it finds the end at most 2 % late."""

INTERRUPT_SLICE = 0.1
"""Seconds after which the register is looked at, whether an interrupt has come or not."""

GRACE = 0.05
"""Seconds that an interrupt may take after the register has shown the end."""


class _Loop:
    """An event loop in a thread of its own, for PYNQ's interrupts: they are coroutines of the loop
    that they were created in, and the caller's may be running already, as in a notebook."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="accelerator", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def submit(self, coroutine: Coroutine[Any, Any, Any]) -> Future[Any]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)


_loop: _Loop | None = None


def interrupt_loop() -> _Loop:
    """The loop of this process; made when first asked for, because few designs need one."""
    global _loop
    if _loop is None:
        _loop = _Loop()
    return _loop


class VitTop(DefaultIP):
    """Driver of the accelerator's control slave.

    Registers are found by their names. Vitis appends ``_r`` to names that are words of Verilog and
    splits an address into ``_1`` (low) and ``_2`` (high).

    Raises
    ------
    WrongBitstream : a register that every accelerator has is not in the ``.hwh``.
    """

    bindto = ("xilinx.com:hls:vit_top:1.0", "vitgen:rtl:vit_top:1.0")

    def __init__(self, description: dict[str, Any]) -> None:
        super().__init__(description)
        registers = description.get("registers") or {}
        self._offsets = {name: entry["address_offset"] for name, entry in registers.items()}
        self._wide = {name for name, entry in registers.items() if entry["size"] > 32}
        self._places: dict[str, tuple[int, int]] = {}
        self._control = self._offset(CONTROL)
        self._interrupts_on = False

    @classmethod
    def create(cls, description: dict[str, Any]) -> VitTop:
        """A driver whose interrupt, if there is one, belongs to :func:`interrupt_loop`."""
        if not description.get("interrupts"):
            return cls(description)

        async def make() -> VitTop:
            return cls(description)

        return interrupt_loop().submit(make()).result()

    def _offset(self, *names: str) -> int:
        for name in names:
            if name in self._offsets:
                return int(self._offsets[name])
        raise WrongBitstream(
            f"The .hwh of the bitstream lists no register {names[0]!r}; it lists "
            f"{', '.join(sorted(self._offsets)) or 'none'}.",
            "Export the IP with its register map, as the scripts of the build do.",
        )

    def _word(self, name: str) -> int | None:
        """A register that not every accelerator has."""
        return self.read(self._offsets[name]) if name in self._offsets else None

    @property
    def control(self) -> int:
        """The control register; reading it clears ap_done and ap_ready."""
        return int(self.read(self._control))

    @property
    def status(self) -> int | None:
        """The status register; None where the accelerator has none."""
        return self._word(STATUS)

    @property
    def cycles(self) -> int | None:
        """Clock cycles of the last run; None where none are counted, as in a C simulation."""
        return self._word(CYCLES) or None

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing is about to."""
        return self.control & (START | IDLE) == IDLE

    @property
    def has_interrupt(self) -> bool:
        """Whether an interrupt is wired and PYNQ could bind it."""
        return getattr(self, INTERRUPT, None) is not None

    def _place(self, name: str) -> tuple[int, int]:
        """Offsets of the low and the high word of an address."""
        if name not in self._places:
            self._places[name] = self._find_place(name)
        return self._places[name]

    def _find_place(self, name: str) -> tuple[int, int]:
        for wide in (name, f"{name}_r"):
            if wide in self._wide:
                return self._offset(wide), self._offset(wide) + 4
        return (
            self._offset(f"{name}_1", f"{name}_r_1"),
            self._offset(f"{name}_2", f"{name}_r_2"),
        )

    def set_address(self, name: str, address: int) -> None:
        """Write the address of a buffer."""
        low, high = self._place(name)
        self.write(low, address & WORD)
        self.write(high, address >> 32)

    def address(self, name: str) -> int:
        """The address of a buffer, as the register holds it."""
        low, high = self._place(name)
        return int(self.read(low)) | int(self.read(high)) << 32

    def set_instructions(self, count: int) -> None:
        """Write the length of the program."""
        self.write(self._offset(INSTRUCTIONS, f"{INSTRUCTIONS}_r"), count)

    def start(self) -> None:
        """Start a run; whoever calls has seen that the accelerator is idle."""
        if self.has_interrupt:
            self._arm()
        self.write(self._control, START)

    def _arm(self) -> None:
        self._acknowledge()
        if not self._interrupts_on:
            self.write(self._offset(ENABLE), DONE_INTERRUPT)
            self.write(self._offset(GLOBAL_ENABLE), 1)
            self._interrupts_on = True

    def _acknowledge(self) -> None:
        pending = int(self.read(self._offset(PENDING)))
        if pending:
            self.write(self._offset(PENDING), pending)  # bits toggle where a 1 is written

    def finished(self) -> bool:
        """Whether the run has ended."""
        control = self.control
        return bool(control & DONE) or control & (START | IDLE) == IDLE

    def wait(self, seconds: float, *, polling: bool = False) -> bool:
        """Wait until the run has ended; False if it has not after ``seconds``.

        Parameters
        ----------
        polling : do not use the interrupt, which takes longer than a short run.
        """
        if self.has_interrupt and not polling:
            return self._wait_interrupt(seconds)
        return self._poll(seconds)

    def _poll(self, seconds: float) -> bool:
        begun = time.monotonic()
        while not self.finished():
            passed = time.monotonic() - begun
            if passed >= seconds:
                return False
            pause = min(max(passed * POLL_SHARE, SHORTEST_POLL), LONGEST_POLL)
            time.sleep(min(pause, seconds - passed))
        return True

    def _wait_interrupt(self, seconds: float) -> bool:
        """The interrupt only wakes: whether the run has ended says the register. One that does not
        come, say because another overlay took its line, is given up after the first run."""
        end = time.monotonic() + seconds
        waiting = self._expect_interrupt()
        try:
            while True:
                left = end - time.monotonic()
                came = _complete(waiting, min(INTERRUPT_SLICE, max(left, 0)))
                if self.finished():
                    if not came and not _complete(waiting, GRACE):
                        self._give_up_interrupt()
                    return True
                if left <= 0:
                    return False
                if came:  # of an earlier run
                    self._acknowledge()
                    waiting = self._expect_interrupt()
        except InterruptLost:
            self._give_up_interrupt()
            return self._poll(max(end - time.monotonic(), 0))
        finally:
            waiting.cancel()
            self._acknowledge()

    def _expect_interrupt(self) -> Future[Any]:
        return interrupt_loop().submit(getattr(self, INTERRUPT).wait())

    def _give_up_interrupt(self) -> None:
        warnings.warn(
            "The accelerator's interrupt does not come; it is polled from now on.",
            RuntimeWarning,
            stacklevel=2,
        )
        self.write(self._offset(GLOBAL_ENABLE), 0)
        setattr(self, INTERRUPT, None)


class InterruptLost(Exception):
    """PYNQ cannot wait for the interrupt any more."""


def _complete(waiting: Future[Any], seconds: float) -> bool:
    """Whether the interrupt comes in this time."""
    try:
        waiting.result(timeout=seconds)
    except FutureTimeout:
        return False
    except Exception as error:
        raise InterruptLost(str(error)) from error
    return True
