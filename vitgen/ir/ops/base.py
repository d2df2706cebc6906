"""What every op has: a name, inputs, one output, a check that proves its integers, a MAC count."""

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from vitgen.arith.requant import ACCUMULATOR_BITS, MAX_SHIFT, MULTIPLIER_BITS
from vitgen.errors import OverflowRefused, VitgenError
from vitgen.ir.tensor import Interval, Tensor

Array = NDArray[Any]

OPS: dict[str, type["Op"]] = {}
"""Op classes by ``kind``, the word that stands for them in ``ir.json``."""


@dataclass(frozen=True, eq=False)
class Op:
    """One operation: reads tensors, writes one.

    Subclasses are frozen dataclasses; fields that hold arrays are constants of the op and are stored
    beside the JSON. Defining a subclass registers it under its ``kind``.

    Parameters
    ----------
    name : unique in its graph, e.g. ``blocks.3.mlp.fc1``.
    inputs : names of the tensors read.
    output : name of the tensor written.
    """

    kind: ClassVar[str] = ""

    name: str
    inputs: tuple[str, ...]
    output: str

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.kind in OPS:
            raise TypeError(f"two ops are called {cls.kind!r}")
        OPS[cls.kind] = cls

    def check(self, inputs: Sequence[Tensor], output: Tensor) -> Interval:
        """Prove that no intermediate overflows and return the tightest interval known of the output.

        Raises
        ------
        OverflowRefused : a bound is exceeded; the message names the op, the value and the bound.
        VitgenError : shapes or parameters do not agree.
        """
        raise NotImplementedError(type(self).__name__)

    def count_of(self, inputs: Sequence[Tensor]) -> str | None:
        """Count register of the output: that of the inputs, which share one.

        Raises
        ------
        VitgenError : they do not.
        """
        counts = {x.count for x in inputs}
        self.require(
            len(counts) == 1,
            f"its inputs have different counts of tokens ({', '.join(map(str, counts))}).",
            "What an op reads comes from one compaction.",
        )
        return counts.pop()

    def first_tokens(self, inputs: Sequence[Tensor], tokens: int | None) -> str | None:
        """Count register of an op that computes the first ``tokens``, or all where that is None."""
        count = Op.count_of(self, inputs)
        if tokens is None or count is None:
            return count
        self.require(
            tokens == 1,
            f"it computes {tokens} tokens of a count that is known at run time.",
            "Only token 0 is always there.",
        )
        return None

    def macs(self, inputs: Sequence[Tensor]) -> int:
        """Multiply-accumulates of the matrix product, 0 for the others; of the most tokens there are."""
        return 0

    def arrays(self) -> Iterator[tuple[str, Array]]:
        """The constants, by field name."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, np.ndarray):
                yield field.name, value

    def require(self, condition: bool, problem: str, remedy: str) -> None:
        """Raise a :class:`VitgenError` that names this op unless ``condition`` holds."""
        if not condition:
            raise VitgenError(f"Op {self.name}: {problem}", remedy)

    def require_below(self, what: str, value: int, bits: int) -> None:
        """Refuse ``|value| >= 2**bits``."""
        if abs(value) >> bits:
            raise OverflowRefused(
                f"Op {self.name}: {what} reaches {value}, beyond the 2**{bits} of the hardware.",
                "Use fewer features, fewer bits or another calibration.",
            )

    def require_requant(self, mult: Array | int, shift: int) -> None:
        """Check a multiplier (or one per row) and a shift against the requantizer's widths."""
        # In 64 bits: the magnitude of -2**31 is negative in 32.
        largest = int(np.max(np.abs(np.asarray(mult, dtype=np.int64)), initial=0))
        self.require_below("a requantization multiplier", largest, MULTIPLIER_BITS)
        self.require(
            1 <= shift <= MAX_SHIFT, f"the shift is {shift}.", f"Shifts run from 1 to {MAX_SHIFT}."
        )

    def require_accumulator(self, acc: Interval) -> None:
        """Refuse an accumulator that leaves its 27 bits."""
        self.require_below("the accumulator", acc.magnitude, ACCUMULATOR_BITS - 1)
