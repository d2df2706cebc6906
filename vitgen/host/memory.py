"""The DRAM of a device that stands in for a board, as the host's caches and the accelerator see it."""

import threading
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

FIRST_ADDRESS = 0x8_0000_0000
"""Where the ZCU102's upper DRAM begins: beyond 32 bits, so that both words of a pointer count."""
PAGE = 4096
CAPACITY = 1 << 31
"""Bytes that can be allocated: the upper DRAM of 2 GiB."""

# What fresh memory holds. Host and accelerator see different values, so a buffer that is read before
# it is written and flushed shows.
HOST_FILL, DEVICE_FILL = 0x5A, 0xA5


@dataclass(eq=False)
class Region:
    """An allocated buffer.

    Parameters
    ----------
    address : of its first byte, a multiple of :data:`PAGE`.
    host : the bytes as the host's caches hold them.
    dram : the bytes as the accelerator sees them; the same array where the buffer is not cached.
    """

    address: int
    host: Bytes
    dram: Bytes
    changes: int = field(default=0)
    """Grows with every flush: what was sent to a simulation need not be sent again."""

    @property
    def end(self) -> int:
        """Address behind the last byte."""
        return self.address + self.host.size

    @property
    def cached(self) -> bool:
        """Whether host and accelerator see different bytes until a flush or an invalidate."""
        return self.host is not self.dram


def _pages(size: int) -> int:
    return -(-size // PAGE) * PAGE


class DeviceMemory:
    """Buffers by address.

    Parameters
    ----------
    capacity : bytes that all buffers may take.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._regions: list[Region] = []  # by address
        self._lock = threading.Lock()

    def allocate(self, size: int, cached: bool) -> Region:
        """A new buffer of ``size`` bytes, at least one page away from any other.

        Raises
        ------
        RuntimeError : the memory is full; pynq raises the same.
        """
        span = _pages(max(size, 1))
        with self._lock:
            place, index = FIRST_ADDRESS, 0
            while index < len(self._regions) and self._regions[index].address - place < span + PAGE:
                place = _pages(self._regions[index].end) + PAGE
                index += 1
            used = sum(_pages(region.host.size) for region in self._regions)
            if used + span > self._capacity:
                raise RuntimeError(
                    f"BO allocation failed: {size} bytes asked for, {self._capacity - used} are free"
                )
            host = np.full(size, HOST_FILL, np.uint8)
            dram = np.full(size, DEVICE_FILL, np.uint8) if cached else host
            made = Region(place, host, dram)
            self._regions.insert(index, made)
            return made

    def free(self, address: int) -> None:
        """Give back the buffer that begins at ``address``; what its holder still sees is no data."""
        with self._lock:
            for region in self._regions:
                if region.address == address:
                    self._regions.remove(region)
                    region.host[:] = HOST_FILL
                    return

    def find(self, address: int) -> Region | None:
        """The buffer that holds the byte at ``address``."""
        with self._lock:
            return next((r for r in self._regions if r.address <= address < r.end), None)

    def flush(self, address: int, size: int) -> None:
        """Bytes of the host's caches into the DRAM."""
        region, part = self._part(address, size)
        region.dram[part] = region.host[part]
        region.changes += 1

    def invalidate(self, address: int, size: int) -> None:
        """Bytes of the DRAM into the host's caches: what was not flushed is lost."""
        region, part = self._part(address, size)
        region.host[part] = region.dram[part]

    def _part(self, address: int, size: int) -> tuple[Region, slice]:
        region = self.find(address)
        if region is None or address + size > region.end:
            raise RuntimeError(f"{size} bytes at {address:#x} are in no buffer")
        return region, slice(address - region.address, address - region.address + size)
