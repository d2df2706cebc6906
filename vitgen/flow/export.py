"""A build in the form that other tools read."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from vitgen import ir
from vitgen.errors import VitgenError
from vitgen.flow.build import open_build
from vitgen.flow.directory import write_whole
from vitgen.flow.images import verification_images
from vitgen.interop.bundle import bundle_files
from vitgen.interop.tools import require
from vitgen.ir import Graph

FORMATS = ("bundle", "qonnx")
STYLES = ("exact", "plain")


def export(
    path: Path, *, format: str, out: Path, images: int | None = None, style: str | None = None
) -> list[Path]:
    """Write the network of a finished build for another tool.

    Parameters
    ----------
    path : directory of a build; nothing in it changes.
    format : ``bundle`` (a directory) or ``qonnx`` (a file), see ``docs/interoperation.md``.
    out : where to write; a directory must be new or empty.
    images : golden images of a bundle; None is one.
    style : ``exact`` or ``plain``, of a QONNX file; None is exact.

    Returns
    -------
    files : what was written.

    Raises
    ------
    VitgenError : a bad value, no finished build, a place that is taken, or a missing package.
    """
    if format not in FORMATS:
        raise VitgenError(f"Unknown format {format!r}.", f"Choose {' or '.join(FORMATS)}.")
    if format == "bundle":
        return _export_bundle(path, out, images, style)
    return _export_qonnx(path, out, images, style)


def _export_bundle(path: Path, out: Path, images: int | None, style: str | None) -> list[Path]:
    if style is not None:
        raise VitgenError(f"--style is {style!r}, but a bundle has one.", "Add --format qonnx.")
    if images is not None and images < 1:
        raise VitgenError(f"--images is {images}.", "Give at least 1.")
    graph = _graph(path)
    _, request = open_build(path)
    batch = verification_images(graph, request, images or 1)
    return _write_directory(out, bundle_files(graph, batch))


def _export_qonnx(path: Path, out: Path, images: int | None, style: str | None) -> list[Path]:
    if images is not None:
        raise VitgenError(
            f"--images is {images}, but a QONNX file holds none.", "Add --format bundle."
        )
    style = style or STYLES[0]
    if style not in STYLES:
        raise VitgenError(f"Unknown style {style!r}.", f"Choose {' or '.join(STYLES)}.")
    if out.is_dir():
        raise VitgenError(f"{out} is a directory.", "Give a file, such as model.onnx.")
    require("onnx")
    from vitgen.interop.qonnx_write import to_qonnx

    write_whole(out, to_qonnx(_graph(path), exact=style == "exact"))
    return [out]


def _graph(path: Path) -> Graph:
    """The integer network of a build that is whole as far as its network goes."""
    directory, _ = open_build(path)
    if not directory.current("lower"):
        raise VitgenError(
            f"The build in {path} has no network yet, or its files were changed.",
            "Run the same `vitgen build` again: it goes on from there.",
        )
    return ir.load(path)


def _write_directory(out: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write a new directory whole or not at all."""
    if out.exists() and not out.is_dir():
        raise VitgenError(f"{out} is a file.", "Give a directory.")
    if out.is_dir() and any(out.iterdir()):
        raise VitgenError(f"{out} is not empty.", "Give a new directory.")
    try:
        out.absolute().parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(dir=out.absolute().parent, prefix=f".{out.name}."))
    except OSError as error:
        raise VitgenError(
            f"{out} cannot be written: {error.strerror}.", "Choose another place."
        ) from error
    try:
        for name, data in files.items():
            write_whole(part / name, data)
        part.chmod(0o755)
        part.replace(out)  # an empty directory of that name gives way
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return [out / name for name in sorted(files)]
