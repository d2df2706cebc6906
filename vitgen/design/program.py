"""A program with the DRAM images that it reads, and where its tensors are when it has run."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vitgen.design.engine import Engine
from vitgen.design.isa import Instruction, encode_program
from vitgen.design.packing import Bytes, Int, pack_image
from vitgen.design.stem import Region, Stem
from vitgen.errors import VitgenError


@dataclass(frozen=True)
class Output:
    """A tensor as an instruction leaves it in a bank (or in DRAM, ``bank == "output"``).

    Parameters
    ----------
    tensor : IR tensor name; ``head`` selects one of its heads for probabilities, else None.
    bank : "act", "prob", "key", "value", "residual" or "output".
    base, stride : word ``base + slot * stride + feature`` of every group.
    tokens, features : extent.
    region, rows, first : for a map of a stem, the rows of its regions that are there, and the token
        whose region lies in the first lane.
    """

    tensor: str
    head: int | None
    bank: str
    base: int
    stride: int
    tokens: int
    features: int
    region: Region | None = None
    rows: range = range(0)
    first: int = 0

    def expected(self, value: Int) -> Int:
        """What should be there, ``(tokens, features)``, when the IR's tensor is ``value``."""
        if self.region is not None:
            return self.region.values(value, self.first, self.tokens, self.rows)
        return value if self.head is None else value[self.head]


@dataclass
class Program:
    """Everything the accelerator needs besides an image.

    Parameters
    ----------
    instructions : in order, STOP last.
    outputs : per instruction, the tensor that is complete in its bank after it, or None while a
        tensor is still missing rows or heads.
    weights : one byte image per port.
    params, constants : byte images.
    stem : the convolutional stem, if the graph has one.
    """

    instructions: list[Instruction]
    outputs: list[Output | None]
    weights: list[Bytes]
    params: Bytes
    constants: Bytes
    classes: int
    stem: Stem | None

    def pack_image(self, engine: Engine, value: Int) -> Bytes:
        """The graph's input, ``(tokens, features)``, as the DRAM image that LOAD reads."""
        return pack_image(engine, value if self.stem is None else self.stem.input_words(value))


def from_disk(program: Program, data: Path) -> Program:
    """``program`` with the memory images of a build in the place of its own.

    Raises
    ------
    VitgenError : ``data`` holds another program.
    """

    def image(name: str) -> Bytes:
        return np.fromfile(data / f"{name}.bin", dtype=np.uint8)

    if image("program").tobytes() != encode_program(program.instructions):
        raise VitgenError(f"{data / 'program.bin'} is another program.", "Build again.")
    return replace(
        program,
        weights=[image(f"weights_{port}") for port in range(len(program.weights))],
        params=image("params"),
        constants=image("constants"),
    )
