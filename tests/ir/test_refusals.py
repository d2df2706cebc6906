"""Every refusal of every op, with the name of the op and the offending value in the message."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from tests.support.ops import fixed_linear
from vitgen.errors import OverflowRefused, VitgenError
from vitgen.ir import (
    POT,
    Add,
    Gelu,
    Interval,
    LayerNorm,
    Linear,
    MatMulAV,
    MatMulQK,
    Op,
    Softmax,
    Tensor,
    Unfold,
    full_range,
)


def tensor(name: str, *shape: int, bits: int = 8, **fields: Any) -> Tensor:
    fields.setdefault("scale", 1.0)
    return Tensor(name, shape, bits, interval=full_range(bits), **fields)


def check(op: Op, inputs: list[Tensor], output: Tensor) -> Interval:
    return op.check(inputs, output)


def refused(op: Op, inputs: list[Tensor], output: Tensor, message: str) -> None:
    with pytest.raises(VitgenError, match=rf"^Op y: .*{message}") as caught:
        op.check(inputs, output)
    assert caught.value.remedy


WEIGHT = np.array([[1, 2, 4], [-7, 0, 7]], dtype=np.int8)
X = tensor("x", 5, 3)
Y = tensor("y", 5, 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mult": np.array([1, 2**17])}, "multiplier reaches 131072"),
        ({"mult": np.array([1, -(2**31)], np.int32)}, "multiplier reaches 2147483648"),
        ({"shift": 0}, "the shift is 0"),
        ({"shift": 41}, "the shift is 41"),
        ({"bias": np.zeros(3, np.int32)}, r"bias has shape \(3,\) for 2 rows"),
        ({"mult": np.ones((2, 1), np.int32)}, r"mult has shape \(2, 1\)"),
        ({"row_scheme": np.zeros(1, np.uint8)}, r"row_scheme has shape \(1,\)"),
        ({"row_bits": np.zeros(0, np.uint8)}, r"row_bits has shape \(0,\)"),
        ({"bias": np.array([2**26, 0])}, "accumulator reaches"),
        ({"tokens": 6}, r"output has shape \(5, 2\), not \(6, 2\)"),
        ({"tokens": 2}, r"output has shape \(5, 2\), not \(2, 2\)"),
        ({"weight": WEIGHT[:, :2]}, "takes 2 features, x has shape"),
        ({"row_bits": np.array([8, 5], np.uint8)}, "row 1 has an unknown scheme or width"),
        ({"row_scheme": np.array([2, 0], np.uint8)}, "row 0 has an unknown scheme or width"),
        ({"row_scheme": np.array([POT, 0], np.uint8)}, "power-of-two row is not 4 bits"),
        (
            {"weight": WEIGHT + 1, "row_bits": np.array([8, 4], np.uint8)},
            "a 4-bit fixed row holds a weight of magnitude 8",
        ),
        ({"weight": WEIGHT - np.int8(125)}, "8-bit fixed row holds a weight of magnitude 1[23]"),
    ],
)
def test_linear(changes: dict[str, Any], message: str) -> None:
    op = fixed_linear(WEIGHT)
    check(op, [X], Y)
    if message.startswith("8-bit"):
        changes = {"weight": np.array([[-128, 0, 0], [0, 0, 0]], np.int8)}
        message = "8-bit fixed row holds a weight of magnitude 128"
    refused(dataclasses.replace(op, **changes), [X], Y, message)


def test_linear_tokens_beyond_or_none_at_all() -> None:
    op = fixed_linear(WEIGHT, tokens=6)
    refused(op, [X], tensor("y", 6, 2), r"\(6, 2\)")
    refused(fixed_linear(WEIGHT, tokens=0), [X], Y, r"not \(0, 2\)")
    check(fixed_linear(WEIGHT, tokens=5), [X], Y)


def test_linear_on_scores_is_refused() -> None:
    refused(fixed_linear(WEIGHT), [tensor("x", 2, 5, 3)], Y, r"x has shape \(2, 5, 3\)")


def test_linear_pot_row_with_another_weight() -> None:
    op = dataclasses.replace(
        fixed_linear(WEIGHT),
        row_scheme=np.array([0, POT], np.uint8),
        row_bits=np.array([4, 4], np.uint8),
    )
    refused(op, [X], Y, "Weight -7 is not a power of two")
    check(dataclasses.replace(op, row_scheme=op.row_scheme[::-1]), [X], Y)


UNFOLD = Unfold("y", ("x",), "y", height=4, width=5, kernel=3, stride=2, padding=1, lead=1)
MAP, WINDOWS = tensor("x", 20, 2), tensor("y", 7, 18)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"height": 0}, "height 0, .* make no windows"),
        ({"width": -1}, "width -1"),
        ({"kernel": 0}, "kernel 0"),
        ({"stride": 0}, "stride 0"),
        ({"lead": -1}, "lead -1"),
        ({"padding": -1}, "the padding is -1 for a kernel of 3"),
        ({"padding": 3}, "the padding is 3 for a kernel of 3"),
        ({"height": 5}, r"x has shape \(20, 2\), not a map of 5 x 5 tokens"),
        ({"kernel": 7}, "a kernel of 7 does not fit a map of 4 x 5 with padding 1"),
        ({"lead": 0}, r"the output has shape \(7, 18\), not \(6, 18\)"),
        ({"stride": 1}, r"not \(21, 18\)"),
        ({"kernel": 2}, r"not \(10, 8\)"),
    ],
)
def test_unfold(changes: dict[str, Any], message: str) -> None:
    check(UNFOLD, [MAP], WINDOWS)
    refused(dataclasses.replace(UNFOLD, **changes), [MAP], WINDOWS, message)


def test_unfold_keeps_its_integers() -> None:
    refused(UNFOLD, [MAP], tensor("y", 7, 18, bits=9), "the output has 9 bits")
    refused(UNFOLD, [MAP], tensor("y", 7, 18, scale=2.0), "8 bits of scale 2.0")
    refused(UNFOLD, [tensor("x", 1, 20, 2)], WINDOWS, r"x has shape \(1, 20, 2\)")
    assert UNFOLD.macs([MAP]) == 0


QK = MatMulQK("y", ("q", "k"), "y", heads=2, mult=3, shift=9)
Q, K, SCORES = tensor("q", 5, 6), tensor("k", 7, 6), tensor("y", 2, 5, 7)
AV = MatMulAV("y", ("p", "v"), "y", heads=2, mult=3, shift=9)
P, V, MIXED = tensor("p", 2, 5, 7), tensor("v", 7, 6), tensor("y", 5, 6)


@pytest.mark.parametrize(
    ("heads", "message"),
    [(4, "queries of shape .* 4 heads"), (0, "0 heads"), (-2, "-2 heads"), (3, "not .3, 5, 7")],
)
def test_qk_heads(heads: int, message: str) -> None:
    check(QK, [Q, K], SCORES)
    refused(dataclasses.replace(QK, heads=heads), [Q, K], SCORES, message)


def test_qk_shapes_and_requant() -> None:
    refused(QK, [Q, tensor("k", 7, 4)], SCORES, "queries have 6 features, keys 4")
    refused(QK, [Q, tensor("k", 7, 7)], SCORES, "keys of shape")
    refused(QK, [Q, K], tensor("y", 2, 7, 5), r"not \(2, 5, 7\)")
    refused(QK, [tensor("q", 2, 5, 6), K], SCORES, r"queries of shape \(2, 5, 6\)")
    refused(dataclasses.replace(QK, mult=2**17), [Q, K], SCORES, "131072")
    refused(dataclasses.replace(QK, shift=41), [Q, K], SCORES, "the shift is 41")


def test_av_shapes_and_requant() -> None:
    check(AV, [P, V], MIXED)
    refused(dataclasses.replace(AV, heads=0), [P, V], MIXED, "0 heads")
    refused(dataclasses.replace(AV, heads=4), [P, V], MIXED, "values of shape .* 4 heads")
    refused(dataclasses.replace(AV, heads=3), [P, V], MIXED, r"probabilities \(2, 5, 7\)")
    refused(AV, [P, tensor("v", 6, 6)], MIXED, r"values \(6, 6\)")
    refused(AV, [tensor("p", 5, 7), V], MIXED, r"probabilities \(5, 7\)")
    refused(AV, [P, V], tensor("y", 6, 5), r"not \(5, 6\)")
    refused(dataclasses.replace(AV, mult=-(2**17)), [P, V], MIXED, "131072")
    refused(dataclasses.replace(AV, shift=0), [P, V], MIXED, "the shift is 0")


@pytest.mark.parametrize("fraction", [None, 7, 13])
def test_fractions(fraction: int | None) -> None:
    x = tensor("x", 2, 3, bits=16, fraction=fraction)
    y = tensor("y", 2, 3)
    refused(Softmax("y", ("x",), "y"), [x], y, f"have {fraction} fractional bits")
    op = Gelu("y", ("x",), "y", delta=256, mult=1, shift=1)
    refused(op, [x], y, f"has {fraction} fractional bits")


def test_softmax_shape_width_and_keys() -> None:
    op = Softmax("y", ("x",), "y")
    x = tensor("x", 2, 3, 1023, bits=16, fraction=8)
    check(op, [x], tensor("y", 2, 3, 1023))
    refused(op, [x], tensor("y", 2, 3, 1023, bits=9), "of 9 bits")
    refused(op, [x], tensor("y", 3, 2, 1023), r"the output is \(3, 2, 1023\)")
    for shift in (0, 7):
        check(dataclasses.replace(op, shift=shift), [x], tensor("y", 2, 3, 1023))
    for shift in (-1, 8):
        wrong = dataclasses.replace(op, shift=shift)
        refused(wrong, [x], tensor("y", 2, 3, 1023), f"the shift is {shift}")
    x = tensor("x", 1, 1, 1024, bits=16, fraction=8)
    refused(op, [x], tensor("y", 1, 1, 1024), "1024 keys are too many")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"delta": -1}, "delta is -1/256"),
        ({"delta": 257}, "delta is 257/256"),
        ({"mult": 2**17}, "131072"),
        ({"shift": 0}, "the shift is 0"),
    ],
)
def test_gelu(changes: dict[str, int], message: str) -> None:
    x, y = tensor("x", 2, 3, bits=16, fraction=10), tensor("y", 2, 3)
    op = Gelu("y", ("x",), "y", delta=256, mult=1, shift=1)
    check(op, [x], y)
    refused(dataclasses.replace(op, **changes), [x], y, message)
    refused(op, [x], tensor("y", 3, 2), r"the shape changes to \(3, 2\)")


NORM = LayerNorm("y", ("x",), "y", epsilon=1, gain=np.ones(3, int), bias=np.zeros(3, int), shift=9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epsilon": 0}, "epsilon is 0"),
        ({"epsilon": 2**50}, "the variance reaches"),
        ({"shift": 0}, "the shift is 0"),
        ({"shift": 25}, "the shift is 25"),
        ({"gain": np.ones(2, int)}, r"gain \(2,\)"),
        ({"bias": np.ones((3, 1), int)}, r"bias \(3, 1\)"),
        ({"gain": np.array([0, -(2**17), 0])}, "a gain reaches 131072"),
        ({"gain": np.array([0, -(2**31), 0], np.int32)}, "a gain reaches 2147483648"),
        ({"bias": np.array([0, 2**31, 0])}, "a bias reaches 2147483648"),
        ({"bias": np.array([0, -(2**31), 0], np.int32)}, "a bias reaches 2147483648"),
        ({"tokens": 2}, r"output \(5, 3\) do not match"),
        ({"tokens": 0}, r"output \(5, 3\) do not match"),
        ({"tokens": 6}, r"output \(5, 3\) do not match"),
    ],
)
def test_layernorm(changes: dict[str, Any], message: str) -> None:
    x, y = tensor("x", 5, 3, bits=16), tensor("y", 5, 3)
    check(NORM, [x], y)
    refused(dataclasses.replace(NORM, **changes), [x], y, message)


def test_layernorm_shapes() -> None:
    x = tensor("x", 2, 5, 3, bits=16)
    refused(NORM, [x], tensor("y", 5, 3), r"the input has shape \(2, 5, 3\)")
    wide = dataclasses.replace(NORM, gain=np.ones(1025, int), bias=np.zeros(1025, int))
    refused(wide, [tensor("x", 1, 1025)], tensor("y", 1, 1025), "1025 features are too many")


def test_add() -> None:
    op = Add("y", ("a", "c"), "y")
    a = tensor("a", 5, 3)
    check(op, [a, a], a)
    for wrong in (tensor("w", 3, 5), tensor("w", 5, 3, scale=2.0)):
        message = "shapes" if wrong.shape != a.shape else "scales"
        refused(op, [a, wrong], a, message)
        refused(op, [wrong, a], a, message)
        refused(op, [a, a], wrong, message)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"bits": 3}, "t is 3 bits wide"),
        ({"bits": 17}, "t is 17 bits wide"),
        ({"shape": (0, 3)}, r"t has shape \(0, 3\)"),
        ({"shape": (3,)}, r"t has shape \(3,\)"),
        ({"shape": (1, 2, 3, 4)}, r"t has shape \(1, 2, 3, 4\)"),
        ({"interval": Interval(-128, 0)}, "reaches -128..0, outside the -127..127"),
        ({"interval": Interval(0, 128)}, "reaches 0..128, outside the -127..127"),
        ({"interval": Interval(5, 4)}, "empty interval 5..4"),
    ],
)
def test_tensor(fields: dict[str, Any], message: str) -> None:
    sound: dict[str, Any] = {"shape": (2, 3), "bits": 8, "interval": Interval(-127, 127)}
    Tensor("t", scale=1.0, **sound)
    with pytest.raises(VitgenError, match=message):
        Tensor("t", scale=1.0, **(sound | fields))


def test_overflows_are_their_own_kind_of_error() -> None:
    with pytest.raises(OverflowRefused):
        check(dataclasses.replace(QK, mult=2**17), [Q, K], SCORES)


def test_macs() -> None:
    assert fixed_linear(WEIGHT).macs([X]) == 5 * 6
    assert fixed_linear(WEIGHT, tokens=1).macs([X]) == 6
    assert QK.macs([Q, K]) == 5 * 7 * 6 == AV.macs([P, V])
    assert NORM.macs([X]) == Add("y", ("a", "c"), "y").macs([X, X]) == 0


def test_an_op_is_registered_once() -> None:
    with pytest.raises(TypeError, match="two ops are called 'add'"):
        type("Other", (Op,), {"kind": "add"})


def test_an_op_without_check_is_a_bug() -> None:
    with pytest.raises(NotImplementedError):
        Op("y", (), "y").check([], Y)


def test_names_of_schemes() -> None:
    assert isinstance(fixed_linear(WEIGHT), Linear) and fixed_linear(WEIGHT).rows == 2
