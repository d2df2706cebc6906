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


def step(build, files, k="k"):
    return build.step("one", (), lambda: files, k=k)


def whole(build, files):
    step(build, files)
    build.write_manifest()


def test_complete_steps_are_not_repeated(tmp_path):
    assert step(open_at(tmp_path / "b"), {"x/a": b"1", "b": b"2"})
    again = open_at(tmp_path / "b")
    assert not again.step("one", (), refuse, k="k")
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
    whole(build, {"a": b"1"})
    assert build.whole()
    harm(tmp_path)
    assert not build.whole()
    assert step(open_at(tmp_path), {"a": b"1"})
    assert (tmp_path / "a").read_bytes() == b"1"


def test_another_key_runs_again_and_drops_stale_files(tmp_path):
    build = open_at(tmp_path)
    step(build, {"a": b"1", "old": b"1"})
    assert step(build, {"a": b"2"}, "other")
    assert (tmp_path / "a").read_bytes() == b"2" and not (tmp_path / "old").exists()


def test_a_step_that_fails_leaves_what_was_complete(tmp_path):
    build = open_at(tmp_path)
    whole(build, {"a": b"1"})

    def fail():
        raise VitgenError("no", "")

    with pytest.raises(VitgenError):
        build.step("one", (), fail, k="other")
    again = open_at(tmp_path)
    assert again.current("one") and again.whole()
    assert not step(again, {"a": b"1"}) and step(again, {"a": b"2"}, "other")
    assert not (tmp_path / "manifest.json").exists()


def test_files_of_a_step_that_was_cut_off_are_known(tmp_path, monkeypatch):
    def full(path, data):
        if path.name == "b":
            raise VitgenError("full", "")
        return write_whole(path, data)

    build = open_at(tmp_path)
    monkeypatch.setattr("vitgen.flow.directory.write_whole", full)
    with pytest.raises(VitgenError):
        step(build, {"a": b"1", "b": b"1"})
    monkeypatch.undo()
    assert step(open_at(tmp_path), {"c": b"1"})
    assert not (tmp_path / "a").exists()


def test_a_step_follows_the_files_that_it_read(tmp_path):
    build = open_at(tmp_path)
    step(build, {"a": b"1"})
    assert build.step("two", ("one",), lambda: {"b": b"1"})
    assert not build.step("two", ("one",), refuse)
    step(build, {"a": b"2"}, "other")
    assert not build.current("two")
    assert build.step("two", ("one",), lambda: {"b": b"2"})
    assert build.step("two", ("one",), lambda: {"b": b"2"}, images=1)
    assert build.current("two")


def test_another_vitgen_makes_everything_again(tmp_path, monkeypatch):
    step(open_at(tmp_path), {"a": b"1"})
    monkeypatch.setattr("vitgen.flow.directory.tool_digest", lambda: "another")
    assert step(open_at(tmp_path), {"a": b"1"})


def test_dropping_a_step_removes_its_files(tmp_path):
    build = open_at(tmp_path)
    step(build, {"a": b"1"})
    build.drop("one")
    build.drop("one")
    assert not (tmp_path / "a").exists() and not open_at(tmp_path).current("one")


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        (lambda p: step(open_at(p, {"model": "other"}), {"a": b"1"}), "another build .*other.*not 'm'"),
        (lambda p: (p.mkdir(), (p / "mine.txt").write_text("x")), "not empty.*mine.txt"),
        (lambda p: (p.mkdir(), (p / "state.json").write_text("{")), "cannot be read"),
        (lambda p: (p.mkdir(), (p / "state.json").write_text("[]")), "not a state"),
        (lambda p: (p.mkdir(), (p / "state.json").write_text('{"format": 2}')), "not a state"),
        (lambda p: p.write_text("a file"), "is a file"),
    ],
)
def test_foreign_directories_are_refused(tmp_path, prepare, said):
    path = tmp_path / "b"
    prepare(path)
    with pytest.raises(VitgenError, match=said):
        open_at(path)


def test_a_request_of_which_nothing_was_completed_gives_way(tmp_path):
    def fail():
        raise VitgenError("no", "")

    with pytest.raises(VitgenError):
        open_at(tmp_path, {"model": "wrong"}).step("one", (), fail)
    build = open_at(tmp_path)
    assert step(build, {"a": b"1"}) and build.request == REQUEST


def test_files_count_by_their_content(tmp_path):
    def request(path, content):
        return {"model": "m", "checkpoint": path, "digests": {"checkpoint": content}}

    step(open_at(tmp_path, request("a/x", "1")), {"a": b"1"})
    assert not step(open_at(tmp_path, request("/moved/x", "1")), {"a": b"1"})
    with pytest.raises(VitgenError, match="a/x has changed since"):
        open_at(tmp_path, request("a/x", "2"))


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
            build.step("one", (), lambda: {"a": b"1"})

            def die():
                (build.path / ".part-half").write_bytes(b"half")
                os.kill(os.getpid(), signal.SIGKILL)

            build.step("two", ("one",), die)
        """
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    build = open_at(tmp_path, {"model": "m"})
    with build.locked():
        assert not build.step("one", (), refuse)
        assert build.step("two", ("one",), lambda: {"b": b"2"})
    assert not list(tmp_path.glob(".part-*"))
    build.write_manifest()
    assert set(json.loads((tmp_path / "manifest.json").read_text())) == {"a", "b"}
