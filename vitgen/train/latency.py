"""The latency-sparsity table: what a block costs with so many of its tokens left. Free of torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from vitgen.errors import VitgenError
from vitgen.models.config import VitConfig
from vitgen.models.keep import Keep


@dataclass(frozen=True)
class LatencyTable:
    """Cycles of a network by keep rate; between two rates of the table they are interpolated.

    Parameters
    ----------
    rates : shares of the image's patches, rising, the last of them 1.
    cycles : of one block at each rate, not falling.
    rest : cycles of all that is outside the blocks.
    selector : cycles of a token selector on all tokens; on fewer it takes its share.

    Raises
    ------
    VitgenError : rates or cycles that make no table.
    """

    rates: tuple[float, ...]
    cycles: tuple[float, ...]
    rest: float = 0.0
    selector: float = 0.0

    def __post_init__(self) -> None:
        pairs = list(zip(self.rates, self.cycles, strict=False))
        numbers = [*self.rates, *self.cycles, self.rest, self.selector]
        whole = len(self.rates) == len(self.cycles) >= 2 and self.rates[-1] == 1
        good = whole and all(math.isfinite(n) and n >= 0 for n in numbers)
        rising = all(a[0] < b[0] and a[1] <= b[1] for a, b in pairwise(pairs))
        if not good or not rising or not self.cycles[-1] > 0:
            raise VitgenError(
                f"The latency table has the rates {self.rates} and the cycles {self.cycles}.",
                "Give rates that rise up to 1, and cycles that rise with them.",
            )

    def block(self, rate: float) -> float:
        """Cycles of a block at a keep rate of 0 to 1; below the table's least as at that."""
        if rate <= self.rates[0]:
            return self.cycles[0]
        above = next(n for n, known in enumerate(self.rates) if rate <= known)
        low, high = self.rates[above - 1], self.rates[above]
        share = (rate - low) / (high - low)
        return self.cycles[above - 1] * (1 - share) + self.cycles[above] * share

    def network(self, depth: int, keep: Keep) -> float:
        """Cycles of an image with these keep rates."""
        rates, rate, total = dict(keep), 1.0, self.rest
        for block in range(depth):
            if block in rates:
                total += self.selector * rate
                rate = rates[block]
            total += self.block(rate)
        return total

    def share(self, depth: int, keep: Keep) -> float:
        """The same over the cycles of the unpruned network."""
        return self.network(depth, keep) / self.network(depth, ())


def mac_table(
    config: VitConfig, rates: Sequence[float] = (0.1, 0.25, 0.5, 0.75, 1.0)
) -> LatencyTable:
    """A table of multiply-accumulates, for a network whose hardware is not known.

    Tokens of a rate are CLS, its patches and the package.
    """
    width, hidden = config.embed_dim, config.hidden

    def block(rate: float) -> float:
        tokens = config.tokens if rate == 1 else 2 + rate * (config.tokens - 1)
        return tokens * width * (4 * width + 2 * hidden + 2 * tokens)

    local, fused, _ = config.selector_widths
    head = config.head_dim * local + 2 * local * local + local * fused + 2 * fused
    return LatencyTable(
        tuple(rates),
        tuple(block(rate) for rate in rates),
        config.tokens * config.patch_features * width,
        config.tokens * config.heads * head,
    )
