"""Rewrites of a function before its translation, so that equal and padded values cost no state.

Clang keeps numbers of odd widths in memory, and so in the phis that a local array becomes, as wide as
the host stores them: 27 bits as 32, sign-extended. And two counters that always agree stay two.
"""

from collections import defaultdict

from vitgen.rtl.llvm import Block, Function, Instruction, Value, literal, width_of

_DEPTH = 6  # of the expressions that are compared

UNDEFINED = frozenset(("undef", "poison"))


def simplify(function: Function) -> None:
    """Makes equal phis one and phis as narrow as the values that they can have."""
    _merge_equal(function)
    _narrow(function)


# -- equal phis


def _merge_equal(function: Function) -> None:
    made = {i.name: i for block in function.blocks for i in block.instructions if i.name}
    while True:
        renamed: dict[str, str] = {}
        for block in function.blocks:
            renamed.update(_equal_phis(block, made))
        if not renamed:
            return
        for block in function.blocks:
            block.instructions = [i for i in block.instructions if i.name not in renamed]
            for instruction in block.instructions:
                instruction.operands = [
                    Value(v.type, renamed[v.text]) if v.text in renamed else v
                    for v in instruction.operands
                ]


def _equal_phis(block: Block, made: dict[str, Instruction]) -> dict[str, str]:
    """Phis of a block, each with an earlier one that always has the same value."""
    groups: dict[tuple[object, ...], list[Instruction]] = defaultdict(list)
    for phi in block.instructions:
        if phi.op == "phi" and phi.type != "ptr":
            incoming = [v.text for _, v in sorted(zip(phi.labels, phi.operands, strict=True),
                                                  key=lambda pair: pair[0])]  # fmt: skip
            numbers = [literal(text) for text in incoming]
            known = any(n is not None and text not in UNDEFINED
                        for n, text in zip(numbers, incoming, strict=True))  # fmt: skip
            shape = tuple(numbers) if known else tuple(incoming)
            groups[phi.type, shape].append(phi)
    found: dict[str, str] = {}
    for phis in groups.values():
        kept: list[Instruction] = []
        for phi in phis:
            same = next((other for other in kept if _same_phi(other, phi, made)), None)
            if same is None:
                kept.append(phi)
            else:
                found[phi.name] = same.name
    return found


def _same_phi(a: Instruction, b: Instruction, made: dict[str, Instruction]) -> bool:
    """Whether both have equal values if they have had them so far."""
    others = dict(zip(b.labels, b.operands, strict=True))
    return all(
        _same(value, others[label], made, (a.name, b.name), _DEPTH)
        for label, value in zip(a.labels, a.operands, strict=True)
    )


def _same(
    a: Value, b: Value, made: dict[str, Instruction], assumed: tuple[str, str], depth: int
) -> bool:
    if a.text == b.text or (a.text, b.text) == assumed:
        return True
    first, second = made.get(a.text), made.get(b.text)
    if first is None or second is None or depth == 0:
        return False
    if first.op in ("load", "phi", "alloca", "call") or first.op != second.op:
        return False
    if (first.type, first.detail) != (second.type, second.detail):
        return False
    if len(first.operands) != len(second.operands):
        return False
    return all(
        _same(x, y, made, assumed, depth - 1)
        for x, y in zip(first.operands, second.operands, strict=True)
    )


# -- narrow phis


def _narrow(function: Function) -> None:
    """Replaces a phi whose values are extensions of fewer bits by a narrow one and an extension."""
    sizes = _Sizes(function)
    blocks = {block.name: block for block in function.blocks}
    chosen: dict[str, tuple[str, int]] = {}
    for block in function.blocks:
        for phi in block.instructions:
            if phi.op == "phi" and phi.type != "ptr":
                signed, unsigned = sizes.of[phi.name]
                extend, width = ("zext", unsigned) if unsigned <= signed else ("sext", signed)
                if 0 < width < width_of(phi.type):
                    chosen[phi.name] = (extend, width)
    for block in function.blocks:
        extensions = []
        for phi in block.instructions:
            if phi.op != "phi" or phi.name not in chosen:
                continue
            extend, width = chosen[phi.name]
            wide, name = phi.type, phi.name
            phi.operands = [
                _cut(value, (extend, width), chosen, sizes, blocks[label])
                for label, value in zip(phi.labels, phi.operands, strict=True)
            ]
            phi.type, phi.name = f"i{width}", f"{name}.narrow"
            extensions.append(
                Instruction(extend, wide, name, [Value(phi.type, phi.name)], text=phi.text,
                            where=phi.where)
            )  # fmt: skip
        place = sum(i.op == "phi" for i in block.instructions)
        block.instructions[place:place] = extensions


def _cut(
    value: Value, kind: tuple[str, int], chosen: dict[str, tuple[str, int]], sizes: "_Sizes",
    block: Block,
) -> Value:  # fmt: skip
    """The low bits of an incoming value: itself where it was narrower before."""
    extend, width = kind
    narrow = f"i{width}"
    if literal(value.text) is not None:
        return Value(narrow, value.text)
    if chosen.get(value.text) == kind:
        return Value(narrow, f"{value.text}.narrow")
    source = sizes.made[value.text]
    if source.op == extend and source.operands[0].type == narrow:
        return source.operands[0]
    name = f"{value.text}.cut{width}.{block.name[1:]}.{len(block.instructions)}"
    cut = Instruction("trunc", narrow, name, [value], text=source.text, where=source.where)
    block.instructions.insert(-1, cut)
    return Value(narrow, name)


class _Sizes:
    """Bits that tell a value, as a signed and as an unsigned number, of every instruction."""

    def __init__(self, function: Function) -> None:
        self.made = {i.name: i for b in function.blocks for i in b.instructions if i.name}
        numbers = [i for i in self.made.values() if i.type.startswith("i")]
        # Phis begin with nothing and grow until nothing changes.
        self.of: dict[str, tuple[int, int]] = {i.name: (0, 0) for i in numbers}
        changed = True
        while changed:
            changed = False
            for instruction in numbers:
                size = self._size(instruction)
                if size != self.of[instruction.name]:
                    self.of[instruction.name] = size
                    changed = True

    def _operand(self, value: Value) -> tuple[int, int]:
        if value.text in UNDEFINED:
            return 0, 0
        number = literal(value.text)
        if number is not None:
            width = width_of(value.type)
            number &= (1 << width) - 1
            unsigned = number.bit_length()
            negative = number >> (width - 1)
            signed = (number - (negative << width)) if negative else number
            return (~signed if signed < 0 else signed).bit_length() + 1, unsigned
        return self.of.get(value.text, (width_of(value.type), width_of(value.type)))

    def _size(self, made: Instruction) -> tuple[int, int]:
        """Bits of a result as a signed and as an unsigned number, 0 where none is known yet."""
        width = width_of(made.type)
        if made.op in ("phi", "select"):
            values = made.operands[1:] if made.op == "select" else made.operands
            sizes = [self._operand(value) for value in values]
            return max(s for s, _ in sizes), max(u for _, u in sizes)
        if made.op in ("zext", "sext"):
            signed, unsigned = self._operand(made.operands[0])
            narrow = width_of(made.operands[0].type)
            if made.op == "zext":
                return min(unsigned + 1, width) if unsigned else 0, unsigned
            return signed, unsigned if unsigned < narrow else width
        if made.op == "trunc":
            signed, unsigned = self._operand(made.operands[0])
            return min(signed, width), min(unsigned, width)
        if made.op == "and":
            unsigned = min(self._operand(value)[1] for value in made.operands)
            return min(unsigned + 1, width), unsigned
        if made.op in ("ashr", "lshr"):
            amount = literal(made.operands[1].text)
            if amount is not None:
                signed, unsigned = self._operand(made.operands[0])
                less = max(0, unsigned - amount)
                if made.op == "ashr":
                    return max(min(signed, 1), signed - amount), less if unsigned < width else width
                return min(less + 1, width), less
        return width, width
