"""Exact integer execution of a graph: the definition of every output bit, op by op.

Matrix products run in floating-point BLAS and are exact all the same. All operands are integers, so
every partial sum, in whatever order and with or without fused multiply-add, is an integer of
magnitude at most ``sum |weight| * |x|``. Where that is at most ``2**24`` float32 holds each of them
without rounding, and where it is at most ``2**53`` float64 does; :func:`exact_float` chooses.

Elementwise functions run on pieces of about :data:`PIECE` elements, so that their 64-bit
intermediates stay in the cache. Tensors are kept as ``int16``, which holds every width of the IR.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from vitgen import arith
from vitgen.errors import OverflowRefused, VitgenError
from vitgen.ir import (
    Add,
    Gelu,
    Graph,
    LayerNorm,
    Linear,
    MatMulAV,
    MatMulQK,
    Op,
    Softmax,
    Tensor,
    Unfold,
)

Int = NDArray[np.integer[Any]]
AnyOp = TypeVar("AnyOp", bound=Op)

PIECE = 1 << 16
"""Elements that an elementwise function works on at a time."""

WEIGHT_PIECE = 1 << 22
"""Weights of a linear layer that are converted to floating point at a time."""


@dataclass(frozen=True)
class Call(Generic[AnyOp]):
    """One op with what it reads.

    Parameters
    ----------
    op : the op.
    tensors : descriptions of its inputs.
    values : data of its inputs, ``int16``.
    output : description of its output.
    saturations : clamped elements by name of :class:`Add` op, to count in.
    numbers : by count of tokens, the number that each token had in the image, -1 for a package.
    """

    op: AnyOp
    tensors: list[Tensor]
    values: list[Int]
    output: Tensor
    saturations: dict[str, int]
    numbers: dict[str, Int] = field(default_factory=dict)


Executor = Callable[[Call[Any]], Int]

EXECUTORS: dict[str, Executor] = {}
"""The function of every op by its ``kind``; a new op registers one with :func:`executes`."""


def executes(op: type[Op]) -> Callable[[Executor], Executor]:
    """Register the decorated function as the execution of ``op``."""

    def register(function: Executor) -> Executor:
        EXECUTORS[op.kind] = function
        return function

    return register


def exact_float(bound: int) -> type[np.floating[Any]]:
    """The narrowest float type that holds every integer of magnitude up to ``bound``.

    Raises
    ------
    OverflowRefused : not even float64 does.
    """
    if bound <= 1 << 24:
        return np.float32
    if bound <= 1 << 53:
        return np.float64
    raise OverflowRefused(
        f"A matrix product could reach {bound}, beyond the exact integers of float64.",
        "Use fewer features.",
    )


def _pieces(rows: int, row_elements: int, limit: int) -> Iterator[slice]:
    """Slices over ``rows`` of at most about ``limit`` elements each."""
    step = max(1, limit // max(1, row_elements))
    for start in range(0, rows, step):
        yield slice(start, min(start + step, rows))


def rowwise(function: Callable[[NDArray[np.int64]], NDArray[np.int64]], x: Int) -> Int:
    """``function`` along the last axis of ``x``, piece by piece."""
    flat = x.reshape(-1, x.shape[-1])
    result = np.empty(flat.shape, dtype=np.int16)
    for piece in _pieces(len(flat), flat.shape[1], PIECE):
        result[piece] = function(flat[piece].astype(np.int64))
    return result.reshape(x.shape)


@executes(Linear)
def _linear(call: Call[Linear]) -> Int:
    op, (x,) = call.op, call.values
    x = x[: call.output.tokens].reshape(-1, op.weight.shape[1])
    tokens, rows = len(x), op.rows
    # The largest row of |weight| times the largest |x| bounds every partial sum of every row.
    reach = int(np.abs(op.weight.astype(np.int16)).sum(axis=1, dtype=np.int64).max())
    dtype = exact_float(reach * call.tensors[0].interval.magnitude)
    activations = x.astype(dtype)
    result = np.empty((tokens, rows), dtype=np.int16)
    for piece in _pieces(rows, max(op.weight.shape[1], tokens * 8), WEIGHT_PIECE):
        product = activations @ op.weight[piece].astype(dtype).T
        mult, bias = op.mult[piece].astype(np.int64), op.bias[piece].astype(np.int64)
        for part in _pieces(len(product), product.shape[1], PIECE):
            acc = product[part].astype(np.int64) + bias
            result[part, piece] = arith.requant(acc, mult, op.shift, call.output.bits)
    if op.relu:
        np.maximum(result, 0, out=result)
    return result.reshape(-1, call.output.features)


@executes(Unfold)
def _unfold(call: Call[Unfold]) -> Int:
    op, (x,) = call.op, call.values
    size, channels = op.kernel, x.shape[1]
    tokens, features = call.output.shape
    border = (op.padding, op.padding)
    padded = np.pad(x.reshape(op.height, op.width, channels), (border, border, (0, 0)))
    windows = sliding_window_view(sliding_window_view(padded, size, axis=0), size, axis=1)
    chosen = windows[:: op.stride, :: op.stride].transpose(0, 1, 3, 4, 2)
    result = np.zeros((tokens, features), dtype=np.int16)
    result[op.lead :].reshape(chosen.shape)[...] = chosen
    return result


def _heads(x: Int, heads: int, dtype: type[np.floating[Any]]) -> NDArray[Any]:
    """``(heads, tokens, head features)`` of ``(tokens, features)``."""
    return np.ascontiguousarray(x.reshape(x.shape[0], heads, -1).swapaxes(0, 1), dtype=dtype)


def _head_product(a: NDArray[Any], b: NDArray[Any], op: MatMulQK | MatMulAV, bits: int) -> Int:
    """``requant(a @ b)`` for every head: ``(heads, n, m)``."""
    result = np.empty((op.heads, a.shape[1], b.shape[2]), dtype=np.int16)
    for head in range(op.heads):
        acc = (a[head] @ b[head]).astype(np.int64)
        result[head] = arith.requant(acc, op.mult, op.shift, bits)
    return result


def _head_float(call: Call[Any], terms: int) -> type[np.floating[Any]]:
    a, b = call.tensors
    return exact_float(a.interval.magnitude * b.interval.magnitude * terms)


@executes(MatMulQK)
def _matmul_qk(call: Call[MatMulQK]) -> Int:
    q, k = call.values
    dtype = _head_float(call, q.shape[1] // call.op.heads)
    queries, keys = (_heads(x, call.op.heads, dtype) for x in (q, k))
    return _head_product(queries, keys.swapaxes(1, 2), call.op, call.output.bits)


@executes(MatMulAV)
def _matmul_av(call: Call[MatMulAV]) -> Int:
    chances, v = call.values
    dtype = _head_float(call, v.shape[0])
    values = _heads(v, call.op.heads, dtype)
    mixed = _head_product(chances.astype(dtype), values, call.op, call.output.bits)
    return np.ascontiguousarray(mixed.swapaxes(0, 1)).reshape(-1, call.output.features)


@executes(Softmax)
def _softmax(call: Call[Softmax]) -> Int:
    fraction, bits, shift = call.tensors[0].fraction, call.output.bits, call.op.shift
    assert fraction is not None  # Softmax.check
    (x,) = call.values
    rows = x if call.op.group is None else x.reshape(-1, call.op.group)
    found = rowwise(lambda scores: arith.softmax(scores, fraction, bits, shift), rows)
    return found.reshape(x.shape)


@executes(Gelu)
def _gelu(call: Call[Gelu]) -> Int:
    op, fraction, bits = call.op, call.tensors[0].fraction, call.output.bits
    assert fraction is not None  # Gelu.check
    return rowwise(
        lambda x: arith.gelu(x, fraction, op.delta, op.mult, op.shift, bits), call.values[0]
    )


@executes(LayerNorm)
def _layernorm(call: Call[LayerNorm]) -> Int:
    op, bits = call.op, call.output.bits
    gain, bias = op.gain.astype(np.int64), op.bias.astype(np.int64)
    return rowwise(
        lambda x: arith.layernorm(x, op.epsilon, gain, bias, op.shift, bits),
        call.values[0][: call.output.tokens],
    )


@executes(Add)
def _add(call: Call[Add]) -> Int:
    a, b = call.values
    exact = a.astype(np.int32) + b
    limit = arith.symmetric_limit(call.output.bits)
    clamped = int(np.count_nonzero(np.abs(exact) > limit))
    call.saturations[call.op.name] = call.saturations.get(call.op.name, 0) + clamped
    result: Int = np.clip(exact, -limit, limit).astype(np.int16)
    return result


def _checked_input(graph: Graph, patches: Int) -> Int:
    """The patches as ``int16``, if they are what the graph was proven for."""
    tensor = graph.tensors[graph.input]
    patches = np.asarray(patches)
    if patches.shape != tensor.shape or not np.issubdtype(patches.dtype, np.integer):
        raise VitgenError(
            f"The patches are {patches.dtype} of shape {patches.shape}, not integers of shape "
            f"{tensor.shape}.",
            "Prepare the image with vitgen.reference.preprocess.",
        )
    low, high = int(patches.min()), int(patches.max())
    if low < tensor.interval.lo or high > tensor.interval.hi:
        raise VitgenError(
            f"The patches reach {low}..{high}, outside {tensor.interval.lo}..{tensor.interval.hi}.",
            "Prepare the image with vitgen.reference.preprocess.",
        )
    return patches.astype(np.int16)


def _last_reads(graph: Graph, keep: Collection[str]) -> dict[str, int]:
    """Index of the op after which each tensor that is not kept can go."""
    last = {name: index for index, op in enumerate(graph.ops) for name in (*op.inputs, op.output)}
    return {name: index for name, index in last.items() if name not in keep}


def execute(
    graph: Graph,
    patches: Int,
    keep: Collection[str] | None = None,
    saturations: dict[str, int] | None = None,
    survivors: dict[str, Int] | None = None,
) -> dict[str, Int]:
    """Execute ``graph`` on one image.

    Parameters
    ----------
    graph : a proven graph.
    patches : integers ``(tokens, features)`` of the input tensor, within its interval.
    keep : names of the tensors to return, e.g. ``graph.tensors`` for all; None for the output
        alone. Any other tensor is freed after its last reader.
    saturations : if given, the number of elements that each residual addition clamped is added to
        it under the name of the op, zeros included.
    survivors : if given, the numbers that the tokens behind each compaction had in the image, in
        order, 0 for CLS and -1 for a package, are set in it under the name of the op.

    Returns
    -------
    dict : the kept tensors by name, ``int16``; behind a compaction with the tokens that there are.

    Raises
    ------
    VitgenError : the patches have another shape or range, a kept name does not exist, or an op has
        no execution.
    """
    kept = {graph.output} if keep is None else set(keep)
    unknown = sorted(kept - set(graph.tensors))
    if unknown:
        raise VitgenError(
            f"Graph {graph.name} has no tensor {unknown[0]!r}.", "Keep tensors of `graph.tensors`."
        )
    counts = {} if saturations is None else saturations
    numbers: dict[str, Int] = {}
    values: dict[str, Int] = {name: data.astype(np.int16) for name, data in graph.constants.items()}
    values[graph.input] = _checked_input(graph, patches)
    last = _last_reads(graph, kept)
    for index, op in enumerate(graph.ops):
        if op.kind not in EXECUTORS:
            raise VitgenError(
                f"Op {op.name} is a {op.kind!r}, which the reference cannot execute.",
                "Register a function for it with vitgen.reference.executes.",
            )
        read = [values[name] for name in op.inputs]
        call = Call(op, graph.inputs_of(op), read, graph.tensors[op.output], counts, numbers)
        values[op.output] = EXECUTORS[op.kind](call)
        for name in {*op.inputs, op.output}:
            if last.get(name) == index:
                del values[name]
    if survivors is not None:
        survivors.update(numbers)
    return {name: value for name, value in values.items() if name in kept}


def predict(graph: Graph, batch: Int, saturations: dict[str, int] | None = None) -> Int:
    """Logits of a batch of images.

    Parameters
    ----------
    graph : a proven graph.
    batch : integers ``(images, tokens, features)``.
    saturations : as in :func:`execute`, summed over the images.

    Returns
    -------
    logits : ``int16 (images, classes)``, row 0 (the CLS token) of the graph's output.
    """
    batch = np.asarray(batch)
    logits = np.empty((len(batch), graph.tensors[graph.output].features), dtype=np.int16)
    for index, patches in enumerate(batch):
        logits[index] = execute(graph, patches, saturations=saturations)[graph.output][0]
    return logits
