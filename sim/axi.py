"""Memories behind the masters, and what every AXI4 master must keep to."""

import random
from collections import deque
from collections.abc import Iterable
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge
from cocotbext.axi import AxiRamRead, AxiRamWrite, AxiReadBus, AxiWriteBus

from sim.streams import chances

BEAT = 16  # bytes


class FaultyRead(AxiRamRead):
    """Answers with an error in the byte addresses ``faulty`` of its memory."""

    faulty: range = range(0)

    async def _read(self, address: int, length: int) -> bytes:
        if address % self.size in self.faulty:
            raise ValueError(address)
        return await super()._read(address, length)


class FaultyWrite(AxiRamWrite):
    """Refuses the byte addresses ``faulty`` of its memory."""

    faulty: range = range(0)

    async def _write(self, address: int, data: bytes) -> None:
        if address % self.size in self.faulty:
            raise ValueError(address)
        await super()._write(address, data)


def read_memory(
    dut: Any, prefix: str, clock: Any, reset: Any, memory: bytearray, active: bool = True
) -> FaultyRead:
    """The memory of a reading master; ``active`` is the reset's active level."""
    bus = AxiReadBus.from_prefix(dut, prefix)
    return FaultyRead(bus, clock, reset, active, size=len(memory), mem=memory)


def write_memory(
    dut: Any, prefix: str, clock: Any, reset: Any, memory: bytearray, active: bool = True
) -> FaultyWrite:
    """The memory of a writing master."""
    bus = AxiWriteBus.from_prefix(dut, prefix)
    return FaultyWrite(bus, clock, reset, active, size=len(memory), mem=memory)


def pause(channels: Iterable[Any], rng: random.Random, stall: float) -> None:
    """Lets each channel of a memory stall in a share of all cycles."""
    for channel in channels:
        channel.set_pause_generator(chances(random.Random(rng.getrandbits(32)), stall))


async def slow_memory(dut: Any, prefix: str, clock: Any, memory: bytes, latency: int) -> None:
    """A memory that answers a beat per cycle, ``latency`` cycles after the address, any number of
    bursts at a time."""
    port = {name: getattr(dut, f"{prefix}_{name}") for name in (
        "ARVALID", "ARREADY", "ARADDR", "ARLEN", "RVALID", "RDATA", "RRESP", "RLAST", "RID")}  # fmt: skip
    beats: deque[tuple[int, int]] = deque()  # cycle from which it may go, byte address
    port["ARREADY"].value, port["RRESP"].value, port["RID"].value = 1, 0, 0
    port["RLAST"].value = 0
    now = 0
    while True:
        there = bool(beats) and beats[0][0] <= now
        port["RVALID"].value = there
        if there:
            address = beats.popleft()[1]
            port["RDATA"].value = int.from_bytes(memory[address : address + BEAT], "little")
        await FallingEdge(clock)
        if int(port["ARVALID"].value):
            address = int(port["ARADDR"].value)
            for beat in range(int(port["ARLEN"].value) + 1):
                beats.append((now + latency + beat, address + BEAT * beat))
        await RisingEdge(clock)
        now += 1


class Watch:
    """Looks at a master's address channel in every cycle: protocol, bursts and what is open."""

    def __init__(self, dut: Any, prefix: str, clock: Any, written: bool, most: int) -> None:
        self.letters = "W" if written else "R"
        self.dut, self.prefix, self.clock, self.most = dut, prefix, clock, most
        self.bursts: list[tuple[int, int]] = []  # byte address, beats
        self.open = 0  # beats asked for but not answered, or bursts without a response
        self.highest = 0
        cocotb.start_soon(self._run())

    def signal(self, name: str) -> int:
        """A signal of the bus."""
        return int(getattr(self.dut, f"{self.prefix}_{name}").value)

    async def _run(self) -> None:
        address = f"A{self.letters}"
        held = None
        while True:
            await FallingEdge(self.clock)
            valid = self.signal(f"{address}VALID")
            now = (self.signal(f"{address}ADDR"), self.signal(f"{address}LEN")) if valid else None
            assert held is None or now == held, "a burst was withdrawn or changed"
            held = now
            if now is not None and self.signal(f"{address}READY"):
                self._burst(*now)
                held = None
            if self.letters == "R":
                assert self.signal("RREADY") == 1, "the master has room for what it asked for"
                self.open -= self.signal("RVALID")
            else:
                self.open -= self.signal("BVALID") and self.signal("BREADY")

    def _burst(self, address: int, last: int) -> None:
        letters = f"A{self.letters}"
        assert self.signal(f"{letters}SIZE") == 4 and self.signal(f"{letters}BURST") == 1
        assert address % BEAT == 0 and last < 16
        assert address // 4096 == (address + BEAT * last) // 4096, f"{address:#x} + {last + 1}"
        self.bursts.append((address, last + 1))
        self.open += last + 1 if self.letters == "R" else 1
        self.highest = max(self.highest, self.open)
        assert self.open <= self.most


def random_memory(rng: random.Random, size: int) -> bytearray:
    """Bytes of a memory."""
    return bytearray(rng.randbytes(size))


def beats_of(memory: bytes, beat: int, count: int) -> list[int]:
    """``count`` beats from beat ``beat`` on, as numbers."""
    return [
        int.from_bytes(memory[BEAT * (beat + i) : BEAT * (beat + i + 1)], "little")
        for i in range(count)
    ]


def request(address: int, beats: int, stop: bool = False) -> int:
    """A ``dma_request``: members from bit 0 on, in their order."""
    return int(stop) | address << 1 | beats << 29
