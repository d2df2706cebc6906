"""The RTL of an accelerator as a device: a Verilated ``vit_core`` behind a model of the DRAM."""

import contextlib
import json
import re
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vitgen.boards import Board
from vitgen.csim.loader import SimulationFailed
from vitgen.design import netlist
from vitgen.design.depths import BURST_BEATS
from vitgen.design.engine import Engine
from vitgen.design.isa import (
    INSTRUCTION_BEATS,
    Instruction,
    LoadTarget,
    Opcode,
    Route,
    encode_program,
)
from vitgen.design.netlist import READ_BURSTS
from vitgen.design.packing import BEAT_BYTES, unpack_lanes, unpack_logits
from vitgen.design.program import Program
from vitgen.emit.wiring import DONE_STREAMS

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


@dataclass(frozen=True)
class Moment:
    """When an instruction ran, in cycles from the first request for the program.

    Parameters
    ----------
    op : its name.
    read : dispatch has read it.
    issued : its waits are met and its last command has been dealt.
    completed : the last process has reported its end; of an instruction that nobody reports, ``issued``.
    """

    op: str
    read: int
    issued: int
    completed: int


@dataclass(frozen=True)
class Run:
    """What one run took.

    Parameters
    ----------
    cycles : from the first request for the program to the last stop.
    moments : of every instruction, in order.
    most : words that every FIFO held at most, by its name (and group).
    """

    cycles: int
    moments: tuple[Moment, ...]
    most: Mapping[str, int]

    def by_op(self) -> dict[str, int]:
        """Cycles by name of the op; they sum to the run's.

        An instruction has the cycles by which it moved the latest completion: what is hidden behind
        earlier instructions costs nothing. The rest of the run goes to the last one, the stop.
        """
        found: dict[str, int] = {}
        latest = 0
        for moment in self.moments:
            end = max(latest, moment.completed)
            found[moment.op] = found.get(moment.op, 0) + end - latest
            latest = end
        found[self.moments[-1].op] += self.cycles - latest
        return found

    def to_json(self) -> dict[str, Any]:
        """As JSON values, with ``cycles_by_op`` of :meth:`by_op`."""
        return {
            "cycles": self.cycles,
            "cycles_by_op": self.by_op(),
            "instructions": [asdict(moment) for moment in self.moments],
            "most_in_fifo": _folded(self.most, max),
        }


class Simulation:
    """A simulated core with its banks: a :class:`vitgen.csim.compare.Device`.

    It runs in a process of its own; leave it by ``with`` or :meth:`close`.

    Parameters
    ----------
    program_file : what :func:`vitgen.rtl.build.build_simulation` returned.
    engine : what it was built for.
    program : instructions and DRAM images.
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
        program: Program,
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
        self.engine, self.program = engine, program
        self._weather = f" in a storm of {storm} %, seed {seed}" if storm else ""
        self.last: Run | None = None
        self._output = -(-program.classes * 2 // BEAT_BYTES) * BEAT_BYTES
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close
        self._child = subprocess.Popen(
            [program_file], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
            cwd=waveform,
        )  # fmt: skip
        dram = memory or Memory()
        settings = (
            dram.latency, dram.outstanding, dram.burst, dram.port_bytes,
            dram.all_bytes, stall, seed, patience, *window, storm,
        )  # fmt: skip
        self._say(f"settings {' '.join(map(str, settings))}")
        for stream, words in (depths or {}).items():
            self._say(f"places {stream} {words}")
        self._put("params", program.params.tobytes())
        self._put("constants", program.constants.tobytes())
        ports = engine.weight_ports
        for port, weights in enumerate(program.weights):
            self._put(f"weights_{port}", weights.tobytes())
        assert len(program.weights) == ports

    # -- the child

    def _say(self, line: str, payload: bytes = b"") -> None:
        assert self._child.stdin is not None
        try:
            self._child.stdin.write(line.encode() + b"\n" + payload)
            self._child.stdin.flush()
        except BrokenPipeError as broken:
            raise RuntimeError(self._epitaph()) from broken

    def _put(self, name: str, data: bytes) -> None:
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

    def close(self) -> None:
        """Ends the child."""
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

    # -- the device

    def run(self, image: Bytes, instructions: Sequence[Instruction] | None = None) -> Int:
        """Execute the program (or ``instructions``) on a packed image; returns the logits.

        :attr:`last` says afterwards how long it took.

        Raises
        ------
        SimulationFailed : deadlock, words left over, or an address beyond a DRAM region; names the
            seed of a storm.
        """
        chosen = self.program.instructions if instructions is None else instructions
        self._put("program", encode_program(chosen))
        self._put("image", image.tobytes())
        self._say(f"run {len(chosen)} {self._output}")
        record = json.loads(self._answer())
        output = np.frombuffer(self._answer(), dtype=np.uint8)
        _refuse(record, chosen, self._weather)
        self.last = Run(record["cycles"], _moments(record, chosen), record["most"])
        return unpack_logits(output, self.program.classes)

    def predict(self, patches: Int) -> Int:
        """Logits of one image, ``(classes,)``, from its integer patches ``(tokens, features)``."""
        return self.run(self.program.pack_image(self.engine, patches))

    def bank(self, name: str, group: int, first: int, count: int) -> Int:
        """Words of a bank as lanes, ``(count, group_lanes)``."""
        bits = 16 if name == "residual" else self.engine.act_bits
        word_bytes = -(-self.engine.group_lanes * bits // 8)
        self._say(f"bank {name} {group} {first} {count} {word_bytes}")
        data = np.frombuffer(self._answer(), dtype=np.uint8).reshape(count, word_bytes)
        return unpack_lanes(data, self.engine.group_lanes, bits)


def _moments(record: Mapping[str, Any], chosen: Sequence[Instruction]) -> tuple[Moment, ...]:
    """From the cycles in which beats of the program, commands and completions moved."""
    beats: list[int] = record["program"]
    events: dict[str, list[list[int]]] = {}
    for name, cycles in record["events"].items():
        events.setdefault(name.split()[0], []).append(cycles)
    # A command or completion of a grouped process counts when all groups have it.
    last = {name: [max(c) for c in zip(*groups, strict=True)] for name, groups in events.items()}
    taken = dict.fromkeys(last, 0)

    def following(stream: str) -> int:
        taken[stream] += 1
        return last[stream][taken[stream] - 1]

    found = []
    for index, instruction in enumerate(chosen):
        read = beats[index * INSTRUCTION_BEATS + INSTRUCTION_BEATS - 1]
        issued = max([read, *(following(stream) for stream in _withheld(instruction))])
        ends = [following(DONE_STREAMS[source]) for source in sorted(instruction.reports)]
        found.append(Moment(instruction.op, read, issued, max([issued, *ends])))
    return tuple(found)


def _withheld(instruction: Instruction) -> list[str]:
    """Command streams that tell when an instruction was dealt: what touches a bank first, and what
    shares a stream with that."""
    fields = instruction.fields
    if instruction.opcode is Opcode.NORM:
        return ["residual_command"]
    if instruction.opcode is Opcode.LOAD:
        to_residual = fields["load_target"] == LoadTarget.RESIDUAL
        return ["load_command", *(["residual_command"] if to_residual else [])]
    if instruction.opcode is Opcode.GEMM:
        adds = fields["route"] == Route.RESIDUAL
        return ["feed_command", *(["residual_command"] if adds else [])]
    return []


def _refuse(record: Mapping[str, Any], chosen: Sequence[Instruction], weather: str) -> None:
    """Raise what went wrong in a run."""
    if record["fault"]:
        raise SimulationFailed(f"An address beyond its DRAM region{weather}: {record['fault']}.")
    if record["deadlock"]:
        raise SimulationFailed(_deadlock(record, chosen, weather))
    if record["held"]:
        held = ", ".join(f"{name}: {count}" for name, count in _folded(record["held"]).items())
        raise SimulationFailed(f"Words are left in the streams at the end{weather}: {held}.")


def _deadlock(record: Mapping[str, Any], chosen: Sequence[Instruction], weather: str) -> str:
    read = len(record["program"]) // INSTRUCTION_BEATS
    lines = [f"Deadlock{weather}: no word has moved since cycle {record['last_move']}; "]
    if read:
        last = chosen[read - 1]
        lines[0] += f"dispatch is at instruction {read - 1} of {len(chosen)} "
        lines[0] += f"({last.opcode.name} {last.op})."
        for source, wanted in last.waits.items():
            stream = DONE_STREAMS[source]
            found = [len(c) for name, c in record["events"].items() if name.split()[0] == stream]
            if min(found) < wanted:
                lines.append(f"  it waits for {stream}: {min(found)} of {wanted} have come")
    else:
        lines[0] += "dispatch has read no instruction."
    for title, names in (
        ("full, and more is offered", record["full"]),
        ("offered, but not taken", record["offered"]),
        # Processes made of C++ are ready only when something is offered: these are the others.
        ("empty, but awaited", record["awaited"]),
    ):
        if names:
            counts = {name: record["held"].get(name, 0) for name in names}
            lines.append(f"  {title}:")
            lines += [
                f"    {stream}, {count} words{_ends(stream)}"
                for stream, count in _folded(counts, max).items()
            ]
    return "\n".join(lines)


def _ends(stream: str) -> str:
    """The processes at the ends of a stream, for a report."""
    name = re.sub(r"(_\d+)?(\[.*\])?$", "", stream)
    ends = [
        process.args[0].removesuffix("[]").removesuffix("_command")
        if process.function == "bank_write"
        else process.function
        for process in netlist.processes()
        if name in [argument.removesuffix("[]") for argument in process.args]
    ]
    return f" ({' and '.join(ends)})" if ends else ""


def _folded(values: Mapping[str, int], join: Callable[[list[int]], int] = sum) -> dict[str, int]:
    """Groups under one name: ``acts 0``, ``acts 1`` become ``acts[0,1]``, their values joined."""
    groups: dict[str, list[str]] = {}
    held: dict[str, list[int]] = {}
    for name, value in values.items():
        stream, _, group = name.partition(" ")
        groups.setdefault(stream, []).extend([group] if group else [])
        held.setdefault(stream, []).append(value)
    return {
        stream + (f"[{','.join(sorted(members, key=int))}]" if members else ""): join(held[stream])
        for stream, members in groups.items()
    }
