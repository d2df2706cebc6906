"""C-sim against the integer reference, in a process of its own."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vitgen.csim.compare import Result, check
from vitgen.csim.simulate import Simulator
from vitgen.design.engine import Engine
from vitgen.design.program import from_disk
from vitgen.design.schedule import build_program
from vitgen.ir import Graph

_opened: tuple[Simulator, Graph] | None = None


def open_simulator(library: Path, engine: Engine, graph: Graph, data: Path | None = None) -> None:
    """Make this process (a :class:`vitgen.csim.worker.Worker`'s) simulate ``graph``.

    Parameters
    ----------
    data : directory of memory images, as a board reads them; None packs them anew.

    Raises
    ------
    VitgenError : the program in ``data`` is not the graph's.
    """
    global _opened
    program = build_program(graph, engine)
    if data is not None:
        program = from_disk(program, data)
    _opened = Simulator(library, engine, program), graph


def check_image(patches: NDArray[np.int8], result: Result) -> Result:
    """:func:`check` in a process that :func:`open_simulator` prepared; returns ``result`` grown."""
    assert _opened is not None
    check(*_opened, patches, result)
    return result
