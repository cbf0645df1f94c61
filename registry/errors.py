"""Errors of the registry.

RegistryError (RuntimeError)
├── StoreError              the store does not answer, or refuses
│   └── UnsafeStoreError    it does not enforce conditional writes
├── NotFoundError           there is no such object, revision, alias or model
├── ExistsError             an object is there already, and would be another one
├── ConflictError           an object is not the one that was read any more
├── DamagedError            bytes are not those that the history names, or its chain is broken
└── RefusedError            the history does not allow it; the message says why
"""

from __future__ import annotations

from typing import ClassVar


class RegistryError(RuntimeError):
    """Any fault of a registry; the message can be shown to a person.

    Attributes:
        status: exit status of a command that ends by it.
    """

    status: ClassVar[int] = 1


class StoreError(RegistryError):
    status = 5


class UnsafeStoreError(StoreError):
    pass


class NotFoundError(RegistryError):
    status = 4


class ExistsError(RegistryError):
    status = 3


class ConflictError(RegistryError):
    status = 3


class DamagedError(RegistryError):
    status = 6


class RefusedError(RegistryError):
    status = 3
