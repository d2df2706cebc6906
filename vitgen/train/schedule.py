"""Which selectors are trained, one after the other: from the last block backwards. Free of torch.

A schedule is a function of what came out so far, so a training that was interrupted goes on with the
same stages.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vitgen.errors import VitgenError
from vitgen.models.keep import Keep
from vitgen.train.latency import LatencyTable

STEP = 0.15
"""Between two rates that are tried for a block."""

LEAST = 0.1
"""Rates go no lower: a tenth of the patches."""

ALIKE = 0.085
"""Neighbours whose rates differ by less become one selector, the first."""


@dataclass(frozen=True)
class Pruning:
    """What pruning is asked for.

    Parameters
    ----------
    table : cycles by rate; told by epochs, and what a search goes by.
    target : cycles of an image, as a share of the unpruned network's; None: the configuration's keep
        rates as they are.
    budget : accuracy that a stage of the search may lose, 0..1.
    first : block before which the search puts no selector.
    """

    table: LatencyTable
    target: float | None = None
    budget: float = 0.005
    first: int = 1


@dataclass(frozen=True)
class Outcome:
    """A stage that was trained: its keep rates, and the accuracy that it reached, 0..1."""

    keep: Keep
    accuracy: float


@dataclass(frozen=True)
class Given:
    """Selectors at stated places: the last alone, then the one before with it, and so on.

    Parameters
    ----------
    keep : the rates.
    """

    keep: Keep

    def next(self, outcomes: Sequence[Outcome]) -> Keep | None:
        """Keep rates of the next stage; None after the last."""
        count = len(outcomes) + 1
        return self.keep[-count:] if count <= len(self.keep) else None

    def accepted(self, outcomes: Sequence[Outcome]) -> bool:
        """Whether the weights of the last outcome are gone on with."""
        return bool(outcomes)

    def result(self, outcomes: Sequence[Outcome]) -> Keep:
        """Keep rates of the whole network."""
        return self.keep


@dataclass(frozen=True)
class Search:
    """Places and rates for a target latency (HeatViT's latency-aware training).

    From the last block to ``first``, a block's rate is lowered step by step while the accuracy lost
    stays within the budget; then the block before has its turn. It ends where the target is reached.
    What it found is merged where neighbours are alike, and scaled down together where the target is
    not reached within the budget.

    Parameters
    ----------
    depth : blocks of the network.
    table : cycles by rate.
    target : cycles of an image, as a share of the unpruned network's, above 0 and below 1.
    unpruned : its accuracy, 0..1.
    budget : accuracy that may be lost.
    first : no selector stands before an earlier block.

    Raises
    ------
    VitgenError : a target that no rate reaches, or a first block that does not exist.
    """

    depth: int
    table: LatencyTable
    target: float
    unpruned: float
    budget: float = 0.005
    first: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.first < self.depth:
            raise VitgenError(
                f"The first block to prune before is {self.first} of {self.depth}.",
                f"Give a block from 0 to {self.depth - 1}.",
            )
        least = self.table.share(self.depth, ((self.first, LEAST),))
        if not least <= self.target < 1:
            raise VitgenError(
                f"The target latency is {self.target:g} of the unpruned network's.",
                f"Give a share from {least:.2f} (a tenth of the patches from block {self.first} on) "
                "to below 1.",
            )

    def _replay(self, outcomes: Sequence[Outcome]) -> tuple[Keep, Keep | None, bool]:
        """What is accepted, the next stage or None, and whether the last outcome was accepted."""
        accepted: Keep = ()
        block, rate, last = self.depth - 1, 1.0 - STEP, False
        for outcome in outcomes:
            last = outcome.accuracy >= self.unpruned - self.budget
            if last:
                accepted = outcome.keep
                rate = outcome.keep[0][1] - STEP
            else:
                rate = 0.0
            block, rate = self._place(accepted, block, rate)
        if block < self.first or self._reached(accepted):
            return accepted, None, last
        behind = tuple(pair for pair in accepted if pair[0] > block)
        return accepted, ((block, round(rate, 4)), *behind), last

    def _place(self, accepted: Keep, block: int, rate: float) -> tuple[int, float]:
        """The block and rate to try next, if ``rate`` is too low for ``block``."""
        behind = [known for index, known in accepted if index > block]
        floor = max([LEAST - 1e-9, *behind])
        if rate > floor + 1e-9:
            return block, rate
        block, rate = block - 1, 1.0 - STEP
        # A block that keeps less than the one before tries cannot follow it.
        low = max([LEAST, *(known for index, known in accepted if index > block)])
        return block, rate if rate > low else (1.0 + low) / 2

    def _reached(self, keep: Keep) -> bool:
        return self.table.share(self.depth, keep) <= self.target

    def next(self, outcomes: Sequence[Outcome]) -> Keep | None:
        """Keep rates of the next stage; None after the last."""
        return self._replay(outcomes)[1]

    def accepted(self, outcomes: Sequence[Outcome]) -> bool:
        """Whether the weights of the last outcome are gone on with."""
        return self._replay(outcomes)[2]

    def result(self, outcomes: Sequence[Outcome]) -> Keep:
        """Keep rates of the whole network, within the target."""
        keep = merged(self._replay(outcomes)[0]) or ((self.first, 1.0 - STEP),)
        if self._reached(keep):
            return keep
        low, high = 0.0, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if self._reached(scaled(keep, middle)) else (low, middle)
        found = scaled(keep, low)
        return found if self._reached(found) else self._single()

    def _single(self) -> Keep:
        """One selector, before the first block: what is left where later ones cannot save enough."""
        low, high = LEAST, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            low, high = (middle, high) if self._reached(((self.first, middle),)) else (low, middle)
        return ((self.first, int(low * 1e4) / 1e4),)


def merged(keep: Keep) -> Keep:
    """Keep rates without those that are about as the one before."""
    found: list[tuple[int, float]] = []
    for block, rate in keep:
        if not found or found[-1][1] - rate >= ALIKE:
            found.append((block, rate))
    return tuple(found)


def scaled(keep: Keep, factor: float) -> Keep:
    """All rates times a factor, rounded down, none below the least and each below the one before."""
    found: list[tuple[int, float]] = []
    for block, rate in keep:
        lower = max(LEAST, int(rate * factor * 1e4) / 1e4)
        if not found or lower < found[-1][1]:
            found.append((block, lower))
    return tuple(found)
