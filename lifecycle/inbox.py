"""Where parts arrive: ``<model>/<part>``, a file or a folder, in a folder or a bucket."""

from __future__ import annotations

import hashlib
import shutil
import time
from pathlib import Path
from typing import NamedTuple

from lifecycle.errors import StoppedError
from registry.objects import ObjectStore
from registry.opening import S3, open_store

CHUNK = 1 << 20
UNFINISHED = ("~", ".part", ".tmp", ".crdownload")
"""Ends of names that belong to what is still being written; so do those that begin with a point."""


class Part(NamedTuple):
    """Something in an inbox.

    Attributes:
        path: ``<model>/<part>``.
        mark: another one whenever its files are others, as far as is known without reading them.
    """

    model: str
    path: str
    mark: str


class Inbox:
    """At ``url``: a folder, made where it is not there, or ``s3://bucket/prefix``.

    Raises:
        StoreError: it cannot be opened.
    """

    def __init__(self, url: str) -> None:
        self._store: ObjectStore = open_store(url)
        self._folder = None if S3.fullmatch(url) else Path(url.removeprefix("file://"))
        if self._folder is not None:
            self._store.set_up()
        self.url = url

    def parts(self) -> list[Part]:
        """What is there now, sorted."""
        found: dict[str, list[tuple[str, str]]] = {}
        for key, mark in self._store.marks(""):
            names = key.split("/")
            if len(names) > 1 and not any(map(_is_unfinished, names)):
                found.setdefault("/".join(names[:2]), []).append((key, mark))
        return [
            Part(path.partition("/")[0], path, hashlib.sha256(repr(files).encode()).hexdigest())
            for path, files in sorted(found.items())
        ]

    def settled(self, seconds: float) -> list[Part]:
        """The parts that nobody has written to for so long."""
        before = set(self.parts())
        if not before:
            return []
        time.sleep(seconds)
        return [part for part in self.parts() if part in before]

    def fetch(self, path: str, work: Path) -> Path:
        """A part's file or folder on this machine.

        Args:
            work: folder to put it in, if it must be fetched.

        Raises:
            StoppedError: it is not there any more.
        """
        if self._folder is not None:
            found = self._folder / path
            if not found.exists():
                raise StoppedError(f"{found} is not there any more")
            return found
        keys = [key for key in self._store.keys(path) if key == path or key.startswith(f"{path}/")]
        if not keys:
            raise StoppedError(f"{self.url}/{path} is not there any more")
        target = work / "part"
        shutil.rmtree(target, ignore_errors=True)
        for key in keys:
            file = target / key
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self._store.read(key).data)
        return target / path


def digest_of(path: Path) -> str:
    """``sha256:`` and the hash of a file's bytes, or of a folder's names and files."""
    found = hashlib.sha256()
    if path.is_file():
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                found.update(chunk)
        return f"sha256:{found.hexdigest()}"
    for file_path in sorted(path.rglob("*")):
        name = file_path.relative_to(path)
        if file_path.is_file() and not any(map(_is_unfinished, name.parts)):
            found.update(f"{name.as_posix()}\0{digest_of(file_path)}\n".encode())
    return f"sha256:{found.hexdigest()}"


def _is_unfinished(name: str) -> bool:
    return name.startswith(".") or name.endswith(UNFINISHED)
