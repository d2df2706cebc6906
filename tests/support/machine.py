"""A second executor of programs: decodes the encoded bytes and computes them the plain way.

It shares nothing with the packer but the documented layout: every field, weight word, record and
bank word is taken from bits. Products are formed with Python-sized NumPy integers, one instruction
after the other, without any overlap.
"""

import numpy as np

from vitgen.arith import gelu, layernorm, requant, softmax
from vitgen.design.engine import Engine
from vitgen.design.isa import FIELDS, Opcode, Route


def bits_of(data, low, width, signed=False):
    """Integer in bits ``low .. low + width - 1`` of little-endian bytes."""
    value = int.from_bytes(bytes(data), "little") >> low & (1 << width) - 1
    return value - (1 << width) if signed and value >> (width - 1) else value


def lanes_of(word, lanes, bits):
    """Signed lanes of one little-endian word."""
    return [bits_of(word, lane * bits, bits, signed=True) for lane in range(lanes)]


class Machine:
    """Banks, registers and DRAM of one accelerator.

    Parameters
    ----------
    engine : its shape.
    weights, params, constants, image : DRAM buffers as bytes.
    """

    def __init__(self, engine: Engine, weights, params, constants, image):
        self.engine = engine
        self.dram = {"weights": weights, "params": params, "constants": constants, "image": image}
        depth = {
            "residual": engine.residual_depth,
            "act": engine.act_depth,
            "prob": engine.prob_depth,
            "key": engine.key_depth,
            "value": engine.value_depth,
        }
        shape = (engine.groups, engine.group_lanes)
        self.banks = {n: np.zeros((d, *shape), dtype=np.int64) for n, d in depth.items()}
        self.registers = [None] * 4
        self.logits = []

    def run(self, program: bytes, until: int | None = None):
        """Execute; ``until`` counts instructions. Yields the index after each one."""
        for index in range(len(program) // 64):
            word = program[64 * index : 64 * (index + 1)]
            low, fields = 0, {}
            for name, width in FIELDS:
                fields[name] = bits_of(word, low, width)
                low += width
            if fields["opcode"] == Opcode.STOP:
                return
            method = {
                Opcode.SET_TOKENS: self.set_tokens,
                Opcode.LOAD: self.load,
                Opcode.NORM: self.norm,
                Opcode.GEMM: self.gemm,
            }
            method[Opcode(fields["opcode"])](fields)
            yield index

    def set_tokens(self, f):
        self.registers[f["tokens_register"]] = (f["limit"], f["row_tiles"], f["k"])

    def tensor(self, bank, base, stride, slots, features):
        """``(lanes of all slots, features)``, one row per token."""
        rows = [
            self.banks[bank][base + slot * stride + np.arange(features)].transpose(1, 2, 0)
            for slot in range(slots)
        ]
        return np.concatenate([r.reshape(-1, features) for r in rows])

    def put(self, bank, base, stride, feature, column):
        """Write one feature of all tokens."""
        per_slot = column.reshape(-1, self.engine.groups, self.engine.group_lanes)
        for slot, words in enumerate(per_slot):
            self.banks[bank][base + slot * stride + feature] = words

    def load(self, f):
        e = self.engine
        slots = self.registers[f["tokens_register"]][1]
        name, bank, bits = (
            ("constants", "residual", 16) if f["load_target"] else ("image", "act", e.act_bits)
        )
        size = -(-e.group_lanes * bits // 128) * 16
        at = f["param_address"] * 16
        for slot in range(slots):
            for group in range(e.groups):
                for feature in range(f["k"]):
                    word = self.dram[name][at : at + size]
                    address = f["dest_base"] + slot * f["dest_stride"] + feature
                    self.banks[bank][address, group] = lanes_of(word, e.group_lanes, bits)
                    at += size

    def record(self, index):
        """``(bias, mult, dest, keep, gate)`` of one row record."""
        word = self.dram["params"][16 * index : 16 * index + 16]
        return (
            bits_of(word, 0, 32, True),
            bits_of(word, 32, 18, True),
            bits_of(word, 50, 16),
            bits_of(word, 66, 1),
            bits_of(word, 67, 1),
        )

    def norm(self, f):
        slots = self.registers[f["tokens_register"]][1]
        x = self.tensor("residual", f["act_base"], f["act_stride"], slots, f["k"])
        records = [self.record(f["param_address"] + i) for i in range(f["k"])]
        bias = np.array([r[0] for r in records])
        gain = np.array([r[1] for r in records])
        y = layernorm(x, f["epsilon"], gain, bias, f["shift"], f["bits"])
        for feature, record in enumerate(records):
            self.put("act", f["dest_base"], f["dest_stride"], record[2], y[:, feature])

    def weight_tile(self, f, tile, k):
        """Weights of one tile, ``(k, fixed rows + pot rows)``, in drain order."""
        e = self.engine
        width = 8 if f["wide"] else 4
        fixed_bits = (e.fixed_rows(8) if f["wide"] else e.fixed_rows(4)) * width
        ports = len(self.dram["weights"])
        steps = -(-(4 * e.pot_rows + fixed_bits) // (128 * ports))
        rows = []
        for feature in range(k):
            index = (tile * k + feature) * steps
            word = b"".join(
                bytes(port[16 * (f["weight_address"] + index + s) :][:16])
                for s in range(steps)
                for port in self.dram["weights"]
            )
            number = int.from_bytes(word, "little")
            fixed = []
            for row in range(f["fixed_rows"]):
                value = number >> (4 * e.pot_rows + row * width) & (1 << width) - 1
                fixed.append(value - (1 << width) if value >> (width - 1) else value)
            pot = []
            for row in range(f["pot_rows"]):
                code = number >> 4 * row & 15
                magnitude = 0 if code % 8 == 0 else 2 ** (code % 8 - 1)
                pot.append(-magnitude if code & 8 else magnitude)
            rows.append(fixed + pot)
        return np.array(rows, dtype=np.int64)

    def gemm(self, f):
        slots = self.registers[f["tokens_register"]][1]
        keys = self.registers[f["keys_register"]]
        k = keys[0] if f["k_from_keys"] else f["k"]
        bank = "prob" if f["act_source"] else "act"
        x = self.operand(f, bank, slots, k)
        per_tile = f["fixed_rows"] + f["pot_rows"]
        if f["row_source"] == 0:
            rows = np.concatenate(
                [self.weight_tile(f, t, k) for t in range(f["row_tiles"])], axis=1
            )
            count = f["row_tiles"] * per_tile
            records = [self.record(f["param_address"] + i) for i in range(count)]
        else:
            if f["row_source"] == 1:
                bank, features, limit = "key", k, keys[0]
            else:
                bank, features, limit = "value", f["fixed_rows"], f["limit"]
            held = self.tensor(bank, f["operand_base"], f["operand_stride"], keys[1], features)
            rows = held[: keys[0]].T if f["row_source"] == 1 else held[: keys[0]]
            records = [(0, f["mult"], row, 1, 0) for row in range(limit)]
            per_tile = 1
        assert sum(r[3] for r in records) == (keys[0] if f["rows_from_keys"] else f["limit"]), (
            "limit is the number of rows kept"
        )
        out = {}
        shut = np.zeros(len(x), dtype=bool)
        for row, (bias, mult, dest, keep, gate) in enumerate(records):
            acc = x @ rows[:, row] + bias
            assert np.abs(acc).max() < 1 << 26
            if row % per_tile == 0 and gate:
                shut = acc <= 0
            value = requant(acc, mult, f["shift"], f["bits"])
            if f["relu"]:
                value = np.maximum(value, 0)
            if gate:
                value = np.ones_like(acc)
            if keep:
                out[dest] = np.where(shut, 0, value)
        self.deliver(f, out)

    def operand(self, f, bank, slots, k):
        """The token operand ``(lanes of all slots, k)``, run by run."""
        run = f["act_run"] or k
        starts = range(0, k, run)
        parts = [
            self.tensor(
                bank, f["act_base"] + number * (run - 1 + f["act_jump"]), f["act_stride"], slots,
                min(run, k - start),
            )
            for number, start in enumerate(starts)
        ]
        return np.concatenate(parts, axis=1)

    def deliver(self, f, out):
        route = Route(f["route"])
        if route is Route.SOFTMAX:
            scores = np.stack([out[j] for j in range(len(out))], axis=1)
            prob = softmax(scores, f["post_fraction"], f["post_bits"], f["post_shift"])
            for j in range(prob.shape[1]):
                self.put("prob", f["dest_base"], f["dest_stride"], j, prob[:, j])
            return
        if route is Route.STORE:
            self.logits = [int(out[row][0]) for row in sorted(out)]
            return
        for dest, column in out.items():
            if route is Route.GELU:
                column = gelu(
                    column, f["post_fraction"], f["post_delta"], f["post_mult"],
                    f["post_shift"], f["post_bits"],
                )  # fmt: skip
            if route is Route.RESIDUAL:
                slots = column.size // self.engine.token_lanes
                old = self.tensor("residual", f["dest_base"] + dest, f["dest_stride"], slots, 1)[
                    :, 0
                ]
                column = np.clip(old + column, -32767, 32767)
            bank = {
                Route.ACT: "act", Route.GELU: "act", Route.KEY: "key", Route.VALUE: "value",
                Route.RESIDUAL: "residual",
            }[route]  # fmt: skip
            self.put(bank, f["dest_base"], f["dest_stride"], dest, column)
