"""``vit_top``, in the wrapper ``top``, with the core of ``tests/rtl/shell_core.sv``."""

import json
import os
import random
from typing import Any

import cocotb
from cocotb.triggers import FallingEdge, RisingEdge

from sim import accelerator
from sim.accelerator import AUTO, CTRL, DONE, GIE, IDLE, IER, IRQ, ISR, READY, START
from sim.axi import BEAT, Watch, beats_of, random_memory
from sim.streams import start

SEED = int(os.environ["SEED"])
MAP: dict[str, tuple[int, int]] = json.loads(os.environ["MAP"])  # name: offset, width
SOURCES = ["params", "image", "constants", "weights_0", "weights_1"]
READERS = ["program", *SOURCES]
SIZE = 1 << 13


class Accelerator(accelerator.Accelerator):
    """The accelerator with the tests' own core, and programs for that one."""

    def __init__(self, dut: Any, rng: random.Random, stall: float) -> None:
        memories = {name: random_memory(rng, SIZE) for name in [*READERS, "output"]}
        # High addresses, whose low bits lead into the memory.
        bases = {name: rng.getrandbits(30) << 34 | BEAT * rng.randrange(64) for name in memories}
        super().__init__(dut, memories, MAP, bases, rng, stall)
        self.watches = {}
        for name in memories:
            most = 4 if name == "output" else 128 if "weights" in name else 64
            bus = f"top_m_axi_gmem_{name}"
            self.watches[name] = Watch(dut, bus, dut.top_ap_clk, name == "output", most)

    def low(self, name: str) -> int:
        """First beat of a buffer in its memory."""
        return self.bases[name] % SIZE // BEAT

    def program(self, instructions: list[tuple[int, int, int, int]], end: int) -> int:
        """Puts a program (sources, from, beats, to) into memory, with an end of ``end`` beats;
        its instructions."""
        beats = [1 | s << 3 | f << 8 | n << 36 | t << 64 for s, f, n, t in instructions]
        words = [word for beat in beats for word in (beat, 1, 2, 3)]
        words += [0, 0, 0, 0] if end == 4 else [1 << 127, 0, 0, 0]
        low = BEAT * self.low("program")
        data = b"".join(word.to_bytes(BEAT, "little") for word in words)
        self.memories["program"][low : low + len(data)] = data
        return len(words) // 4

    def expected(self, instructions: list[tuple[int, int, int, int]]) -> bytearray:
        """The output's memory after a program."""
        memory = bytearray(self.memories["output"])
        for sources, first, count, to in instructions:
            total = [0] * count
            for number, name in enumerate(SOURCES):
                if sources >> number & 1:
                    words = beats_of(self.memories[name], self.low(name) + first, count)
                    total = [a ^ b for a, b in zip(total, words, strict=True)]
            for beat, word in enumerate(total):
                low = BEAT * (self.low("output") + to + beat)
                memory[low : low + BEAT] = word.to_bytes(BEAT, "little")
        return memory

    def random_program(self, count: int) -> list[tuple[int, int, int, int]]:
        """Instructions inside the memories."""
        found = []
        for _ in range(count):
            beats = self.rng.choice([1, 16, self.rng.randint(1, 100)])
            places = [self.rng.randint(0, SIZE // BEAT - 64 - beats) for _ in range(2)]
            found.append((self.rng.randint(1, 31), places[0], beats, places[1]))
        return found


async def make(dut: Any, seed: int, stall: float = 0.0) -> Accelerator:
    """A reset accelerator."""
    found = Accelerator(dut, random.Random(seed), stall)
    await start(dut, "top_ap_clk", "top_ap_rst_n", 0)
    return found


@cocotb.test(timeout_time=300, timeout_unit="us")
async def runs(dut: Any) -> None:
    """Programs one after the other under stalls, each compared with memory byte by byte."""
    top = await make(dut, SEED)
    for number, stall in enumerate((0.0, 0.2, 0.6)):
        top.stall(stall)
        instructions = top.random_program(5)
        expected = top.expected(instructions)
        await top.arguments(top.program(instructions, 4))
        before = cocotb.utils.get_sim_time("ns")
        await top.write(CTRL, START)
        assert not await top.read(CTRL) & (DONE | IDLE | READY)
        assert await top.status() == 1
        assert await top.finish() & ~START == DONE | IDLE | READY
        assert await top.read(CTRL) == IDLE, "cleared on read"
        assert top.memories["output"] == expected, f"run {number}, seed {SEED}"
        assert await top.status() == 0
        cycles = await top.read(MAP["cycles"][0])
        assert 0 < cycles < (cocotb.utils.get_sim_time("ns") - before) / 10
        assert await top.read(MAP["cycles"][0]) == cycles, "it stands still between runs"
        assert all(watch.open == 0 for watch in top.watches.values())


@cocotb.test(timeout_time=300, timeout_unit="us")
async def registers(dut: Any) -> None:
    """Arguments byte by byte, words that do not exist, words that cannot be written."""
    top = await make(dut, SEED + 1, 0.3)
    rng = top.rng
    space = 1 << (max(offset for offset, _ in MAP.values()) + 7).bit_length()
    words: dict[int, int] = {}  # offset: mask
    for name, (offset, width) in MAP.items():
        if name not in ("status", "cycles"):
            for word in range(-(-width // 32)):
                words[offset + 4 * word] = (1 << min(32, width - 32 * word)) - 1
    memory = bytearray(space)
    for _ in range(60):
        place = rng.randrange(0x10, space - 8)
        data = rng.randbytes(rng.randint(1, 4))
        await top.bus.write(place, data)  # WSTRB selects its bytes
        memory[place : place + len(data)] = data
    for offset in range(0x10, space, 4):
        held = int.from_bytes(memory[offset : offset + 4], "little")
        assert await top.read(offset) == held & words.get(offset, 0), hex(offset)
    for name, (offset, width) in MAP.items():
        if name not in ("status", "cycles", "instructions"):
            port = getattr(dut.top_i.top, f"argument_{name}").value
            assert int(port) == int.from_bytes(memory[offset : offset + width // 8], "little")


@cocotb.test(timeout_time=300, timeout_unit="us")
async def interrupts(dut: Any) -> None:
    """Enables, the status that toggles where a 1 is written, and the output."""
    top = await make(dut, SEED + 2)
    await top.arguments(top.program([], 4))

    async def run() -> None:
        await top.write(CTRL, START)
        await top.finish()

    async def state() -> tuple[int, int]:
        await FallingEdge(dut.top_ap_clk)
        line = int(dut.top_interrupt.value)
        await RisingEdge(dut.top_ap_clk)
        return await top.read(ISR), line

    await run()
    assert await state() == (0, 0)
    await top.write(IER, 0xFFFFFFFF)
    assert await top.read(IER) == 3
    await run()
    assert await state() == (3, 0), "not enabled globally"
    await top.write(GIE, 0xFFFFFFFF)
    assert await top.read(GIE) == 1
    assert await state() == (3, 1)
    assert await top.read(CTRL) == IDLE | IRQ
    await top.write(ISR, 1)
    assert await state() == (2, 1)
    await top.write(ISR, 3)
    assert await state() == (1, 1)
    await top.write(ISR, 1)
    assert await state() == (0, 0)
    await top.write(IER, 1)
    await run()
    assert await state() == (1, 1)
    await top.bus.write(IER + 1, b"\xff")  # another byte than that of the bits
    assert await top.read(IER) == 1
    await top.write(GIE, 0)
    assert await state() == (1, 0)


@cocotb.test(timeout_time=300, timeout_unit="us")
async def restarts(dut: Any) -> None:
    """auto_restart runs again until it is cleared; ap_start outside of byte 0 does nothing."""
    top = await make(dut, SEED + 3)
    instructions = [(1, 0, 3, 0)]
    await top.arguments(top.program(instructions, 4))
    await top.bus.write(CTRL + 1, b"\x01")
    assert await top.read(CTRL) == IDLE
    await top.write(CTRL, START | AUTO)
    for _ in range(3):
        assert await top.finish() & (START | AUTO) == START | AUTO
    await top.write(CTRL, 0)
    for _ in range(100):
        await RisingEdge(dut.top_ap_clk)
    await top.read(CTRL)
    for _ in range(100):
        await RisingEdge(dut.top_ap_clk)
    assert await top.read(CTRL) == IDLE
    assert len(top.watches["program"].bursts) >= 4


@cocotb.test(timeout_time=300, timeout_unit="us")
async def errors(dut: Any) -> None:
    """Each master's error has its bit, the run ends all the same, the next run is clean."""
    top = await make(dut, SEED + 4)
    instructions = [(31, 0, 40, 0), (31, 40, 30, 50)]
    count = top.program(instructions, 4)
    await top.arguments(count)
    for number, name in enumerate([*SOURCES, "output"], start=1):
        for broken in (True, False):
            place = BEAT * (top.low(name) + 55)
            top.slaves[name].faulty = range(place, place + BEAT) if broken else range(0)
            before = top.expected(instructions)
            await top.write(CTRL, START)
            await top.finish()
            assert await top.status() == (1 << 8 + number if broken else 0), name
            if broken:
                assert top.memories["output"] != before or name == "output"
            else:
                assert top.memories["output"] == before
    # The program itself: zeros are a stop.
    place = BEAT * (top.low("program") + 4)
    top.slaves["program"].faulty = range(place, place + BEAT)
    await top.write(CTRL, START)
    await top.finish()
    assert await top.status() == 1 << 8


@cocotb.test(timeout_time=300, timeout_unit="us")
async def illegal(dut: Any) -> None:
    """No instructions, and instructions behind the one that stops."""
    top = await make(dut, SEED + 5)
    status = MAP["status"][0]
    instructions = [(2, 5, 20, 30)]
    count = top.program(instructions, 4)
    await top.arguments(0)
    await top.write(CTRL, START)
    assert await top.finish() & ~START == DONE | IDLE | READY
    assert await top.read(status) == 2
    assert await top.read(MAP["cycles"][0]) == 1
    for extra, found in ((0, 0), (1, 2), (60, 2), (0, 0)):
        await top.argument("instructions", count + extra)
        expected = top.expected(instructions)
        await top.write(CTRL, START)
        await top.finish()
        assert await top.read(status) == found
        assert top.memories["output"] == expected
    # A core that stops within an instruction leaves three beats.
    await top.argument("instructions", top.program(instructions, 1))
    await top.write(CTRL, START)
    await top.finish()
    assert await top.read(status) == 2
