"""The RTL of an accelerator as a device: a Verilated ``vit_core`` behind a model of the DRAM."""

import contextlib
import json
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vitgen.boards import Board
from vitgen.design.depths import BURST_BEATS
from vitgen.design.engine import Engine
from vitgen.design.isa import (
    Instruction,
    encode_program,
)
from vitgen.design.netlist import READ_BURSTS, processes
from vitgen.design.packing import BEAT_BYTES, unpack_lanes, unpack_logits
from vitgen.design.program import Program
from vitgen.rtl.record import Run, moments, refuse

Bytes = NDArray[np.uint8]
Int = NDArray[np.int64]

PATIENCE = 10_000  # cycles without a transfer; the longest unit needs some hundreds


@dataclass(frozen=True)
class Memory:
    """The DRAM that the simulated core sees.

    Parameters
    ----------
    latency : cycles from the address of a burst to its first beat, and from a last beat written to
        its completion.
    outstanding : bursts of a reading port under way.
    burst : beats of a burst.
    port_bytes : most that a port moves per cycle and direction.
    all_bytes : most that all ports move per cycle.
    """

    latency: int = 64
    outstanding: int = READ_BURSTS
    burst: int = BURST_BEATS
    port_bytes: float = 16.0
    all_bytes: float = 1e6

    @classmethod
    def of(cls, board: Board, clock_mhz: float) -> "Memory":
        """The board's DRAM at a clock of the logic; its latency is a time, not a count of cycles."""
        dram = board.dram
        return cls(
            latency=round(dram.latency_cycles * clock_mhz / board.clock_mhz),
            burst=dram.burst_beats,
            port_bytes=board.bytes_per_cycle(1, clock_mhz),
            all_bytes=dram.usable_mb_per_s / clock_mhz,
        )


class SimulatedCore:
    """A simulated core with its banks, on memory that the caller sends.

    It runs in a process of its own; leave it by ``with`` or :meth:`close`.

    Parameters
    ----------
    program_file : what :func:`vitgen.rtl.build.build_simulation` returned.
    engine : what it was built for.
    memory : the DRAM.
    stall : percent of the cycles in which a port of the core is held back at random.
    seed : of the stalls, and of what registers and memories hold at first.
    patience : cycles without any transfer that are a deadlock.
    waveform : ``core.vcd`` is written into this directory, if the simulation was built for it.
    window : first and last cycle of the waveform, in every run.
    storm : percent of the cycles in which an end of a FIFO is held back at random, between 0 and 99;
        FIFOs differ, some are left alone. For a simulation that was built for storms, as ``depths``.
    depths : words that the FIFOs of a stream hold, by its name, up to four times the netlist's.
    """

    def __init__(
        self,
        program_file: Path,
        engine: Engine,
        *,
        memory: Memory | None = None,
        stall: int = 0,
        seed: int = 1,
        patience: int = PATIENCE,
        waveform: Path | None = None,
        window: tuple[int, int] = (1, 0),
        storm: int = 0,
        depths: Mapping[str, int] | None = None,
    ) -> None:
        self.engine = engine
        self.weather = f" in a storm of {storm} %, seed {seed}" if storm else ""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close
        self._child = subprocess.Popen(
            [program_file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
            cwd=waveform, start_new_session=True,
        )  # fmt: skip
        dram = memory or Memory()
        settings = (
            dram.latency, dram.outstanding, dram.burst, dram.port_bytes,
            dram.all_bytes, stall, seed, patience, *window, storm,
        )  # fmt: skip
        self._say(f"settings {' '.join(map(str, settings))}")
        for stream, words in (depths or {}).items():
            self._say(f"places {stream} {words}")

    # -- the child

    def _say(self, line: str, payload: bytes = b"") -> None:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(line.encode() + b"\n" + payload)
            self._child.stdin.flush()
        except BrokenPipeError as broken:
            raise RuntimeError(self._epitaph()) from broken

    def put(self, name: str, data: bytes) -> None:
        """Contents of a DRAM region, by the name of ``vit_top``'s argument; it ends with them."""
        self._say(f"memory {name} {len(data)}", data)

    def _answer(self) -> bytes:
        assert self._child.stdout is not None
        length = self._child.stdout.readline()
        if not length:
            raise RuntimeError(self._epitaph())
        return self._child.stdout.read(int(length))

    def _epitaph(self) -> str:
        code = self._child.wait()
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace")[-4000:].strip()
        return f"The RTL simulation ended with {code}.\n{said}".rstrip()

    def kill(self) -> None:
        """Ends the child, whatever it does."""
        self._child.kill()
        self.close()

    def close(self) -> None:
        """Ends the child when its run is over; kills it after five seconds."""
        if self._child.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._child.stdin.close()
        try:
            self._child.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        if self._child.stdout is not None:
            self._child.stdout.close()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self._child.kill()
        self.close()

    def execute(self, instructions: int, output_bytes: int) -> tuple[dict[str, Any], Bytes]:
        """Run so many instructions of the program; its record, and the output region.

        The record is the harness's own: ``cycles``, ``deadlock``, ``fault``, ``held`` and more. Of
        a read beyond a region come zeros, a write beyond the output is dropped; ``fault`` names them.
        The output region begins with what was :meth:`put` there, if that has its size.
        """
        self._say(f"run {instructions} {output_bytes}")
        record: dict[str, Any] = json.loads(self._answer())
        return record, np.frombuffer(self._answer(), dtype=np.uint8)

    def bank(self, name: str, group: int, first: int, count: int) -> Int:
        """Words of a bank as lanes, ``(count, group_lanes)``."""
        bits = 16 if name == "residual" else self.engine.act_bits
        word_bytes = -(-self.engine.group_lanes * bits // 8)
        self._say(f"bank {name} {group} {first} {count} {word_bytes}")
        data = np.frombuffer(self._answer(), dtype=np.uint8).reshape(count, word_bytes)
        return unpack_lanes(data, self.engine.group_lanes, bits)


class Simulation(SimulatedCore):
    """A simulated core with a program: a :class:`vitgen.csim.compare.Device`.

    Parameters
    ----------
    program : instructions and DRAM images.
    program_file, engine, settings : as of :class:`SimulatedCore`.
    """

    def __init__(
        self, program_file: Path, engine: Engine, program: Program, **settings: Any
    ) -> None:
        super().__init__(program_file, engine, **settings)
        self.program = program
        self.last: Run | None = None
        self._output = -(-program.classes * 2 // BEAT_BYTES) * BEAT_BYTES
        self.put("params", program.params.tobytes())
        self.put("constants", program.constants.tobytes())
        ports = engine.weight_ports
        for port, weights in enumerate(program.weights):
            self.put(f"weights_{port}", weights.tobytes())
        assert len(program.weights) == ports

    def run(self, image: Bytes, instructions: Sequence[Instruction] | None = None) -> Int:
        """Execute the program (or ``instructions``) on a packed image; returns the logits.

        :attr:`last` says afterwards how long it took.

        Raises
        ------
        SimulationFailed : deadlock, words left over, or an address beyond a DRAM region; names the
            seed of a storm.
        """
        chosen = self.program.instructions if instructions is None else instructions
        self.put("program", encode_program(chosen))
        self.put("image", image.tobytes())
        record, output = self.execute(len(chosen), self._output)
        refuse(record, chosen, processes(self.engine), self.weather)
        self.last = Run(record["cycles"], moments(record, chosen), record["most"])
        return unpack_logits(output, self.program.classes)

    def predict(self, patches: Int) -> Int:
        """Logits of one image, ``(classes,)``, from its integer patches ``(tokens, features)``."""
        return self.run(self.program.pack_image(self.engine, patches))
