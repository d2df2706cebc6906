"""Random programs of the process form: their RTL against their C++, at random stalls."""

import os
import re

import pytest

from tests.rtl.fuzz import GROUP, program
from tests.rtl.fuzz_bench import failures, report, shrink
from vitgen.rtl import translate
from vitgen.rtl.translate import Translator

SHRINK = "VITGEN_FUZZ_SHRINK"  # set it to have a failing program made smaller, in minutes


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz-golden")


def check(seeds, place, cache):
    programs = {f"fuzz_{seed}": program(seed) for seed in seeds}
    failed = failures(programs, place, cache)
    for name, what in failed.items():
        found = programs[name]
        if os.environ.get(SHRINK):
            found, what = shrink(found, place / "shrink")
        pytest.fail(f"{len(failed)} of {len(programs)} programs fail, one is\n"
                    + report(found, name, what))  # fmt: skip


def test_random_programs(tmp_path, cache):
    check(range(GROUP), tmp_path, cache)


@pytest.mark.slow
@pytest.mark.parametrize("group", range(1, 16))
def test_more_random_programs(tmp_path, cache, group):
    check(range(group * GROUP, (group + 1) * GROUP), tmp_path, cache)


CONSTRUCTS = {
    "a read of a bank": r"= (?:.* )?look\d_rd\[",
    "a write of a bank": r"keep\d_wr\[.*\] = ",
    "a local RAM that is read": r"= (?:.* )?ram\d\[",
    "a local RAM that is written in a branch": r"^ {6,}ram\d\[.*\] = ",
    "a local RAM filled from a stream": r"ram\d\[i\d+\] = in\d\S*\.read\(\)",
    "an array of streams that is read": r"in\d\[\w+\]\.read",
    "an array of streams that is written": r"out\d\[\w+\]\.write",
    "an unrolled loop over streams": r"\w+\[lane\d+\]\.(?:read|write)",
    "a whole struct assigned": r"^ +[sr]\d+ = ",
    "a member assigned": r"^ +[sr]\d+\.m\d\S* [-+^|&*<>]*= ",
    "a struct read from a stream": r"^ +s\d+ = in\S*\.read",
    "an array of structs": r"t\d+\[[^;]*\]\.m\d = ",
    "a concatenation": r"ap_uint<\d+>\(\([^;]*, ",
    "concat()": r"\.concat\(",
    "an assignment to a concatenation": r"^ +\(\S+, \S+\) = ",
    "a range assigned": r"\.range\(\d+, \d+\) = ",
    "a bit assigned": r"^ +\S+\[\d+\] = ",
    "a lane assigned": r"set_lane<",
    "a table": r"^ +const ap_\w+<\d+> t\d+\[",
    "a branch": r"^ +if \(",
    "a switch": r"switch \(",
    "a product": r" \* ",
    "a quotient": r" [/%] \d",
    "a shift by a variable": r" (?:<<|>>) ap_uint",
    "a command's field as a number of iterations": r"< command\.f\d; \+\+",
    "an interval of two": r"pipeline II=2",
}


@pytest.mark.parametrize("construct", CONSTRUCTS)
def test_every_construct_is_in_the_programs_that_are_compared(construct):
    found = [seed for seed in range(GROUP)
             if re.search(CONSTRUCTS[construct], program(seed).text("x"), re.MULTILINE)]  # fmt: skip
    assert len(found) >= 3, (construct, found)


def test_a_seed_says_all():
    assert program(7).text("x") == program(7).text("x") != program(8).text("x")
    assert program(7).inputs() == program(7).inputs()


def plant_logical_shift(monkeypatch):
    monkeypatch.setitem(translate._SHIFTS, "ashr", "shrl")


def plant_wrong_edge(monkeypatch):
    """A merge of two ways takes the value of the other one."""

    def wrong(self, phi, edges):
        incoming = dict(zip(phi.labels, phi.operands, strict=True))
        values = [self.value(incoming[edge.source], edge.source) for edge in edges]
        ways = zip(map(self.takes, edges), values[::-1] if len(edges) == 2 else values, strict=True)
        return self.nodes.merge(list(ways))

    monkeypatch.setattr(Translator, "_merge", wrong)


@pytest.mark.slow
@pytest.mark.parametrize("plant", [plant_logical_shift, plant_wrong_edge])
def test_a_planted_bug_is_caught(tmp_path, cache, monkeypatch, plant):
    plant(monkeypatch)
    with pytest.raises(pytest.fail.Exception, match="seed"):
        check(range(GROUP), tmp_path, cache)
