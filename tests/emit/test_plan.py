"""Plans of files: names, digest, whole files on disk."""

import os
import stat

import pytest

from vitgen.emit import BuildPlan


@pytest.mark.parametrize(
    "name",
    ["", "/etc/x", "../x", "a/../b", "a//b", "a/", ".hidden", "a/.b", "-flag", "a b", "a\n", "a\\b", "ä"],
)
def test_names_that_are_refused(name):
    with pytest.raises(ValueError, match="no relative path"):
        BuildPlan({name: b""})


def test_digest_sees_names_and_contents():
    plan = BuildPlan({"b": b"2", "a/c.h": b"1"})
    assert list(plan.files) == ["a/c.h", "b"]
    assert plan.digest() == BuildPlan({"a/c.h": b"1", "b": b"2"}).digest()
    others = [{"b": b"2"}, {"b": b"2", "a/c.h": b"3"}, {"b": b"2", "a/d.h": b"1"}, {"ba": b"2/c.h1"}]
    assert len({plan.digest(), *(BuildPlan(other).digest() for other in others)}) == 5


def test_plans_are_joined_without_overlap():
    joined = BuildPlan({"x": b"1"}).under("hls") | BuildPlan({"x": b"2"})
    assert joined.files == {"hls/x": b"1", "x": b"2"}
    with pytest.raises(ValueError, match="two plans write 'x'"):
        _ = joined | BuildPlan({"x": b"2"})


def test_write_replaces_whole_files_and_leaves_equal_ones(tmp_path):
    plan = BuildPlan({"a/b.txt": b"new", "c.txt": b"same"})
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b.txt").write_bytes(b"old")
    (tmp_path / "c.txt").write_bytes(b"same")
    before = os.stat(tmp_path / "c.txt").st_ino
    assert plan.write(tmp_path) == [tmp_path / "a/b.txt", tmp_path / "c.txt"]
    assert (tmp_path / "a/b.txt").read_bytes() == b"new"
    assert os.stat(tmp_path / "c.txt").st_ino == before
    assert stat.S_IMODE(os.stat(tmp_path / "a/b.txt").st_mode) == 0o644
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["b.txt", "c.txt"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"old")

    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        BuildPlan({"a": b"new"}).write(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"old"
