"""Time and peak memory of one DeiT-B image in the integer reference.

Run from the root of the repository: ``python -m benchmarks.reference [--depth N] [--json]``. The
weights are random; the network has the shapes of DeiT-B at 224/16, W4A8 with half of the rows
powers of two. Peak memory is that of the whole process, the graph included.
"""

import argparse
import json
import resource
import sys
import time
from collections import defaultdict

import numpy as np

from tests.support.graphs import random_patches, tiny_vit_graph
from vitgen.ir import Graph
from vitgen.reference import EXECUTORS, Call, execute


def deit_b(depth: int) -> Graph:
    """A graph with the shapes of DeiT-B."""
    return tiny_vit_graph(
        np.random.default_rng(0),
        tokens=197,
        width=768,
        heads=12,
        depth=depth,
        mlp=3072,
        classes=1000,
        patch_features=768,
    )


def seconds_by_kind(graph: Graph, patches: np.ndarray) -> dict[str, float]:
    """Seconds that each kind of op takes in one image."""
    spent: dict[str, float] = defaultdict(float)
    originals = dict(EXECUTORS)

    def timed(kind: str, call: Call) -> np.ndarray:
        start = time.perf_counter()
        result = originals[kind](call)
        spent[kind] += time.perf_counter() - start
        return result

    for kind in originals:
        EXECUTORS[kind] = lambda call, kind=kind: timed(kind, call)
    try:
        execute(graph, patches)
    finally:
        EXECUTORS.update(originals)
    return dict(spent)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--depth", type=int, default=12)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    graph = deit_b(arguments.depth)
    patches = random_patches(np.random.default_rng(1), graph)
    start = time.perf_counter()
    execute(graph, patches)
    first = time.perf_counter() - start
    start = time.perf_counter()
    saturations: dict[str, int] = {}
    execute(graph, patches, saturations=saturations)
    unit = 1 if sys.platform == "darwin" else 1024
    figures = {
        "gmac": graph.macs / 1e9,
        "first_image_s": first,
        "image_s": time.perf_counter() - start,
        "by_kind_s": seconds_by_kind(graph, patches),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20,
        "saturations": sum(saturations.values()),
    }
    if arguments.json:
        print(json.dumps(figures, indent=1))
        return
    for name, value in figures.items():
        print(f"{name:15} {value if isinstance(value, dict) else f'{value:.3f}'}")


if __name__ == "__main__":
    main()
