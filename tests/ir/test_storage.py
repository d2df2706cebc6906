"""The two files of a graph: round trip, same bytes, and damage of every kind."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.graphs import random_patches, tiny_vit_graph
from tests.support.ops import conv_graph
from vitgen.errors import VitgenError
from vitgen.ir import Graph, dump, load
from vitgen.ir.storage import known
from vitgen.reference import execute

SIZES: dict[str, Any] = {"tokens": 3, "width": 4, "mlp": 5, "patch_features": 3, "act_bits": 6}


def write(directory: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (directory / name).write_bytes(data)
    return directory


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return dump(tiny_vit_graph(np.random.default_rng(0), **SIZES))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 2),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.lists(st.integers(0, 7), min_size=1, max_size=2),
    st.dictionaries(st.text(max_size=5), st.integers() | st.floats() | st.text(max_size=5)),
)
def test_round_trip(
    tmp_path: Path,
    seed: int,
    depth: int,
    pot_ratio: float,
    shifts: list[int],
    meta: dict[str, Any],
) -> None:
    graph = tiny_vit_graph(
        np.random.default_rng(seed),
        depth=depth,
        pot_ratio=pot_ratio,
        wide_ratio=0.25,
        shifts=shifts,
        **SIZES,
    )
    graph.meta.update(meta)
    files = dump(graph)
    assert files == dump(graph)
    again = load(write(tmp_path, files))
    assert dump(again) == files
    assert again.tensors == graph.tensors
    assert [type(op) for op in again.ops] == [type(op) for op in graph.ops]
    for op, other in zip(graph.ops, again.ops, strict=True):
        assert (op.name, op.inputs, op.output) == (other.name, other.inputs, other.output)
        for (name, array), (other_name, loaded) in zip(op.arrays(), other.arrays(), strict=True):
            assert name == other_name and array.dtype == loaded.dtype
            assert np.array_equal(array, loaded)
    patches = random_patches(np.random.default_rng(seed), graph)
    assert np.array_equal(execute(graph, patches)["head"], execute(again, patches)["head"])


def test_a_softmax_without_a_shift_has_none(tmp_path: Path) -> None:
    """Files from before the constant."""
    graph = tiny_vit_graph(np.random.default_rng(0), **SIZES)
    files = edit(dump(graph), lambda record: op_of(record, "softmax").pop("shift"))
    assert dump(load(write(tmp_path, files))) == dump(graph)


def test_same_seed_same_bytes(files: dict[str, bytes]) -> None:
    assert dump(tiny_vit_graph(np.random.default_rng(0), **SIZES)) == files


def test_format_1_has_no_relu(tmp_path: Path) -> None:
    graph = tiny_vit_graph(np.random.default_rng(0), **SIZES)
    files = dump(graph)

    def older(record: dict[str, Any]) -> None:
        record["format"] = 1
        for op in record["ops"]:
            op.pop("relu", None)

    again = load(write(tmp_path, edit(files, older)))
    assert dump(again) == files


def test_format_2_has_no_counts(tmp_path: Path) -> None:
    files = dump(tiny_vit_graph(np.random.default_rng(0), **SIZES))

    def older(record: dict[str, Any]) -> None:
        record["format"] = 2
        for tensor in record["tensors"]:
            tensor.pop("count")
        for op in record["ops"]:
            op.pop("group", None)
            if op["kind"] == "linear":
                op.pop("heads")

    assert dump(load(write(tmp_path, edit(files, older)))) == files


def test_selectors_round_trip(tmp_path: Path) -> None:
    graph = tiny_vit_graph(np.random.default_rng(0), depth=2, thresholds={0: 8000, 1: 1}, **SIZES)
    files = dump(graph)
    again = load(write(tmp_path, files))
    assert dump(again) == files and again.tensors == graph.tensors
    record = json.loads(files["ir.json"])
    assert op_of(record, "compact") == {
        "kind": "compact", "name": "blocks.0.selector.compact",
        "inputs": ["embed.add", "blocks.0.selector.score"],
        "output": "blocks.0.selector.compact", "threshold": 8000,
    }  # fmt: skip
    counts = {tensor["name"]: tensor["count"] for tensor in record["tensors"]}
    assert counts["blocks.0.selector.score"] is None and counts["head"] is None
    assert counts["blocks.0.attn.qk"] == counts["blocks.1.selector.score"]
    assert counts["blocks.1.selector.score"] == "blocks.0.selector.compact"
    assert counts["blocks.1.mlp.add"] == "blocks.1.selector.compact"


@pytest.mark.parametrize(
    ("tensor", "count", "message"),
    [
        ("blocks.0.attn.q", None, "counts tokens by blocks.0.selector.compact"),
        ("blocks.0.attn.q", "blocks.0.selector.score", "counts tokens by"),
        ("embed", "blocks.0.selector.compact", "counts tokens by None"),
        ("patches", "blocks.0.selector.compact", "source 'patches' has a count"),
        ("embedding", "blocks.0.selector.compact", "source 'embedding' has a count"),
        ("head", "blocks.0.selector.compact", "counts tokens by None"),
        ("embed", 3, "count of embed is 3"),
    ],
)
def test_counts_that_no_op_gives(tmp_path: Path, tensor: str, count: Any, message: str) -> None:
    files = dump(tiny_vit_graph(np.random.default_rng(0), thresholds={0: 8000}, **SIZES))

    def spoil(record: dict[str, Any]) -> None:
        next(t for t in record["tensors"] if t["name"] == tensor)["count"] = count

    refuse(write(tmp_path, edit(files, spoil)), message)


def test_stem_round_trip(tmp_path: Path) -> None:
    graph = conv_graph(np.random.default_rng(0), height=5, width=4, channels=3, relu=True)
    files = dump(graph)
    record = json.loads(files["ir.json"])
    assert [op["kind"] for op in record["ops"]] == ["unfold", "linear"]
    assert record["ops"][0] == {
        "kind": "unfold", "name": "u", "inputs": ["x"], "output": "u",
        "height": 5, "width": 4, "kernel": 3, "stride": 2, "padding": 1, "lead": 1,
    }  # fmt: skip
    assert record["ops"][1]["relu"] is True
    again = load(write(tmp_path, files))
    assert dump(again) == files and again.tensors == graph.tensors
    floating = edit(files, lambda r: r["ops"][0].update(stride=2.0))
    refuse(write(tmp_path, floating), "stride of op u is 2.0")


def test_layout_of_the_specification(files: dict[str, bytes]) -> None:
    record = json.loads(files["ir.json"])
    assert list(record) == [
        "format",
        "name",
        "input",
        "output",
        "meta",
        "tensors",
        "constants",
        "ops",
    ]
    assert record["format"] == 3 and record["constants"] == ["embedding"]
    assert list(record["tensors"][0]) == [
        "name", "shape", "bits", "scale", "interval", "fraction", "count"
    ]  # fmt: skip
    linear = record["ops"][0]
    assert linear["kind"] == "linear" and linear["weight"] == {"array": "embed/weight"}
    with zipfile.ZipFile(io.BytesIO(files["ir.npz"])) as archive:
        names = archive.namelist()
        assert names == sorted(names) and "constant/embedding.npy" in names
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
    with np.load(io.BytesIO(files["ir.npz"])) as arrays:
        assert arrays["constant/embedding"].dtype == np.int16
        assert arrays["embed/weight"].dtype == np.int8


def refuse(directory: Path, message: str = "") -> None:
    with pytest.raises(VitgenError, match=message):
        load(directory)


@pytest.mark.parametrize("name", ["ir.json", "ir.npz"])
def test_missing_file(tmp_path: Path, files: dict[str, bytes], name: str) -> None:
    write(tmp_path, files)
    (tmp_path / name).unlink()
    refuse(tmp_path, "cannot be read")


@pytest.mark.parametrize("name", ["ir.json", "ir.npz"])
def test_every_truncation(tmp_path: Path, files: dict[str, bytes], name: str) -> None:
    write(tmp_path, files)
    data = files[name]
    # The last byte of ir.json is a newline.
    whole = len(data.rstrip())
    for length in [*range(0, whole, max(1, whole // 60)), whole - 1]:
        (tmp_path / name).write_bytes(data[:length])
        refuse(tmp_path, "cannot be read")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damaged_bytes_are_refused_or_load_a_proven_graph(
    tmp_path: Path, files: dict[str, bytes], data: st.DataObject
) -> None:
    """Any bytes changed: never an exception of another kind."""
    name = data.draw(st.sampled_from(sorted(files)))
    damaged = bytearray(files[name])
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    write(tmp_path, files | {name: bytes(damaged)})
    try:
        graph = load(tmp_path)
    except VitgenError as error:
        assert error.remedy
    else:
        assert isinstance(graph, Graph)
        graph.prove()


def edit(files: dict[str, bytes], change: Callable[[dict[str, Any]], Any]) -> dict[str, bytes]:
    record = json.loads(files["ir.json"])
    change(record)
    return files | {"ir.json": json.dumps(record).encode()}


def op_of(record: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(op for op in record["ops"] if op["kind"] == kind)


def test_the_edit_itself_is_harmless(tmp_path: Path, files: dict[str, bytes]) -> None:
    load(write(tmp_path, edit(files, lambda record: None)))


CHANGES: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "format": (lambda r: r.update(format=4), "format 4"),
    "no format": (lambda r: r.pop("format"), "cannot be read"),
    "unknown op": (lambda r: r["ops"][0].update(kind="convolve"), "Unknown op 'convolve'"),
    "private op": (lambda r: r["ops"][0].update(kind="_head_product"), "Unknown op"),
    "base op": (lambda r: r["ops"][0].update(kind=""), "Unknown op ''"),
    "op kind a list": (lambda r: r["ops"][0].update(kind=[]), "cannot be read"),
    "no op name": (lambda r: r["ops"][0].pop("name"), "cannot be read"),
    "op name a number": (lambda r: r["ops"][0].update(name=3), "cannot be read"),
    "extra field": (lambda r: r["ops"][0].update(stride=2), "cannot be read"),
    "missing field": (lambda r: r["ops"][0].pop("mult"), "cannot be read"),
    "float shift": (lambda r: op_of(r, "gelu").update(shift=9.0), "shift of op .* is 9.0"),
    "true delta": (lambda r: op_of(r, "gelu").update(delta=True), "delta of op .* is True"),
    "text heads": (lambda r: op_of(r, "matmul_qk").update(heads="2"), "heads of op .* is '2'"),
    "list tokens": (lambda r: op_of(r, "linear").update(tokens=[1]), "tokens of op .* is"),
    "relu a number": (lambda r: op_of(r, "linear").update(relu=1), "relu of op .* is 1"),
    "relu null": (lambda r: op_of(r, "linear").update(relu=None), "relu of op .* is None"),
    "float softmax shift": (
        lambda r: op_of(r, "softmax").update(shift=1.0),
        "shift of op .* is 1.0",
    ),
    "softmax shift too large": (lambda r: op_of(r, "softmax").update(shift=8), "the shift is 8"),
    "no softmax shift": (lambda r: op_of(r, "softmax").update(shift=None), "cannot be read"),
    "unknown array": (lambda r: r["ops"][0].update(weight={"array": "x"}), "cannot be read"),
    "array as list": (lambda r: r["ops"][0].update(bias=[0, 0, 0, 0]), "bias of op embed is"),
    "array too short": (
        lambda r: r["ops"][0].update(bias={"array": "head/bias"}),
        "bias has shape",
    ),
    "inputs swapped": (lambda r: r["ops"][0].update(inputs=["head"]), "reads 'head'"),
    "too many inputs": (lambda r: r["ops"][0].update(inputs=["patches"] * 2), "cannot be read"),
    "inputs a number": (lambda r: r["ops"][0].update(inputs=1), "cannot be read"),
    "tensor width": (lambda r: r["tensors"][0].update(bits=99), "99 bits wide"),
    "tensor width a float": (lambda r: r["tensors"][0].update(bits=8.0), "width of patches is 8.0"),
    "tensor shape a float": (lambda r: r["tensors"][0].update(shape=[3.0, 3]), "extent of patches"),
    "tensor shape": (lambda r: r["tensors"][0].update(shape=[3, 4]), "Op embed"),
    "interval of three": (lambda r: r["tensors"][0].update(interval=[0, 1, 2]), "cannot be read"),
    "interval of text": (lambda r: r["tensors"][0].update(interval=["0", 1]), "interval is '0'"),
    "interval too narrow": (lambda r: r["tensors"][1].update(interval=[0, 0]), "states 0..0"),
    "fraction a float": (
        lambda r: [t.update(fraction=10.0) for t in r["tensors"] if t["fraction"]],
        "fraction of .* is 10.0",
    ),
    "tensor name as a path": (
        lambda r: r["tensors"].append(r["tensors"][0] | {"name": "../x"}),
        "Tensor name '../x'",
    ),
    "tensor twice": (lambda r: r["tensors"].append(r["tensors"][0]), "declared twice"),
    "no tensors": (lambda r: r.update(tensors=[]), "not declared"),
    "tensors a text": (lambda r: r.update(tensors="none"), "cannot be read"),
    "no constants": (lambda r: r.update(constants=[]), "reads 'embedding'"),
    "unknown constant": (lambda r: r["constants"].append("more"), "cannot be read"),
    "unknown output": (lambda r: r.update(output="logits"), "'logits'"),
    "unknown input": (lambda r: r.update(input="image"), "'image'"),
    "no meta": (lambda r: r.pop("meta"), "cannot be read"),
    "op name as a path": (lambda r: r["ops"][0].update(name="../../etc"), "Op name"),
    "ops missing": (lambda r: r.update(ops=[]), "No op writes"),
}


@pytest.mark.parametrize("case", CHANGES)
def test_changed_json(tmp_path: Path, files: dict[str, bytes], case: str) -> None:
    change, message = CHANGES[case]
    refuse(write(tmp_path, edit(files, change)), message)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"null", b"{}", b'"x"', b"{" * 99999, b"\xff\xfe", b"1"]
)
def test_other_json(tmp_path: Path, files: dict[str, bytes], text: bytes) -> None:
    refuse(write(tmp_path, files | {"ir.json": text}), "cannot be read")


def with_array(files: dict[str, bytes], name: str, array: np.ndarray) -> dict[str, bytes]:
    with np.load(io.BytesIO(files["ir.npz"])) as archive:
        arrays: dict[str, Any] = dict(archive)
    arrays[name] = array
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return files | {"ir.npz": buffer.getvalue()}


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("embed/weight", np.zeros((4, 3)), "weight of op embed holds float64"),
        ("embed/weight", np.zeros((4, 3), bool), "weight of op embed holds bool"),
        ("embed/weight", np.zeros(12, np.int8), "cannot be read"),
        ("embed/weight", np.zeros((3, 4), np.int8), "Op embed"),
        ("embed/weight", np.full((4, 3), -128, np.int8), "magnitude 128"),
        ("embed/weight", np.full((4, 3), "w"), "weight of op embed holds"),
        ("embed/weight", np.full((4, 3), None), "cannot be read"),
        ("constant/embedding", np.full((3, 4), 32767, np.int16), "constant 'embedding'"),
        ("constant/embedding", np.zeros((3, 4)), "constant 'embedding'"),
        ("constant/embedding", np.zeros((4, 3), np.int16), "constant 'embedding'"),
    ],
)
def test_changed_arrays(
    tmp_path: Path, files: dict[str, bytes], name: str, array: np.ndarray, message: str
) -> None:
    refuse(write(tmp_path, with_array(files, name, array)), message)


def test_a_pickle_is_never_run(tmp_path: Path, files: dict[str, bytes]) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    refuse(
        write(tmp_path, with_array(files, "embed/bias", np.array([Trap()] * 4))), "cannot be read"
    )
    assert not (tmp_path / "sprung").exists()


def test_known_ops() -> None:
    assert known() == [
        "add",
        "compact",
        "gelu",
        "layernorm",
        "linear",
        "matmul_av",
        "matmul_qk",
        "pool",
        "score",
        "sigmoid",
        "softmax",
        "unfold",
    ]
