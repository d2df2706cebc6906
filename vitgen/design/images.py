"""The DRAM images that a program reads, as they grow instruction by instruction."""

import numpy as np

from vitgen.design.engine import Engine
from vitgen.design.packing import BEAT_BYTES, Bytes, Int, pack_constant


class Images:
    """Weights, parameters and constants; addresses count beats."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._weights: list[list[Bytes]] = [[] for _ in range(engine.weight_ports)]
        self._params: list[Bytes] = []
        self._constants: list[Bytes] = []

    @staticmethod
    def _append(parts: list[Bytes], part: Bytes) -> int:
        address = sum(part.size for part in parts) // BEAT_BYTES
        parts.append(part)
        return address

    def add_weights(self, words: Bytes) -> int:
        """Adds weight words, ``(ports, bytes)``; returns their address, the same in every port."""
        address = 0
        for port, part in zip(self._weights, words, strict=True):
            address = self._append(port, part)
        return address

    def add_params(self, records: Bytes) -> int:
        """Adds row records; returns their address."""
        return self._append(self._params, records)

    def add_constant(self, data: Int) -> int:
        """Adds a 16-bit tensor ``(tokens, features)``; returns its address."""
        return self._append(self._constants, pack_constant(self._engine, data))

    def weights(self) -> list[Bytes]:
        """One image per port."""
        return [np.concatenate(port) for port in self._weights]

    def params(self) -> Bytes:
        """All records."""
        return np.concatenate(self._params)

    def constants(self) -> Bytes:
        """All constants; one empty beat where there are none."""
        if not self._constants:
            return np.zeros(BEAT_BYTES, np.uint8)
        return np.concatenate(self._constants)
