"""Runs a tool for minutes or hours: its log kept, its phases shown, none of it left behind."""

import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from vitgen.errors import VitgenError

_ERROR = re.compile(r"^\s*(?:ERROR|FATAL ERROR|FATAL)\b:?.*$")
_SHOWN = 3  # errors of a tool; the log has all
_GRACE_S = 10.0

Phases = Sequence[tuple[re.Pattern[str], str]]
"""What a line that begins a phase looks like, and the phase's name; ``\\1`` stands for its group."""

HLS_PHASES: Phases = (
    (re.compile(r"\[SIM 211-\d+\] .*CSIM start"), "C simulation"),
    (re.compile(r"\[HLS 200-10\] Analyzing design file"), "reading the C++"),
    (re.compile(r"\[HLS 200-42\] -- Implementing module '(\w+)'"), r"scheduling \1"),
    (
        re.compile(r"\[RTGEN 206-100\] Finished creating RTL model for '(\w+)'"),
        r"writing RTL of \1",
    ),
    (re.compile(r"\[IMPL 213-8\] Exporting RTL"), "packaging the IP"),
)

VIVADO_PHASES: Phases = (
    (re.compile(r"^(?:# )?ipx::package_project"), "packaging the RTL as an IP"),
    (re.compile(r"^(?:# )?create_bd_design"), "block design"),
    (re.compile(r"^(?:# )?generate_target"), "writing the block design's HDL"),
    (re.compile(r"^Starting synth_design"), "synthesis"),
    (re.compile(r"^Start(?:ing)? (RTL [\w ]+?|[\w -]*Mapping|Cross Boundary[\w ]+?) *(?::|$)"),
     r"synthesis, \1"),
    (re.compile(r"^Starting Logic Optimization Task"), "optimization"),
    (re.compile(r"^Starting Placer Task"), "placement"),
    (re.compile(r"^Starting Physical Synthesis Task"), "physical optimization"),
    (re.compile(r"^Starting Routing Task"), "routing"),
    (re.compile(r"^(?:Creating bitstream|Command: write_bitstream)"), "writing the bitstream"),
)  # fmt: skip

_STEP = re.compile(r"^(Phase \d[\d.]* [^|]+?) *(?:\||$)")


@dataclass
class _Watch:
    """What a tool's lines have said."""

    phases: Phases
    say: Callable[[str], None]
    phase: str = "starting"
    errors: list[str] = field(default_factory=list)

    def line(self, text: str) -> None:
        if _ERROR.match(text):
            self.errors.append(text.strip())
        for pattern, name in self.phases:
            found = pattern.search(text)
            if found:
                self.phase = found.expand(name)
                self.say(self.phase)
                return
        step = _STEP.match(text)
        if step:
            self.say(f"{self.phase}: {step[1]}")


def run(
    command: Sequence[str],
    *,
    title: str,
    place: Path,
    log: Path,
    phases: Phases,
    say: Callable[[str], None],
    env: Mapping[str, str] | None = None,
) -> None:
    """Run ``command`` to its end.

    Its processes are a group of their own, and end with it: at Ctrl-C, at a signal that ends this
    process, or at any other exception here they are asked to end, then killed.

    Parameters
    ----------
    title : the tool's name, for errors.
    place : directory that it works in.
    log : file that gets all that it says, as it says it.
    phases : lines that begin a phase.
    say : is told where it is.
    env : variables that differ from this process's.

    Raises
    ------
    VitgenError : it cannot be started, or fails; says the phase and its first errors.
    """
    watch = _Watch(phases, say)
    with log.open("w", encoding="utf-8", errors="replace") as file, _endings():
        try:
            process = subprocess.Popen(
                command, cwd=place, env={**os.environ, **(env or {})}, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True, errors="replace",
            )  # fmt: skip
        except OSError as error:
            raise VitgenError(
                f"{title} cannot be started: {error.strerror}.", "Repair the installation."
            ) from error
        try:
            assert process.stdout is not None
            for line in process.stdout:
                file.write(line)
                file.flush()
                watch.line(line)
            status = process.wait()
        finally:
            _end(process)
    if status:
        raise VitgenError(_failure(title, status, watch), f"The log is {log}.")


@contextmanager
def _endings() -> Iterator[None]:
    """Signals that would end this process at once raise SystemExit instead: a tool outlives nobody."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only that thread may say what signals do
        return

    def leave(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _failure(title: str, status: int, watch: _Watch) -> str:
    if status < 0:
        name = signal.Signals(-status).name
        return f"{title} was killed ({name}) at: {watch.phase}."
    said = " ".join(watch.errors[:_SHOWN]) or f"it ended with status {status} and said no error"
    more = len(watch.errors) - _SHOWN
    also = f" ({more} more errors)" if more > 0 else ""
    return f"{title} failed at: {watch.phase}. {said}{also}"


def _end(process: subprocess.Popen[str]) -> None:
    """End what is left of a tool's group of processes."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            break
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
