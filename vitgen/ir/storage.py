"""A graph on disk: ``ir.json`` for the structure, ``ir.npz`` for the arrays."""

import dataclasses
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from vitgen.errors import VitgenError
from vitgen.ir.graph import Graph
from vitgen.ir.ops.base import OPS, Array, Op
from vitgen.ir.tensor import Interval, Tensor

FORMAT = 3
"""Written; 2 has the op ``unfold`` and the field ``relu`` of ``linear`` more than 1, 3 the ops of token
selectors, counts of tensors, ``heads`` of ``linear`` and ``group`` of ``softmax``."""

READABLE = (1, 2, FORMAT)


def _op_to_json(op: Op) -> dict[str, Any]:
    record: dict[str, Any] = {"kind": op.kind}
    for field in dataclasses.fields(op):
        value = getattr(op, field.name)
        if isinstance(value, np.ndarray):
            value = {"array": f"{op.name}/{field.name}"}
        record[field.name] = value
    return record


def to_json(graph: Graph) -> dict[str, Any]:
    """Structure of the graph as JSON values; arrays are referred to by name."""
    return {
        "format": FORMAT,
        "name": graph.name,
        "input": graph.input,
        "output": graph.output,
        "meta": graph.meta,
        "tensors": [dataclasses.asdict(t) for t in graph.tensors.values()],
        "constants": sorted(graph.constants),
        "ops": [_op_to_json(op) for op in graph.ops],
    }


def arrays_of(graph: Graph) -> dict[str, Array]:
    """All arrays of the graph under the names that :func:`to_json` refers to."""
    arrays = {f"{op.name}/{name}": array for op in graph.ops for name, array in op.arrays()}
    arrays.update({f"constant/{name}": data for name, data in graph.constants.items()})
    return arrays


def dump(graph: Graph) -> dict[str, bytes]:
    """The two files by name, the same bytes for the same graph."""
    text = json.dumps(to_json(graph), indent=1, sort_keys=False)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, array in sorted(arrays_of(graph).items()):
            member = io.BytesIO()
            np.save(member, np.ascontiguousarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(name + ".npy"), member.getvalue())
    return {"ir.json": text.encode() + b"\n", "ir.npz": buffer.getvalue()}


def _whole(what: str, value: Any) -> int:
    """``value`` if it is an integer: a float or a boolean would compute, and compute otherwise."""
    if type(value) is not int:
        raise VitgenError(f"{what} is {value!r} in ir.json, not an integer.", "Build again.")
    return value


def _op_from_json(record: dict[str, Any], arrays: dict[str, Array]) -> Op:
    fields = dict(record)
    kind = fields.pop("kind")
    if kind not in OPS or kind.startswith("_"):
        raise VitgenError(f"Unknown op {kind!r} in the IR.", f"Known ops: {', '.join(known())}.")
    name = fields["name"]
    for field in dataclasses.fields(OPS[kind]):
        value = fields.get(field.name)
        if isinstance(value, dict):
            array = arrays[value["array"]]
            if not np.issubdtype(array.dtype, np.integer):
                raise VitgenError(
                    f"{field.name} of op {name} holds {array.dtype}.", "Arrays hold integers."
                )
            fields[field.name] = array
        elif field.name == "inputs":
            fields["inputs"] = tuple(fields["inputs"])
        elif field.type is bool and field.name in fields:
            if type(value) is not bool:
                raise VitgenError(
                    f"{field.name} of op {name} is {value!r} in ir.json, not true or false.",
                    "Build again.",
                )
        elif value is not None and field.name not in ("name", "output"):
            _whole(f"{field.name} of op {name}", value)
    return OPS[kind](**fields)


def _tensor_from_json(record: dict[str, Any]) -> Tensor:
    name = record["name"]
    lo, hi = (_whole(f"An end of {name}'s interval", end) for end in record["interval"])
    shape = tuple(_whole(f"An extent of {name}", extent) for extent in record["shape"])
    _whole(f"The width of {name}", record["bits"])
    if record["fraction"] is not None:
        _whole(f"The fraction of {name}", record["fraction"])
    if not isinstance(record.get("count"), str | None):
        raise VitgenError(f"The count of {name} is {record['count']!r}, no name.", "Build again.")
    return Tensor(**dict(record, shape=shape, interval=Interval(lo, hi)))


def known() -> list[str]:
    """Kinds of op that can be read."""
    return sorted(kind for kind in OPS if not kind.startswith("_"))


def load(directory: Path) -> Graph:
    """Read what :func:`dump` wrote and prove it again.

    Raises
    ------
    VitgenError : a file is missing, truncated, of another format, or the graph does not prove.
    """
    try:
        graph = _parse(directory)
        graph.prove()
    except VitgenError:
        raise
    except Exception as error:  # there is no end to what a damaged zip, array or JSON can raise
        raise VitgenError(
            f"The IR in {directory} cannot be read: {type(error).__name__}: {error}.",
            "Build again.",
        ) from error
    return graph


def _parse(directory: Path) -> Graph:
    record = json.loads((directory / "ir.json").read_text())
    if record["format"] not in READABLE:
        raise VitgenError(
            f"ir.json has format {record['format']}, this vitgen reads 1 to {FORMAT}.",
            "Build again with this version.",
        )
    with np.load(directory / "ir.npz", allow_pickle=False) as archive:
        arrays: dict[str, Array] = dict(archive)
    tensors = [_tensor_from_json(tensor) for tensor in record["tensors"]]
    if len({tensor.name for tensor in tensors}) < len(tensors):
        raise VitgenError("A tensor is declared twice in ir.json.", "Build again.")
    return Graph(
        record["name"],
        {tensor.name: tensor for tensor in tensors},
        tuple(_op_from_json(op, arrays) for op in record["ops"]),
        record["input"],
        record["output"],
        {name: arrays[f"constant/{name}"] for name in record["constants"]},
        record["meta"],
    )
