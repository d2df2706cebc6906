"""The steps of a build; a finished one is never done twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

from vitgen import boards, ir
from vitgen.csim.build import compile_engine
from vitgen.csim.compare import Result, check
from vitgen.csim.loader import SimulationFailed
from vitgen.csim.verify import check_image, open_simulator
from vitgen.csim.worker import Worker
from vitgen.design.choice import Design, choose_design
from vitgen.design.cost import estimate
from vitgen.design.cost_workload import Workload
from vitgen.design.isa import encode_program
from vitgen.design.program import Program, from_disk
from vitgen.design.schedule import build_program
from vitgen.design.steps import fuse
from vitgen.emit.build import emit_build
from vitgen.emit.host import DataFile, emit_host
from vitgen.errors import FoundWrong
from vitgen.flow.directory import BuildDirectory
from vitgen.flow.images import sample_picture, verification_images
from vitgen.flow.precision import settle
from vitgen.flow.request import BuildRequest
from vitgen.flow.waveform import Waveform
from vitgen.ir import Graph
from vitgen.reference.execute import predict
from vitgen.report.html import render_html
from vitgen.report.layers import completions
from vitgen.report.summary import summarize
from vitgen.rtl.build import build_simulation, core_of_build, stitched_core
from vitgen.rtl.emit import emit_accelerator
from vitgen.rtl.simulate import Memory, Simulation

EXPLORATION = "exploration.json"
CSIM = "verification/csim.json"
RTL = "verification/rtl.json"
FIDELITY = "fidelity.json"
RESOURCES = "resources.json"
HLS = "synthesis/hls.json"
VIVADO = "synthesis/vivado.json"


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
        self.settled: BuildRequest  # with nothing left open
        self.exploration: dict[str, Any]
        self.graph: Graph
        self.design: Design
        self._program: Program | None = None

    @contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        with self.console.status(what):
            yield

    def prepare(self) -> None:
        """Explore, lower, design, emit, pack and write what runs on the board."""
        self._lower()
        self._design()
        self._emit()
        self._pack()
        self._host()

    def _lower(self) -> None:
        with self.console.status(f"exploring designs for {self.request.name}") as status:

            def produce() -> dict[str, bytes]:
                from vitgen.flow.lowering import lower_request

                self.directory.check(self.request.describe())
                settled = settle(self.request, status.update)
                status.update("looking at designs from small to large")
                exploration = _json(settled.to_json())
                status.update(f"quantizing and lowering {self.request.name}")
                graph = lower_request(settled.request, self.console.print)
                return {EXPLORATION: exploration, **ir.dump(graph)}

            self.directory.step("lower", (), produce)
            self.exploration = json.loads((self.directory.path / EXPLORATION).read_text())
            self.settled = replace(self.request, **self.exploration["settled"])
            self.graph = ir.load(self.directory.path)

    def _design(self) -> None:
        board = boards.load(self.request.board)

        def produce() -> dict[str, bytes]:
            found = self.exploration["design"]
            if found is None:  # of rows that only the lowered network knows
                request = self.request
                options = {} if request.target_fps is None else {"target_fps": request.target_fps}
                found = choose_design(
                    self.graph, board, request.clock, request.array, **options
                ).to_json()
            return {"design.json": _json(found)}

        with self._doing(f"choosing an engine for {board.name}"):
            self.directory.step("design", ("lower",), produce)
            record = json.loads((self.directory.path / "design.json").read_text())
            self.design = Design.from_json(record)

    def _emit(self) -> None:
        def produce() -> Mapping[str, bytes]:
            return emit_build(self.design).files

        with self._doing("emitting HLS C++"):
            self.directory.step("emit", ("design",), produce)

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
                "data/image.bin": program.pack_image(
                    self.design.engine, patches.astype(np.int64)
                ).tobytes(),
                "data/logits.bin": logits.astype("<i2").tobytes(),
            }
            for port, weights in enumerate(program.weights):
                files[f"data/weights_{port}.bin"] = weights.tobytes()
            return files

        with self._doing("packing weights and program"):
            self.directory.step("pack", ("lower", "design"), produce)

    def _host(self) -> None:
        def produce() -> Mapping[str, bytes]:
            data = sorted((self.directory.path / "data").iterdir())
            return emit_host(
                self.design,
                self.graph,
                self.program,
                data={file.name: _data_file(file) for file in data},
                cycles=self._layer_cycles(),
                weights=self.weights,
                picture=sample_picture(self.request),
            ).files

        with self._doing("writing the driver"):
            self.directory.step("host", ("lower", "design", "pack"), produce)

    def _layer_cycles(self) -> dict[str, int]:
        """Estimated cycles of an image by layer."""
        engine, workload = self.design.engine, Workload(fuse(self.graph))
        board = boards.load(self.design.board)
        found = estimate(engine, workload, board, self.design.clock_mhz)
        return completions(found, workload.tasks(engine))

    @property
    def weights(self) -> str:
        """Where the weights come from: "trained" or "synthetic"."""
        return "synthetic" if self.request.checkpoint is None else "trained"

    def _images(self, count: int | None) -> list[NDArray[np.int8]]:
        return verification_images(self.graph, self.request, count)

    def verify_csim(self, images: int | None) -> None:
        """Simulate the emitted C++ and record what was compared."""
        batch = self._images(images)

        def produce() -> dict[str, bytes]:
            with self._doing("compiling the emitted C++"):
                library = compile_engine(self.design.engine, hls=self.directory.path / "hls")
            result = Result()
            with Worker() as worker, Progress(console=self.console, transient=True) as progress:
                task = progress.add_task("comparing images, bit by bit", total=len(batch))
                try:
                    data = self.directory.path / "data"
                    worker.call(open_simulator, library, self.design.engine, self.graph, data)
                    for patches in batch:
                        result = worker.call(check_image, patches, result)
                        progress.advance(task)
                except SimulationFailed as error:
                    raise FoundWrong(
                        f"The simulated accelerator stopped: {error}", "This is a bug: report it."
                    ) from error
            return {CSIM: _json(result.to_json())}

        self.directory.step(
            "verify_csim", ("lower", "design", "emit", "pack"), produce, images=len(batch)
        )

    def emit_rtl(self) -> None:
        """Write the SystemVerilog of the accelerator."""

        def produce() -> Mapping[str, bytes]:
            with self._doing("making RTL of the emitted C++"):
                engine = self.design.engine
                core = stitched_core(engine, self.directory.path)
                return emit_accelerator(engine, core).under("rtl").files

        self.directory.step("rtl", ("design", "emit"), produce)

    def verify_rtl(self, images: int | None) -> None:
        """Simulate the core of ``rtl/``; record what was compared and the cycles."""
        batch = self._images(1 if images is None else images)
        board = boards.load(self.design.board)

        def produce() -> dict[str, bytes]:
            engine, program = (
                self.design.engine,
                from_disk(self.program, self.directory.path / "data"),
            )
            with self._doing("compiling a simulation of the RTL"):
                core = core_of_build(engine, self.directory.path)
                simulation = build_simulation(engine, core=core)
            result, runs = Result(), []
            memory = Memory.of(board, self.design.clock_mhz)
            with (
                Simulation(simulation, engine, program, memory=memory) as device,
                Progress(console=self.console, transient=True) as progress,
            ):
                task = progress.add_task("comparing images, bit by bit", total=len(batch))
                try:
                    for patches in batch:
                        check(device, self.graph, patches, result)
                        assert device.last is not None
                        runs.append(device.last)
                        progress.advance(task)
                except SimulationFailed as error:
                    raise FoundWrong(
                        f"The simulated RTL stopped: {error}", "This is a bug: report it."
                    ) from error
            return {RTL: _json({**result.to_json(), **runs[0].to_json()})}

        self.directory.step(
            "verify_rtl", ("lower", "design", "emit", "pack", "rtl"), produce, images=len(batch)
        )

    def write_waveform(self, waveform: Waveform) -> None:
        """Simulate the core of ``rtl/`` on one image and write its signals."""
        engine = self.design.engine
        program = from_disk(self.program, self.directory.path / "data")
        memory = Memory.of(boards.load(self.design.board), self.design.clock_mhz)
        with self._doing("compiling and running a simulation with waveforms"):
            core = core_of_build(engine, self.directory.path)
            built = build_simulation(engine, core=core, waveforms=True)
            waveform.write(built, engine, program, memory, self._images(1)[0].astype(np.int64))

    def count_resources(self) -> None:
        """Have yosys count what every module of the RTL takes, and record it."""

        def produce() -> dict[str, bytes]:
            from vitgen.rtl.resources import accelerator_resources

            with self._doing("counting resources of the RTL: minutes"):
                return {RESOURCES: _json(accelerator_resources(self.design.engine).to_json())}

        self.directory.step("resources", ("design",), produce)

    def evaluate(self, produce: Callable[[Graph], dict[str, Any]], data: str) -> dict[str, Any]:
        """Record the accuracy of the networks on ``data``; what ``produce`` made, now or before."""
        self.directory.step(
            "evaluate", ("lower",), lambda: {FIDELITY: _json(produce(self.graph))}, data=data
        )
        return self._recorded("evaluate", FIDELITY) or {}

    def _recorded(self, step: str, file: str) -> Any:
        """The result of a step that holds for the build as it is now; an outdated one goes."""
        if not self.directory.current(step):
            self.directory.drop(step)
            return None
        return json.loads((self.directory.path / file).read_text())

    def report(self) -> dict[str, Any]:
        """Write ``report.json``, ``report.html`` and the manifest; returns the report."""
        if not self.directory.current("rtl"):
            self.directory.drop("rtl")
        fidelity = self._recorded("evaluate", FIDELITY)
        report = summarize(
            self.graph,
            self.design,
            request=self.directory.request,
            verification={
                "csim": self._recorded("verify_csim", CSIM),
                "rtl": self._recorded("verify_rtl", RTL),
            },
            fidelity=fidelity,
            weights=self.weights,
            exploration=self.exploration["record"],
            pareto=self.exploration["pareto"],
            modules=self._recorded("resources", RESOURCES) or (),
            synthesis={
                "hls": self._recorded("synth_hls", HLS),
                "vivado": self._recorded("synth_vivado", VIVADO),
            },
        )
        files = {"report.json": _json(report), "report.html": render_html(report).encode()}
        self.directory.step("report", (), lambda: files, report=report)
        self.directory.write_manifest()
        return report


def _data_file(path: Path) -> DataFile:
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return DataFile(path.stat().st_size, digest)


def _json(value: Any) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"
