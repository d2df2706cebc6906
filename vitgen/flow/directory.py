"""A build directory: files written whole or not at all, steps recorded when they are complete."""

import contextlib
import fcntl
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vitgen.errors import VitgenError

STATE = "state.json"
MANIFEST = "manifest.json"
FORMAT = 1


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all.

    Raises
    ------
    VitgenError : the disk is full or the place is not writable.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".part-", delete=False) as part:
            temporary = Path(part.name)
            part.write(data)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise VitgenError(
            f"{path} cannot be written: {error.strerror}.", "Free space or choose another --out."
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


class BuildDirectory:
    """The directory of one build.

    A step is recorded with a key (a digest of all that it depends on) and the digests of its files
    after all of them are written. A step whose record is absent, whose key differs or whose files
    have changed runs again: a killed build resumes, and nothing half-written passes for whole.
    """

    def __init__(self, path: Path, state: dict[str, Any]) -> None:
        self.path = path
        self._state = state

    @classmethod
    def open(cls, path: Path, request: Mapping[str, Any]) -> "BuildDirectory":
        """Create ``path`` for ``request`` or resume the same request in it.

        Raises
        ------
        VitgenError : it holds another build or foreign files, or cannot be written.
        """
        fresh = {"format": FORMAT, "request": dict(request), "steps": {}}
        try:
            state = json.loads((path / STATE).read_text())
        except FileNotFoundError:
            leftovers = [p.name for p in path.iterdir()] if path.is_dir() else []
            if any(not name.startswith((".part-", ".lock")) for name in leftovers):
                raise VitgenError(
                    f"{path} is not empty and holds no build.", "Choose another --out."
                ) from None
            build = cls(path, fresh)
            build._save()
            return build
        except (OSError, ValueError) as error:
            raise VitgenError(
                f"{path / STATE} cannot be read: {error}.", "Delete the directory and build again."
            ) from error
        if state.get("format") != FORMAT or state.get("request") != fresh["request"]:
            raise VitgenError(
                f"{path} holds another build ({_difference(state, fresh)}).",
                "Choose another --out or delete the directory.",
            )
        return cls(path, state)

    @classmethod
    def existing(cls, path: Path) -> "BuildDirectory":
        """The build that ``path`` holds.

        Raises
        ------
        VitgenError : there is none, or it is not finished.
        """
        try:
            state = json.loads((path / STATE).read_text())
        except (OSError, ValueError) as error:
            raise VitgenError(
                f"{path} holds no build: {error}.", "Run `vitgen build --out DIR` first."
            ) from error
        return cls(path, state)

    @property
    def request(self) -> dict[str, Any]:
        """The request that the directory was made for."""
        return dict(self._state["request"])

    def _save(self) -> None:
        write_whole(self.path / STATE, json.dumps(self._state, indent=1).encode() + b"\n")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory against a second build."""
        with (self.path / ".lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise VitgenError(
                    f"Another vitgen works in {self.path}.", "Wait for it or choose another --out."
                ) from error
            for part in self.path.rglob(".part-*"):
                part.unlink(missing_ok=True)
            yield

    def has(self, name: str, key: str) -> bool:
        """Whether the step is complete for this key and its files are as it left them."""
        record = self._state["steps"].get(name)
        if record is None or record["key"] != key:
            return False
        return all(self._unchanged(file, known) for file, known in record["files"].items())

    def _unchanged(self, file: str, known: str) -> bool:
        try:
            with (self.path / file).open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest() == known
        except OSError:
            return False

    def step(self, name: str, key: str, produce: Callable[[], Mapping[str, bytes]]) -> bool:
        """Run ``produce`` and keep its files (by relative path), unless the step is complete.

        Returns whether it ran.
        """
        if self.has(name, key):
            return False
        before = self._state["steps"].pop(name, {"files": {}})
        self._save()
        files = produce()
        for stale in set(before["files"]) - set(files):
            (self.path / stale).unlink(missing_ok=True)
        for file, data in files.items():
            write_whole(self.path / file, data)
        record = {"key": key, "files": {f: digest(d) for f, d in sorted(files.items())}}
        self._state["steps"][name] = record
        self._save()
        return True

    def key(self, *steps: str, **more: Any) -> str:
        """A digest of the files of ``steps`` and of ``more``: a key for a step that reads them."""
        parts: dict[str, Any] = {name: self._state["steps"][name]["files"] for name in steps}
        parts.update(more, request=self._state["request"])
        return digest(json.dumps(parts, sort_keys=True, default=str).encode())

    def write_manifest(self) -> None:
        """``manifest.json``: the digest of every file of every step."""
        files = {}
        for record in self._state["steps"].values():
            files.update(record["files"])
        text = json.dumps(dict(sorted(files.items())), indent=1)
        write_whole(self.path / MANIFEST, text.encode() + b"\n")


def _difference(state: Mapping[str, Any], fresh: Mapping[str, Any]) -> str:
    old, new = state.get("request", {}), fresh["request"]
    keys = [k for k in {**old, **new} if old.get(k) != new.get(k)]
    return ", ".join(f"{k}: {old.get(k)!r}, not {new.get(k)!r}" for k in keys[:3]) or "format"
