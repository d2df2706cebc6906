"""An ONNX graph built node by node, the shape of every tensor stated."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

DOMAIN = "qonnx.custom_op.general"
OPSET = 17
IR_VERSION = 8
METADATA = "vitgen"
"""Key of the file's metadata under which vitgen keeps a record, JSON."""

Shape = Sequence[int]


class OnnxGraph:
    """Nodes, initializers and descriptions of tensors of a graph in the making.

    Names that come from the IR hold no ``/``; all others do.
    """

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: dict[str, NDArray[Any]] = {}
        self.tensors: dict[str, tuple[NDArray[Any], tuple[int, ...]]] = {}

    def tensor(self, name: str, shape: Shape, dtype: type) -> str:
        """Describe a tensor."""
        self.tensors[name] = (np.empty(0, dtype), tuple(shape))
        return name

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor or an initializer."""
        if name in self.initializers:
            return self.initializers[name].shape
        return self.tensors[name][1]

    def dtype(self, name: str) -> np.dtype[Any]:
        """Type of the elements of a tensor or an initializer."""
        if name in self.initializers:
            return self.initializers[name].dtype
        return self.tensors[name][0].dtype

    def constant(self, name: str, value: Any, dtype: type) -> str:
        """An initializer; the same name means the same value."""
        self.initializers.setdefault(name, np.asarray(value, dtype=dtype))
        return name

    def number(self, value: float, dtype: Any) -> str:
        """A scalar initializer, shared."""
        kind = np.dtype(dtype).name
        return self.constant(f"number/{kind}/{value!r}", value, np.dtype(dtype).type)

    def node(
        self,
        kind: str,
        inputs: Sequence[str],
        output: str,
        shape: Shape,
        dtype: type | None = None,
        **attributes: Any,
    ) -> str:
        """Append a node; its output has the first input's type unless ``dtype`` says otherwise."""
        from onnx import helper

        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=output, **attributes))
        return self.tensor(output, shape, self.dtype(inputs[0]).type if dtype is None else dtype)

    def cast(self, name: str, dtype: type) -> str:
        """``name`` with elements of ``dtype``; itself where it has them."""
        if self.dtype(name) == dtype:
            return name
        from onnx import helper

        output = f"{name}/{np.dtype(dtype).name}"
        if output in self.tensors:
            return output
        to = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        return self.node("Cast", [name], output, self.shape(name), dtype, to=to)

    def reshape(self, name: str, shape: Shape, output: str) -> str:
        """``name`` in another shape."""
        target = self.constant(f"shape/{'x'.join(map(str, shape))}", list(shape), np.int64)
        return self.node("Reshape", [name, target], output, shape)

    def transpose(self, name: str, axes: Shape, output: str) -> str:
        """``name`` with its axes in this order."""
        before = self.shape(name)
        shape = [before[axis] for axis in axes]
        return self.node("Transpose", [name], output, shape, perm=list(axes))

    def first_rows(self, name: str, rows: int, output: str) -> str:
        """The first ``rows`` of axis 0; itself where there are no more."""
        shape = self.shape(name)
        if shape[0] == rows:
            return name
        ends = [self.constant(f"index/{i}", [i], np.int64) for i in (0, rows, 0)]
        return self.node("Slice", [name, *ends], output, (rows, *shape[1:]))

    def quant(
        self, name: str, output: str, scale: str, bits: int, rounding: str, shape: Shape
    ) -> str:
        """QONNX's quantizer: signed, symmetric, without the most negative code; gives float32."""
        zero = self.number(0.0, np.float32)
        width = self.number(float(bits), np.float32)
        return self.node(
            "Quant", [name, scale, zero, width], output, shape, np.float32, domain=DOMAIN,
            signed=1, narrow=1, rounding_mode=rounding,
        )  # fmt: skip

    def serialize(
        self, name: str, input: str, output: str, metadata: dict[str, str], producer: str
    ) -> bytes:
        """The file; ``input`` and ``output`` are described tensors."""
        from onnx import checker, helper, numpy_helper

        def info(tensor: str) -> Any:
            kind = helper.np_dtype_to_tensor_dtype(self.dtype(tensor))
            return helper.make_tensor_value_info(tensor, kind, list(self.shape(tensor)))

        graph = helper.make_graph(
            self.nodes, name, [info(input)], [info(output)],
            [numpy_helper.from_array(a, n) for n, a in self.initializers.items()],
            value_info=[info(t) for t in self.tensors if t not in (input, output)],
        )  # fmt: skip
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
        model = helper.make_model(graph, opset_imports=opsets, producer_name=producer)
        model.ir_version = IR_VERSION
        helper.set_model_props(model, metadata)
        checker.check_model(model)
        content: bytes = model.SerializeToString()
        return content
