"""The notebook of a build, run without a screen on a device that stands in for a board."""

import os
import tempfile
from pathlib import Path

from vitgen.errors import FoundWrong, VitgenError
from vitgen.host import stand_in
from vitgen.host.package import package_of

CELL_SECONDS = 3600
"""Longest that a cell may take: a simulated picture takes seconds to minutes."""

_OPEN = """
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, {host!r})
from pathlib import Path
from vitgen.host import open_device
open_device(Path({build!r}), {kind!r})
"""


def run_notebook(build: Path, kind: str) -> str:
    """Execute ``classify.ipynb`` of a build's driver package as it is; the notebook with its outputs.

    The kernel is told of the device by a line that it runs before the first cell, and the driver of
    the stand-in for the bitstream by ``VITGEN_BITFILE``.

    Parameters
    ----------
    build : directory of a build.
    kind : "csim" or "rtl".

    Returns
    -------
    JSON in the format of Jupyter.

    Raises
    ------
    VitgenError : no build, or no Jupyter here.
    FoundWrong : a cell failed; with its error.
    """
    try:
        import nbformat
        from jupyter_client.manager import AsyncKernelManager
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError
    except ModuleNotFoundError as error:
        raise VitgenError(
            f"{error.name} was not found; notebooks are run with it.",
            "Run: pip install nbclient nbformat ipykernel matplotlib.",
        ) from None
    build = build.resolve()
    package, folder = package_of(build)
    notebook = nbformat.read(folder / "notebooks" / "classify.ipynb", as_version=4)
    line = _OPEN.format(host=str(folder.parent), build=str(build), kind=kind)
    environment = {
        "VITGEN_BITFILE": str(stand_in(build)),
        "VITGEN_TIMEOUT": os.environ.get("VITGEN_TIMEOUT", str(CELL_SECONDS)),
    }
    with tempfile.TemporaryDirectory() as sockets:
        client = NotebookClient(
            notebook,
            # Sockets in the file system: nobody else on the machine can talk to the kernel.
            km=AsyncKernelManager(
                kernel_name="python3",
                transport="ipc",
                connection_file=str(Path(sockets) / "kernel.json"),
            ),
            timeout=CELL_SECONDS,
            extra_arguments=[f"--IPKernelApp.exec_lines=[{line!r}]"],
        )
        try:
            client.execute(env=os.environ | environment)
        except CellExecutionError as error:
            raise FoundWrong(
                f"A cell of {package}'s notebook failed: {error.ename}: {error.evalue}.",
                "Run the cells up to it in Jupyter.",
            ) from error
    return str(nbformat.writes(notebook))
