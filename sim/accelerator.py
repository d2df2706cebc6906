"""``vit_top``, in the wrapper ``top``, between memories and a processor."""

import random
from collections.abc import Mapping
from typing import Any

from cocotbext.axi import AxiLiteBus, AxiLiteMaster

from sim.axi import pause, read_memory, write_memory

CTRL, GIE, IER, ISR = 0x0, 0x4, 0x8, 0xC
START, DONE, IDLE, READY, AUTO, IRQ = 1, 2, 4, 8, 0x80, 0x200


class Accelerator:
    """The accelerator's registers, and a memory behind each of its masters.

    Parameters
    ----------
    dut : the wrapper.
    memories : by master; ``output`` is written, all others are read. Sizes are powers of two.
    places : offset and width of every register, by name.
    bases : address of each master's buffer; a memory answers to the low bits of an address.
    stall : share of the cycles in which a channel of a bus holds back.
    """

    def __init__(
        self,
        dut: Any,
        memories: Mapping[str, bytearray],
        places: Mapping[str, tuple[int, int]],
        bases: Mapping[str, int],
        rng: random.Random,
        stall: float,
    ) -> None:
        self.dut, self.rng, self.places = dut, rng, places
        self.memories, self.bases = dict(memories), dict(bases)
        clock, reset = dut.top_ap_clk, dut.top_ap_rst_n
        self.slaves = {
            name: (write_memory if name == "output" else read_memory)(
                dut, f"top_m_axi_gmem_{name}", clock, reset, memory, active=False
            )
            for name, memory in self.memories.items()
        }
        bus = AxiLiteBus.from_prefix(dut, "top_s_axi_control")
        self.bus = AxiLiteMaster(bus, clock, reset, False)
        writes, reads = self.bus.write_if, self.bus.read_if
        lite = (writes.aw_channel, writes.w_channel, writes.b_channel,
                reads.ar_channel, reads.r_channel)  # fmt: skip
        pause(lite, rng, stall)
        self.stall(stall)

    def stall(self, share: float) -> None:
        """Makes the channels of all memories hold back in a share of the cycles."""
        for name, slave in self.slaves.items():
            channels = ("aw", "w", "b") if name == "output" else ("ar", "r")
            pause([getattr(slave, f"{channel}_channel") for channel in channels], self.rng, share)

    async def read(self, offset: int) -> int:
        """A word of the map."""
        return int.from_bytes((await self.bus.read(offset, 4)).data, "little")

    async def write(self, offset: int, value: int) -> None:
        """Writes a word of the map."""
        await self.bus.write(offset, value.to_bytes(4, "little"))

    async def argument(self, name: str, value: int) -> None:
        """Writes an argument."""
        offset, width = self.places[name]
        for word in range(-(-width // 32)):
            await self.write(offset + 4 * word, value >> 32 * word & 0xFFFFFFFF)

    async def arguments(self, instructions: int) -> None:
        """Writes all of them."""
        for name, base in self.bases.items():
            await self.argument(name, base)
        await self.argument("instructions", instructions)

    async def status(self) -> int:
        """The word that says how a run went."""
        return await self.read(self.places["status"][0])

    async def finish(self, limit: int = 1000) -> int:
        """Polls word 0 until ap_done; its value."""
        for _ in range(limit):
            found = await self.read(CTRL)
            if found & DONE:
                return found
        raise AssertionError("the run does not end")
