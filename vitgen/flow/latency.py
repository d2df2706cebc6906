"""The latency-sparsity table of a network on the engine that would be built for it."""

from dataclasses import replace
from functools import partial

from vitgen import boards
from vitgen.design.choice import Design, choose_design
from vitgen.design.cost import estimate
from vitgen.design.cost_workload import Workload
from vitgen.design.steps import fuse
from vitgen.flow.images import calibration_batch
from vitgen.flow.request import BuildRequest
from vitgen.ir import Graph
from vitgen.train.latency import LatencyTable, mac_table

IMAGES = 2  # to calibrate by; no shape depends on them
RATES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def resized(graph: Graph, tokens: int) -> Graph:
    """The shapes of ``graph`` with so many tokens in its blocks; for the cost model alone."""
    tensors = dict(graph.tensors)
    for name, tensor in tensors.items():
        if name.startswith("blocks."):
            shape = (*tensor.shape[:-2], tokens, tensor.features)
            if len(shape) == 3:
                shape = (shape[0], tokens, tokens)
            tensors[name] = replace(tensor, shape=shape)
    return replace(graph, tensors=tensors)


def _cycles(graph: Graph, design: Design) -> tuple[float, float]:
    """Cycles of an image, and how many of them its blocks take."""
    workload = Workload(fuse(graph))
    board = boards.load(design.board)
    found = estimate(design.engine, workload, board, design.clock_mhz)
    spans = [span for span in found.timeline.spans if span.name.startswith("blocks.")]
    return found.cycles, max(s.end for s in spans) - min(s.start for s in spans)


def latency_table(request: BuildRequest) -> LatencyTable:
    """Cycles by keep rate, by the cost model that simulated RTL confirms.

    The engine is the one that is built for the unpruned network. A selector counts as much of a block
    as it has of its products.

    Parameters
    ----------
    request : model, bits, board and clock; its keep rates and checkpoint are left out.

    Raises
    ------
    VitgenError : no engine fits the board.
    """
    from vitgen.lower import lower
    from vitgen.lower.prepare import prepare

    config = replace(request.architecture(), keep=())
    images = partial(calibration_batch, config, None, IMAGES, request.seed)
    graph = lower(prepare(config, request.quant(), request.seed, None, images))
    design = choose_design(graph, boards.load(request.board), request.clock, request.array)
    total, blocks = _cycles(graph, design)
    whole = blocks / config.depth
    found = []
    for rate in RATES[:-1]:
        tokens = 2 + round(rate * (config.tokens - 1))
        found.append(_cycles(resized(graph, tokens), design)[1] / config.depth)
    # The estimate wavers by cycles: no rate costs more than a higher one.
    for index in reversed(range(len(found))):
        found[index] = min(found[index], whole, *found[index + 1 :])
    macs = mac_table(config)
    selector = whole * macs.selector / macs.block(1.0)
    return LatencyTable(RATES, (*found, whole), total - blocks, selector)
