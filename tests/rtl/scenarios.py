"""Commands and data for every process, random but meaningful: what ``dispatch`` would deal."""

import random
from collections.abc import Callable

from tests.rtl.cosim import Values, random_words
from vitgen.design.engine import Engine


def pack(fields: list[tuple[int, int]]) -> int:
    """Fields as (value, width), the first lowest."""
    found, place = 0, 0
    for value, width in fields:
        found |= (value & ((1 << width) - 1)) << place
        place += width
    return found


def command(*fields: tuple[int, int]) -> int:
    """A command that is no stop."""
    return pack([(0, 1), *fields])


STOP = 1
Scenario = Callable[[Engine, random.Random], Values]


def row_select(e: Engine, rng: random.Random) -> Values:
    sources = [rng.randrange(3) for _ in range(6)]
    beats = [rng.choice([0, 1, 7, 30]) for _ in sources]
    wanted = [sum(b for s, b in zip(sources, beats, strict=True) if s == i) for i in range(3)]
    words = [random_words(rng, count, e.row_word_bits) for count in wanted]
    commands = [command((s, 2), (b, 24)) for s, b in zip(sources, beats, strict=True)]
    return Values({"commands": [*commands, STOP], "weight_rows": words[0], "key_rows": words[1],
                   "value_rows": words[2]})  # fmt: skip


def feed(e: Engine, rng: random.Random) -> Values:
    commands = [
        command((rng.randrange(2), 1), (rng.randrange(5), 16), (rng.randrange(1, 12), 13),
                (rng.randrange(1, 13), 13), (rng.randrange(4), 12), (rng.randrange(1, 4), 10),
                (rng.randrange(2), 1), (rng.randrange(5), 13), (rng.randrange(3), 13), (0, 1))
        for _ in range(8)
    ]  # fmt: skip
    waiting = [(rng.randrange(1, 4), rng.randrange(1, 4)) for _ in range(3)]
    commands += [
        command((0, 1), (rng.randrange(5), 16), (rng.randrange(1, 12), 13), (rng.randrange(1, 5), 13),
                (tiles, 12), (slots, 10), (0, 1), (0, 13), (0, 13), (1, 1))
        for tiles, slots in waiting
    ]  # fmt: skip
    bits = e.group_lanes * e.act_bits
    reports = [1] * sum(slots for _, slots in waiting)
    return Values({"commands": [*commands, STOP], "slot_ready": reports},
                  {"act": random_words(rng, e.act_depth, bits),
                   "prob": random_words(rng, e.prob_depth, bits)})  # fmt: skip


def weight_gather(e: Engine, rng: random.Random) -> Values:
    commands, beats = [], 0
    for _ in range(6):
        bits = rng.choice([4, 8])
        words, steps = rng.choice([0, 1, 9, 40]), e.weight_steps(bits)
        commands.append(command((words, 24), (steps, 4)))
        beats += words * steps
    streams = {"commands": [*commands, STOP]}
    for port in range(e.weight_ports):
        name = f"beats_{port}" if e.weight_ports > 1 else "beats"
        streams[name] = random_words(rng, beats, 128)
    return Values(streams)


def weight_replay(e: Engine, rng: random.Random) -> Values:
    commands, words = [], 0
    for _ in range(8):
        tiles, slots, k = rng.randrange(4), rng.randrange(1, 4), rng.choice([1, 2, 3, e.max_k])
        commands.append(command((tiles, 12), (slots, 10), (k, 13)))
        words += tiles * k
    return Values({"commands": [*commands, STOP],
                   "words": random_words(rng, words, e.row_word_bits)})  # fmt: skip


def value_replay(e: Engine, rng: random.Random) -> Values:
    commands, words = [], 0
    for _ in range(8):
        keys, slots = rng.choice([1, 2, 3, e.max_tokens]), rng.randrange(1, 4)
        commands.append(command((keys, 10), (slots, 10)))
        words += keys
    return Values({"commands": [*commands, STOP],
                   "turned_rows": random_words(rng, words, e.row_word_bits)})  # fmt: skip


def requantize(e: Engine, rng: random.Random) -> Values:
    commands, total = [], 0
    for route in [*range(7), *range(7)]:
        words = rng.choice([0, 1, 5, 11])
        commands.append(command((words, 24), (rng.randrange(1, 41), 6),
                                (rng.randrange(2, e.act_bits + 1), 5), (rng.randrange(2), 1),
                                (route, 3)))  # fmt: skip
        total += words
    sums = [pack([(rng.randrange(-(2**26) + 1, 2**26), 27) for _ in range(e.group_lanes)])
            for _ in range(total)]  # fmt: skip
    params = [pack([(rng.randrange(-1000, 1000), 32), (rng.randrange(-(2**17) + 1, 2**17), 18),
                    (rng.getrandbits(16), 16), (rng.random() < 0.8, 1), (rng.random() < 0.2, 1)])
              for _ in range(total)]  # fmt: skip
    return Values({"commands": [*commands, STOP], "sums": sums, "params": params})


def gelu(e: Engine, rng: random.Random) -> Values:
    commands, total = [], 0
    for _ in range(8):
        words = rng.choice([0, 1, 6, 15])
        commands.append(command((words, 24), (rng.randrange(8, 13), 4), (rng.randrange(257), 9),
                                (rng.getrandbits(17), 17), (rng.randrange(1, 41), 6),
                                (e.act_bits, 5)))  # fmt: skip
        total += words
    words_ = random_words(rng, total, e.group_lanes * 16 + 16)
    return Values({"commands": [*commands, STOP], "words": words_})


def bank_write(e: Engine, rng: random.Random) -> Values:
    bits = e.group_lanes * e.act_bits
    depth = max(e.key_depth, e.value_depth)
    counts = [rng.choice([0, 1, 9, 20]) for _ in range(6)]
    words = [pack([(word, bits), (rng.randrange(depth), 16)])
             for word in random_words(rng, sum(counts), bits)]  # fmt: skip
    return Values({"commands": [*(command((count, 24)) for count in counts), STOP],
                   "words": words}, {"bank": random_words(rng, depth, bits)})  # fmt: skip


def twin_write(e: Engine, rng: random.Random) -> Values:
    single = bank_write(e, rng)
    depth = max(e.key_depth, e.value_depth)
    words = [word & ~(0xFFFF << e.act_word_bits) | rng.randrange(e.key_depth) << e.act_word_bits
             for word in single.streams["words"]]  # fmt: skip
    held = single.banks["bank"][: e.key_depth] if depth > e.key_depth else single.banks["bank"]
    return Values({**single.streams, "words": words}, {"bank": held, "twin": list(held)})


def act_write(e: Engine, rng: random.Random) -> Values:
    bits, commands = e.group_lanes * e.act_bits, []
    sources: list[list[int]] = [[], [], [], []]
    for source in [0, 1, 2, 3, 2, 1, 0, 3]:
        features = rng.choice([0, 0, 3, 10])
        slots = rng.randrange(1, 4) if features else 0
        count = slots * features if features else rng.choice([0, 1, 9, 20])
        commands.append(command((source, 2), (count + 4 * slots, 24), (features, 13)))
        sources[source] += [pack([(word, bits), (rng.randrange(e.act_depth), 16)])
                            for word in random_words(rng, count, bits)]  # fmt: skip
    names = ("from_requant", "from_gelu", "from_norm", "from_load")
    return Values({"commands": [*commands, STOP], **dict(zip(names, sources, strict=True))},
                  {"bank": random_words(rng, e.act_depth, bits)})  # fmt: skip


def load(e: Engine, rng: random.Random) -> Values:
    commands, image, constant = [], 0, 0
    for target in [0, 1, 1, 0, 1, 0]:
        slots, features = rng.randrange(3), rng.randrange(1, 8)
        commands.append(command((target, 1), (slots, 10), (features, 13), (rng.randrange(9), 16),
                                (rng.randrange(20), 13)))  # fmt: skip
        words = slots * features * e.groups
        image += (1 - target) * words * e.act_load_beats
        constant += target * words * e.post_load_beats
    return Values({"commands": [*commands, STOP], "image_beats": random_words(rng, image, 128),
                   "constant_beats": random_words(rng, constant, 128)})  # fmt: skip


def store(e: Engine, rng: random.Random) -> Values:
    counts = [rng.choice([0, 1, 8, 13, 17]) for _ in range(6)]
    streams = {"commands": [*(command((count, 24)) for count in counts), STOP]}
    for group in range(e.groups):
        name = f"words_{group}" if e.groups > 1 else "words"
        streams[name] = random_words(rng, sum(counts), e.group_lanes * 16)
    return Values(streams)


def prob_write(e: Engine, rng: random.Random) -> Values:
    bits, commands, total = e.group_lanes * e.act_bits, [], 0
    for _ in range(6):
        slots, keys = rng.randrange(4), rng.randrange(1, 12)
        commands.append(command((rng.randrange(8), 16), (rng.randrange(1, 12), 13), (slots, 10),
                                (keys, 10)))  # fmt: skip
        total += slots * keys
    return Values({"commands": [*commands, STOP], "probs": random_words(rng, total, bits)},
                  {"bank": random_words(rng, e.prob_depth, bits)})  # fmt: skip


def residual(e: Engine, rng: random.Random) -> Values:
    bits, commands = e.group_lanes * 16, []
    loads: list[int] = []
    sums: list[int] = []
    for op in ["load", "add", "send", "add", "both", "load", "both", "send", "both"]:
        slots, features = rng.randrange(1, 4), rng.randrange(1, 9)
        base, stride = rng.randrange(9), features + rng.randrange(3)
        head = 0 if op == "send" else rng.randrange(1, 12)
        rows = rng.randrange(1, features + 1) if op == "both" else 0
        places = rng.sample(range(e.residual_depth), head)
        for slot in range(slots if rows else 0):
            first = base + slot * stride
            places += rng.sample(range(first, first + features), rows)
        (loads if op == "load" else sums).extend(
            pack([(word, bits), (place, 16)])
            for word, place in zip(random_words(rng, len(places), bits), places, strict=True)
        )
        sent = slots if op in ("send", "both") else 0
        commands.append(command((op == "load", 1), (head, 24), (sent, 10), (rows, 11),
                                (base, 16), (stride, 13), (features, 13)))  # fmt: skip
    return Values({"commands": [*commands, STOP], "loads": loads, "sums": sums},
                  {"bank": random_words(rng, e.residual_depth, bits)})  # fmt: skip


def key_read(e: Engine, rng: random.Random) -> Values:
    commands = []
    for _ in range(6):
        tiles = rng.randrange(5)
        slots = max(0, tiles * e.key_slots - rng.randrange(e.key_slots))  # that hold keys
        stride = rng.randrange(1, 10 if e.key_slots == 1 else 6)  # so that all lie in the bank
        commands.append(command((rng.randrange(4), 16), (stride, 13), (tiles, 12),
                                (slots, 10), (rng.randrange(4), 10),
                                (rng.randrange(1, 9), 13)))  # fmt: skip
    banks = {f"key_{g}": random_words(rng, e.key_depth, e.act_word_bits) for g in range(e.groups)}
    if e.key_slots > 1:
        banks |= {f"key_twin_{g}": banks[f"key_{g}"] for g in range(e.groups)}
    return Values({"commands": [*commands, STOP]}, banks)


def value_turn(e: Engine, rng: random.Random) -> Values:
    limit = min(e.max_head_dim, e.fixed_rows(8))
    commands = [
        command((rng.randrange(4), 16), (rng.randrange(1, 6), 13), (rng.randrange(1, limit + 1), 10),
                (rng.randrange(1, 21), 10))
        for _ in range(6)
    ]  # fmt: skip
    bits = e.group_lanes * e.act_bits
    return Values({"commands": [*commands, STOP]},
                  {f"value_{g}": random_words(rng, e.value_depth, bits) for g in range(e.groups)})


def _softmax_command(e: Engine, rng: random.Random) -> tuple[list[int], int, int]:
    """Commands, and the words and token tiles of all of them."""
    commands, words, tiles = [], 0, 0
    for _ in range(5):
        keys, slots = rng.choice([1, 2, 7, 12]), rng.randrange(3)
        commands.append(command((keys, 10), (slots, 10), (rng.randrange(8, 13), 4), (e.act_bits, 5),
                                (rng.randrange(8), 3)))  # fmt: skip
        words += keys * slots
        tiles += slots
    return [*commands, STOP], words, tiles


def softmax_max(e: Engine, rng: random.Random) -> Values:
    commands, words, _ = _softmax_command(e, rng)
    return Values({"commands": commands, "scores_in": random_words(rng, words, e.group_lanes * 16)})


def softmax_exp(e: Engine, rng: random.Random) -> Values:
    commands, words, tiles = _softmax_command(e, rng)
    largest = pack([(2**15 - 1, 16)] * e.group_lanes)
    return Values({"commands": commands, "scores": random_words(rng, words, e.group_lanes * 16),
                   "maxima": [largest] * tiles})  # fmt: skip


def _sums(e: Engine, rng: random.Random, count: int) -> list[int]:
    return [pack([(rng.randrange(16389, 2**24), 25) for _ in range(e.group_lanes)])
            for _ in range(count)]


def softmax_recip(e: Engine, rng: random.Random) -> Values:
    commands, _, tiles = _softmax_command(e, rng)
    return Values({"commands": commands, "sums": _sums(e, rng, tiles)})


def softmax_scale(e: Engine, rng: random.Random) -> Values:
    commands, words, tiles = _softmax_command(e, rng)
    terms = [pack([(rng.randrange(16390), 15) for _ in range(e.group_lanes)])
             for _ in range(words)]  # fmt: skip
    return Values({"commands": commands, "terms": terms, "reciprocals": _sums(e, rng, tiles)})


def _norm_command(e: Engine, rng: random.Random) -> tuple[list[int], int, int]:
    commands, words, tiles = [], 0, 0
    for _ in range(5):
        features, slots = rng.choice([1, 2, 9, 24]), rng.randrange(3)
        commands.append(command((features, 13), (slots, 10), (rng.randrange(1, 2**20), 50),
                                (rng.randrange(1, 25), 6), (e.act_bits, 5)))  # fmt: skip
        words += features * slots
        tiles += slots
    return [*commands, STOP], words, tiles


def norm_sum(e: Engine, rng: random.Random) -> Values:
    commands, words, _ = _norm_command(e, rng)
    return Values({"commands": commands, "words_in": random_words(rng, words, e.group_lanes * 16)})


def norm_root(e: Engine, rng: random.Random) -> Values:
    commands, _, tiles = _norm_command(e, rng)
    lanes = range(e.group_lanes)
    stats = [
        pack([*((rng.randrange(-(2**25), 2**25), 26) for _ in lanes),
              *((rng.randrange(1, 2 ** rng.randrange(1, 51)), 50) for _ in lanes)])
        for _ in range(tiles)
    ]  # fmt: skip
    return Values({"commands": commands, "stats": stats})


def norm_scale(e: Engine, rng: random.Random) -> Values:
    commands, words, tiles = _norm_command(e, rng)
    lanes = range(e.group_lanes)
    roots = [
        pack([*((rng.randrange(-(2**20), 2**20), 26) for _ in lanes),
              *((rng.randrange(26), 5) for _ in lanes),
              *((rng.getrandbits(17), 17) for _ in lanes)])
        for _ in range(tiles)
    ]  # fmt: skip
    params = [pack([(rng.randrange(-(2**30), 2**30), 32), (rng.randrange(-(2**17) + 1, 2**17), 18),
                    (rng.getrandbits(16), 16), (1, 1), (0, 1)])
              for _ in range(words)]  # fmt: skip
    return Values({"commands": commands, "words": random_words(rng, words, e.group_lanes * 16),
                   "roots": roots, "params": params})  # fmt: skip


def multiply(e: Engine, rng: random.Random) -> Values:
    commands, words = [], 0
    for _ in range(6):
        wide, tiles, k = rng.randrange(2), rng.randrange(4), rng.choice([1, 3, 10, 40])
        fixed = rng.randrange(1, e.fixed_rows(8 if wide else 4) + 1)
        commands.append(command((tiles, 24), (k, 13), (wide, 1), (fixed, 10),
                                (rng.randrange(e.pot_rows + 1), 9)))  # fmt: skip
        words += tiles * k
    return Values({"commands": [*commands, STOP],
                   "rows": random_words(rng, words, e.row_word_bits),
                   "acts": random_words(rng, words, e.group_lanes * e.act_bits)})  # fmt: skip


def param_replay(e: Engine, rng: random.Random) -> Values:
    commands, records = [], 0
    for constant in [0, 1, 0, 0, 1]:
        tiles, slots, rows = rng.randrange(1, 4), rng.randrange(1, 4), rng.choice([1, 2, 9])
        commands.append(command((constant, 1), (tiles, 12), (slots, 10), (rows, 11),
                                (rng.getrandbits(12), 16), (rng.getrandbits(9), 13),
                                (rng.getrandbits(17), 18), (rng.randrange(20), 13)))  # fmt: skip
        if not constant:
            records += tiles * rows
    return Values({"commands": [*commands, STOP], "records": random_words(rng, records, 68)})


def norm_replay(e: Engine, rng: random.Random) -> Values:
    commands, records = [], 0
    for _ in range(4):
        slots, features = rng.randrange(1, 4), rng.choice([1, 2, 9])
        commands.append(command((slots, 10), (features, 11), (rng.getrandbits(12), 16),
                                (rng.getrandbits(9), 13)))  # fmt: skip
        records += features
    return Values({"commands": [*commands, STOP], "records": random_words(rng, records, 68)})


def record_split(e: Engine, rng: random.Random) -> Values:
    counts = [(rng.randrange(2), rng.choice([0, 1, 7])) for _ in range(6)]
    commands = [command((norm, 1), (count, 24)) for norm, count in counts]
    beats = random_words(rng, sum(count for _, count in counts), 128)
    return Values({"commands": [*commands, STOP], "beats": beats})


PAIRED: dict[str, Scenario] = {"key_read": key_read, "twin_write": twin_write}
"""Of an engine whose tiles of QK^T take two slots."""

SCENARIOS: dict[str, Scenario] = {
    function.__name__: function
    for function in (row_select, feed, weight_gather, weight_replay, value_replay, requantize, gelu,
                     bank_write, act_write, load, store, prob_write, residual, key_read, value_turn,
                     softmax_max, softmax_exp, softmax_recip, softmax_scale, norm_sum, norm_root,
                     norm_scale, multiply, param_replay, norm_replay, record_split)
}  # fmt: skip
