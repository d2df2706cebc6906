"""A build directory never takes half-written files for whole ones."""

import json
import signal
import subprocess
import sys
import textwrap

import pytest

from vitgen.errors import VitgenError
from vitgen.flow.directory import BuildDirectory, write_whole

REQUEST = {"model": "m", "bits": "4/8"}


def open_at(path, request=REQUEST):
    return BuildDirectory.open(path, request)


def refuse():
    raise AssertionError("a complete step ran again")


def test_complete_steps_are_not_repeated(tmp_path):
    build = open_at(tmp_path / "b")
    assert build.step("one", "k", lambda: {"x/a": b"1", "b": b"2"})
    again = open_at(tmp_path / "b")
    assert not again.step("one", "k", refuse)
    assert (tmp_path / "b/x/a").read_bytes() == b"1"


@pytest.mark.parametrize(
    "harm",
    [
        lambda p: (p / "a").write_bytes(b"other"),
        lambda p: (p / "a").write_bytes(b""),
        lambda p: (p / "a").unlink(),
    ],
)
def test_changed_truncated_or_missing_files_are_made_again(tmp_path, harm):
    build = open_at(tmp_path)
    build.step("one", "k", lambda: {"a": b"1"})
    harm(tmp_path)
    assert open_at(tmp_path).step("one", "k", lambda: {"a": b"1"})
    assert (tmp_path / "a").read_bytes() == b"1"


def test_another_key_runs_again_and_drops_stale_files(tmp_path):
    build = open_at(tmp_path)
    build.step("one", "k", lambda: {"a": b"1", "old": b"1"})
    assert build.step("one", "other", lambda: {"a": b"2"})
    assert (tmp_path / "a").read_bytes() == b"2" and not (tmp_path / "old").exists()


def test_a_step_that_fails_is_not_recorded(tmp_path):
    build = open_at(tmp_path)
    build.step("one", "k", lambda: {"a": b"1"})

    def fail():
        raise VitgenError("no", "")

    with pytest.raises(VitgenError):
        build.step("one", "other", fail)
    assert not open_at(tmp_path).has("one", "k")


def test_key_follows_the_files_of_earlier_steps(tmp_path):
    build = open_at(tmp_path)
    build.step("one", "k", lambda: {"a": b"1"})
    before = build.key("one")
    build.step("one", "k2", lambda: {"a": b"2"})
    assert build.key("one") != before
    assert build.key("one", images=1) != build.key("one", images=2)


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda p: open_at(p, {"model": "other"}), "another build"),
        (lambda p: (p.mkdir(), (p / "mine.txt").write_text("x")), "not empty"),
        (lambda p: (p.mkdir(), (p / "state.json").write_text("{")), "cannot be read"),
        (lambda p: p.write_text("a file"), "cannot be"),
    ],
)
def test_foreign_directories_are_refused(tmp_path, prepare, said):
    path = tmp_path / "b"
    prepare(path)
    with pytest.raises(VitgenError, match=said):
        open_at(path)


def test_two_builds_at_once_are_refused(tmp_path):
    first, second = open_at(tmp_path), open_at(tmp_path)
    with (
        first.locked(),
        pytest.raises(VitgenError, match="Another vitgen"),
        second.locked(),
    ):
        pass


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    write_whole(tmp_path / "a", b"old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(VitgenError, match="No space left"):
        write_whole(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_killed_in_a_step_it_resumes(tmp_path):
    program = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        from vitgen.flow.directory import BuildDirectory

        build = BuildDirectory.open(Path(sys.argv[1]), {"model": "m"})
        with build.locked():
            build.step("one", "k", lambda: {"a": b"1"})

            def die():
                (build.path / ".part-half").write_bytes(b"half")
                os.kill(os.getpid(), signal.SIGKILL)

            build.step("two", "k", die)
        """
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    build = open_at(tmp_path, {"model": "m"})
    with build.locked():
        assert not build.step("one", "k", refuse)
        assert build.step("two", "k", lambda: {"b": b"2"})
    assert not list(tmp_path.glob(".part-*"))
    build.write_manifest()
    assert set(json.loads((tmp_path / "manifest.json").read_text())) == {"a", "b"}
