"""The child process that simulations run in."""

import ctypes
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from vitgen import VitgenError
from vitgen.csim import Built, Library, SimulationFailed, Worker

kept: list[int] = []


def remember(value: int) -> list[int]:
    kept.append(value)
    return kept


def refuse() -> None:
    raise VitgenError("The value 3 is odd.", "Use an even one.")


def pid() -> int:
    return os.getpid()


def unsendable() -> object:
    return lambda: None


def run(path: Path, name: str) -> None:
    out = (ctypes.c_int * 64)()
    library = Library(path)
    if name == "run_overflow":
        library.set_stack(1 << 20)
    if name in ("run_forever", "run_throwing"):
        library.function(name, [])()
    else:
        library.function(name, [ctypes.POINTER(ctypes.c_int)])(out)


def alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_child_keeps_its_state() -> None:
    with Worker() as worker:
        assert worker.call(remember, 1) == [1]
        assert worker.call(remember, value=2) == [1, 2]
        assert worker.call(pid) != os.getpid()
    assert kept == []


def test_errors_come_back() -> None:
    with Worker() as worker:
        with pytest.raises(VitgenError) as error:
            worker.call(refuse)
        assert (error.value.problem, error.value.remedy) == (
            "The value 3 is odd.", "Use an even one."
        )
        assert "in refuse" in error.value.__notes__[0]
        with pytest.raises(RuntimeError, match="pickle"):
            worker.call(unsendable)
        assert worker.call(remember, 1) == [1]


def test_report_comes_back(built: Built) -> None:
    with Worker() as worker, pytest.raises(SimulationFailed) as failed:
        worker.call(run, built.path, "run_throwing")
    assert failed.value.report == "process fails failed: row 7 of 4"


def test_stack_overflow_is_told(built: Built) -> None:
    with Worker() as worker, pytest.raises(RuntimeError, match="SIGSEGV.*overflowed its stack"):
        worker.call(run, built.path, "run_overflow")


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_child_ends_with_its_parent(built: Built, end: signal.Signals) -> None:
    script = textwrap.dedent("""
        import signal
        import sys
        from pathlib import Path
        from tests.csim import test_worker
        # A job in the background of a shell is started with Ctrl-C ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from vitgen.csim import Worker
        with Worker() as worker:
            print(worker.call(test_worker.pid), flush=True)
            worker.call(test_worker.run, Path(sys.argv[1]), "run_forever")
    """)
    parent = subprocess.Popen(
        [sys.executable, "-c", script, built.path], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(0.5)
    assert alive(child)
    parent.send_signal(end)
    _, errors = parent.communicate(timeout=60)
    assert ("KeyboardInterrupt" in errors) == (end == signal.SIGINT)
    deadline = time.monotonic() + 10
    while alive(child) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not alive(child)
