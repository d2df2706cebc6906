"""FIFOs against a deque, RAMs against a list; the wrapper names them ``fifo_<depth>``, ``ram``, ``bank``."""

import os
import random
from collections import deque
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge

from sim.streams import Stream, start

FIFOS = [tuple(map(int, pair.split("x"))) for pair in os.environ["FIFOS"].split(",")]
RAM = tuple(map(int, os.environ["RAM"].split("x")))  # depth, width
SEED = int(os.environ["SEED"])
STALLS = [(0.0, 0.0), (0.5, 0.1), (0.1, 0.5), (0.5, 0.5), (0.0, 0.9), (0.9, 0.0)]


class Fifo:
    """A FIFO beside its model; :meth:`cycle` steps both and compares all that can be seen."""

    def __init__(self, dut: Any, depth: int, width: int) -> None:
        name = f"fifo_{depth}"
        self.clock, self.depth, self.width = dut.clk, depth, width
        self.input, self.output = Stream(dut, f"{name}_in"), Stream(dut, f"{name}_out")
        self.count, self.empty = getattr(dut, f"{name}_count"), getattr(dut, f"{name}_empty")
        self.latency = 2 if depth > 64 else 1
        self.words: deque[tuple[int, int]] = deque()  # word, cycle from which it is offered
        self.now = 0

    async def cycle(self, push: int | None, pop: bool) -> bool:
        """One clock cycle; whether the word was taken in."""
        self.input.vld.value = push is not None
        if push is not None:
            self.input.data.value = push
        self.output.rdy.value = pop
        await FallingEdge(self.clock)
        offered = bool(self.words) and self.words[0][1] <= self.now
        room = len(self.words) < self.depth or (self.depth == 1 and pop)
        assert int(self.output.vld.value) == offered, f"depth {self.depth}, cycle {self.now}"
        assert int(self.input.rdy.value) == room, f"depth {self.depth}, cycle {self.now}"
        assert int(self.count.value) == len(self.words)
        assert int(self.empty.value) == (not self.words)
        if offered:
            assert int(self.output.data.value) == self.words[0][0], f"depth {self.depth}"
            if pop:
                self.words.popleft()
        if room and push is not None:
            self.words.append((push, self.now + self.latency))
        await RisingEdge(self.clock)
        self.now += 1
        return room and push is not None

    async def drain(self) -> None:
        """Takes all that is left; then nothing is offered and nothing taken."""
        while self.words:
            await self.cycle(None, True)
        await self.cycle(None, False)


@cocotb.test(timeout_time=300, timeout_unit="us")
async def fifo_random(dut: Any) -> None:
    """Every depth with every pair of stall rates, full and empty met again and again."""
    rng = random.Random(SEED)
    await start(dut)
    for depth, width in FIFOS:
        fifo = Fifo(dut, depth, width)
        for gap, stall in STALLS:
            push = None
            for _ in range(120):
                if push is None and rng.random() >= gap:
                    push = rng.getrandbits(width)
                if await fifo.cycle(push, rng.random() >= stall):
                    push = None
        await fifo.drain()


@cocotb.test(timeout_time=300, timeout_unit="us")
async def fifo_fill(dut: Any) -> None:
    """Filled to the last place without a pop, then drained in as many cycles as words."""
    rng = random.Random(SEED + 1)
    await start(dut)
    for depth, width in FIFOS:
        fifo = Fifo(dut, depth, width)
        for number in range(depth + 3):
            assert await fifo.cycle(rng.getrandbits(width), False) == (number < depth)
        for _ in range(depth + 2):
            await fifo.cycle(None, True)
        assert not fifo.words
        await fifo.drain()


@cocotb.test(timeout_time=300, timeout_unit="us")
async def fifo_full_rate(dut: Any) -> None:
    """A word in and a word out in every cycle, empty and with all places but one taken."""
    rng = random.Random(SEED + 2)
    await start(dut)
    for depth, width in FIFOS:
        for kept in sorted({0, depth - 1}):
            fifo = Fifo(dut, depth, width)
            for _ in range(kept):
                await fifo.cycle(rng.getrandbits(width), False)
            for _ in range(100):
                assert await fifo.cycle(rng.getrandbits(width), True)
            await fifo.drain()


@cocotb.test(timeout_time=300, timeout_unit="us")
async def ram_random(dut: Any) -> None:
    """Reads with stalls beside writes; a read sees what was written in cycles before its own."""
    depth, width = RAM
    rng = random.Random(SEED + 3)
    await start(dut)
    request, response, write = (Stream(dut, f"ram_{n}") for n in ("rd_req", "rd_resp", "wr_req"))
    words = [rng.getrandbits(width) for _ in range(depth)]
    for address, word in enumerate(words):
        write.vld.value, write.data.value = 1, address << width | word
        await RisingEdge(dut.clk)
    expected: deque[int] = deque()
    address = None
    answers = 0
    for cycle in range(1500):
        busy, slow = (0.0, 0.0) if cycle < 300 else (0.3, rng.choice([0.1, 0.7]))
        if address is None and rng.random() >= busy:
            address = rng.randrange(depth)
        request.vld.value = address is not None
        request.data.value = address or 0
        response.rdy.value = rng.random() >= slow
        place, word = rng.randrange(depth), rng.getrandbits(width)
        writing = rng.random() < 0.5
        write.vld.value, write.data.value = writing, place << width | word
        await FallingEdge(dut.clk)
        assert int(write.rdy.value) == 1
        if cycle < 300:
            assert request.moves(), "an unstalled reader reads in every cycle"
        if response.moves():
            assert int(response.data.value) == expected.popleft(), f"cycle {cycle}"
            answers += 1
        if request.moves():
            expected.append(words[address])
            address = None
        if writing:
            words[place] = word
        await RisingEdge(dut.clk)
    assert answers > 600


@cocotb.test(timeout_time=300, timeout_unit="us")
async def bank_random(dut: Any) -> None:
    """The two ports that Vitis HLS expects of a RAM: an answer a cycle after its address, which stays
    while nothing is read; a write without its enable is none."""
    depth, width = RAM
    rng = random.Random(SEED + 4)
    await start(dut)
    words: list[int | None] = [None] * depth
    expected: int | None = None
    seen = 0
    for _ in range(1500):
        read, enabled, write = rng.random() < 0.6, rng.random() < 0.8, rng.random() < 0.8
        place, target, word = rng.randrange(depth), rng.randrange(depth), rng.getrandbits(width)
        dut.bank_rd_ce.value, dut.bank_rd_address.value = read, place
        dut.bank_wr_ce.value, dut.bank_wr_we.value = enabled, write
        dut.bank_wr_address.value, dut.bank_wr_data.value = target, word
        await FallingEdge(dut.clk)
        if expected is not None:
            assert int(dut.bank_rd_data.value) == expected
            seen += 1
        if read:
            expected = words[place]
        if enabled and write:
            words[target] = word
        await RisingEdge(dut.clk)
    assert seen > 1000
