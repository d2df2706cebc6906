"""The emitted accelerator as a callable: compiled with g++, run on the same memory image as a board."""

import ctypes
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitgen.csim.loader import Library
from vitgen.design.engine import BANKS, Engine
from vitgen.design.isa import Instruction, encode_program
from vitgen.design.packing import BEAT_BYTES, unpack_lanes, unpack_logits
from vitgen.design.program import Program

Bytes = NDArray[np.uint8]
Int = NDArray[np.int64]


class Accelerator:
    """The emitted accelerator with its banks, on memory that the caller holds.

    Parameters
    ----------
    library : shared library of the emitted C++ and its harness.
    engine : what it was compiled for.
    """

    def __init__(self, library: Path, engine: Engine) -> None:
        self.library = Library(library)
        pointer = ctypes.c_void_p
        self._ports = ctypes.c_void_p * engine.weight_ports
        self._run = self.library.function(
            "vitgen_run",
            [pointer, pointer, pointer, pointer, self._ports, pointer, ctypes.c_uint32],
        )
        size = ctypes.c_size_t
        self._read_bank = self.library.function(
            "vitgen_read_bank", [ctypes.c_int, ctypes.c_int, size, size, pointer]
        )
        self.engine = engine

    def execute(self, addresses: Mapping[str, int], instructions: int) -> None:
        """Run ``instructions`` instructions of a program.

        Parameters
        ----------
        addresses : address in this process of every DRAM pointer, by the name of ``vit_top``'s
            argument. Nothing keeps an access inside a buffer.

        Raises
        ------
        SimulationFailed : deadlock, data left over, or a process failed.
        """
        fixed = (addresses[name] for name in ("program", "params", "image", "constants"))
        weights = (addresses[f"weights_{port}"] for port in range(self.engine.weight_ports))
        self._run(*fixed, self._ports(*weights), addresses["output"], instructions)

    def bank(self, name: str, group: int, first: int, count: int) -> Int:
        """Words of a bank as lanes, ``(count, group_lanes)``."""
        bits = 16 if name == "residual" else self.engine.act_bits
        word_bytes = -(-self.engine.group_lanes * bits // 8)
        data = np.zeros((count, word_bytes), dtype=np.uint8)
        self._read_bank(BANKS.index(name), group, first, count, data.ctypes.data)
        return unpack_lanes(data, self.engine.group_lanes, bits)


class Simulator(Accelerator):
    """An accelerator with a program and its memory images.

    Parameters
    ----------
    library, engine : as of :class:`Accelerator`.
    program : instructions and DRAM images.
    """

    def __init__(self, library: Path, engine: Engine, program: Program) -> None:
        super().__init__(library, engine)
        self.program = program
        beats = -(-program.classes * 2 // BEAT_BYTES)
        self._output = np.zeros(beats * BEAT_BYTES, dtype=np.uint8)

    def run(self, image: Bytes, instructions: Sequence[Instruction] | None = None) -> Int:
        """Execute the program (or ``instructions``) on a packed image; returns the logits.

        Raises
        ------
        SimulationFailed : deadlock, data left over, or a process failed.
        """
        chosen = self.program.instructions if instructions is None else instructions
        memory = {
            "program": np.frombuffer(encode_program(chosen), dtype=np.uint8),
            "params": self.program.params,
            "image": image,
            "constants": self.program.constants,
            "output": self._output,
        }
        memory |= {f"weights_{port}": data for port, data in enumerate(self.program.weights)}
        self.execute({name: data.ctypes.data for name, data in memory.items()}, len(chosen))
        return unpack_logits(self._output, self.program.classes)

    def predict(self, patches: Int) -> Int:
        """Logits of one image, ``(classes,)``, from its integer patches ``(tokens, features)``."""
        return self.run(self.program.pack_image(self.engine, patches))
