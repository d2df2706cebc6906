"""A build directory: files written whole or not at all, steps recorded when they are complete."""

import contextlib
import fcntl
import functools
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from vitgen.errors import VitgenError
from vitgen.resources import boards_dir, templates_dir

STATE = "state.json"
MANIFEST = "manifest.json"
LOCK = ".lock"
PART = ".part-"
FORMAT = 2


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


@functools.cache
def tool_digest() -> str:
    """Digest of vitgen's own files: what another vitgen made is made again."""
    total = hashlib.sha256()
    for root in (Path(__file__).resolve().parents[1], templates_dir(), boards_dir()):
        for file in sorted(root.rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                total.update(f"{file.relative_to(root)}\0{digest(file.read_bytes())}\0".encode())
    return total.hexdigest()


def _unwritable(path: Path, error: OSError) -> VitgenError:
    return VitgenError(
        f"{path} cannot be written: {error.strerror or error}.",
        "Free space there, or choose another --out.",
    )


def write_whole(path: Path, data: bytes) -> None:
    """Write a file whole or not at all.

    Raises
    ------
    VitgenError : the disk is full or the place is not writable.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=PART, delete=False) as part:
            temporary = Path(part.name)
            part.write(data)
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


class BuildDirectory:
    """The directory of one build.

    A step is recorded with a key (a digest of all that it depends on) and the digests of its files
    after all of them are written. A step whose record is absent, whose key differs or whose files
    have changed runs again: a killed build resumes, and nothing half-written passes for whole.
    ``manifest.json`` exists only while everything is complete.
    """

    def __init__(self, path: Path, request: Mapping[str, Any] | None) -> None:
        self.path = path
        self._wanted = request
        self._state = self._read()

    @classmethod
    def open(cls, path: Path, request: Mapping[str, Any]) -> "BuildDirectory":
        """``path`` for ``request``: new, or with the same request to resume.

        Raises
        ------
        VitgenError : it is a file, or holds another build or foreign files.
        """
        return cls(path, dict(request))

    @classmethod
    def existing(cls, path: Path) -> "BuildDirectory":
        """The build that ``path`` holds, finished or not.

        Raises
        ------
        VitgenError : there is none.
        """
        return cls(path, None)

    def _read(self) -> dict[str, Any]:
        state = _load(self.path)
        if self._wanted is None:
            if state is None:
                raise VitgenError(f"{self.path} holds no build.", "Run `vitgen build --out DIR` first.")
            return state
        fresh = {"format": FORMAT, "request": self._wanted, "steps": {}}
        if state is None:
            _refuse_foreign(self.path)
            return fresh
        if any(record["key"] for record in state["steps"].values()):
            _refuse_other(self.path, state["request"], self._wanted)
        # Nothing was completed of another request: its unfinished files are replaced.
        return fresh | {"steps": state["steps"]}

    @property
    def request(self) -> dict[str, Any]:
        """The request that the directory was made for."""
        return dict(self._state["request"])

    def check(self, request: Mapping[str, Any]) -> None:
        """Refuse a request that differs from the directory's, say by a changed checkpoint."""
        _refuse_other(self.path, self._state["request"], request)

    def _save(self) -> None:
        write_whole(self.path / STATE, json.dumps(self._state, indent=1).encode() + b"\n")

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory against a second build; every step needs it.

        Raises
        ------
        VitgenError : another build holds it, or it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            handle = (self.path / LOCK).open("w")
        except OSError as error:
            raise _unwritable(self.path, error) from error
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise VitgenError(
                    f"Another vitgen works in {self.path}.", "Wait for it or choose another --out."
                ) from error
            self._state = self._read()  # as the last holder left it
            for part in self.path.rglob(f"{PART}*"):
                part.unlink(missing_ok=True)
            if self._wanted is not None:
                self._save()
            yield

    def _unchanged(self, file: str, known: str) -> bool:
        try:
            with (self.path / file).open("rb") as stream:
                return hashlib.file_digest(stream, "sha256").hexdigest() == known
        except OSError:
            return False

    def _key(self, after: Sequence[str], more: Mapping[str, Any]) -> str:
        steps = self._state["steps"]
        parts = {
            "files": {name: steps[name]["files"] if name in steps else None for name in after},
            "more": dict(more),
            "request": _identity(self._state["request"]),
            "tool": tool_digest(),
        }
        return digest(json.dumps(parts, sort_keys=True).encode())

    def step(
        self, name: str, after: Sequence[str], produce: Callable[[], Mapping[str, bytes]], **more: Any
    ) -> bool:
        """Run ``produce`` and keep its files (by relative path), unless the step is complete.

        Parameters
        ----------
        name : of the step.
        after : steps whose files it reads.
        produce : makes the files.
        more : further values that decide its files.

        Returns
        -------
        Whether it ran.
        """
        if self.current(name) and self._state["steps"][name]["key"] == self._key(after, more):
            return False
        files = produce()  # what was complete stays so, if this fails
        before = self._forget(name)
        for stale in set(before) - set(files):
            (self.path / stale).unlink(missing_ok=True)
        # Named before they are written: a killed build leaves no file that nobody knows.
        self._state["steps"][name] = _record(after, dict.fromkeys(files, ""))
        self._save()
        for file, data in files.items():
            write_whole(self.path / file, data)
        record = _record(after, {file: digest(data) for file, data in sorted(files.items())})
        record |= {"base": self._key(after, {}), "key": self._key(after, more)}
        self._state["steps"][name] = record
        self._save()
        return True

    def _forget(self, name: str) -> list[str]:
        """Mark a step incomplete; its files, which remain."""
        (self.path / MANIFEST).unlink(missing_ok=True)
        record = self._state["steps"].get(name, _record((), {}))
        self._state["steps"][name] = _record(record["after"], record["files"])
        self._save()
        return list(record["files"])

    def current(self, name: str) -> bool:
        """Whether a step is complete, its files are as it left them and so are those it read."""
        record = self._state["steps"].get(name)
        if record is None or not record["key"] or record["base"] != self._key(record["after"], {}):
            return False
        return all(self._unchanged(file, known) for file, known in record["files"].items())

    def drop(self, name: str) -> None:
        """Forget a step and remove its files."""
        if name in self._state["steps"]:
            for file in self._forget(name):
                (self.path / file).unlink(missing_ok=True)
            del self._state["steps"][name]
            self._save()

    def _manifest(self) -> bytes:
        files: dict[str, str] = {}
        for record in self._state["steps"].values():
            files.update(record["files"])
        return json.dumps(dict(sorted(files.items())), indent=1).encode() + b"\n"

    def write_manifest(self) -> None:
        """``manifest.json``: the digest of every file of every step."""
        write_whole(self.path / MANIFEST, self._manifest())

    def whole(self) -> bool:
        """Whether every file is there as the build left it."""
        try:
            found = (self.path / MANIFEST).read_bytes()
        except OSError:
            return False
        records = self._state["steps"].values()
        return found == self._manifest() and all(
            self._unchanged(file, known) for r in records for file, known in r["files"].items()
        )


def _record(after: Sequence[str], files: Mapping[str, str]) -> dict[str, Any]:
    return {"key": "", "base": "", "after": list(after), "files": dict(files)}


def _load(path: Path) -> dict[str, Any] | None:
    """The state in ``path``; None where there is none."""
    if path.exists() and not path.is_dir():
        raise VitgenError(f"{path} is a file, not a directory.", "Choose another --out.")
    try:
        state = json.loads((path / STATE).read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise VitgenError(
            f"{path / STATE} cannot be read: {error}.", "Delete the directory and build again."
        ) from error
    if (
        not isinstance(state, dict)
        or state.get("format") != FORMAT
        or not all(isinstance(state.get(key), dict) for key in ("request", "steps"))
    ):
        raise VitgenError(
            f"{path / STATE} is not a state of this version of vitgen.",
            "Delete the directory and build again.",
        )
    return state


def _refuse_foreign(path: Path) -> None:
    leftovers = [p.name for p in path.iterdir()] if path.is_dir() else []
    foreign = sorted(n for n in leftovers if not n.startswith(PART) and n != LOCK)
    if foreign:
        raise VitgenError(
            f"{path} is not empty and holds no build (it has {foreign[0]}).", "Choose another --out."
        )


def _identity(request: Mapping[str, Any]) -> dict[str, Any]:
    """What makes two requests the same: files count by their content, wherever they lie."""
    files = request.get("digests", {})
    return {k: v for k, v in request.items() if k not in files}


def _refuse_other(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    if _identity(old) == _identity(new):
        return
    keys = [k for k in {**old, **new} if k != "digests" and old.get(k) != new.get(k)]
    said = [f"{k}: {old.get(k)!r}, not {new.get(k)!r}" for k in keys[:3]]
    changed = [
        k for k, v in old.get("digests", {}).items()
        if k not in keys and new.get("digests", {}).get(k) != v
    ]  # fmt: skip
    said += [f"{k}: {new.get(k)} has changed since" for k in changed]
    raise VitgenError(
        f"{path} holds another build ({'; '.join(said)}).",
        "Choose another --out or delete the directory.",
    )
