"""C-sim against the integer reference: every tensor of every instruction, compared with ``==``."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vitgen.csim.simulate import Simulator
from vitgen.design.engine import Engine
from vitgen.design.isa import encode_program
from vitgen.design.program import Output, Program, build_program
from vitgen.design.stepping import single_steps
from vitgen.errors import VitgenError
from vitgen.ir import Graph
from vitgen.reference.execute import execute

Int = NDArray[np.int64]


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
    simulator: Simulator, image: NDArray[np.uint8], values: dict[str, NDArray[Any]], result: Result
) -> None:
    """One instruction at a time, comparing what each leaves behind."""
    program = simulator.program
    for index, cut in single_steps(program):
        logits = simulator.run(image, cut)
        output = program.outputs[index]
        if output is None:
            continue
        got = logits[None, :] if output.bank == "output" else simulator.tensor(output)
        op = program.instructions[index].op
        _compare(result, "step", op, output, _expected(values, output), got)


def _run_whole(
    simulator: Simulator, image: NDArray[np.uint8], values: dict[str, NDArray[Any]], result: Result
) -> None:
    """The program as a board runs it, instructions overlapped; compare what is left at the end."""
    program = simulator.program
    logits = simulator.run(image)
    last = {o.bank: (i.op, o) for i, o in zip(program.instructions, program.outputs, strict=True) if o}
    for op, output in last.values():
        got = logits[None, :] if output.bank == "output" else simulator.tensor(output)
        _compare(result, "program", op, output, _expected(values, output), got)


def check(simulator: Simulator, graph: Graph, patches: NDArray[np.int8], result: Result) -> None:
    """Run one image and add what was compared to ``result``.

    It runs twice: one instruction at a time, comparing each tensor that it wrote, and whole, with
    instructions overlapped, comparing the logits and what the banks hold at the end.

    Raises
    ------
    SimulationFailed : the simulated hardware deadlocked or left data over.
    """
    wide = patches.astype(np.int64)
    values = execute(graph, wide, keep=list(graph.tensors))
    image = simulator.program.pack_image(simulator.engine, wide)
    _step_through(simulator, image, values, result)
    _run_whole(simulator, image, values, result)
    result.images += 1


def verify(simulator: Simulator, graph: Graph, batch: Iterable[NDArray[np.int8]]) -> Result:
    """Compare the simulated accelerator with the reference on a batch of integer patches."""
    result = Result()
    for patches in batch:
        check(simulator, graph, patches, result)
    return result


_opened: tuple[Simulator, Graph] | None = None


def open_simulator(library: Path, engine: Engine, graph: Graph, data: Path | None = None) -> None:
    """Make this process (a :class:`vitgen.csim.worker.Worker`'s) simulate ``graph``.

    Parameters
    ----------
    data : directory of memory images, as a board reads them; None packs them anew.

    Raises
    ------
    VitgenError : the program in ``data`` is not the graph's.
    """
    global _opened
    program = build_program(graph, engine)
    if data is not None:
        program = _from_disk(program, data)
    _opened = Simulator(library, engine, program), graph


def _from_disk(program: Program, data: Path) -> Program:
    """``program`` with the memory images of a build in the place of its own."""

    def image(name: str) -> NDArray[np.uint8]:
        return np.fromfile(data / f"{name}.bin", dtype=np.uint8)

    if image("program").tobytes() != encode_program(program.instructions):
        raise VitgenError(f"{data / 'program.bin'} is another program.", "Build again.")
    return replace(
        program,
        weights=[image(f"weights_{port}") for port in range(len(program.weights))],
        params=image("params"),
        constants=image("constants"),
    )


def check_image(patches: NDArray[np.int8], result: Result) -> Result:
    """:func:`check` in a process that :func:`open_simulator` prepared; returns ``result`` grown."""
    assert _opened is not None
    check(*_opened, patches, result)
    return result
