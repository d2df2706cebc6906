"""Processes that bring operands, called by hand, against arrays and integers."""

import numpy as np

GATHER, REPLAY, KEYS, TURN, VALUES, SELECT, PARAMS, LOAD, STORE, FEED, READ, WRITE = range(12)
GEMM, CONSTANT, NORM = range(3)
BEAT_LIMBS = 2


def limbs(bits):
    return -(-bits // 64)


def words_in(values, bits):
    """A stream of the driver's input: count, then words as 64-bit limbs."""
    raw = b"".join(int(v).to_bytes(8 * limbs(bits), "little") for v in values)
    return [len(values), *np.frombuffer(raw, dtype=np.int64)]


def words_out(output, bits):
    """A stream of the driver's output as integers."""
    return [int.from_bytes(row.tobytes(), "little") for row in output.stream(limbs(bits))]


def random_words(rng, count, bits):
    return [int.from_bytes(rng.bytes(-(-bits // 8)), "little") >> (-bits % 8) for _ in range(count)]


def lanes_to_int(lanes, bits):
    return sum((int(v) & ((1 << bits) - 1)) << (i * bits) for i, v in enumerate(lanes))


def random_bank(rng, engine, depth):
    """``(groups, depth, lanes)`` over the whole range of a lane."""
    half = 1 << (engine.act_bits - 1)
    return rng.integers(-half, half, (engine.groups, depth, engine.group_lanes))


def test_gather_joins_steps_and_ports(operands):
    rng, e = np.random.default_rng(1), operands.engine
    commands, ports, expected = [], [[] for _ in range(e.weight_ports)], []
    for bits, words in ((4, 7), (8, 1), (8, 5), (4, 3)):
        steps = e.weight_steps(bits)
        commands.append((words, steps))
        for _ in range(words):
            word = random_words(rng, 1, 128 * steps * e.weight_ports)[0]
            for step in range(steps):
                for port, beats in enumerate(ports):
                    beats.append(word >> 128 * (step * e.weight_ports + port) & (1 << 128) - 1)
            expected.append(word & (1 << e.row_word_bits) - 1)
    output = operands.run(
        [GATHER, len(commands)], commands, *(words_in(beats, 128) for beats in ports)
    )
    assert words_out(output, e.row_word_bits) == expected
    output.finish()


def test_replay_sends_a_tile_once_per_slot(operands):
    rng, e = np.random.default_rng(2), operands.engine
    commands = [(2, 3, e.max_k), (3, 1, 5), (1, 4, 1), (1, 1, 1)]
    sent, expected = [], []
    for tiles, slots, k in commands:
        for _ in range(tiles):
            tile = random_words(rng, k, e.row_word_bits)
            sent += tile
            expected += tile * slots
    output = operands.run([REPLAY, len(commands)], commands, words_in(sent, e.row_word_bits))
    assert words_out(output, e.row_word_bits) == expected
    output.finish()


def key_word(e, bank, tile, address_of, key_slots):
    """Row word of one feature: the keys of a tile, 8 bits each, above the power-of-two field."""
    parts = e.groups // e.key_groups
    slot, part = (tile * e.key_slots, 0) if e.key_slots > 1 else divmod(tile, parts)
    slots = range(slot, min(slot + e.key_slots, key_slots))
    rows = [
        bank[part * e.key_groups + i, address_of(one), lane]
        for one in slots
        for i in range(e.key_groups)
        for lane in range(e.group_lanes)
    ]
    return lanes_to_int(rows, 8) << (4 * e.pot_rows)


def test_keys_are_read_by_tile(operands):
    rng, e = np.random.default_rng(3), operands.engine
    bank = random_bank(rng, e, e.key_depth)
    parts = e.groups // e.key_groups
    commands = [
        (base, stride, -(-tiles // e.key_slots), -(-tiles // parts), slots, k)
        for base, stride, tiles, slots, k in (
            (3, 20, 3 * parts, 2, 12),
            (0, 30, 2 * parts - (parts > 1), 3, 5),
            (59, 1, 1, 1, 1),
            (10, 0, 1, 2, 4),
        )
    ]
    expected = []
    for base, stride, tiles, key_slots, slots, k in commands:
        expected += [
            key_word(e, bank, tile, lambda slot, d=d, b=base, s=stride: b + slot * s + d, key_slots)
            for _ in range(slots)
            for tile in range(tiles)
            for d in range(k)
        ]
    output = operands.run([KEYS], bank, [len(commands)], commands)
    assert words_out(output, e.row_word_bits) == expected
    assert words_out(output, 1) == [1] * len(commands)
    output.finish()


def test_values_are_transposed(operands):
    rng, e = np.random.default_rng(4), operands.engine
    bank = random_bank(rng, e, e.value_depth)
    most = min(e.max_head_dim, e.fixed_rows(8))
    tokens = e.token_lanes
    longest = min(3 * tokens - 1, e.max_tokens)
    commands = [(2, 20, most, longest), (0, 9, 1, 1), (5, 15, most, min(tokens, e.max_tokens))]
    commands += [(1, 11, 2, min(tokens + 1, e.max_tokens)), (63, 1, 1, min(e.group_lanes, 3))]
    output = operands.run([TURN], bank, [len(commands)], commands)
    words = words_out(output, e.row_word_bits)
    assert words_out(output, 1) == [1] * len(commands)
    output.finish()
    for base, stride, features, keys in commands:
        mine, words = words[:keys], words[keys:]
        for key, word in enumerate(mine):
            slot, place = divmod(key, tokens)
            group, lane = divmod(place, e.group_lanes)
            at = base + slot * stride
            want = lanes_to_int(bank[group, at : at + features, lane], 8)
            assert word & (1 << 4 * e.pot_rows) - 1 == 0
            assert word >> 4 * e.pot_rows & (1 << 8 * features) - 1 == want, (key, features)
    assert words == []


def test_values_are_replayed(operands):
    rng, e = np.random.default_rng(5), operands.engine
    commands = [(e.max_tokens, 3), (1, 1), (1, 5), (7, 2)]
    sent, expected = [], []
    for keys, slots in commands:
        head = random_words(rng, keys, e.row_word_bits)
        sent += head
        expected += head * slots
    output = operands.run([VALUES, len(commands)], commands, words_in(sent, e.row_word_bits))
    assert words_out(output, e.row_word_bits) == expected
    output.finish()


def test_select_sends_every_group_the_same(operands):
    rng, e = np.random.default_rng(6), operands.engine
    commands = [(0, 5), (1, 4), (2, 3), (0, 1), (2, 2)]
    sources = [random_words(rng, n, e.row_word_bits) for n in (6, 4, 5)]
    left = [iter(source) for source in sources]
    expected = [next(left[source]) for source, beats in commands for _ in range(beats)]
    output = operands.run(
        [SELECT, len(commands)], commands, *(words_in(s, e.row_word_bits) for s in sources)
    )
    for _ in range(e.groups):
        assert words_out(output, e.row_word_bits) == expected
    output.finish()


def test_params(operands):
    rng, e = np.random.default_rng(7), operands.engine
    rows = e.max_tile_rows
    commands = [
        (GEMM, 2, 3, rows, 100, 17, 0, 0),
        (NORM, 1, 3, e.max_features, 7, 50, 0, 0),
        (CONSTANT, 3, 2, rows, 40, 200, 131071, 2 * rows + 1),
        (GEMM, 1, 1, 1, 65000, 13, 0, 0),
        (CONSTANT, 1, 1, 3, 0, 0, 5, 3),
        (NORM, 1, 1, 1, 0, 0, 0, 0),
    ]
    beats, gemm, norm = [], [], []
    for mode, tiles, slots, count, base, stride, mult, limit in commands:
        if mode == CONSTANT:
            for slot in range(slots):
                gemm += [
                    (0, mult, base + slot * stride + row, int(row < limit), 0)
                    for row in range(tiles * count)
                ]
            continue
        for _ in range(tiles):
            bias = rng.integers(-(1 << 31), 1 << 31, count)
            factor = rng.integers(-(1 << 17), 1 << 17, count)
            dest = rng.integers(0, 1 << 15, count)
            keep, gate = rng.integers(0, 2, (2, count))
            beats += [
                int(b) & 0xFFFFFFFF | (int(m) & 0x3FFFF) << 32 | int(d) << 50 | int(z) << 66
                | int(g) << 67
                for b, m, d, z, g in zip(bias, factor, dest, keep, gate, strict=True)
            ]
            for slot in range(slots):
                where = (base + slot * stride + dest) % (1 << 16)
                (gemm if mode == GEMM else norm).extend(
                    zip(bias, factor, where, keep, gate, strict=True)
                )
    splits = [(int(m == NORM), t * c) for m, t, _, c, *_ in commands if m != CONSTANT]
    of_products = [(int(m == CONSTANT), *rest) for m, *rest in commands if m != NORM]
    of_norms = [(s, c, base, stride) for m, _, s, c, base, stride, *_ in commands if m == NORM]
    output = operands.run(
        [PARAMS, len(splits)], splits, [len(of_products)], of_products, [len(of_norms)], of_norms,
        words_in(beats, 128),
    )  # fmt: skip
    for expected in (gemm, norm):
        for _ in range(e.groups):
            np.testing.assert_array_equal(output.stream(5), np.array(expected))
    output.finish()


def test_load_joins_beats_and_deals_groups(operands):
    rng, e = np.random.default_rng(8), operands.engine
    commands = [(0, 2, 5, 10, 30), (1, 3, 4, 0, 20), (0, 1, 1, 79, 1), (1, 1, 2, 88, 9)]
    kinds = [(e.act_load_beats, e.act_word_bits), (e.post_load_beats, e.post_word_bits)]
    beats = [[], []]
    expected = [[[] for _ in range(e.groups)] for _ in kinds]
    for target, slots, features, base, stride in commands:
        parts, bits = kinds[target]
        for slot in range(slots):
            for group in range(e.groups):
                for feature in range(features):
                    padded = random_words(rng, 1, 128 * parts)[0]
                    beats[target] += [padded >> 128 * i & (1 << 128) - 1 for i in range(parts)]
                    word = padded & (1 << bits) - 1
                    expected[target][group].append((word, base + slot * stride + feature))
    output = operands.run(
        [LOAD, len(commands)], commands, words_in(beats[0], 128), words_in(beats[1], 128)
    )
    for (_, bits), groups in zip(kinds, expected, strict=True):
        for want in groups:
            found = output.stream(limbs(bits) + 1)
            got = [(int.from_bytes(row[:-1].tobytes(), "little"), int(row[-1])) for row in found]
            assert got == want
    output.finish()


def test_store_packs_the_first_token(operands):
    rng, e = np.random.default_rng(9), operands.engine
    commands = [1, 8, 13, 16, 1000]
    total = sum(commands)
    words = rng.integers(-32768, 32768, (e.groups, total, e.group_lanes))
    output = operands.run(
        [STORE, len(commands)], commands, *(np.concatenate([[total], w.ravel()]) for w in words)
    )
    expected, at = [], 0
    for count in commands:
        values = words[0, at : at + count, 0]
        at += count
        expected += [lanes_to_int(values[i : i + 8], 16) for i in range(0, count, 8)]
    assert words_out(output, 128) == expected
    output.finish()


def test_feed_reads_in_either_order(operands):
    rng, e = np.random.default_rng(10), operands.engine
    half = 1 << (e.act_bits - 1)
    banks = [
        rng.integers(-half, half, (depth, e.group_lanes)) for depth in (e.act_depth, e.prob_depth)
    ]
    commands = [
        (0, 3, 20, 17, 4, 3, 0, 0, 0), (1, 0, 21, 20, 3, 3, 1, 0, 0), (0, 79, 1, 1, 1, 1, 0, 0, 0),
        (1, 5, 0, 3, 1, 4, 0, 0, 0), (0, 10, 30, 6, 5, 2, 1, 0, 0), (0, 0, 40, 40, 2, 2, 0, 0, 0),
        # In runs: windows of a convolution, a last run that is short, runs of one word.
        (0, 3, 2, 12, 3, 5, 0, 4, 9), (0, 0, 11, 7, 2, 3, 1, 3, 20), (0, 5, 1, 4, 2, 2, 0, 1, 7),
        (0, 2, 3, 6, 2, 2, 0, 6, 50),
    ]  # fmt: skip
    expected = []
    for source, base, stride, k, tiles, slots, token_outer, run, jump in commands:
        order = [(s, t) for s in range(slots) for t in range(tiles)]
        if not token_outer:
            order = [(s, t) for t in range(tiles) for s in range(slots)]
        for slot, _ in order:
            at = base + slot * stride
            words = [at + i + (i // run * (jump - 1) if run else 0) for i in range(k)]
            expected.append(banks[source][words])
    # Every other one waits for its slots, each of which is reported once.
    waiting = [(*command, index % 2) for index, command in enumerate(commands)]
    reports = sum(command[5] for command in commands[1::2])
    output = operands.run([FEED], *banks, [len(waiting)], waiting, [reports])
    np.testing.assert_array_equal(output.stream(e.group_lanes), np.concatenate(expected))
    assert words_out(output, 1) == [1] * len(commands)
    output.finish()


def test_dma(operands):
    rng = np.random.default_rng(11)
    memory = random_words(rng, 100, 128)
    requests = [(0, 100), (99, 1), (5, 0), (20, 33)]
    output = operands.run(
        [READ], words_in(memory, 128)[1:], [len(requests)], requests
    )
    assert words_out(output, 128) == [memory[a + i] for a, n in requests for i in range(n)]
    output.finish()
    requests = [(3, 50), (53, 1), (70, 30)]
    beats = random_words(rng, 81, 128)
    output = operands.run([WRITE, len(requests)], requests, words_in(beats, 128))
    expected, sent = [0] * 100, iter(beats)
    for address, count in requests:
        for i in range(count):
            expected[address + i] = next(sent)
    found = [int.from_bytes(row.tobytes(), "little") for row in output.take(100, BEAT_LIMBS)]
    assert found == expected
    assert words_out(output, 1) == [1, 1, 1]
    output.finish()
