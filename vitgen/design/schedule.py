"""The schedule: from a graph and an engine to a program, its waits and the DRAM images it reads."""

from collections.abc import Collection

import numpy as np

from vitgen.design.chains import chains
from vitgen.design.engine import Engine
from vitgen.design.images import Images
from vitgen.design.instance import require_capacity
from vitgen.design.isa import (
    ActSource,
    Instruction,
    LoadTarget,
    Opcode,
    Route,
    RowSource,
    Source,
)
from vitgen.design.needs import PROB_BUFFERS, needs_of
from vitgen.design.packing import (
    NO_ROW,
    RowLayout,
    layout_rows,
    linear_records,
    norm_records,
    pack_weights,
)
from vitgen.design.placement import plan_act
from vitgen.design.program import Output, Program
from vitgen.design.program_stem import ONE_SLOT, StemInstruction, StemProgram
from vitgen.design.steps import AttentionStep, LinearStep, LoadStep, NormStep, StemStep, fuse
from vitgen.design.waits import Access, Waits
from vitgen.errors import VitgenError
from vitgen.ir import Gelu, Graph, Linear

ALL_TOKENS = 0  # register that holds the image's token count
CLS_ONLY = 1  # register that holds 1


class _Builder:
    def __init__(self, graph: Graph, engine: Engine) -> None:
        self.graph = graph
        self.engine = engine
        self.steps = fuse(graph)
        self.plan = plan_act(self.steps)
        found = chains(self.steps)
        self.sending = {chain.adds for chain in found}
        self.by_slot = {place for chain in found for place in (chain.norm, chain.reads)}
        self.needs = needs_of(graph, self.steps)
        self.tokens = self.needs.tokens
        self.slots = engine.slots(self.tokens)
        self.waits = Waits()
        self.instructions: list[Instruction] = []
        self.outputs: list[Output | None] = []
        self.images = Images(engine)

    def build(self) -> Program:
        require_capacity(self.engine, self.needs)
        stem = next((step.stem for step in self.steps if isinstance(step, StemStep)), None)
        registers = {ALL_TOKENS: self.tokens, CLS_ONLY: 1}
        if stem is not None:
            registers[ONE_SLOT] = min(self.tokens, self.engine.token_lanes)
        for register, count in registers.items():
            self._set_tokens(register, count)
        for place, step in enumerate(self.steps):
            if isinstance(step, LoadStep):
                self._load(step)
            elif isinstance(step, NormStep):
                self._norm(step, place in self.by_slot)
            elif isinstance(step, LinearStep):
                self._linear(step, place in self.sending, place in self.by_slot)
            elif isinstance(step, StemStep):
                self._stem(step)
            else:
                self._attention(step)
        stop = Instruction("stop", {"opcode": Opcode.STOP}, self.waits.all())
        self.instructions.append(stop)
        self.outputs.append(None)
        return Program(
            self.instructions,
            self.outputs,
            self.images.weights(),
            self.images.params(),
            self.images.constants(),
            self.graph.tensors[self.graph.output].features,
            stem,
        )

    def _emit(
        self,
        op: str,
        fields: dict[str, int],
        accesses: list[Access],
        output: Output | None,
        useful_macs: int | None = None,
        implied: Collection[Source] = (),
    ) -> None:
        waits = self.waits.issue(accesses, implied)
        reports = frozenset(access.source for access in accesses)
        self.instructions.append(Instruction(op, fields, waits, reports, useful_macs))
        self.outputs.append(output)

    def _register(self, tokens: int) -> int:
        if tokens == self.tokens:
            return ALL_TOKENS
        if tokens == 1:
            return CLS_ONLY
        raise VitgenError(
            f"An op computes {tokens} tokens, neither all nor CLS alone.",
            "Set `tokens` of the op to None or 1.",
        )

    def _set_tokens(self, register: int, tokens: int) -> None:
        fields = {
            "opcode": Opcode.SET_TOKENS,
            "tokens_register": register,
            "limit": tokens,
            "row_tiles": self.engine.slots(tokens),
            "k": self.engine.key_tiles(tokens),
        }
        self._emit(f"set_tokens.{register}", fields, [], None)

    def _act(self, tensor: str) -> int:
        return self.plan.offsets[tensor] * self.slots

    def _act_access(self, tensor: str, features: int, writes: bool) -> Access:
        base = self._act(tensor)
        return Access("act", base, base + features * self.slots, writes)

    def _whole(self, bank: str, words: int, writes: bool) -> Access:
        return Access(bank, 0, words * self.slots, writes)

    def _load(self, step: LoadStep) -> None:
        tensor = step.tensor
        residual = step.target is LoadTarget.RESIDUAL
        base = 0 if residual else self._act(tensor.name)
        address = 0
        if residual:
            data = self.graph.constants[tensor.name].astype(np.int64)
            address = self.images.add_constant(data)
        fields = {
            "opcode": Opcode.LOAD,
            "tokens_register": self._register(tensor.tokens),
            "load_target": step.target,
            "param_address": address,
            "k": tensor.features,
            "dest_base": base,
            "dest_stride": tensor.features,
        }
        if residual:
            access = self._whole("residual", tensor.features, True)
        else:
            access = self._act_access(tensor.name, tensor.features, True)
        bank = "residual" if residual else "act"
        output = Output(
            tensor.name, None, bank, base, tensor.features, tensor.tokens, tensor.features
        )
        self._emit(step.name, fields, [access], output)

    def _norm(self, step: NormStep, by_slot: bool) -> None:
        """``by_slot``: the product before it sends its words, and the next one takes its slots."""
        op, features = step.op, step.x.features
        fields = {
            "opcode": Opcode.NORM,
            "tokens_register": self._register(step.y.tokens),
            "k": features,
            "act_base": 0,
            "act_stride": features,
            "dest_base": self._act(step.y.name),
            "dest_stride": features,
            "param_address": self.images.add_params(norm_records(op)),
            "epsilon": op.epsilon,
            "shift": op.shift,
            "bits": step.y.bits,
            "by_slot": int(by_slot),
        }
        output = Output(
            step.y.name, None, "act", fields["dest_base"], features, step.y.tokens, features
        )
        write = self._act_access(step.y.name, features, True)
        if by_slot:
            # The product before it has read all that was here when its first slot is complete.
            self._emit(op.name, fields, [write], output, implied={Source.FEED})
        else:
            read = self._whole("residual", features, False)
            self._emit(op.name, fields, [read, write], output)

    def _linear_output(self, step: LinearStep) -> tuple[Output, list[Access]]:
        rows, y = step.op.rows, step.y
        if step.route in (Route.ACT, Route.GELU):
            base = self._act(y.name)
            output = Output(y.name, None, "act", base, rows, y.tokens, rows)
            return output, [self._act_access(y.name, rows, True)]
        if step.route is Route.STORE:
            return Output(y.name, None, "output", 0, rows, y.tokens, rows), [
                Access("output", 0, rows, True)
            ]
        bank = {Route.KEY: "key", Route.VALUE: "value", Route.RESIDUAL: "residual"}[step.route]
        output = Output(y.name, None, bank, 0, rows, y.tokens, rows)
        return output, [self._whole(bank, rows, True)]

    def _linear(self, step: LinearStep, sends: bool, by_slot: bool) -> None:
        """``sends``: its slots go to a LayerNorm; ``by_slot``: a LayerNorm brings its slots."""
        op, x = step.op, step.x
        output, writes = self._linear_output(step)
        layouts = layout_rows(self.engine, op)
        if step.route is Route.STORE and (len(layouts) > 1 or layouts[0].group.pot):
            raise VitgenError(
                f"Op {op.name} writes logits with mixed rows.",
                "Quantize the classifier with fixed-point rows of one width.",
            )
        register = self._register(op.tokens or x.tokens)
        for index, layout in enumerate(layouts):
            fields = self._layout_fields(op, layout) | {
                "tokens_register": register,
                "route": step.route,
                "act_base": self._act(x.name),
                "act_stride": x.features,
                "dest_base": output.base,
                "dest_stride": output.stride,
            }
            if isinstance(step.post, Gelu):
                fields |= self._gelu_fields(step.post, self.graph.tensors[op.output].fraction)
            accesses = [self._act_access(x.name, x.features, False), *writes]
            last = index == len(layouts) - 1
            sent = sends and last
            if sent:
                fields["post_mult"] = int(np.sum(layout.drained[-1] != NO_ROW))
            taken = by_slot and index == 0
            fields["by_slot"] = int(taken or sent)
            implied = {Source.ACT_WRITE} if taken else ()
            self._emit(op.name, fields, accesses, output if last else None, implied=implied)

    def _layout_fields(self, op: Linear, layout: RowLayout) -> dict[str, int]:
        """Packs the rows of a layout; what an instruction says of them, whatever its tokens."""
        group = layout.group
        return {
            "opcode": Opcode.GEMM,
            "row_source": RowSource.WEIGHTS,
            "act_source": ActSource.ACT,
            "wide": int(group.weight_bits == 8),
            "fixed_rows": group.fixed_rows,
            "pot_rows": group.pot_rows,
            "row_tiles": group.row_tiles,
            "k": int(op.weight.shape[1]),
            "weight_address": self.images.add_weights(pack_weights(self.engine, op, layout)),
            "param_address": self.images.add_params(linear_records(op, layout)),
            "limit": group.fixed + group.pot,
            "shift": op.shift,
            "bits": self.graph.tensors[op.output].bits,
            "relu": int(op.relu),
        }

    def _stem(self, step: StemStep) -> None:
        """Each token tile passes the convolutions and is projected before the next begins."""
        stem, op = step.stem, step.project.op
        bits = {name: tensor.bits for name, tensor in self.graph.tensors.items()}
        program = StemProgram(stem, self.engine, self.images, bits)
        layouts = [self._layout_fields(op, layout) for layout in layout_rows(self.engine, op)]
        output, writes = self._linear_output(step.project)
        read = Access("act", stem.result.base, stem.result.base + stem.result.all_words, False)
        for slot in range(self.slots):
            first = slot * self.engine.token_lanes
            tokens = min(self.engine.token_lanes, self.tokens - first)
            for part in program.slot(slot):
                left = self._stem_output(part, first, tokens)
                self._emit(part.op, part.fields, part.accesses, left, part.useful_macs)
            macs = tokens * int(op.weight.shape[1])
            for index, layout in enumerate(layouts):
                fields = layout | {
                    "tokens_register": ONE_SLOT,
                    "route": step.project.route,
                    "act_base": stem.result.base,
                    "dest_base": output.base + slot * output.stride,
                }
                last = slot == self.slots - 1 and index == len(layouts) - 1
                done = output if last else None
                self._emit(op.name, fields, [read, *writes], done, macs * fields["limit"])

    def _stem_output(self, part: StemInstruction, first: int, tokens: int) -> Output | None:
        region = part.region
        if region is None:
            return None
        base, words = region.row_base(part.rows.start), len(part.rows) * region.row_words
        return Output(
            region.tensor, None, "act", base, 0, tokens, words, region, part.rows, first
        )

    def _gelu_fields(self, op: Gelu, fraction: int | None) -> dict[str, int]:
        assert fraction is not None  # Gelu.check has proven it
        return {
            "post_fraction": fraction,
            "post_delta": op.delta,
            "post_mult": op.mult,
            "post_shift": op.shift,
            "post_bits": self.graph.tensors[op.output].bits,
        }

    def _attention(self, step: AttentionStep) -> None:
        """Scores run one head ahead of the values, so that softmax hides behind the products."""
        heads = step.scores.heads
        for head in range(heads + 1):
            if head < heads:
                self._scores(step, head)
            if head > 0:
                self._values(step, head - 1)

    def _prob(self, step: AttentionStep, head: int, writes: bool) -> tuple[int, Access]:
        keys = step.prob.features
        base = (head % PROB_BUFFERS) * keys * self.slots
        return base, Access("prob", base, base + keys * self.slots, writes)

    def _scores(self, step: AttentionStep, head: int) -> None:
        op, features, keys = step.scores, step.q.features, step.prob.features
        base, write = self._prob(step, head, True)
        assert step.score.fraction is not None  # Softmax.check has proven it
        fields = {
            "opcode": Opcode.GEMM,
            "tokens_register": self._register(step.q.tokens),
            "keys_register": self._register(keys),
            "row_source": RowSource.KEYS,
            "act_source": ActSource.ACT,
            "wide": 1,
            "token_outer": 1,
            "route": Route.SOFTMAX,
            "rows_from_keys": 1,
            "constant_params": 1,
            "fixed_rows": self.engine.attention_rows,
            "k": step.head_dim,
            "act_base": self._act(step.q.name) + head * step.head_dim,
            "act_stride": features,
            "operand_base": head * step.head_dim,
            "operand_stride": step.k.features,
            "dest_base": base,
            "dest_stride": keys,
            "mult": op.mult,
            "shift": op.shift,
            "bits": step.score.bits,
            "post_fraction": step.score.fraction,
            "post_shift": step.softmax.shift,
            "post_bits": step.prob.bits,
        }
        accesses = [
            self._act_access(step.q.name, features, False),
            self._whole("key", step.k.features, False),
            write,
        ]
        output = Output(step.prob.name, head, "prob", base, keys, step.q.tokens, keys)
        self._emit(op.name, fields, accesses, output)

    def _values(self, step: AttentionStep, head: int) -> None:
        op, features, keys = step.values, step.v.features, step.prob.features
        base, read = self._prob(step, head, False)
        tile = min(step.head_dim, self.engine.fixed_rows(8))
        starts = list(range(0, step.head_dim, tile))
        for start in starts:
            rows = min(tile, step.head_dim - start)
            column = head * step.head_dim + start
            fields = {
                "opcode": Opcode.GEMM,
                "tokens_register": self._register(step.y.tokens),
                "keys_register": self._register(keys),
                "row_source": RowSource.VALUES,
                "act_source": ActSource.PROB,
                "wide": 1,
                "token_outer": 1,
                "route": Route.ACT,
                "k_from_keys": 1,
                "constant_params": 1,
                "fixed_rows": rows,
                "row_tiles": 1,
                "act_base": base,
                "act_stride": keys,
                "operand_base": column,
                "operand_stride": features,
                "dest_base": self._act(step.y.name) + column,
                "dest_stride": features,
                "mult": op.mult,
                "limit": rows,
                "shift": op.shift,
                "bits": step.y.bits,
            }
            accesses = [
                read,
                self._whole("value", features, False),
                self._act_access(step.y.name, features, True),
            ]
            done = head == step.scores.heads - 1 and start == starts[-1]
            whole = Output(
                step.y.name, None, "act", self._act(step.y.name), features, step.y.tokens, features
            )
            self._emit(op.name, fields, accesses, whole if done else None)


def build_program(graph: Graph, engine: Engine) -> Program:
    """Schedule ``graph`` on ``engine`` and pack what it reads.

    Raises
    ------
    DoesNotFit : the engine's banks or buffers are too small for the graph.
    VitgenError : an op has no unit, or a count does not fit the program format.
    """
    return _Builder(graph, engine).build()
