"""A build from request to report, step by step; a finished step is never done twice."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from vitgen import __version__, boards, ir
from vitgen.csim.build import compile_engine
from vitgen.csim.library import SimulationFailed
from vitgen.csim.verify import Result, check_image, open_simulator
from vitgen.csim.worker import Worker
from vitgen.design.choice import Design, choose_design
from vitgen.design.isa import encode_program
from vitgen.design.packing import pack_image
from vitgen.design.program import Program, build_program
from vitgen.emit.build import emit_build
from vitgen.errors import VitgenError
from vitgen.flow.directory import BuildDirectory
from vitgen.flow.images import verification_images
from vitgen.flow.request import LEVELS, BuildRequest
from vitgen.ir import Graph
from vitgen.reference.execute import predict
from vitgen.report.html import render_html
from vitgen.report.summary import summarize


class Build:
    """The steps of one build directory.

    Parameters
    ----------
    directory : where everything goes.
    request : what was asked for.
    console : progress goes there; a quiet one when a script reads the result.
    """

    def __init__(self, directory: BuildDirectory, request: BuildRequest, console: Console) -> None:
        self.directory = directory
        self.request = request
        self.console = console
        self.graph: Graph
        self.design: Design
        self._program: Program | None = None

    @contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        with self.console.status(what):
            yield

    def prepare(self) -> None:
        """Lower, design, emit and pack."""
        self._lower()
        self._design()
        self._emit()
        self._pack()

    def _lower(self) -> None:
        def produce() -> dict[str, bytes]:
            from vitgen.flow.lowering import lower_request

            return ir.dump(lower_request(self.request))

        with self._doing(f"quantizing and lowering {self.request.name}"):
            self.directory.step("lower", self.directory.key(), produce)
            self.graph = ir.load(self.directory.path)

    def _design(self) -> None:
        board = boards.load(self.request.board)

        def produce() -> dict[str, bytes]:
            design = choose_design(self.graph, board, self.request.clock, self.request.array)
            return {"design.json": _json(design.to_json())}

        with self._doing(f"choosing an engine for {board.name}"):
            self.directory.step("design", self.directory.key("lower"), produce)
            record = json.loads((self.directory.path / "design.json").read_text())
            self.design = Design.from_json(record)

    def _emit(self) -> None:
        def produce() -> Mapping[str, bytes]:
            return emit_build(self.design).files

        with self._doing("emitting HLS C++"):
            self.directory.step("emit", self.directory.key("design"), produce)

    @property
    def program(self) -> Program:
        """Instructions and DRAM images."""
        if self._program is None:
            self._program = build_program(self.graph, self.design.engine)
        return self._program

    def _pack(self) -> None:
        def produce() -> dict[str, bytes]:
            program = self.program
            patches = self._images(1)[0]
            logits = predict(self.graph, patches[None].astype(np.int64))[0]
            files = {
                "data/program.bin": encode_program(program.instructions),
                "data/params.bin": program.params.tobytes(),
                "data/constants.bin": program.constants.tobytes(),
                "data/image.bin": pack_image(
                    self.design.engine, patches.astype(np.int64)
                ).tobytes(),
                "data/logits.bin": logits.astype("<i2").tobytes(),
            }
            for port, weights in enumerate(program.weights):
                files[f"data/weights_{port}.bin"] = weights.tobytes()
            return files

        with self._doing("packing weights and program"):
            self.directory.step("pack", self.directory.key("lower", "design"), produce)

    def _images(self, count: int | None) -> list[NDArray[np.int8]]:
        return verification_images(self.graph, self.request, count)

    def verify_csim(self, images: int | None) -> None:
        """Simulate the emitted C++ and record what was compared."""
        with self._doing("compiling the emitted C++"):
            library = compile_engine(self.design.engine)
        batch = self._images(images)

        def produce() -> dict[str, bytes]:
            result = Result()
            with Worker() as worker, Progress(console=self.console, transient=True) as progress:
                task = progress.add_task("comparing images, bit by bit", total=len(batch))
                try:
                    worker.call(open_simulator, library, self.design.engine, self.graph)
                    for patches in batch:
                        result = worker.call(check_image, patches, result)
                        progress.advance(task)
                except SimulationFailed as error:
                    raise VitgenError(
                        f"The simulated accelerator stopped: {error}", "This is a bug: report it."
                    ) from error
            return {"verification/csim.json": _json(result.to_json())}

        key = self.directory.key("lower", "design", "emit", "pack", images=len(batch))
        self.directory.step("verify_csim", key, produce)

    def report(self) -> dict[str, Any]:
        """Write ``report.json``, ``report.html`` and the manifest; returns the report."""
        verification: dict[str, Any] = {}
        for level in ("csim", "rtl"):
            path = self.directory.path / "verification" / f"{level}.json"
            verification[level] = json.loads(path.read_text()) if path.exists() else None
        fidelity_path = self.directory.path / "fidelity.json"
        fidelity = json.loads(fidelity_path.read_text()) if fidelity_path.exists() else None
        report = summarize(
            self.graph,
            self.design,
            request=self.directory.request,
            verification=verification,
            fidelity=fidelity,
            weights="synthetic" if self.request.checkpoint is None else "trained",
        )
        files = {"report.json": _json(report), "report.html": render_html(report).encode()}
        self.directory.step("report", self.directory.key(report=report), lambda: files)
        self.directory.write_manifest()
        return report


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"


def build(
    request: BuildRequest,
    out: Path,
    *,
    verify: str = "none",
    images: int | None = None,
    console: Console | None = None,
) -> dict[str, Any]:
    """Build ``request`` in ``out`` and return the report.

    Parameters
    ----------
    verify : "none" or "csim".
    images : images to verify; None takes every test digit, or one photograph.
    console : progress goes there; None is quiet.

    Raises
    ------
    VitgenError : bad input, a design that does not fit, or a directory that holds something else.
    """
    if verify not in LEVELS:
        raise VitgenError(f"Unknown verification {verify!r}.", f"Choose {' or '.join(LEVELS)}.")
    if images is not None and images < 1:
        raise VitgenError(f"--images is {images}.", "Give at least 1.")
    directory = BuildDirectory.open(out, request.describe())
    with directory.locked():
        run = Build(directory, request, console or Console(quiet=True))
        run.prepare()
        if verify == "csim":
            run.verify_csim(images)
        return run.report()


def open_build(path: Path) -> tuple[BuildDirectory, BuildRequest]:
    """The build in ``path`` and the request that made it.

    Raises
    ------
    VitgenError : no build, or one by another version.
    """
    directory = BuildDirectory.existing(path)
    record = directory.request
    if record.pop("vitgen", None) != __version__:
        raise VitgenError(
            f"{path} was built by another version of vitgen.", "Build again with this version."
        )
    record.pop("digests", None)
    for key in ("checkpoint", "calibrate", "config"):
        record[key] = None if record[key] is None else Path(record[key])
    return directory, BuildRequest(**record)


def finish(directory: BuildDirectory, request: BuildRequest, console: Console) -> dict[str, Any]:
    """Bring every step of a locked directory up to date and write its report."""
    run = Build(directory, request, console)
    run.prepare()
    return run.report()


def verify(
    path: Path, *, level: str, images: int | None, console: Console | None = None
) -> dict[str, Any]:
    """Verify an existing build (and finish it, if it was interrupted); returns the report."""
    if level not in LEVELS or level == "none":
        raise VitgenError(f"Unknown level {level!r}.", "Choose csim.")
    directory, request = open_build(path)
    return build(request, directory.path, verify=level, images=images, console=console)


def read_report(path: Path) -> dict[str, Any]:
    """``report.json`` of a build.

    Raises
    ------
    VitgenError : there is none.
    """
    try:
        report: dict[str, Any] = json.loads((path / "report.json").read_text())
    except (OSError, ValueError) as error:
        raise VitgenError(
            f"{path} has no report: {error}.", "Run `vitgen build --out DIR` first."
        ) from error
    return report
