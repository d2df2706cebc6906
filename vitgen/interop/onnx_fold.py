"""Constants of an ONNX graph computed: what depends on no input becomes an initializer.

qonnx has a transformation for it, which starts over after every node: minutes for a network.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

ROUNDS = 16
"""A shape that is computed makes others known, whose nodes then fold; networks need two rounds."""


def folded(model: Any) -> Any:
    """The model with every shape inferred and every constant computed but those of ``Quant``.

    Parameters
    ----------
    model : qonnx's ``ModelWrapper``.
    """
    from qonnx.transformation.general import RemoveStaticGraphInputs, RemoveUnusedTensors
    from qonnx.transformation.infer_shapes import InferShapes

    def apply(step: Any) -> None:
        nonlocal model
        model = model.transform(step, make_deepcopy=False, cleanup=False)

    apply(RemoveStaticGraphInputs())
    for _ in range(ROUNDS):
        apply(InferShapes())
        if not _fold(model.graph):
            break
    apply(RemoveUnusedTensors())
    return model


def _fold(graph: Any) -> bool:
    """Compute what is constant, once from front to back; whether anything was."""
    from onnx import numpy_helper

    shapes = {v.name: _known_shape(v) for v in (*graph.input, *graph.value_info)}
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    outputs = {value.name for value in graph.output}
    done = []
    for node in graph.node:
        found = _value(node, constants, shapes)
        if found is None or outputs & set(node.output):
            continue
        done.append(node)
        for name, value in zip(node.output, found, strict=True):
            constants[name] = value
            graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    gone = {name for node in done for name in node.output}
    for node in done:
        graph.node.remove(node)
    for value in [v for v in graph.value_info if v.name in gone]:
        graph.value_info.remove(value)
    return bool(done)


def _known_shape(value: Any) -> list[int] | None:
    dims = value.type.tensor_type.shape.dim
    known = value.type.tensor_type.HasField("shape") and all(d.dim_value > 0 for d in dims)
    return [d.dim_value for d in dims] if known else None


def _value(
    node: Any, constants: dict[str, NDArray[Any]], shapes: dict[str, list[int] | None]
) -> list[NDArray[Any]] | None:
    """Outputs of a node whose inputs are constant; None for others, and for ``Quant``."""
    if node.op_type == "Quant":
        return None
    if node.op_type == "Shape" and not node.attribute:
        shape = shapes.get(node.input[0])
        return None if shape is None else [np.asarray(shape, dtype=np.int64)]
    if not all(name in constants for name in node.input if name):
        return None
    from onnx.reference import ReferenceEvaluator

    feeds = {name: constants[name] for name in node.input if name}
    try:
        found: Any = ReferenceEvaluator(node).run(None, feeds)
    except (RuntimeError, NotImplementedError, TypeError, ValueError):
        return None  # an op that ONNX does not know: refused where its value is read
    return list(found)
