"""A second executor, written from docs/ir.md alone: plain Python integers, one scalar at a time.

It reads the two files of a graph and imports nothing of vitgen, so that a mistake in the integer
functions or in the storage cannot hide in both executors.
"""

import io
import json
import math
import zipfile
from typing import Any

import numpy as np

Row = list[int]
Matrix = list[Row]

KNEES = {8: 640, 9: 1281, 10: 2562, 11: 5124, 12: 10247}


def limit(bits: int) -> int:
    return 2 ** (bits - 1) - 1


def clamp(value: int, bits: int) -> int:
    return max(-limit(bits), min(limit(bits), value))


def requant(acc: int, mult: int, shift: int, bits: int) -> int:
    assert abs(acc) < 2**26 and abs(mult) < 2**17 and 1 <= shift <= 40
    return clamp((acc * mult + 2 ** (shift - 1)) // 2**shift, bits)


def linear(op: dict[str, Any], x: Matrix, bits: int) -> Matrix:
    tokens = len(x) if op["tokens"] is None else op["tokens"]
    result, size = [], len(op["weight"][0])
    for row in x[:tokens]:
        out = []
        for head in range(op["heads"]):
            for weights, bias, mult in zip(op["weight"], op["bias"], op["mult"], strict=True):
                acc = bias
                for k in range(size):
                    acc += row[head * size + k] * weights[k]
                y = requant(acc, mult, op["shift"], bits)
                out.append(max(y, 0) if op["relu"] else y)
        result.append(out)
    return result


def unfold(op: dict[str, Any], x: Matrix) -> Matrix:
    height, width, size, step = op["height"], op["width"], op["kernel"], op["stride"]
    channels, edge = len(x[0]), op["padding"]
    result = [[0] * (size * size * channels) for _ in range(op["lead"])]
    for top in range(-edge, height + edge - size + 1, step):
        for left in range(-edge, width + edge - size + 1, step):
            row = []
            for y in range(top, top + size):
                for z in range(left, left + size):
                    for c in range(channels):
                        inside = 0 <= y < height and 0 <= z < width
                        row.append(x[y * width + z][c] if inside else 0)
            result.append(row)
    return result


def matmul_qk(op: dict[str, Any], q: Matrix, k: Matrix, bits: int) -> list[Matrix]:
    size = len(q[0]) // op["heads"]
    return [
        [
            [
                requant(
                    sum(query[h * size + d] * key[h * size + d] for d in range(size)),
                    op["mult"],
                    op["shift"],
                    bits,
                )
                for key in k
            ]
            for query in q
        ]
        for h in range(op["heads"])
    ]


def matmul_av(op: dict[str, Any], p: list[Matrix], v: Matrix, bits: int) -> Matrix:
    size = len(v[0]) // op["heads"]
    return [
        [
            requant(
                sum(p[c // size][n][j] * v[j][c] for j in range(len(v))),
                op["mult"],
                op["shift"],
                bits,
            )
            for c in range(len(v[0]))
        ]
        for n in range(len(p[0]))
    ]


def softmax_row(scores: Row, fraction: int, bits: int, shift: int = 0) -> Row:
    terms = []
    for score in scores:
        dist = min((max(scores) - score) * 2 ** (14 - fraction), 2**18 - 1)
        z = dist * 23637 // 2**28
        rem = max(dist - z * 11357, 0)
        sq = (22168 - rem) ** 2 // 2**14
        terms.append((sq * 5874 // 2**14 + 5636) // 2**z)
    reciprocal = 2**38 // sum(terms)
    half = 2 ** (38 - bits - shift)
    return [min((e * reciprocal + half) // (2 * half), limit(bits)) for e in terms]


def softmax_groups(row: Row, group: int, fraction: int, bits: int, shift: int) -> Row:
    result = []
    for start in range(0, len(row), group):
        result += softmax_row(row[start : start + group], fraction, bits, shift)
    return result


def sigmoid_value(q: int, fraction: int) -> int:
    one = 2**fraction
    size = abs(q)
    if size >= 5 * one:
        upper = 32 * one
    elif 8 * size >= 19 * one:
        upper = size + 27 * one
    elif size >= one:
        upper = 4 * size + 20 * one
    else:
        upper = 8 * size + 16 * one
    value = 32 * one - upper if q < 0 else upper
    return max(1, min(127, (value + one // 8) // (one // 4)))


def mean(tokens: Matrix, weights: Row) -> Row:
    total = 0
    for weight in weights:
        assert 1 <= weight <= 127
        total += weight
    assert total < 2**17
    shift = 16
    while 2 ** (shift - 16) <= total:
        shift += 1
    reciprocal = 2**shift // total
    assert 2**16 <= reciprocal <= 2**17
    result = []
    for f in range(len(tokens[0])):
        acc = 0
        for token, weight in zip(tokens, weights, strict=True):
            acc += token[f] * weight
        assert abs(acc) < 2**32
        result.append((acc * reciprocal + 2 ** (shift - 1)) // 2**shift)
    return result


def pool(op: dict[str, Any], x: Matrix) -> Matrix:
    size = len(x[0]) // op["heads"]
    means = mean(x, [1] * len(x))
    result = []
    for token in x:
        row = []
        for head in range(op["heads"]):
            part = slice(head * size, head * size + size)
            row += token[part] + means[part]
        result.append(row)
    return result


def score(classes: Matrix, importance: Matrix) -> Matrix:
    result = []
    for token, weights in zip(classes, importance, strict=True):
        total = divisor = 0
        for head, weight in enumerate(weights):
            total += token[2 * head] * weight
            divisor += weight
        result.append([(128 * total + divisor // 2) // divisor])
    return result


def compact(
    op: dict[str, Any], x: Matrix, scores: Matrix, package: bool
) -> tuple[Matrix, bool]:
    """The tokens that go on, and whether the last is a package."""
    result, gone, weights = [x[0]], [], []
    for n in range(1, len(x)):
        old_package = package and n == len(x) - 1
        if scores[n][0] >= op["threshold"] and not old_package:
            result.append(x[n])
        else:
            gone.append(x[n])
            weights.append(max(scores[n][0] // 128, 1))
    if not gone:
        return result, False
    return [*result, mean(gone, weights)], True


def gelu_value(q: int, fraction: int, op: dict[str, Any], bits: int) -> int:
    knee = KNEES[fraction]
    dist = knee - min(abs(q), knee)
    sq = dist * dist // 2 ** (2 * fraction - 12)
    level = (16384 - sq * 9463 // 2**14) * op["delta"] // 2**8
    gate = 16384 - level if q < 0 else 16384 + level
    g = (q * gate + 8192) // 2**14
    return requant(g, op["mult"], op["shift"], bits)


def layernorm_row(x: Row, op: dict[str, Any], bits: int) -> Row:
    features = len(x)
    total = sum(x)
    variance = features * sum(v * v for v in x) - total * total + op["epsilon"]
    assert 1 <= variance < 2**50
    half = (variance.bit_length() + 1) // 2
    if half <= 17:
        mantissa = variance * 2 ** (34 - 2 * half)
    else:
        mantissa = variance // 2 ** (2 * half - 34)
    reciprocal = min(2**33 // math.isqrt(mantissa), 2**17 - 1)
    result = []
    for v, gain, bias in zip(x, op["gain"], op["bias"], strict=True):
        normal = ((features * v - total) * reciprocal + 2 ** (half + 4)) // 2 ** (half + 5)
        assert abs(normal) < 2**16
        shift = op["shift"]
        result.append(clamp((normal * gain + bias + 2 ** (shift - 1)) // 2**shift, bits))
    return result


def _select(op: dict[str, Any], inputs: list[Any], fraction: int | None) -> Any:
    if op["kind"] == "sigmoid":
        assert fraction is not None
        return [[sigmoid_value(q, fraction) for q in row] for row in inputs[0]]
    if op["kind"] == "pool":
        return pool(op, inputs[0])
    if op["kind"] == "score":
        return score(*inputs)
    raise AssertionError(f"docs/ir.md knows no op {op['kind']!r}")


def _compute(op: dict[str, Any], inputs: list[Any], fraction: int | None, bits: int) -> Any:
    kind = op["kind"]
    if kind == "linear":
        return linear(op, inputs[0], bits)
    if kind == "unfold":
        return unfold(op, inputs[0])
    if kind == "matmul_qk":
        return matmul_qk(op, *inputs, bits)
    if kind == "matmul_av":
        return matmul_av(op, *inputs, bits)
    if kind == "softmax":
        assert fraction is not None
        shift = op.get("shift", 0)
        if op["group"] is not None:
            return [softmax_groups(row, op["group"], fraction, bits, shift) for row in inputs[0]]
        return [[softmax_row(row, fraction, bits, shift) for row in head] for head in inputs[0]]
    if kind == "gelu":
        assert fraction is not None
        return [[gelu_value(q, fraction, op, bits) for q in row] for row in inputs[0]]
    if kind == "layernorm":
        tokens = len(inputs[0]) if op["tokens"] is None else op["tokens"]
        return [layernorm_row(row, op, bits) for row in inputs[0][:tokens]]
    if kind == "add":
        pairs = zip(*inputs, strict=True)
        return [[clamp(a + c, bits) for a, c in zip(x, y, strict=True)] for x, y in pairs]
    return _select(op, inputs, fraction)


def execute(files: dict[str, bytes], patches: Matrix) -> dict[str, Any]:
    """All tensors of one image as nested lists, from the bytes of ``ir.json`` and ``ir.npz``."""
    graph = json.loads(files["ir.json"])
    arrays = {}
    with zipfile.ZipFile(io.BytesIO(files["ir.npz"])) as archive:
        for member in archive.namelist():
            data = np.lib.format.read_array(io.BytesIO(archive.read(member)), allow_pickle=False)
            arrays[member.removesuffix(".npy")] = data.tolist()
    tensors = {t["name"]: t for t in graph["tensors"]}
    values = {name: arrays[f"constant/{name}"] for name in graph["constants"]}
    values[graph["input"]] = patches
    packages = {None: False}
    for record in graph["ops"]:
        op = {
            key: arrays[value["array"]] if isinstance(value, dict) else value
            for key, value in record.items()
        }
        read = [values[name] for name in op["inputs"]]
        fraction = tensors[op["inputs"][0]]["fraction"]
        if op["kind"] == "compact":
            package = packages[tensors[op["inputs"][0]]["count"]]
            values[op["output"]], packages[op["name"]] = compact(op, *read, package)
            continue
        values[op["output"]] = _compute(op, read, fraction, tensors[op["output"]]["bits"])
    return values


def saturations(files: dict[str, bytes], values: dict[str, Any]) -> dict[str, int]:
    """Elements of every addition whose exact sum is not the result."""
    counts = {}
    for op in json.loads(files["ir.json"])["ops"]:
        if op["kind"] == "add":
            a, c = (values[name] for name in op["inputs"])
            y = values[op["output"]]
            counts[op["name"]] = sum(
                a[n][f] + c[n][f] != y[n][f] for n in range(len(y)) for f in range(len(y[0]))
            )
    return counts
