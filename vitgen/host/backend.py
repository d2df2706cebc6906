"""What executes a program that lies in a device's memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vitgen.host.memory import Region

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Buffer:
    """What a DRAM pointer of the accelerator points to.

    Parameters
    ----------
    region : the buffer; None where the pointer is in none.
    offset : of the pointer in the region, bytes.
    """

    region: Region | None = None
    offset: int = 0

    @property
    def data(self) -> Bytes:
        """Bytes from the pointer to the end of the buffer, as the accelerator sees them."""
        return np.zeros(0, np.uint8) if self.region is None else self.region.dram[self.offset :]

    def write(self, data: Bytes) -> None:
        """Store bytes at the pointer; what lies behind the end of the buffer is dropped."""
        if self.region is not None:
            self.data[:] = data[: self.data.size]
            self.region.changes += 1


@dataclass(frozen=True)
class Outcome:
    """How a run went.

    Parameters
    ----------
    cycles : that it took; 0 where the backend counts none.
    faults : pointers whose memory refused a transfer, by the name of ``vit_top``'s argument.
    failure : why the accelerator stopped for good, as a board would hang; None where the run ended.
    """

    cycles: int = 0
    faults: frozenset[str] = frozenset()
    failure: str | None = None


class Backend(Protocol):
    """The accelerator behind the registers. Its banks keep their contents between runs."""

    def run(self, buffers: Mapping[str, Buffer], instructions: int) -> Outcome:
        """Execute a program that ends with a stop, and write the output buffer.

        Parameters
        ----------
        buffers : by the name of ``vit_top``'s argument.
        instructions : of the program, 1 at least.

        Raises
        ------
        RuntimeError : the simulation crashed, or was ended by :meth:`close`.
        """

    def reset(self) -> None:
        """As after the bitstream was loaded."""

    def close(self) -> None:
        """End the simulation, whatever it does; later runs fail."""


@dataclass
class Sent:
    """What a simulation has of the memory: only what has changed is sent again."""

    _stamps: dict[str, tuple[Region | None, int, int]] = field(default_factory=dict)

    def stale(self, name: str, buffer: Buffer) -> bool:
        """Whether ``buffer`` must be sent; it counts as sent from then on."""
        region = buffer.region
        stamp = (region, buffer.offset, 0 if region is None else region.changes)
        known = self._stamps.get(name)
        self._stamps[name] = stamp
        if known is None or region is None:
            return known is None or known[0] is not None
        # What is not cached changes without a flush.
        return not region.cached or known[0] is not region or known[1:] != stamp[1:]
