"""Memory that the accelerator reads and writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pynq

from .deployment import Deployment
from .errors import NoMemory

IMAGE, OUTPUT, PROGRAM = "image", "output", "program"
ALIGNMENT = 16


class Buffers:
    """All buffers of a deployment on a device.

    Program, parameters and weights are there once. Images and outputs are there twice: the runs take
    turns, so that one can be filled or read while the other is on the device. What a run uses says
    its ``slot``, any number.

    Parameters
    ----------
    deployment : says what there is and holds the contents.
    device : the PYNQ device.

    Raises
    ------
    NoMemory : a buffer cannot be allocated; none stays.
    WrongData : a file is not the build's.
    """

    def __init__(self, deployment: Deployment, device: Any) -> None:
        self._device = device
        self._classes = deployment["logits"]["classes"]
        self._made: dict[str, list[Any]] = {}
        try:
            for entry in deployment["buffers"]:
                self._make(entry, deployment)
        except BaseException:
            self.free()
            raise

    def _make(self, entry: dict[str, Any], deployment: Deployment) -> None:
        content = deployment.load(entry) if entry["file"] else None
        made = self._made.setdefault(entry["name"], [])
        for _ in range(1 if content else 2):
            made.append(self._allocate(entry["name"], entry["bytes"]))
        if content:
            _write(made[0], np.frombuffer(content, dtype=np.uint8))

    def _allocate(self, name: str, size: int) -> Any:
        try:
            buffer = pynq.allocate((size,), dtype="u1", target=self._device)
        except (MemoryError, RuntimeError, OSError) as error:
            raise NoMemory(
                f"{size} bytes for the buffer {name} could not be allocated: {error}.",
                "Close other overlays and notebooks, or boot with a larger contiguous memory (cma=).",
            ) from error
        address = buffer.device_address
        if address % ALIGNMENT:
            buffer.freebuffer()
            raise NoMemory(
                f"The buffer {name} lies at {address:#x}.",
                f"The accelerator needs multiples of {ALIGNMENT}: report this.",
            )
        return buffer

    def free(self) -> None:
        """Give everything back; the second call does nothing."""
        while self._made:
            _, made = self._made.popitem()
            for buffer in made:
                buffer.freebuffer()

    def addresses(self, slot: int) -> dict[str, int]:
        """Where the buffers of a run lie, by name."""
        return {name: self._of(name, slot).device_address for name in self._made}

    def _of(self, name: str, slot: int) -> Any:
        made = self._made[name]
        return made[slot % len(made)]

    def fill(self, slot: int, packed: np.ndarray) -> None:
        """Put an image where a run reads it."""
        _write(self._of(IMAGE, slot), packed)

    def logits(self, slot: int) -> np.ndarray:
        """What a run wrote, ``int64 (classes,)``."""
        buffer = self._of(OUTPUT, slot)
        buffer.invalidate()
        return np.array(buffer[: 2 * self._classes]).view("<i2").astype(np.int64)

    def program(self) -> bytes:
        """The encoded program."""
        return bytes(self._of(PROGRAM, 0))

    @contextmanager
    def holding(self, content: bytes) -> Iterator[int]:
        """One more buffer with this content, for as long as the block lasts; its address."""
        buffer = self._allocate("steps", len(content))
        try:
            _write(buffer, np.frombuffer(content, dtype=np.uint8))
            yield buffer.device_address
        finally:
            buffer.freebuffer()


def _write(buffer: Any, content: np.ndarray) -> None:
    buffer[:] = content
    buffer.flush()
