"""A graph: tensors and ops in the order of execution, every interval proven when it is built."""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vitgen.errors import VitgenError
from vitgen.ir.ops.base import Array, Op
from vitgen.ir.tensor import Interval, Tensor, full_range

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.]*\Z")


@dataclass(frozen=True, eq=False)
class Graph:
    """A lowered network.

    Parameters
    ----------
    name : the model's name, e.g. ``deit_b``.
    tensors : by name.
    ops : in order of execution; each tensor is an input, a constant or the output of one op.
    input, output : names of the image patches and of the logits.
    constants : data of tensors that no op writes (the embedding), ``int16``.
    meta : strings and numbers that no integer depends on (bits label, image size, normalisation).
    """

    name: str
    tensors: dict[str, Tensor]
    ops: tuple[Op, ...]
    input: str
    output: str
    constants: dict[str, Array]
    meta: dict[str, Any] = field(default_factory=dict)

    def inputs_of(self, op: Op) -> list[Tensor]:
        """Tensors that ``op`` reads."""
        return [self.tensors[name] for name in op.inputs]

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image."""
        return sum(op.macs(self.inputs_of(op)) for op in self.ops)

    @property
    def weights(self) -> int:
        """Number of weights in linear layers."""
        return sum(a.size for op in self.ops for n, a in op.arrays() if n == "weight")

    def _prove_sources(self) -> None:
        """Check the names of all tensors, and the tensors that no op writes."""
        for name in self.tensors:
            if not NAME.match(name):
                raise VitgenError(
                    f"Tensor name {name!r} is not made of letters, digits, _ and .",
                    "Choose another name.",
                )
        for name in (self.input, *self.constants):
            if name not in self.tensors:
                raise VitgenError(
                    f"The source {name!r} is not declared.", "Declare every tensor."
                )
            if self.tensors[name].count is not None:
                raise VitgenError(
                    f"The source {name!r} has a count of tokens.", "Only a compaction gives one."
                )
        for name, data in self.constants.items():
            tensor = self.tensors[name]
            if (
                data.shape != tensor.shape
                or not np.issubdtype(data.dtype, np.integer)
                or int(data.min()) < tensor.interval.lo
                or int(data.max()) > tensor.interval.hi
            ):
                raise VitgenError(
                    f"The data of constant {name!r} are not integers of shape {tensor.shape} in "
                    f"{tensor.interval.lo}..{tensor.interval.hi}.",
                    "State the shape and the interval of the data.",
                )

    def prove(self) -> None:
        """Check every op again; raises what :meth:`Op.check` raises, or on a broken structure."""
        self._prove_sources()
        written = {self.input, *self.constants}
        names: set[str] = set()
        for op in self.ops:
            if not NAME.match(op.name) or op.name in names:
                raise VitgenError(
                    f"Op name {op.name!r} is taken or not made of letters, digits, _ and .",
                    "Choose another name.",
                )
            names.add(op.name)
            for name in op.inputs:
                if name not in written:
                    raise VitgenError(
                        f"Op {op.name} reads {name!r}, which nothing before it writes.",
                        "Order the ops by their data.",
                    )
            if op.output in written:
                raise VitgenError(
                    f"Tensor {op.output!r} is written twice, again by op {op.name}.",
                    "Give every op an output of its own.",
                )
            if op.output not in self.tensors:
                raise VitgenError(
                    f"Op {op.name} writes {op.output!r}, which is not declared.",
                    "Declare every tensor.",
                )
            output = self.tensors[op.output]
            inputs = self.inputs_of(op)
            proven = op.check(inputs, output)
            if output.count != op.count_of(inputs):
                raise VitgenError(
                    f"Op {op.name} counts tokens by {op.count_of(inputs)}, {op.output} by "
                    f"{output.count}.",
                    "State the count that the op gives.",
                )
            if proven.lo < output.interval.lo or proven.hi > output.interval.hi:
                raise VitgenError(
                    f"Op {op.name} can produce {proven.lo}..{proven.hi}, but {op.output} states "
                    f"{output.interval.lo}..{output.interval.hi}.",
                    "State the interval that the op proves.",
                )
            written.add(op.output)
        if self.output not in written:
            raise VitgenError(f"No op writes the output {self.output!r}.", "Name a written tensor.")


class GraphBuilder:
    """Builds a :class:`Graph` op by op, proving each output's interval as it goes."""

    def __init__(self, name: str, **meta: Any) -> None:
        self._name = name
        self._meta = dict(meta)
        self._tensors: dict[str, Tensor] = {}
        self._constants: dict[str, Array] = {}
        self._ops: list[Op] = []
        self._input = ""

    def _declare(self, tensor: Tensor) -> Tensor:
        if not NAME.match(tensor.name) or tensor.name in self._tensors:
            raise VitgenError(
                f"Tensor name {tensor.name!r} is taken or not made of letters, digits, _ and .",
                "Choose another name.",
            )
        self._tensors[tensor.name] = tensor
        return tensor

    def input(self, name: str, shape: tuple[int, int], bits: int, scale: float) -> Tensor:
        """Declare the image patches, ``(tokens, patch features)``; the CLS row is all zero."""
        self._input = name
        return self._declare(Tensor(name, shape, bits, scale, full_range(bits)))

    def constant(self, name: str, data: Array, bits: int, scale: float) -> Tensor:
        """Declare a constant tensor ``(tokens, features)``."""
        interval = Interval(int(data.min()), int(data.max()))
        shape = tuple(int(extent) for extent in data.shape)
        self._constants[name] = data.astype(np.int16)
        return self._declare(Tensor(name, shape, bits, scale, interval))

    def add(
        self,
        op: Op,
        shape: tuple[int, ...],
        bits: int,
        scale: float,
        fraction: int | None = None,
    ) -> Tensor:
        """Append ``op`` and declare its output; raises what :meth:`Op.check` raises."""
        inputs: Sequence[Tensor] = [self._tensors[name] for name in op.inputs]
        loose = Tensor(op.output, shape, bits, scale, full_range(bits), fraction)
        proven = op.check(inputs, loose)
        count = op.count_of(inputs)
        self._ops.append(op)
        return self._declare(dataclasses.replace(loose, interval=proven, count=count))

    def finish(self, output: str) -> Graph:
        """The graph; ``output`` names the logits."""
        graph = self._graph(output)
        graph.prove()
        return graph

    def _graph(self, output: str) -> Graph:
        return Graph(
            self._name, self._tensors, tuple(self._ops), self._input, output, self._constants,
            self._meta,
        )


class OutlineBuilder(GraphBuilder):
    """Builds the outline of a graph: shapes and widths. Nothing is proven, so weights need not be
    there: views of one value do."""

    def add(
        self,
        op: Op,
        shape: tuple[int, ...],
        bits: int,
        scale: float,
        fraction: int | None = None,
    ) -> Tensor:
        """Append ``op`` and declare its output with the whole range of its width."""
        self._ops.append(op)
        return self._declare(Tensor(op.output, shape, bits, scale, full_range(bits), fraction))

    def finish(self, output: str) -> Graph:
        """The outline; ``output`` names the logits."""
        return self._graph(output)
