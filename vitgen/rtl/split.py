"""More steps for code outside of pipelined loops.

A step may access a stream once. Where two accesses of one stream follow each other in plain code, as
in the process that deals commands, a step ends before the second. In a pipelined loop that would
cost a clock cycle per iteration in silence: there it is left to be refused.
"""

from vitgen.rtl.flow import Flow
from vitgen.rtl.llvm import Block, Function, Instruction
from vitgen.rtl.memory import STREAM_BYTES, Pointers

_MARK = "@vitgen_pipeline"


def split_steps(function: Function) -> frozenset[str]:
    """Splits blocks of the function where a step would access a stream twice.

    Returns
    -------
    Names of the blocks at which a step begins although no loop does.
    """
    pointers = Pointers(function)
    cuts: set[str] = set()
    while True:
        flow = Flow(function, frozenset(cuts))
        found = _conflict(function, flow, pointers)
        if found is None:
            return frozenset(cuts)
        cuts.add(_split(function, *found))


def _ports(made: Instruction, pointers: Pointers) -> set[tuple[str, str, int]]:
    if not made.volatile:
        return set()
    return {
        (made.op, choice.place.root, choice.place.offset // STREAM_BYTES)
        for choice in pointers.choices(made.operands[-1].text)
    }


def _conflict(
    function: Function, flow: Flow, pointers: Pointers
) -> tuple[Block, Instruction] | None:
    """The first access in a step, in the order of the blocks, that repeats an earlier one."""
    seen: dict[tuple[str, str, int], list[str]] = {}
    for name in flow.order:
        for made in flow.blocks[name].instructions:
            for port in _ports(made, pointers):
                for other in seen.setdefault(port, []):
                    again = other == name or flow.leads_to(other, name)
                    if again and not _in_one_pipeline(flow, other, name):
                        return flow.blocks[name], made
                seen[port].append(name)
    return None


def _in_one_pipeline(flow: Flow, first: str, second: str) -> bool:
    """Whether both blocks are of one iteration of a pipelined loop."""
    for cut in flow.cuts:
        body = {
            name for name in flow.order
            if (name == cut or flow.leads_to(cut, name))
            and any(edge.source == name or flow.leads_to(name, edge.source)
                    for edge in flow.crossing[cut])
        }  # fmt: skip
        if first in body and second in body and any(
            interval_of(made) > 0 for name in body for made in flow.blocks[name].instructions
        ):
            return True
    return False


def interval_of(made: Instruction) -> int:
    """The II of a mark; 0 for the mark of a loop over commands and for any other instruction."""
    return int(made.operands[0].text) if made.op == "call" and made.detail == _MARK else 0


def _split(function: Function, block: Block, before: Instruction) -> str:
    """Moves the rest of a block into a new one; its name."""
    place = block.instructions.index(before)
    rest = Block(f"{block.name}.step{len(function.blocks)}", block.instructions[place:])
    way = Instruction("br", labels=[rest.name], text=f"br label {rest.name}")
    block.instructions[place:] = [way]
    function.blocks.insert(function.blocks.index(block) + 1, rest)
    for other in function.blocks:
        for made in other.instructions:
            if made.op == "phi":
                made.labels = [rest.name if label == block.name else label
                               for label in made.labels]
    return rest.name
