"""Runs one engine under AddressSanitizer and UBSan; started with the sanitizers' runtime preloaded.

``python -m tests.csim.sanitized ENGINE CACHE``
"""

import sys
from pathlib import Path

import numpy as np

from tests.csim.test_accelerator import GRAPHS, engine_named
from tests.support.graphs import random_patches, tiny_vit_graph
from vitgen.csim.build import compile_engine
from vitgen.csim.compare import verify
from vitgen.csim.compile import SANITIZED
from vitgen.csim.simulate import Simulator
from vitgen.design.schedule import build_program


def main(name: str, cache: str) -> None:
    engine = engine_named(name)
    library = compile_engine(engine, flags=SANITIZED, cache=Path(cache))
    for kind in ("ragged", "three_kinds", "one_token"):
        rng = np.random.default_rng(5)
        graph = tiny_vit_graph(rng, **GRAPHS[kind])
        simulator = Simulator(library, engine, build_program(graph, engine))
        result = verify(simulator, graph, [random_patches(rng, graph)])
        assert result.mismatches == 0, str(result.first)
        print(f"{kind}: {result.values} values equal")


if __name__ == "__main__":
    main(*sys.argv[1:])
