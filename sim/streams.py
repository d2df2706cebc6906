"""Ready/valid streams ``<name>_data``, ``_vld``, ``_rdy`` of a module under cocotb.

Values are driven after rising edges and read at falling edges, where everything has settled: what is
valid and ready at a falling edge moves at the next rising one.
"""

import random
from collections.abc import Iterable, Iterator
from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import FallingEdge, RisingEdge

PERIOD_NS = 10


async def start(dut: Any, clock: str = "clk", reset: str = "rst", active: int = 1) -> None:
    """Starts the clock and resets the module."""
    Clock(getattr(dut, clock), PERIOD_NS, unit="ns").start()
    getattr(dut, reset).value = active
    for _ in range(3):
        await RisingEdge(getattr(dut, clock))
    getattr(dut, reset).value = 1 - active
    await RisingEdge(getattr(dut, clock))


def chances(rng: random.Random, stall: float) -> Iterator[bool]:
    """Endless True with probability ``stall``, else False."""
    while True:
        yield rng.random() < stall


class Stream:
    """One stream of ``dut``; ``cycle`` counts the falling edges at which it was looked at."""

    def __init__(self, dut: Any, name: str) -> None:
        self.name, self.clock = name, dut.clk
        self.data, self.vld, self.rdy = (
            getattr(dut, f"{name}_{p}") for p in ("data", "vld", "rdy")
        )

    def moves(self) -> bool:
        """Whether a word moves at the next rising edge."""
        return bool(int(self.vld.value) and int(self.rdy.value))

    async def send(self, words: Iterable[int], stalls: Iterator[bool]) -> None:
        """Offers the words in order, with gaps."""
        for word in words:
            while next(stalls):
                self.vld.value = 0
                await RisingEdge(self.clock)
            self.vld.value, self.data.value = 1, word
            while True:
                await FallingEdge(self.clock)
                moved = self.moves()
                await RisingEdge(self.clock)
                if moved:
                    break
        self.vld.value = 0

    async def receive(self, count: int, stalls: Iterator[bool], limit: int = 20000) -> list[int]:
        """Takes ``count`` words; what is offered must stay as it is until it is taken."""
        words: list[int] = []
        offered = None
        for _ in range(limit):
            if len(words) == count:
                break
            self.rdy.value = 0 if next(stalls) else 1
            await FallingEdge(self.clock)
            found = int(self.data.value) if int(self.vld.value) else None
            assert offered is None or found == offered, f"{self.name}: an offer was changed"
            offered = found
            if self.moves():
                words.append(int(self.data.value))
                offered = None
            await RisingEdge(self.clock)
        self.rdy.value = 0
        assert len(words) == count, f"{self.name}: {len(words)} of {count} words in {limit} cycles"
        return words


async def cycles_of(clock: Any, task: Any) -> int:
    """Rising edges until the coroutine is done."""
    running = cocotb.start_soon(task)
    count = 0
    while not running.done():
        await RisingEdge(clock)
        count += 1
    return count
