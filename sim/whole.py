"""The whole accelerator: ``vit_top``, in the wrapper ``top``, around the core of an engine.

Its memories hold what a build leaves in ``data/``; logits are compared with those that lie there.
"""

import json
import os
import random
from pathlib import Path
from typing import Any

import cocotb
from cocotb.triggers import ClockCycles, RisingEdge
from cocotb.utils import get_sim_time

from sim.accelerator import CTRL, DONE, GIE, IDLE, IER, ISR, READY, START, Accelerator
from sim.axi import BEAT
from sim.streams import PERIOD_NS, start

SEED = int(os.environ["SEED"])
MAP: dict[str, tuple[int, int]] = json.loads(os.environ["MAP"])  # name: offset, width
DATA = Path(os.environ["DATA"])
IMAGES = int(os.environ["IMAGES"])
INSTRUCTION = 64  # bytes
POINTERS = [name for name, (_, width) in MAP.items() if width == 64]
RUNNING, ILLEGAL = 1, 2
LIMIT = 20_000  # cycles of a run: ten times as many as one without stalls takes


class Board:
    """An accelerator with memories that hold a program, and the logits of every image."""

    def __init__(self, dut: Any, seed: int, stall: float) -> None:
        rng = random.Random(seed)
        self.dut, self.note = dut, f"seed {seed}"
        self.logits = [(DATA / f"logits_{image}.bin").read_bytes() for image in range(IMAGES)]
        contents = {name: self._content(name) for name in POINTERS}
        self.instructions = len(contents["program"]) // INSTRUCTION
        memories, bases = {}, {}
        for name, data in contents.items():
            low = BEAT * rng.randrange(64)
            memory = bytearray(rng.randbytes(1 << (low + len(data) - 1).bit_length()))
            memory[low : low + len(data)] = data
            memories[name], bases[name] = memory, rng.getrandbits(30) << 34 | low
        self.top = Accelerator(dut, memories, MAP, bases, rng, stall)

    def _content(self, name: str) -> bytes:
        file = {"image": "image_0", "output": "logits_0"}.get(name, name)
        data = (DATA / f"{file}.bin").read_bytes()
        return bytes(-len(data) % BEAT + len(data)) if name == "output" else data

    def low(self, name: str) -> int:
        """First byte of a buffer in its memory."""
        return self.top.bases[name] % len(self.top.memories[name])

    def put(self, image: int) -> None:
        """Puts an image into memory, and what no run leaves behind in the place of the logits."""
        data = (DATA / f"image_{image}.bin").read_bytes()
        low = self.low("image")
        self.top.memories["image"][low : low + len(data)] = data
        low, size = self.low("output"), len(self.logits[image])
        self.top.memories["output"][low : low + size] = bytes(~b & 255 for b in self.logits[image])

    def right(self, image: int) -> bool:
        """Whether the logits of an image are in memory."""
        low, size = self.low("output"), len(self.logits[image])
        return self.top.memories["output"][low : low + size] == self.logits[image]

    async def prepare(self) -> None:
        """Reset, arguments and interrupts: what a driver does before it starts a run."""
        self.dut.top_ap_rst_n.value = 0
        await ClockCycles(self.dut.top_ap_clk, 3)
        self.dut.top_ap_rst_n.value = 1
        await RisingEdge(self.dut.top_ap_clk)
        await self.top.arguments(self.instructions)
        await self.top.write(GIE, 1)
        await self.top.write(IER, 1)

    async def ends(self, limit: int = LIMIT) -> bool:
        """Starts a run and waits for its interrupt; whether it came."""
        await self.top.write(CTRL, START)
        for _ in range(limit // 100):
            if int(self.dut.top_interrupt.value):
                break
            await ClockCycles(self.dut.top_ap_clk, 100)
        else:
            return False
        assert await self.top.read(CTRL) & ~START & ~0x200 == DONE | IDLE | READY, self.note
        await self.top.write(ISR, 1)
        return True

    async def good(self, image: int) -> int:
        """A run as it should be; its cycles."""
        self.put(image)
        assert await self.ends(), f"the run does not end, {self.note}"
        assert self.right(image), f"image {image}, {self.note}"
        assert await self.top.status() == 0, self.note
        return await self.top.read(MAP["cycles"][0])


async def make(dut: Any, seed: int, stall: float = 0.0) -> Board:
    """A board that is ready for a run."""
    board = Board(dut, seed, stall)
    await start(dut, "top_ap_clk", "top_ap_rst_n", 0)
    await board.prepare()
    return board


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def images(dut: Any) -> None:
    """Image after image without a reset, the buses holding back more and more."""
    board = await make(dut, SEED)
    cycles = []
    for stall in (0.0, 0.3, 0.7):
        board.top.stall(stall)
        for image in range(IMAGES):
            before = get_sim_time("ns")
            cycles.append(await board.good(image))
            assert 0 < cycles[-1] < (get_sim_time("ns") - before) / PERIOD_NS
    assert cycles[0] == cycles[IMAGES - 1] < cycles[-1], cycles
    assert 10 * cycles[0] <= LIMIT


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def polled(dut: Any) -> None:
    """Without interrupts, and while the program's status is read all the time."""
    board = await make(dut, SEED + 1, 0.4)
    await board.top.write(GIE, 0)
    board.put(0)
    await board.top.write(CTRL, START)
    while not await board.top.read(CTRL) & DONE:
        assert await board.top.status() in (RUNNING, 0)
    assert int(dut.top_interrupt.value) == 0
    assert board.right(0), board.note


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def errors(dut: Any) -> None:
    """A memory that answers with an error: its bit is in the status, the next run is right."""
    board = await make(dut, SEED + 2, 0.1)
    for number, name in enumerate(POINTERS):
        # Of the program an instruction's third beat, so that the core meets one that nobody wrote.
        low = board.low(name) + (6 * BEAT if name == "program" else 0)
        board.top.slaves[name].faulty = range(low, low + BEAT)
        board.put(number % IMAGES)
        ended = await board.ends(LIMIT // 4)
        status = await board.top.status()
        assert status & ~ILLEGAL == 1 << 8 + number | (not ended), f"{name}: {status:#x}"
        # A record of zeros drops its row, which is then missing somewhere.
        assert ended or name in ("program", "params"), f"{name}, {board.note}"
        board.top.slaves[name].faulty = range(0)
        if not ended:
            await board.prepare()
        await board.good(number % IMAGES)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def resets(dut: Any) -> None:
    """A reset in the middle of a run leaves nothing behind."""
    board = await make(dut, SEED + 3, 0.2)
    cycles = await board.good(0)
    for image, share in ((1, 0.05), (0, 0.3), (1, 0.8)):
        await board.top.write(CTRL, START)
        await ClockCycles(dut.top_ap_clk, int(share * cycles))
        assert await board.top.status() == RUNNING
        await board.prepare()
        assert await board.top.status() == 0
        await board.good(image)


@cocotb.test(timeout_time=20, timeout_unit="ms")
async def illegal(dut: Any) -> None:
    """No program, instructions behind the stop, no stop; and a right one after each."""
    board = await make(dut, SEED + 4)
    for extra, ends in ((-board.instructions, True), (1, True), (40, True), (-1, False)):
        await board.top.argument("instructions", board.instructions + extra)
        board.put(0)
        assert await board.ends(LIMIT // 4) == ends, board.note
        assert await board.top.status() == ILLEGAL | (not ends)
        assert board.right(0) == (extra > -board.instructions), board.note
        if not ends:
            await board.prepare()
        await board.top.argument("instructions", board.instructions)
        await board.good(1)
