"""vitgen: FPGA accelerators for quantized Vision Transformers.

Importing the package loads neither torch nor any vendor library.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vitgen.errors import VitgenError

__version__ = "0.1.0"

__all__ = ["VitgenError", "__version__", "build"]


def build(
    model: str,
    bits: str,
    *,
    out: str | Path | None = None,
    verify: str = "none",
    images: int | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Build an accelerator, as ``vitgen build`` does; returns the content of ``report.json``.

    Parameters
    ----------
    model : a name that ``vitgen models`` lists, or the path of a config file.
    bits : weights/activations, e.g. ``4/8``.
    out : directory, default ``build/MODEL``; the same call resumes an interrupted build.
    verify : "none" or "csim".
    images : images to verify; None takes every test digit, or one photograph.
    options : further fields of :class:`vitgen.flow.request.BuildRequest`.

    Raises
    ------
    VitgenError : bad input, a design that does not fit, or a directory that holds something else.
    """
    from vitgen.flow.build import build as run
    from vitgen.flow.request import BuildRequest

    request = BuildRequest(model=model, bits=bits, **options)
    directory = Path("build") / request.name if out is None else Path(out)
    return run(request, directory, verify=verify, images=images)
