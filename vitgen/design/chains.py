"""LayerNorms that run slot by slot behind the product that ends their input and before the one that
reads them.

The last row tile of a product completes the residual stream of one token tile (a slot) after the
other. A LayerNorm behind it takes each slot as soon as it is complete, and the product that reads the
LayerNorm begins with the first slot while the others are on their way.
"""

from dataclasses import dataclass

from vitgen.design.isa import Route
from vitgen.design.steps import LinearStep, NormStep, Step


@dataclass(frozen=True)
class Chain:
    """Places of three neighbouring steps: the product that adds to the residual stream, the LayerNorm,
    and the first product that reads it."""

    adds: int
    norm: int
    reads: int


def _tokens(step: LinearStep) -> int:
    return step.op.tokens or step.x.tokens


def chains(steps: list[Step]) -> list[Chain]:
    """The chains of ``steps``. All three steps of a chain have the same tokens; a product that both
    reads a LayerNorm and adds to the residual stream ends none."""
    found = []
    for index, norm in enumerate(steps):
        if not isinstance(norm, NormStep) or not 0 < index < len(steps) - 1:
            continue
        adds, reads = steps[index - 1], steps[index + 1]
        if not isinstance(adds, LinearStep) or not isinstance(reads, LinearStep):
            continue
        same = _tokens(adds) == norm.y.tokens == _tokens(reads) == norm.x.tokens
        routes = adds.route is Route.RESIDUAL is not reads.route
        if routes and reads.x.name == norm.y.name and same:
            found.append(Chain(index - 1, index, index + 1))
    return found
