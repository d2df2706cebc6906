"""The registers of ``ap_ctrl_hs``, by what AMD's UG1399 says of each bit."""

import pytest

from tests.rtl.engines import ENGINES
from vitgen.emit import registers
from vitgen.host.control import Control

CTRL, GIE, IER, ISR = 0x00, 0x04, 0x08, 0x0C
START, DONE, IDLE, READY, AUTO = 1, 2, 4, 8, 0x80


class Slave(Control):
    """With what it called."""

    def __init__(self, status=True):
        self.runs, self.line = [], []
        engine = ENGINES["odd"]
        super().__init__(
            registers.argument_registers(engine),
            registers.status_registers(engine) if status else (),
            self.runs.append,
            self.line.append,
        )


@pytest.fixture
def slave():
    return Slave()


def test_it_is_idle_at_first(slave):
    assert [slave.read(o) for o in (CTRL, GIE, IER, ISR)] == [IDLE, 0, 0, 0]


def test_start_stays_until_done_and_done_until_read(slave):
    slave.write(CTRL, START)
    assert [slave.read(CTRL) for _ in range(2)] == [START, START] and len(slave.runs) == 1
    slave.write(CTRL, START)  # one that runs is not started again
    slave.write(CTRL, 0)  # nor stopped
    assert slave.read(CTRL) == START and len(slave.runs) == 1
    slave.finish()
    assert slave.read(CTRL) == DONE | IDLE | READY
    assert slave.read(CTRL) == IDLE
    slave.write(CTRL, START)
    assert len(slave.runs) == 2


def test_reading_another_word_leaves_done(slave):
    slave.write(CTRL, START)
    slave.finish()
    for offset in (GIE, IER, ISR, 0x10, 0x6C):
        slave.read(offset)
    assert slave.read(CTRL) & DONE


def test_auto_restart(slave):
    slave.write(CTRL, START | AUTO)
    slave.finish()
    assert slave.read(CTRL) == START | DONE | READY | AUTO and len(slave.runs) == 2
    slave.write(CTRL, 0)
    slave.finish()
    assert slave.read(CTRL) == DONE | IDLE | READY and len(slave.runs) == 2


def test_interrupts(slave):
    slave.write(CTRL, START)
    slave.finish()
    assert slave.read(ISR) == 0, "no source is enabled"
    slave.write(IER, 0b01)
    slave.write(CTRL, START)
    slave.finish()
    assert slave.read(ISR) == 0b01 and slave.line == [], "the sum of them is off"
    slave.write(GIE, 1)
    assert slave.line == [True] and slave.read(CTRL) & 0x200
    slave.write(ISR, 0b01)
    assert slave.line == [True, False] and slave.read(ISR) == 0
    slave.write(ISR, 0b10)  # toggles: also on
    assert slave.read(ISR) == 0b10 and slave.line[-1]


def test_arguments_are_two_words_or_one(slave):
    # program at 0x10: a pointer and a reserved word; seven pointers before `instructions`.
    assert registers.argument_registers(ENGINES["odd"])[-1].offset == 0x10 + 7 * 12
    slave.write(0x10, 0x8765_4320)
    slave.write(0x14, 0xF)
    slave.write(0x18, 0xFFFF_FFFF)  # reserved
    slave.write(0x64, 0xABCD_1234)  # 16 bits
    assert [slave.read(o) for o in (0x10, 0x14, 0x18, 0x64)] == [0x8765_4320, 0xF, 0, 0x1234]
    slave.write(CTRL, START)
    assert slave.runs[0]["program"] == 0xF_8765_4320 and slave.runs[0]["instructions"] == 0x1234


@pytest.mark.parametrize("status", [True, False])
def test_status_and_cycles_are_the_open_roads(status):
    slave = Slave(status)
    slave.write(CTRL, START)
    assert slave.read(0x6C) == int(status)
    slave.finish(errors=0b10_0000_0010, cycles=77)
    assert [slave.read(0x6C), slave.read(0x74)] == ([0b10_0000_0010, 77] if status else [0, 0])
    slave.write(CTRL, START)
    assert slave.read(0x6C) == int(status), "errors are of the last run"


def test_reset_forgets(slave):
    slave.write(0x10, 5)
    slave.write(CTRL, START)
    slave.reset()
    assert slave.read(CTRL) == IDLE and slave.read(0x10) == 0
