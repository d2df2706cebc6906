"""A program in single steps, for comparing what each instruction leaves behind."""

import dataclasses

from vitgen.design.isa import Instruction, Opcode, Source
from vitgen.design.program import Program


def single_steps(program: Program) -> list[tuple[int, list[Instruction]]]:
    """The program cut into one program per instruction, each ending when all is written.

    Banks keep their contents between runs, registers do not: every cut sets them again, as they stand
    when the program comes to its instruction. What runs slot by slot in the program runs as a whole here.
    Returns
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
        alone = _alone(instruction)
        stop = Instruction("stop", {"opcode": Opcode.STOP}, dict.fromkeys(alone.reports, 1))
        cuts.append((index, [*setup.values(), alone, stop]))
    return cuts


def _alone(instruction: Instruction) -> Instruction:
    """The instruction without its neighbours: none waits for its slots or brings them."""
    fields, reports = dict(instruction.fields), instruction.reports
    if instruction.opcode is Opcode.NORM and fields.get("by_slot"):
        reports |= {Source.RESIDUAL}
    fields.pop("by_slot", None)
    return dataclasses.replace(instruction, fields=fields, reports=reports, waits={})
