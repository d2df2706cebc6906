"""Simulated hardware against the integer reference: every tensor of every instruction, with ``==``."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vitgen.design.engine import Engine
from vitgen.design.isa import Instruction
from vitgen.design.packing import from_slots
from vitgen.design.program import Output, Program
from vitgen.design.stepping import single_steps
from vitgen.ir import Graph
from vitgen.reference.execute import execute

Bytes = NDArray[np.uint8]
Int = NDArray[np.int64]


class Device(Protocol):
    """An accelerator whose banks can be looked into: the C-sim, or the RTL."""

    @property
    def engine(self) -> Engine:
        """What it is built for."""

    @property
    def program(self) -> Program:
        """Its instructions and DRAM images."""

    def run(self, image: Bytes, instructions: Sequence[Instruction] | None = None) -> Int:
        """Execute the program (or ``instructions``) on a packed image; the logits, ``(classes,)``.

        Banks keep their contents from run to run.
        """

    def bank(self, name: str, group: int, first: int, count: int) -> Int:
        """Words of a bank as lanes, ``(count, group_lanes)``."""


def read_tensor(device: Device, output: Output) -> Int:
    """A tensor that an instruction left in a bank, ``(tokens, features)``."""
    engine = device.engine
    words = np.stack(
        [
            np.stack(
                [
                    device.bank(
                        output.bank, group, output.base + slot * output.stride, output.features
                    )
                    for group in range(engine.groups)
                ]
            )
            for slot in range(engine.slots(output.tokens))
        ]
    )
    return from_slots(words, output.tokens)


@dataclass(frozen=True)
class Difference:
    """The first value that differs.

    Parameters
    ----------
    image : index of the image.
    run : "step" (instruction by instruction) or "program" (the overlapped run).
    op : instruction that wrote the tensor.
    tensor, head, row, column : where; head is None where the tensor has none.
    expected, got : the reference's value and the hardware's.
    """

    image: int
    run: str
    op: str
    tensor: str
    head: int | None
    row: int
    column: int
    expected: int
    got: int

    def __str__(self) -> str:
        head = "" if self.head is None else f" head {self.head}"
        return (
            f"image {self.image}, {self.run} run: {self.op} wrote {self.tensor}{head} row {self.row} "
            f"column {self.column}: expected {self.expected}, got {self.got}"
        )


@dataclass
class Result:
    """Outcome of a verification.

    Parameters
    ----------
    images, tensors, values : images run, tensors and values compared.
    mismatches : values that differ.
    first : the first difference, if any.
    """

    images: int = 0
    tensors: int = 0
    values: int = 0
    mismatches: int = 0
    first: Difference | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def _compare(result: Result, run: str, op: str, output: Output, want: Int, got: Int) -> None:
    result.tensors += 1
    result.values += want.size
    wrong = np.argwhere(want != got)
    result.mismatches += len(wrong)
    if len(wrong) and result.first is None:
        row, column = (int(i) for i in wrong[0])
        result.first = Difference(
            result.images, run, op, output.tensor, output.head, row, column,
            int(want[row, column]), int(got[row, column]),
        )  # fmt: skip


def _expected(values: dict[str, NDArray[Any]], output: Output) -> Int:
    return output.expected(values[output.tensor].astype(np.int64))


def _step_through(
    device: Device, image: NDArray[np.uint8], values: dict[str, NDArray[Any]], result: Result
) -> None:
    """One instruction at a time, comparing what each leaves behind."""
    program = device.program
    for index, cut in single_steps(program):
        logits = device.run(image, cut)
        output = program.outputs[index]
        if output is None:
            continue
        got = logits[None, :] if output.bank == "output" else read_tensor(device, output)
        op = program.instructions[index].op
        _compare(result, "step", op, output, _expected(values, output), got)


def _run_whole(
    device: Device, image: NDArray[np.uint8], values: dict[str, NDArray[Any]], result: Result
) -> None:
    """The program as a board runs it, instructions overlapped; compare what is left at the end."""
    program = device.program
    logits = device.run(image)
    last = {
        o.bank: (i.op, o) for i, o in zip(program.instructions, program.outputs, strict=True) if o
    }
    for op, output in last.values():
        got = logits[None, :] if output.bank == "output" else read_tensor(device, output)
        _compare(result, "program", op, output, _expected(values, output), got)


def check(device: Device, graph: Graph, patches: NDArray[np.int8], result: Result) -> None:
    """Run one image and add what was compared to ``result``.

    It runs twice: one instruction at a time, comparing each tensor that it wrote, and whole, with
    instructions overlapped, comparing the logits and what the banks hold at the end.

    Raises
    ------
    SimulationFailed : the simulated hardware deadlocked or left data over.
    """
    wide = patches.astype(np.int64)
    values = execute(graph, wide, keep=list(graph.tensors))
    image = device.program.pack_image(device.engine, wide)
    _step_through(device, image, values, result)
    _run_whole(device, image, values, result)
    result.images += 1


def verify(device: Device, graph: Graph, batch: Iterable[NDArray[np.int8]]) -> Result:
    """Compare the simulated accelerator with the reference on a batch of integer patches."""
    result = Result()
    for patches in batch:
        check(device, graph, patches, result)
    return result
