"""Latency tables, and the stages that a schedule makes of what came out so far."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitgen.errors import VitgenError
from vitgen.models import config
from vitgen.models.keep import Keep, checked_keep
from vitgen.train.latency import LatencyTable, mac_table
from vitgen.train.schedule import LEAST, Given, Outcome, Search, merged, scaled

TABLE = LatencyTable((0.2, 0.6, 1.0), (30.0, 50.0, 100.0), rest=40.0, selector=2.0)


def test_cycles_between_the_rates_of_a_table():
    found = [TABLE.block(rate) for rate in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)]
    assert found == pytest.approx([30, 30, 40, 50, 75, 100])
    assert TABLE.network(4, ()) == 440
    # The selector's share is that of the tokens that come to it.
    keep = ((1, 0.6), (3, 0.2))
    assert TABLE.network(4, keep) == pytest.approx(40 + 100 + 2 + 50 + 50 + 0.6 * 2 + 30)
    assert TABLE.share(4, keep) == TABLE.network(4, keep) / 440


@pytest.mark.parametrize(
    ("rates", "cycles", "rest"),
    [((), (), 0.0), ((1.0,), (5.0,), 0.0), ((0.5, 1.0), (5.0,), 0.0), ((0.5, 0.9), (5.0, 6.0), 0.0),
     ((0.5, 0.5, 1.0), (5.0, 5.0, 6.0), 0.0), ((0.5, 1.0), (6.0, 5.0), 0.0),
     ((0.5, 1.0), (float("nan"), 5.0), 0.0), ((0.5, 1.0), (0.0, 0.0), 0.0),
     ((0.5, 1.0), (5.0, 6.0), -1.0), ((-0.5, 1.0), (5.0, 6.0), 0.0)],
)  # fmt: skip
def test_tables_that_are_none(rates, cycles, rest):
    with pytest.raises(VitgenError, match="latency table"):
        LatencyTable(rates, cycles, rest)


def test_products_of_deit_s_at_the_papers_rates():
    """2.64 of 4.6 GMAC with CLS and one package, as worked out by hand."""
    shape = config("deit_s")
    table = mac_table(shape, (0.21, 0.39, 0.7, 1.0))
    keep = ((3, 0.7), (6, 0.39), (9, 0.21))
    width = 384
    by_hand = 197 * 768 * width
    for tokens in (197, 2 + 0.7 * 196, 2 + 0.39 * 196, 2 + 0.21 * 196):
        by_hand += 3 * (tokens * 12 * width**2 + 2 * tokens**2 * width)
    assert replace(table, selector=0.0).network(12, keep) == pytest.approx(by_hand)
    assert by_hand == pytest.approx(2.65e9, rel=0.01)
    assert table.selector < 0.01 * table.network(12, ())  # the selector: below a hundredth


def test_given_rates_come_from_the_last_block_backwards():
    plan = Given(((3, 0.7), (6, 0.39), (9, 0.21)))
    outcomes: list[Outcome] = []
    stages = []
    while (keep := plan.next(outcomes)) is not None:
        stages.append(keep)
        outcomes.append(Outcome(keep, 0.1))
        assert plan.accepted(outcomes)
    assert stages == [((9, 0.21),), ((6, 0.39), (9, 0.21)), plan.keep]
    assert plan.result(outcomes) == plan.keep


def trained(plan: Search, accuracy: Callable[[Keep], float]) -> tuple[Keep, list[Outcome]]:
    outcomes: list[Outcome] = []
    while (keep := plan.next(outcomes)) is not None:
        checked_keep(keep, plan.depth)
        outcomes.append(Outcome(keep, accuracy(keep)))
        assert len(outcomes) < 500
    result = plan.result(outcomes)
    checked_keep(result, plan.depth)
    return result, outcomes


def test_a_search_that_loses_nothing_ends_at_the_target():
    plan = Search(4, TABLE, 0.7, 0.9)
    result, outcomes = trained(plan, lambda keep: 0.9)
    assert TABLE.share(4, result) <= 0.7
    assert outcomes[0].keep == ((3, 0.85),) and outcomes[1].keep == ((3, 0.7),)
    blocks = [outcome.keep[0][0] for outcome in outcomes]
    assert blocks == sorted(blocks, reverse=True)
    # The stage before did not reach it.
    assert TABLE.share(4, outcomes[-2].keep) > 0.7


def test_a_search_goes_back_where_accuracy_is_lost():
    def accuracy(keep: Keep) -> float:
        rates = dict(keep)
        return 0.9 if rates.get(3, 1) >= 0.5 and rates.get(2, 1) >= 0.8 and 1 not in rates else 0.89

    plan = Search(4, TABLE, 0.6, 0.9)
    result, outcomes = trained(plan, accuracy)
    accepted = [n for n in range(len(outcomes)) if plan.accepted(outcomes[: n + 1])]
    assert accepted == [n for n, outcome in enumerate(outcomes) if outcome.accuracy == 0.9]
    assert outcomes[accepted[-1]].keep == ((2, 0.85), (3, 0.55))
    # What the budget does not give is taken from all rates alike.
    assert TABLE.share(4, result) <= 0.6
    assert [block for block, _ in result] in ([2, 3], [1])


def test_a_search_in_which_every_stage_loses_still_meets_the_target():
    result, outcomes = trained(Search(4, TABLE, 0.6, 0.9), lambda keep: 0.0)
    assert TABLE.share(4, result) <= 0.6
    assert len({outcome.keep[0][0] for outcome in outcomes}) == len(outcomes) == 3


@given(st.integers(2, 12), st.floats(0.5, 0.99), st.integers(0, 2**32), st.integers(1, 3))
def test_any_accuracies(depth: int, target: float, seed: int, first: int) -> None:
    first = min(first, depth - 1)
    if target < TABLE.share(depth, ((first, LEAST),)):
        with pytest.raises(VitgenError, match="target latency"):
            Search(depth, TABLE, target, 0.9, first=first)
        return
    plan = Search(depth, TABLE, target, 0.9, first=first)
    result, outcomes = trained(plan, lambda keep: 0.9 if hash((keep, seed)) % 3 else 0.8)
    assert TABLE.share(depth, result) <= target
    assert all(outcome.keep[0][0] >= first for outcome in outcomes)


def test_neighbours_that_are_alike_become_the_first():
    assert merged(((2, 0.7), (3, 0.65), (5, 0.4), (6, 0.32))) == ((2, 0.7), (5, 0.4))
    assert merged(((2, 0.7), (3, 0.61))) == ((2, 0.7), (3, 0.61))
    assert merged(()) == ()
    assert scaled(((2, 0.7), (5, 0.4), (6, 0.3)), 0.5) == ((2, 0.35), (5, 0.2), (6, 0.15))
    assert scaled(((2, 0.7), (5, 0.4), (6, 0.3)), 0.1) == ((2, 0.1),)


@pytest.mark.parametrize(
    ("target", "first", "message"),
    [(1.0, 1, "is 1 of"), (0.2, 1, "is 0.2 of"), (float("nan"), 1, "is nan of"),
     (-1.0, 1, "is -1 of"), (0.7, 4, "is 4 of 4"), (0.7, -1, "is -1 of 4")],
)  # fmt: skip
def test_targets_that_are_refused(target, first, message):
    with pytest.raises(VitgenError, match=message):
        Search(4, TABLE, target, 0.9, first=first)
