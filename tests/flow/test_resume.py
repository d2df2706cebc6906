"""Builds and trainings that are cut off: the same command ends with the same bytes."""

import os
import signal
import subprocess
import sys
import textwrap

import pytest

from tests.flow.conftest import files_of
from vitgen.flow.build import build
from vitgen.flow.directory import write_whole
from vitgen.flow.request import BuildRequest

# Runs the command line, with one function wrapped: its call number COUNT sends SIGNAL to this process.
CUT_OFF = textwrap.dedent(
    """
    import importlib, os, sys

    where, name, count, number, *arguments = sys.argv[1:]
    module = importlib.import_module(where)
    owner, _, name = name.rpartition(".")
    owner = getattr(module, owner) if owner else module
    whole, calls = getattr(owner, name), 0

    def cut(*given, **options):
        global calls
        calls += 1
        if calls == int(count):
            os.kill(os.getpid(), int(number))
        return whole(*given, **options)

    setattr(owner, name, cut)
    sys.argv = ["vitgen", *arguments]
    from vitgen.cli import main

    main()
    """
)


def cut_off(where, name, count, number, *arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", CUT_OFF, where, name, str(count), str(int(number))]
    return subprocess.run(
        [*command, *map(str, arguments)], check=False, capture_output=True, text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def request_of_tiny(tiny):
    return BuildRequest(model=str(tiny), bits="4/8")


@pytest.fixture(scope="module")
def uninterrupted(request_of_tiny, tmp_path_factory):
    """A whole build, verified on three images."""
    out = tmp_path_factory.mktemp("whole") / "out"
    report = build(request_of_tiny, out, verify="csim", images=3)
    assert report["verification"]["csim"]["mismatches"] == 0
    return out


def test_killed_at_any_write_a_build_goes_on(
    request_of_tiny, uninterrupted, tmp_path, monkeypatch
):
    class Killed(BaseException):
        pass

    writes = 0
    number = 0

    def cut(path, data):
        nonlocal writes
        writes += 1
        if writes == number:
            path.parent.mkdir(parents=True, exist_ok=True)
            (path.parent / ".part-killed").write_bytes(data[: len(data) // 2])
            raise Killed
        write_whole(path, data)

    monkeypatch.setattr("vitgen.flow.directory.write_whole", cut)
    build(request_of_tiny, tmp_path / "whole")
    total = writes
    assert total > 30
    for number in range(1, total + 1, 3):
        out = tmp_path / f"cut-{number}"
        writes = 0
        with pytest.raises(Killed):
            build(request_of_tiny, out)
        assert not (out / "manifest.json").exists()
        writes = -total  # not again
        build(request_of_tiny, out)
        assert files_of(out) == files_of(tmp_path / "whole"), number


@pytest.mark.parametrize(
    ("where", "name", "count", "number"),
    [
        ("vitgen.lower", "lower", 1, signal.SIGKILL),
        ("vitgen.flow.steps", "encode_program", 1, signal.SIGKILL),
        ("vitgen.csim.worker", "Worker.call", 3, signal.SIGKILL),
        ("vitgen.csim.worker", "Worker.call", 3, signal.SIGINT),
        ("vitgen.flow.steps", "render_html", 1, signal.SIGTERM),
    ],
)
def test_a_signal_in_a_step_leaves_a_build_that_goes_on(
    vitgen, tiny, uninterrupted, tmp_path, where, name, count, number
):
    out = tmp_path / "out"
    command = ("build", "--model", tiny, "--bits", "4/8", "--out", out)
    command = (*command, "--verify", "csim", "--images", 3)
    done = cut_off(where, name, count, number, *command)
    if number == signal.SIGINT:
        assert done.returncode == 130 and "same command" in done.stderr
        assert "Traceback" not in done.stderr
    else:
        assert done.returncode == -number, done.stderr
    said = vitgen("report", out)
    assert said.status == 2 and "same `vitgen build` again" in said.err
    assert vitgen(*command).status == 0
    assert files_of(out) == files_of(uninterrupted)


def test_verify_goes_on_with_an_unfinished_build(vitgen, tiny, uninterrupted, tmp_path):
    out = tmp_path / "out"
    command = ("build", "--model", tiny, "--bits", "4/8", "--out", out)
    done = cut_off("vitgen.flow.steps", "encode_program", 1, signal.SIGKILL, *command)
    assert done.returncode == -signal.SIGKILL
    assert vitgen("verify", out, "--images", 3).status == 0
    assert files_of(out) == files_of(uninterrupted)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_training_goes_on(vitgen, tiny, tmp_path, number):
    command = ("train", "--model", tiny, "--bits", "4/8", "--epochs", 4)
    done = cut_off(
        "vitgen.train.loop", "save_state", 3, number, *command, "--out", tmp_path / "cut"
    )
    assert done.returncode == (130 if number == signal.SIGINT else -number), done.stderr
    assert not (tmp_path / "cut/checkpoint.safetensors").exists()
    said = vitgen(*command, "--out", tmp_path / "cut")
    assert said.status == 0 and "4 epochs" in said.out
    assert vitgen(*command, "--out", tmp_path / "whole").status == 0
    cut, whole = (tmp_path / p / "checkpoint.safetensors" for p in ("cut", "whole"))
    assert cut.read_bytes() == whole.read_bytes()
