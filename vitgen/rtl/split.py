"""More steps for code outside of pipelined loops.

A step may access a stream, or a port of a memory, once. Where two accesses follow each other in plain
code, as in the process that deals commands, a step ends before the second. So it does where the
compiler takes an access out of a pipelined loop, behind which another loop lies. It ends, too, behind a
product and where many branches lie behind each other, as which step is next must be known within a
clock cycle. In a pipelined loop that would cost a clock cycle per iteration in silence: there it is
left to be refused.
"""

from vitgen.rtl.flow import Flow
from vitgen.rtl.llvm import CASTS, Block, Function, Instruction, literal
from vitgen.rtl.memory import STREAM_BYTES, Pointers

_MARK = "@vitgen_pipeline"
_DEEPEST = 2  # branches behind each other in a step


def split_steps(function: Function, rams: frozenset[str]) -> frozenset[str]:
    """Splits blocks of the function where a step would access a stream or memory twice.

    Parameters
    ----------
    rams : names of local arrays that are memories.

    Returns
    -------
    Names of the blocks at which a step begins although no loop does.
    """
    pointers = Pointers(function)
    cuts: set[str] = set()
    while True:
        flow = Flow(function, frozenset(cuts))
        found = _conflict(function, flow, pointers, rams)
        if found is None:
            found = _behind_product(flow)
        if found is None:
            return frozenset(cuts | _deep(flow))
        cuts.add(_split(function, *found))


def _ports(
    made: Instruction, pointers: Pointers, rams: frozenset[str]
) -> set[tuple[str, str, int]]:
    """The ports that an instruction may access: kind, parameter or array, number of the stream."""
    found: set[tuple[str, str, int]] = set()
    for choice in pointers.choices(made.operands[-1].text) if made.op in ("load", "store") else ():
        root = choice.place.root
        if made.volatile:
            found.add((made.op, root, choice.place.offset // STREAM_BYTES))
        elif root[1:] in rams:
            found.add(("ram", root, 0))  # which no step both reads and writes
        elif root in pointers.function.parameters:
            found.add((made.op, root, 0))
    return found


def _conflict(
    function: Function, flow: Flow, pointers: Pointers, rams: frozenset[str]
) -> tuple[Block, Instruction] | None:
    """The first access in a step, in the order of the blocks, that repeats an earlier one."""
    seen: dict[tuple[str, str, int], list[str]] = {}
    pipelines = _pipelines(flow)
    for name in flow.order:
        for made in flow.blocks[name].instructions:
            for port in _ports(made, pointers, rams):
                for other in seen.setdefault(port, []):
                    again = other == name or flow.leads_to(other, name)
                    if again and not any(other in body and name in body for body in pipelines):
                        return flow.blocks[name], made
                seen[port].append(name)
    return None


def _behind_product(flow: Flow) -> tuple[Block, Instruction] | None:
    """The first use of a product in a block of plain code: beats of a loop, as a rule."""
    fixed = set().union(*_pipelines(flow))
    for name in flow.order:
        products: set[str] = set()
        for made in flow.blocks[name].instructions if name not in fixed else ():
            uses = any(value.text in products for value in made.operands)
            if uses and made.op not in CASTS:
                return flow.blocks[name], made
            variable = all(literal(value.text) is None for value in made.operands)
            if uses or (made.op == "mul" and variable):
                products.add(made.name)
    return None


def _deep(flow: Flow) -> set[str]:
    """Blocks at which a step begins because too many branches lie before them."""
    fixed = set().union(*_pipelines(flow))
    found: set[str] = set()
    depth: dict[str, int] = {}
    for name in flow.order:
        before = [depth[edge.source] + (edge.condition is not None) for edge in flow.inward[name]]
        depth[name] = max(before, default=0)
        if depth[name] > _DEEPEST and name not in fixed:
            found.add(name)
            depth[name] = 0
    return found


def _pipelines(flow: Flow) -> list[set[str]]:
    """The blocks of one iteration of every pipelined loop."""
    found = []
    for cut in flow.cuts:
        body = {
            name for name in flow.order
            if (name == cut or flow.leads_to(cut, name))
            and any(edge.source == name or flow.leads_to(name, edge.source)
                    for edge in flow.crossing[cut])
        }  # fmt: skip
        if any(interval_of(made) for name in body for made in flow.blocks[name].instructions):
            found.append(body)
    return found


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
                made.labels = [rest.name if label == block.name else label for label in made.labels]
    return rest.name
