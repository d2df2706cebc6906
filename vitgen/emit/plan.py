"""What a step of a build would write, as values."""

import hashlib
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")


@dataclass(frozen=True)
class BuildPlan:
    """Files by relative path. Nothing is on disk until :meth:`write`.

    Parameters
    ----------
    files : contents by path, in order of path. Paths are relative, of letters, digits, ``_ . -`` and
        ``/``, and no part begins with a dot or a dash; ValueError for any other.
    """

    files: Mapping[str, bytes]

    def __post_init__(self) -> None:
        for name in self.files:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no relative path of a build")
        object.__setattr__(self, "files", dict(sorted(self.files.items())))

    def __or__(self, other: "BuildPlan") -> "BuildPlan":
        """Both sets of files; ValueError if they share a path."""
        shared = sorted(set(self.files) & set(other.files))
        if shared:
            raise ValueError(f"two plans write {shared[0]!r}")
        return BuildPlan({**self.files, **other.files})

    def texts(self) -> dict[str, str]:
        """The files as text."""
        return {name: content.decode() for name, content in self.files.items()}

    def under(self, directory: str) -> "BuildPlan":
        """The same files in a directory."""
        return BuildPlan({f"{directory}/{name}": data for name, data in self.files.items()})

    def digest(self) -> str:
        """SHA-256 over names and contents."""
        total = hashlib.sha256()
        for name, content in self.files.items():
            total.update(f"{name}\0{len(content)}\0".encode() + content)
        return total.hexdigest()

    def write(self, directory: Path) -> list[Path]:
        """Writes every file whole: a reader, or a killed build, never sees half of one.

        Files that already have their content are left alone. Returns the paths, in order of name.
        OSError as it comes.
        """
        return [_write(directory / name, content) for name, content in self.files.items()]


def _write(path: Path, content: bytes) -> Path:
    if path.is_file() and path.read_bytes() == content:
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
    return path
