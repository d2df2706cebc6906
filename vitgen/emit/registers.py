"""The register map of the accelerator's AXI4-Lite slave ``s_axi_control``.

Vitis HLS gives a function with ``ap_ctrl_hs`` and ``s_axilite`` arguments a block of control words at
0x00 to 0x0c and then, from 0x10 on in the order of the arguments, one word (two beyond 32 bits) and a
reserved word each. The open road's own slave has the same map, so one driver serves both, and two
read-only words behind it that Vitis's slave does not have.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from vitgen.design.engine import Engine
from vitgen.emit import wiring

AP_CTRL = 0x00
"""ap_start (bit 0), ap_done (1), ap_idle (2), ap_ready (3), auto_restart (7), interrupt (9)."""
GLOBAL_INTERRUPT_ENABLE = 0x04
INTERRUPT_ENABLE = 0x08
"""Interrupt sources: ap_done (bit 0), ap_ready (1)."""
INTERRUPT_STATUS = 0x0C
FIRST_ARGUMENT = 0x10

POINTER_BITS = 64
INSTRUCTIONS_BITS = 16

STATUS = "status"
"""Name of the word that says how a run went: bit 0 running, bit 1 the program was illegal, from bit
:data:`FIRST_ERROR` one bit per DRAM pointer, in the order of the arguments, whose memory answered a
transfer with an error."""
CYCLES = "cycles"
"""Name of the word that counts the clock cycles of the run, the last one if none is going on."""
RUNNING, ILLEGAL, FIRST_ERROR = 0, 1, 8


@dataclass(frozen=True)
class Register:
    """A value in the map: ``width`` bits from byte ``offset`` on, in one or two 32-bit words."""

    name: str
    offset: int
    width: int

    @property
    def words(self) -> int:
        """32-bit words of the value."""
        return -(-self.width // 32)

    @property
    def end(self) -> int:
        """Offset behind the value and the reserved word after it."""
        return self.offset + 4 * self.words + 4


def place(arguments: Iterable[tuple[str, int]], first: int = FIRST_ARGUMENT) -> list[Register]:
    """Vitis's rule.

    Parameters
    ----------
    arguments : name and width in bits of every argument on the slave, in the function's order.
    first : byte offset of the first of them.
    """
    found: list[Register] = []
    for name, width in arguments:
        found.append(Register(name, found[-1].end if found else first, width))
    return found


def argument_registers(engine: Engine) -> list[Register]:
    """Arguments of ``vit_top``: its DRAM pointers and the number of instructions.

    Names are those of the C++; a header of Vitis appends ``_r`` to those that are Verilog's words.
    """
    pointers = [(port.name, POINTER_BITS) for port in wiring.ports(engine)]
    return place([*pointers, (wiring.INSTRUCTIONS, INSTRUCTIONS_BITS)])


def status_registers(engine: Engine) -> list[Register]:
    """:data:`STATUS` and :data:`CYCLES`, which the open road has behind the arguments."""
    return place([(STATUS, 32), (CYCLES, 32)], argument_registers(engine)[-1].end)


def address_bits(engine: Engine) -> int:
    """Bits of the slave's byte addresses."""
    return (status_registers(engine)[-1].end - 1).bit_length()


@dataclass(frozen=True)
class Field:
    """Bits of a control word: from bit ``low`` on, ``width`` of them."""

    name: str
    low: int
    width: int
    access: str
    text: str


@dataclass(frozen=True)
class Word:
    """A 32-bit word as an IP catalogue lists it; ``access`` is IP-XACT's."""

    name: str
    offset: int
    access: str
    text: str
    fields: tuple[Field, ...] = ()


_RW, _RO = "read-write", "read-only"

_CONTROL = (
    Word(
        "CTRL", AP_CTRL, _RW, "Control signals",
        (
            Field("AP_START", 0, 1, _RW, "Starts a run; high until it has ended"),
            Field("AP_DONE", 1, 1, _RO, "A run has ended; clears when read"),
            Field("AP_IDLE", 2, 1, _RO, "No run goes on"),
            Field("AP_READY", 3, 1, _RO, "The next run may start; clears when read"),
            Field("AUTO_RESTART", 7, 1, _RW, "A run follows the other"),
            Field("INTERRUPT", 9, 1, _RO, "The interrupt line"),
        ),
    ),
    Word(
        "GIER", GLOBAL_INTERRUPT_ENABLE, _RW, "Global interrupt enable",
        (Field("Enable", 0, 1, _RW, "Lets the interrupt out"),),
    ),
    Word(
        "IP_IER", INTERRUPT_ENABLE, _RW, "Interrupt enable",
        (
            Field("CHAN0_INT_EN", 0, 1, _RW, "ap_done interrupts"),
            Field("CHAN1_INT_EN", 1, 1, _RW, "ap_ready interrupts"),
        ),
    ),
    Word(
        "IP_ISR", INTERRUPT_STATUS, _RW, "Interrupt status; a written 1 toggles",
        (
            Field("CHAN0_INT_ST", 0, 1, _RW, "ap_done has interrupted"),
            Field("CHAN1_INT_ST", 1, 1, _RW, "ap_ready has interrupted"),
        ),
    ),
)  # fmt: skip

# Of the words of Verilog and SystemVerilog, those that name buffers of vit_top.
_VERILOG_WORDS = frozenset({"program", "output"})


def vitis_name(argument: str) -> str:
    """The name that Vitis HLS gives an argument: words of Verilog get ``_r``."""
    return f"{argument}_r" if argument in _VERILOG_WORDS else argument


def catalogue(engine: Engine) -> list[Word]:
    """Every word of the open road's slave under the names that Vitis HLS gives them in an IP.

    Arguments beyond 32 bits are two words, ``<name>_1`` the low and ``<name>_2`` the high one. All but
    the last two, ``status`` and ``cycles``, are those of the IP of Vitis HLS too.
    """
    found = list(_CONTROL)
    for register in argument_registers(engine):
        name, what = vitis_name(register.name), f"Argument {register.name}"
        if register.words == 1:
            found.append(Word(name, register.offset, _RW, what))
            continue
        for part in range(register.words):
            text = f"{what}, word {part + 1}"
            found.append(Word(f"{name}_{part + 1}", register.offset + 4 * part, _RW, text))
    status, cycles = status_registers(engine)
    found.append(Word(status.name, status.offset, _RO, "How the run went"))
    found.append(Word(cycles.name, cycles.offset, _RO, "Clock cycles of the run"))
    return found
