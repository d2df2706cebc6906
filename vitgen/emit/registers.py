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


VERILOG_WORDS = frozenset(("input", "output", "program"))
"""Words of Verilog that an argument may be named by: Vitis HLS appends ``_r`` to them."""


def vitis_name(argument: str) -> str:
    """An argument's name in what Vitis HLS and Vivado write."""
    return f"{argument}_r" if argument in VERILOG_WORDS else argument


def word_names(register: Register) -> list[str]:
    """Names of a register's words in a hand-off file: of two words, the low one ends with ``_1``."""
    name = vitis_name(register.name)
    return [name] if register.words == 1 else [f"{name}_{i + 1}" for i in range(register.words)]


def argument_registers(engine: Engine) -> list[Register]:
    """Arguments of ``vit_top``: its DRAM pointers and the number of instructions.

    Names are those of the C++, see :func:`vitis_name`.
    """
    pointers = [(port.name, POINTER_BITS) for port in wiring.ports(engine)]
    return place([*pointers, (wiring.INSTRUCTIONS, INSTRUCTIONS_BITS)])


def status_registers(engine: Engine) -> list[Register]:
    """:data:`STATUS` and :data:`CYCLES`, which the open road has behind the arguments."""
    return place([(STATUS, 32), (CYCLES, 32)], argument_registers(engine)[-1].end)


def address_bits(engine: Engine) -> int:
    """Bits of the slave's byte addresses."""
    return (status_registers(engine)[-1].end - 1).bit_length()
