"""The AXI4 masters: ``read`` (4 bursts of 16 on their way), ``fast`` (8), ``write``."""

import os
import random
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge

from sim.axi import (
    BEAT,
    Watch,
    beats_of,
    pause,
    random_memory,
    read_memory,
    request,
    slow_memory,
    write_memory,
)
from sim.streams import Stream, chances, cycles_of, start

SEED = int(os.environ["SEED"])
SIZE = 1 << 14  # bytes of memory
MOST = {"read": 64, "fast": 128, "write": 4}
STALLS = [0.0, 0.3, 0.8]


async def restart(dut: Any, name: str, base: int) -> None:
    """Begins a run of a master."""
    getattr(dut, f"{name}_base").value = base
    assert int(getattr(dut, f"{name}_stopped").value) == 1
    getattr(dut, f"{name}_restart").value = 1
    await RisingEdge(dut.clk)
    getattr(dut, f"{name}_restart").value = 0
    await RisingEdge(dut.clk)


async def until_stopped(dut: Any, name: str) -> None:
    """Waits for the end of a run."""
    for _ in range(2000):
        await FallingEdge(dut.clk)
        if int(getattr(dut, f"{name}_stopped").value):
            await RisingEdge(dut.clk)
            return
        await RisingEdge(dut.clk)
    raise AssertionError(f"{name} does not stop")


def random_requests(rng: random.Random, base: int, count: int) -> list[tuple[int, int]]:
    """Addresses and lengths in beats, inside the memory, among them 0, 1 and many."""
    beats = SIZE // BEAT - base // BEAT
    lengths = [rng.choice([0, 1, 16, 17, rng.randint(0, 100)]) for _ in range(count)]
    return [(rng.randint(0, beats - length), length) for length in lengths]


@cocotb.test()
async def reads(dut: Any) -> None:
    """Random requests under random stalls on every channel, on both masters."""
    rng = random.Random(SEED)
    await start(dut)
    for name in ("read", "fast"):
        memory = random_memory(rng, SIZE)
        slave = read_memory(dut, f"{name}_m_axi", dut.clk, dut.rst, memory)
        watch = Watch(dut, f"{name}_m_axi", dut.clk, False, MOST[name])
        for stall in STALLS:
            pause([slave.ar_channel, slave.r_channel], rng, stall)
            watch.bursts.clear()
            base = BEAT * rng.randrange(300)
            asked = random_requests(rng, base, 12)
            await restart(dut, name, base)
            words = [request(*one) for one in asked] + [request(5, 7, stop=True)]
            expected = [w for a, n in asked for w in beats_of(memory, base // BEAT + a, n)]
            requests, beats = Stream(dut, f"{name}_request"), Stream(dut, f"{name}_beats")
            sending = cocotb.start_soon(requests.send(words, chances(rng, stall)))
            found = await beats.receive(len(expected), chances(rng, stall))
            assert found == expected, f"seed {SEED}, {name}, stall {stall}"
            await sending
            await until_stopped(dut, name)
            assert int(getattr(dut, f"{name}_error").value) == 0
            assert int(beats.vld.value) == 0 and watch.open == 0
            assert sum(n for _, n in watch.bursts) == len(expected)


@cocotb.test()
async def read_rate(dut: Any) -> None:
    """256 beats take 256 cycles and what fills the pipe, up to the latency that hides."""
    rng = random.Random(SEED)
    await start(dut)
    memory = random_memory(rng, SIZE)
    for name, latency, offset in (("read", 46, 0), ("fast", 40, 0), ("fast", 109, 0),
                                  ("read", 40, 5)):  # fmt: skip
        server = cocotb.start_soon(slow_memory(dut, f"{name}_m_axi", dut.clk, memory, latency))
        await restart(dut, name, 0)
        requests, beats = Stream(dut, f"{name}_request"), Stream(dut, f"{name}_beats")
        words = [request(offset, 256), request(0, 0, stop=True)]
        cocotb.start_soon(requests.send(words, chances(rng, 0)))
        cycles = await cycles_of(dut.clk, beats.receive(256, chances(rng, 0)))
        assert cycles <= 256 + latency + 5, f"{name}: {cycles} cycles at latency {latency}"
        await until_stopped(dut, name)
        server.cancel()


@cocotb.test()
async def read_holds(dut: Any) -> None:
    """With nobody taking beats a master asks for what its FIFO holds and no more."""
    rng = random.Random(SEED + 1)
    await start(dut)
    memory = random_memory(rng, SIZE)
    for name in ("read", "fast"):
        read_memory(dut, f"{name}_m_axi", dut.clk, dut.rst, memory)
        watch = Watch(dut, f"{name}_m_axi", dut.clk, False, MOST[name])
        await restart(dut, name, 0)
        requests, beats = Stream(dut, f"{name}_request"), Stream(dut, f"{name}_beats")
        await requests.send([request(0, 300)], chances(rng, 0))
        for _ in range(400):
            await RisingEdge(dut.clk)
        assert sum(n for _, n in watch.bursts) == MOST[name]
        assert await beats.receive(300, chances(rng, 0)) == beats_of(memory, 0, 300)
        await requests.send([request(0, 0, stop=True)], chances(rng, 0))
        await until_stopped(dut, name)


@cocotb.test()
async def read_errors(dut: Any) -> None:
    """Beats before an error are right, that one and all after are zeros, all arrive; a restart
    forgets the error."""
    rng = random.Random(SEED + 2)
    await start(dut)
    memory = random_memory(rng, SIZE)
    slave = read_memory(dut, "read_m_axi", dut.clk, dut.rst, memory)
    pause([slave.ar_channel, slave.r_channel], rng, 0.2)
    watch = Watch(dut, "read_m_axi", dut.clk, False, MOST["read"])
    requests, beats = Stream(dut, "read_request"), Stream(dut, "read_beats")
    words = [request(0, 40), request(100, 50), request(300, 3), request(0, 0, stop=True)]
    right = beats_of(memory, 0, 40) + beats_of(memory, 100, 50) + beats_of(memory, 300, 3)
    for first in (None, 0, 33, 39, 40, 77, 92, None):
        place = None if first is None else ([*range(40), *range(100, 150), 300, 301, 302][first])
        slave.faulty = range(0) if place is None else range(BEAT * place, BEAT * place + BEAT)
        await restart(dut, "read", 0)
        assert int(dut.read_error.value) == 0
        watch.bursts.clear()
        sending = cocotb.start_soon(requests.send(words, chances(rng, 0.1)))
        found = await beats.receive(93, chances(rng, 0.1))
        wrong = 93 if first is None else first
        assert found == right[:wrong] + [0] * (93 - wrong), f"seed {SEED}, error at {first}"
        await sending
        await until_stopped(dut, "read")
        assert int(dut.read_error.value) == (first is not None)
        if first == 0:  # no more than had been asked for before the answer
            assert sum(n for _, n in watch.bursts) <= 64


@cocotb.test()
async def read_flush(dut: Any) -> None:
    """Beats that nobody took before the stop are gone after the restart."""
    rng = random.Random(SEED + 3)
    await start(dut)
    memory = random_memory(rng, SIZE)
    for name in ("read", "fast"):
        read_memory(dut, f"{name}_m_axi", dut.clk, dut.rst, memory)
        requests, beats = Stream(dut, f"{name}_request"), Stream(dut, f"{name}_beats")
        for address in (0, 50):
            await restart(dut, name, 0)
            words = [request(address, 20), request(0, 0, stop=True)]
            await requests.send(words, chances(rng, 0))
            assert await beats.receive(4, chances(rng, 0)) == beats_of(memory, address, 4)
            await until_stopped(dut, name)
        # A master that is stopped takes no request.
        requests.vld.value = 1
        for _ in range(5):
            await FallingEdge(dut.clk)
            assert int(requests.rdy.value) == 0
            await RisingEdge(dut.clk)
        requests.vld.value = 0


async def write_run(
    dut: Any, rng: random.Random, asked: list[tuple[int, int]], stall: float
) -> list[int]:
    """Requests with their beats, each one's ``done`` awaited, then a stop; the beats."""
    requests, beats = Stream(dut, "write_request"), Stream(dut, "write_beats")
    done = Stream(dut, "write_done")
    words = [rng.getrandbits(128) for _ in range(sum(n for _, n in asked))]
    sent = [request(*one) for one in asked] + [request(9, 9, stop=True)]
    tasks = [cocotb.start_soon(requests.send(sent, chances(rng, stall))),
             cocotb.start_soon(beats.send(words, chances(rng, stall)))]  # fmt: skip
    assert await done.receive(len(asked), chances(rng, stall)) == [1] * len(asked)
    for task in tasks:
        await task
    await until_stopped(dut, "write")
    return words


@cocotb.test()
async def writes(dut: Any) -> None:
    """Random requests under random stalls; nothing else in memory changes."""
    rng = random.Random(SEED + 4)
    await start(dut)
    memory = random_memory(rng, SIZE)
    expected = bytearray(memory)
    slave = write_memory(dut, "write_m_axi", dut.clk, dut.rst, memory)
    watch = Watch(dut, "write_m_axi", dut.clk, True, MOST["write"])
    for stall in STALLS:
        pause([slave.aw_channel, slave.w_channel, slave.b_channel], rng, stall)
        base = BEAT * rng.randrange(300)
        asked = random_requests(rng, base, 12)
        await restart(dut, "write", base)
        words = iter(await write_run(dut, rng, asked, stall))
        for address, length in asked:
            for beat in range(length):
                low = base + BEAT * (address + beat)
                expected[low : low + BEAT] = next(words).to_bytes(BEAT, "little")
        assert memory == expected, f"seed {SEED}, stall {stall}"
        assert int(dut.write_error.value) == 0 and watch.open == 0


@cocotb.test()
async def write_reports(dut: Any) -> None:
    """``done`` comes after the last response: memory holds the beats by then."""
    rng = random.Random(SEED + 5)
    await start(dut)
    memory = random_memory(rng, SIZE)
    slave = write_memory(dut, "write_m_axi", dut.clk, dut.rst, memory)
    await restart(dut, "write", 0)
    requests, beats = Stream(dut, "write_request"), Stream(dut, "write_beats")
    done = Stream(dut, "write_done")
    words = [rng.getrandbits(128) for _ in range(40)]
    slave.b_channel.pause = True
    cocotb.start_soon(requests.send([request(3, 40)], chances(rng, 0)))
    cocotb.start_soon(beats.send(words, chances(rng, 0)))
    for _ in range(150):
        await FallingEdge(dut.clk)
        assert int(done.vld.value) == 0
        await RisingEdge(dut.clk)
    slave.b_channel.pause = False
    assert await done.receive(1, chances(rng, 0)) == [1]
    assert beats_of(memory, 3, 40) == words
    await requests.send([request(0, 0, stop=True)], chances(rng, 0))
    await until_stopped(dut, "write")


@cocotb.test()
async def write_rate(dut: Any) -> None:
    """128 beats leave in 128 cycles and a few where the memory takes one per cycle."""
    rng = random.Random(SEED + 6)
    await start(dut)
    memory = random_memory(rng, SIZE)
    write_memory(dut, "write_m_axi", dut.clk, dut.rst, memory)
    await restart(dut, "write", 0)
    cycles = await cycles_of(dut.clk, write_run(dut, rng, [(0, 128)], 0))
    assert cycles <= 128 + 30, f"{cycles} cycles"


@cocotb.test()
async def write_errors(dut: Any) -> None:
    """After an error no burst begins, every request is still taken, reported and ended."""
    rng = random.Random(SEED + 7)
    await start(dut)
    memory = random_memory(rng, SIZE)
    slave = write_memory(dut, "write_m_axi", dut.clk, dut.rst, memory)
    pause([slave.aw_channel, slave.w_channel, slave.b_channel], rng, 0.2)
    watch = Watch(dut, "write_m_axi", dut.clk, True, MOST["write"])
    asked = [(0, 40), (200, 90), (400, 5)]
    for place in (None, 0, 39, 240, 404, None):
        slave.faulty = range(0) if place is None else range(BEAT * place, BEAT * place + BEAT)
        await restart(dut, "write", 0)
        watch.bursts.clear()
        words = await write_run(dut, rng, asked, 0.1)
        assert int(dut.write_error.value) == (place is not None)
        if place is None:
            assert beats_of(memory, 200, 90) == words[40:130]
            assert len(watch.bursts) == 3 + 7 + 1
        elif place == 0:
            assert len(watch.bursts) <= MOST["write"]
