"""Time of every instruction: each is run as a program of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from .ip import VitTop
from .predictions import Predictions

Run = Callable[[int, int], None]
Buffer = Callable[[bytes], AbstractContextManager[int]]


@dataclass(frozen=True)
class Step:
    """One instruction's run.

    Parameters
    ----------
    instruction : its index in the program.
    seconds : from the start to the end as the driver saw it; starting a run and noticing its end
        are in it.
    cycles : clock cycles, loading the instruction included; None where they are not counted.
    """

    instruction: int
    seconds: float
    cycles: int | None


@dataclass(frozen=True)
class LayerTime:
    """A layer's share of an image, its instructions run one at a time.

    Parameters
    ----------
    name, kind : of the layer.
    seconds : sum over its instructions, from clock cycles where they are counted.
    estimated : seconds that the build estimated, overlapped with its neighbours.
    """

    name: str
    kind: str
    seconds: float
    estimated: float


class Profile:
    """Times of all instructions of one image.

    Attributes
    ----------
    steps : of every instruction that does something, in order.
    predictions : of the image; the same as without profiling.
    overhead : seconds of the shortest step: starting a run and noticing its end take no more.
    """

    def __init__(self, steps: list[Step], deployment: Any, predictions: Predictions) -> None:
        self.steps = steps
        self.predictions = predictions
        self._layers = deployment["layers"]
        self._clock = deployment["clock_mhz"] * 1e6

    @property
    def overhead(self) -> float:
        return min(step.seconds for step in self.steps)

    @property
    def counted(self) -> bool:
        """Whether the accelerator counts clock cycles."""
        return all(step.cycles is not None for step in self.steps)

    def seconds(self, step: Step) -> float:
        """Time of a step without what the driver adds, where clock cycles are counted."""
        return step.seconds if step.cycles is None else step.cycles / self._clock

    @property
    def layers(self) -> list[LayerTime]:
        """Times folded per layer, in the order in which layers begin.

        Alone, an instruction overlaps with nothing: the sum is more than a whole run takes.
        """
        by_instruction = {step.instruction: self.seconds(step) for step in self.steps}
        found = []
        for layer in self._layers:
            inside = (i for first, end in layer["instructions"] for i in range(first, end))
            times = [by_instruction[i] for i in inside if i in by_instruction]
            if times:
                estimated = layer["cycles"] / self._clock
                found.append(LayerTime(layer["name"], layer["kind"], sum(times), estimated))
        return found


def profile(ip: VitTop, program: bytes, deployment: Any, buffer: Buffer, run: Run) -> list[Step]:
    """Run a program one instruction at a time.

    Parameters
    ----------
    program : encoded instructions.
    deployment : ``steps`` says how a step is made of an instruction.
    buffer : makes a buffer of some bytes and gives its address.
    run : runs the program at an address, of a number of instructions, to its end.
    """
    programs = single_steps(program, deployment["steps"])
    size = deployment["steps"]["instruction_bytes"]
    found = []
    with buffer(b"".join(code for _, code in programs)) as address:
        for index, code in programs:
            begun = time.perf_counter()
            run(address, len(code) // size)
            found.append(Step(index, time.perf_counter() - begun, ip.cycles))
            address += len(code)
    return found


def single_steps(program: bytes, record: dict[str, Any]) -> list[tuple[int, bytes]]:
    """A program of each instruction, with its index.

    Memories keep their contents between runs, registers do not: every step sets them again, as they
    stand when the program comes to its instruction. Nothing runs beside it that it would wait for;
    its STOP waits until all is written.

    Parameters
    ----------
    record : ``steps`` of the deployment.
    """
    size = record["instruction_bytes"]
    alone = (1 << record["alone_bits"]) - 1
    stops = [int(word, 16).to_bytes(size, "little") for word in record["stops"]]
    registers: dict[int, bytes] = {}
    found = []
    for index, stop in enumerate(record["stop_of"]):
        word = int.from_bytes(program[index * size : (index + 1) * size], "little") & alone
        code = word.to_bytes(size, "little")
        if _field(word, record["opcode"]) == record["set_tokens"]:
            registers[_field(word, record["register"])] = code
        elif stop is not None:
            found.append((index, b"".join([*registers.values(), code, stops[stop]])))
    return found


def _field(word: int, place: list[int]) -> int:
    low, width = place
    return word >> low & ((1 << width) - 1)
