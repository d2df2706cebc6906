"""Results as the benchmark of whole images leaves them, without running it."""

import numpy as np
import pytest

from tests.support.graphs import tiny_vit_graph
from vitgen import boards
from vitgen.design.choice import choose_design
from vitgen.report.summary import summarize


@pytest.fixture(scope="session")
def estimate():
    """The report of a small model that nothing was built of."""
    graph = tiny_vit_graph(np.random.default_rng(3), tokens=9, width=24, depth=2, mlp=40)
    design = choose_design(graph, boards.load("zcu102"), 150.0, "dsp48")
    return summarize(
        graph,
        design,
        request={"model": "tiny"},
        verification={},
        fidelity=None,
        weights="synthetic",
    )


@pytest.fixture
def runner(estimate):
    """Stands for the processes of the steps: notes each, and fails at ``fails`` as a kill would."""

    class Runner:
        def __init__(self):
            self.ran, self.fails = [], None

        def __call__(self, row, step, folder):
            if step == self.fails:
                raise KeyboardInterrupt
            self.ran.append((row.label, step, folder))
            found = {"seconds": 2.0, "wall_seconds": 3.0, "peak_gib": 0.5}
            if step == "csim":
                found |= {"compile_seconds": 7.0, "image_seconds": 1.0, "mac_per_second": 2e8}
            if step in ("report", "estimate"):
                found["report"] = estimate
            return found

        def steps(self):
            return [step for _, step, _ in self.ran]

    return Runner()
