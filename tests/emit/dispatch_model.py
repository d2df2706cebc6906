"""Dispatch the plain way: commands by stream, from decoded instructions.

Written from ``docs/accelerator.md`` and the meaning of the fields; shares the field table with the
emitted C++ and nothing else.
"""

from collections import defaultdict

from vitgen.design.engine import Engine
from vitgen.design.isa import ActSource, LoadTarget, Opcode, Route, RowSource, Source

SLOT_SETTLE = 4
FROM_REQUANT, FROM_GELU, FROM_NORM, FROM_LOAD = range(4)
STOP = "stop"


class Dispatch:
    """Streams that it writes: ``sent[stream]`` is a list of fields in the order of the struct, each
    behind its ``stop``; per group or port all copies are equal.

    Parameters
    ----------
    engine : shape of the hardware.
    """

    def __init__(self, engine: Engine):
        self.engine = engine
        self.sent = defaultdict(list)
        self.collected = dict.fromkeys(Source, 0)
        self.registers = {}

    def send(self, stream, *fields):
        self.sent[stream].append((0, *(int(field) for field in fields)))

    def run(self, program):
        for fields in program:
            opcode = Opcode(fields["opcode"])
            if opcode in (Opcode.NORM, Opcode.GEMM):
                self.data_driven(opcode, fields)
            self.wait(fields)
            if opcode is Opcode.STOP:
                return
            self.withheld(opcode, fields)

    def wait(self, fields):
        for source in Source:
            wanted = fields[f"wait_{source.name.lower()}"]
            self.collected[source] = max(self.collected[source], wanted)

    def data_driven(self, opcode, f):
        _, slots, _ = self.registers[f["tokens_register"]]
        if opcode is Opcode.NORM:
            self.send("param_request", f["param_address"], f["k"])
            self.send("record_command", 1, f["k"])
            self.send("norm_param_command", slots, f["k"], f["dest_base"], f["dest_stride"])
            for process in ("norm_sum", "norm_root", "norm_scale"):
                self.send(f"{process}_command", f["k"], slots, f["epsilon"], f["shift"], f["bits"])
            if f["by_slot"]:
                words = slots * (f["k"] + SLOT_SETTLE)
                self.send("act_write_command", FROM_NORM, words, f["k"])
            else:
                self.send("act_write_command", FROM_NORM, slots * f["k"], 0)
            return
        keys, _, _ = self.registers[f["keys_register"]]
        k, row_tiles, limit = self.extent(f)
        rows = f["fixed_rows"] + f["pot_rows"]
        if f["row_source"] == RowSource.WEIGHTS:
            steps = self.engine.weight_steps(8 if f["wide"] else 4)
            self.send("weight_request", f["weight_address"], row_tiles * k * steps)
            self.send("gather_command", row_tiles * k, steps)
            self.send("replay_command", row_tiles, slots, k)
        if f["row_source"] == RowSource.VALUES:
            self.send("value_command", keys, slots)
        self.send("select_command", f["row_source"], row_tiles * slots * k)
        if not f["constant_params"]:
            self.send("param_request", f["param_address"], row_tiles * rows)
            self.send("record_command", 0, row_tiles * rows)
        self.send(
            "param_command", f["constant_params"], row_tiles, slots, rows,
            f["dest_base"], f["dest_stride"], f["mult"], limit,
        )  # fmt: skip
        self.send("array_command", row_tiles * slots, k, f["wide"], f["fixed_rows"], f["pot_rows"])
        self.send("requant_command", row_tiles * slots * rows, f["shift"], f["bits"],
                  f["relu"], f["route"])
        self.follow(Route(f["route"]), f, slots, keys, slots * limit)

    def extent(self, f):
        """``(k, row tiles, rows that are kept)`` with counts from registers filled in."""
        keys, _, key_tiles = self.registers[f["keys_register"]]
        k = keys if f["k_from_keys"] else f["k"]
        if f["rows_from_keys"]:
            return k, key_tiles, keys
        return k, f["row_tiles"], f["limit"]

    def follow(self, route, f, slots, keys, kept):
        post = (f["post_fraction"], f["post_delta"], f["post_mult"], f["post_shift"], f["post_bits"])
        if route is Route.ACT:
            self.send("act_write_command", FROM_REQUANT, kept, 0)
        elif route in (Route.KEY, Route.VALUE):
            self.send(f"{route.name.lower()}_write_command", kept)
        elif route is Route.GELU:
            self.send("gelu_command", kept, *post)
            self.send("act_write_command", FROM_GELU, kept, 0)
        elif route is Route.SOFTMAX:
            for process in ("max", "exp", "recip", "scale"):
                # The command's shift has three bits.
                fields = (keys, slots, post[0], post[4], post[3] % 8)
                self.send(f"softmax_{process}_command", *fields)
            self.send("prob_write_command", f["dest_base"], f["dest_stride"], slots, keys)
        elif route is Route.RESIDUAL:
            last = f["post_mult"] % 2048 if f["by_slot"] else 0
            self.send(
                "residual_command", 0, slots * ((kept // slots - last) % 8192), slots if last else 0,
                last, f["dest_base"], f["dest_stride"], f["dest_stride"],
            )  # fmt: skip
        else:
            self.send("store_command", kept)
            self.send("output_request", f["dest_base"], -(-kept // 8))

    def withheld(self, opcode, f):
        if opcode is Opcode.SET_TOKENS:
            self.registers[f["tokens_register"]] = (f["limit"], f["row_tiles"], f["k"])
            return
        _, slots, _ = self.registers[f["tokens_register"]]
        if opcode is Opcode.NORM:
            if not f["by_slot"]:
                self.send(
                    "residual_command", 0, 0, slots, 0, f["act_base"], f["act_stride"], f["k"],
                )  # fmt: skip
        elif opcode is Opcode.LOAD:
            e = self.engine
            act = f["load_target"] == LoadTarget.ACT
            beats = slots * e.groups * f["k"] * (e.act_load_beats if act else e.post_load_beats)
            self.send("image_request" if act else "constant_request", f["param_address"], beats)
            if act:
                self.send("act_write_command", FROM_LOAD, slots * f["k"], 0)
            else:
                self.send("residual_command", 1, slots * f["k"], 0, 0, 0, 0, 0)
            self.send(
                "load_command", f["load_target"], slots, f["k"], f["dest_base"], f["dest_stride"]
            )
        else:
            self.feed(f, slots)

    def feed(self, f, slots):
        keys, key_slots, _ = self.registers[f["keys_register"]]
        k, row_tiles, _ = self.extent(f)
        operand = (f["operand_base"], f["operand_stride"])
        if f["row_source"] == RowSource.KEYS:
            self.send("key_command", *operand, row_tiles, key_slots, slots, k)
        if f["row_source"] == RowSource.VALUES:
            self.send("turn_command", *operand, f["fixed_rows"], keys)
        self.send(
            "feed_command", ActSource(f["act_source"]), f["act_base"], f["act_stride"], k,
            row_tiles, slots, f["token_outer"], f["act_run"], f["act_jump"],
            f["by_slot"] and f["route"] != Route.RESIDUAL,
        )  # fmt: skip
