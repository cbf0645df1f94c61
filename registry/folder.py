"""A folder as a store of objects, for one machine or a shared file system with locks."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from registry.errors import ConflictError, ExistsError, NotFoundError, StoreError
from registry.objects import ObjectStore, Stored

DRAFT = ".draft-"


class FolderStore(ObjectStore):
    """A file per object; it appears whole or not at all, also after a crash."""

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self.url = f"file://{self._root}"

    def create(self, key: str, data: bytes) -> None:
        path = self._path(key)
        with self._draft(path, data) as draft:
            try:
                os.link(draft, path)
            except FileExistsError:
                raise ExistsError(f"{self.url}/{key} exists") from None
        _sync_folder(path.parent)

    def replace(self, key: str, data: bytes, etag: str) -> None:
        path = self._path(key)
        with self._locked(path), self._draft(path, data) as draft:
            try:
                found = self.read(key).etag
            except NotFoundError:
                found = ""
            if found != etag:
                raise ConflictError(f"{self.url}/{key} was changed meanwhile")
            draft.rename(path)
        _sync_folder(path.parent)

    def read(self, key: str) -> Stored:
        try:
            data = self._path(key).read_bytes()
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise NotFoundError(f"{self.url}/{key} is not there") from None
        except OSError as error:
            raise StoreError(f"{self.url}/{key}: {error.strerror}") from None
        return Stored(data, hashlib.sha256(data).hexdigest())

    def keys(self, prefix: str) -> Iterator[str]:
        # The folder that all of them are in, and not the whole store.
        folder = self._root / prefix.rpartition("/")[0]
        found = [
            path.relative_to(self._root).as_posix()
            for path in folder.rglob("*")
            if path.is_file() and not path.name.startswith(".")
        ]
        yield from sorted(key for key in found if key.startswith(prefix))

    def marks(self, prefix: str) -> Iterator[tuple[str, str]]:
        for key in self.keys(prefix):
            with contextlib.suppress(FileNotFoundError):
                found = self._path(key).stat()
                yield key, f"{found.st_size}-{found.st_mtime_ns}"

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)

    def set_up(self) -> list[str]:
        if self._root.is_dir():
            return []
        try:
            self._root.mkdir(parents=True)
        except OSError as error:
            raise StoreError(f"{self._root} cannot be made: {error.strerror}") from None
        return [f"made the folder {self._root}"]

    def _path(self, key: str) -> Path:
        names = key.split("/")
        if any(not name or name.startswith(".") for name in names):
            raise StoreError(f"{key!r} cannot be the key of an object")
        return self._root.joinpath(*names)

    @contextlib.contextmanager
    def _draft(self, path: Path, data: bytes) -> Iterator[Path]:
        """The data under a name of its own beside ``path``, on the disk."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix=DRAFT, dir=path.parent)
        except OSError as error:
            raise StoreError(f"{path} cannot be written: {error.strerror}") from None
        draft = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.chmod(0o644)
            yield draft
        except OSError as error:
            raise StoreError(f"{path} cannot be written: {error.strerror}") from None
        finally:
            draft.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _locked(self, path: Path) -> Iterator[None]:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.with_name(f".{path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, too."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
