"""What the registry asks of a store of objects."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple


class Stored(NamedTuple):
    """An object as it was read.

    Attributes:
        etag: stands for these bytes in ``ObjectStore.replace``.
    """

    data: bytes
    etag: str


class ObjectStore(ABC):
    """Objects by key, a path of names with ``/`` between them.

    Every method raises StoreError where the store does not answer.

    Attributes:
        url: for people, and for KServe's ``storageUri``.
    """

    url: str

    @abstractmethod
    def create(self, key: str, data: bytes) -> None:
        """Write an object that is not there yet: of two writers at once, one.

        Raises:
            ExistsError: it is there; nothing was changed.
        """

    @abstractmethod
    def replace(self, key: str, data: bytes, etag: str) -> None:
        """Write an object in place of the one that was read.

        Raises:
            ConflictError: it is another one by now, or gone; nothing was changed.
        """

    @abstractmethod
    def read(self, key: str) -> Stored:
        """Raises NotFoundError: it is not there."""

    @abstractmethod
    def keys(self, prefix: str) -> Iterator[str]:
        """Of all objects whose key begins so, sorted."""

    @abstractmethod
    def marks(self, prefix: str) -> Iterator[tuple[str, str]]:
        """Likewise, each with something that is another when its bytes are, as far as is known
        without reading them.
        """

    @abstractmethod
    def delete(self, key: str) -> None:
        """Nothing happens where it is not there."""

    @abstractmethod
    def set_up(self) -> list[str]:
        """Make what holds the objects, with versions and lifecycle rules where it has those.

        Done again it changes nothing. Returns what was done, a sentence each.
        """
