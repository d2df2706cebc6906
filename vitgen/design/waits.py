"""Wait counts: when an instruction may touch a bank, as numbers of completed commands.

Instructions are dealt in order, and a process runs its commands in order. So a count of completions
names a point in time, and an instruction that waits for counts of earlier instructions can never
wait for itself: the program cannot deadlock on its waits.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from vitgen.design.isa import DONE_DEPTH, Source

READERS = {
    "act": Source.FEED,
    "prob": Source.FEED,
    "key": Source.KEYS,
    "value": Source.VALUE_TURN,
    "residual": Source.RESIDUAL,
}
WRITERS = {
    "act": Source.ACT_WRITE,
    "prob": Source.PROB_WRITE,
    "key": Source.KEY_WRITE,
    "value": Source.VALUE_WRITE,
    "residual": Source.RESIDUAL,
    "output": Source.STORE,
}


@dataclass(frozen=True)
class Access:
    """Words ``low .. high - 1`` of a bank, read or written by one instruction."""

    bank: str
    low: int
    high: int
    writes: bool

    @property
    def source(self) -> Source:
        """The process that makes the access."""
        return (WRITERS if self.writes else READERS)[self.bank]

    def meets(self, other: "Access") -> bool:
        """Whether both touch a common word and at least one writes it."""
        return (
            self.bank == other.bank
            and (self.writes or other.writes)
            and self.low < other.high
            and other.low < self.high
        )


class Waits:
    """Counts commands per process and derives each instruction's waits."""

    def __init__(self) -> None:
        self._issued = dict.fromkeys(Source, 0)
        self._history: list[tuple[Access, int]] = []

    def issue(
        self, accesses: Sequence[Access], implied: Collection[Source] = ()
    ) -> dict[Source, int]:
        """Waits of the next instruction, which makes ``accesses``; then count its commands.

        What it would wait for of ``implied`` sources holds anyway: words that come slot by slot are
        waited for one slot at a time (:mod:`vitgen.design.chains`).

        A process's own earlier commands need no wait (the residual process both adds into its bank
        and reads it for LayerNorm). Waits also keep the completions that nobody collects below
        ``DONE_DEPTH``.
        """
        waits = {
            source: count - (DONE_DEPTH - 2)
            for source, count in self._issued.items()
            if count > DONE_DEPTH - 2
        }
        for access in accesses:
            for earlier, ordinal in self._history:
                own = earlier.source is access.source or earlier.source in implied
                if access.meets(earlier) and not own:
                    waits[earlier.source] = max(waits.get(earlier.source, 0), ordinal)
        self._count(accesses)
        return waits

    def _count(self, accesses: Sequence[Access]) -> None:
        for source in {access.source for access in accesses}:
            self._issued[source] += 1
        for access in accesses:
            ordinal = self._issued[access.source]
            # What this access covers needs no memory of older ones by the same process.
            self._history = [
                (old, n)
                for old, n in self._history
                if not (
                    old.source is access.source
                    and old.bank == access.bank
                    and access.low <= old.low
                    and old.high <= access.high
                )
            ]
            self._history.append((access, ordinal))

    def all(self) -> dict[Source, int]:
        """Every command issued so far."""
        return {source: count for source, count in self._issued.items() if count}
