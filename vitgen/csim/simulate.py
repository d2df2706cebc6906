"""The emitted accelerator as a callable: compiled with g++, run on the same memory image as a board."""

import ctypes
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitgen.csim.loader import Library
from vitgen.design.engine import Engine
from vitgen.design.isa import Instruction, encode_program
from vitgen.design.packing import BEAT_BYTES, unpack_lanes, unpack_logits
from vitgen.design.program import Program

Bytes = NDArray[np.uint8]
Int = NDArray[np.int64]

BANKS = ("residual", "act", "prob", "key", "value")


class Simulator:
    """One accelerator with its banks, loaded from a compiled library.

    Parameters
    ----------
    library : shared library of the emitted C++ and its harness.
    engine : what it was compiled for.
    program : instructions and DRAM images.
    """

    def __init__(self, library: Path, engine: Engine, program: Program) -> None:
        self._library = Library(library)
        pointer = ctypes.c_void_p
        ports = ctypes.c_void_p * engine.weight_ports
        self._run = self._library.function(
            "vitgen_run", [pointer, pointer, pointer, pointer, ports, pointer, ctypes.c_uint32]
        )
        size = ctypes.c_size_t
        self._read_bank = self._library.function(
            "vitgen_read_bank", [ctypes.c_int, ctypes.c_int, size, size, pointer]
        )
        self.engine = engine
        self.program = program
        self._weights = ports(*(port.ctypes.data for port in program.weights))
        beats = -(-program.classes * 2 // BEAT_BYTES)
        self._output = np.zeros(beats * BEAT_BYTES, dtype=np.uint8)

    def run(self, image: Bytes, instructions: Sequence[Instruction] | None = None) -> Int:
        """Execute the program (or ``instructions``) on a packed image; returns the logits.

        Raises
        ------
        SimulationFailed : deadlock, data left over, or a process failed.
        """
        chosen = self.program.instructions if instructions is None else instructions
        code = np.frombuffer(encode_program(chosen), dtype=np.uint8)
        self._run(
            code.ctypes.data,
            self.program.params.ctypes.data,
            image.ctypes.data,
            self.program.constants.ctypes.data,
            self._weights,
            self._output.ctypes.data,
            len(chosen),
        )
        return unpack_logits(self._output, self.program.classes)

    def predict(self, patches: Int) -> Int:
        """Logits of one image, ``(classes,)``, from its integer patches ``(tokens, features)``."""
        return self.run(self.program.pack_image(self.engine, patches))

    def bank(self, name: str, group: int, first: int, count: int) -> Int:
        """Words of a bank as lanes, ``(count, group_lanes)``."""
        bits = 16 if name == "residual" else self.engine.act_bits
        word_bytes = -(-self.engine.group_lanes * bits // 8)
        data = np.zeros((count, word_bytes), dtype=np.uint8)
        self._read_bank(BANKS.index(name), group, first, count, data.ctypes.data)
        return unpack_lanes(data, self.engine.group_lanes, bits)
