"""A program in single steps, for comparing what each instruction leaves behind."""

import dataclasses

from vitgen.design.isa import Instruction, Opcode
from vitgen.design.program import Program


def single_steps(program: Program) -> list[tuple[int, list[Instruction]]]:
    """The program cut into one program per instruction, each ending when all is written.

    Banks keep their contents between runs, registers do not: every cut sets them again, as they stand
    when the program comes to its instruction. Returns
    ``(index of the instruction in the program, instructions of the cut)``.
    """
    setup: dict[int, Instruction] = {}
    cuts = []
    for index, instruction in enumerate(program.instructions):
        if instruction.opcode is Opcode.SET_TOKENS:
            setup[instruction.fields["tokens_register"]] = dataclasses.replace(instruction, waits={})
            continue
        if instruction.opcode is Opcode.STOP:
            continue
        alone = dataclasses.replace(instruction, waits={})
        stop = Instruction(
            "stop", {"opcode": Opcode.STOP}, dict.fromkeys(instruction.reports, 1)
        )
        cuts.append((index, [*setup.values(), alone, stop]))
    return cuts
