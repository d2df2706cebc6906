"""QONNX files executed by qonnx, and the integers read back from its tensors."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from vitgen.ir import Graph


def load(content: bytes, path: Path) -> Any:
    """The model as qonnx reads it."""
    from qonnx.core.modelwrapper import ModelWrapper

    path.write_bytes(content)
    return ModelWrapper(str(path))


def on_grid(graph: Graph, rng: np.random.Generator) -> np.ndarray:
    """A normalised image ``(1, C, H, W)``, float32, whose pixels are whole steps of the input."""
    codes = np.clip(np.rint(rng.normal(0, 50, graph.meta["image"])), -127, 127)
    return (codes * graph.meta["input_scale"]).astype(np.float32)[None]


def integers(model: Any, image: np.ndarray) -> dict[str, np.ndarray]:
    """Integers of every tensor of the IR that the model computes; fails where one is none."""
    from qonnx.core.onnx_exec import execute_onnx

    values = execute_onnx(model, {"input/image": image}, return_full_exec_context=True)
    record = json.loads({p.key: p.value for p in model.model.metadata_props}["vitgen"])
    found = {}
    for name, scale in record["tensors"].items():
        codes = values[name].astype(np.float64) / scale
        assert (codes == np.rint(codes)).all(), name
        found[name] = codes.astype(np.int64)
    return found
