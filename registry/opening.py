"""Stores by their URL, and whether one can be relied on."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

from registry.errors import ConflictError, ExistsError, NotFoundError, StoreError, UnsafeStoreError
from registry.folder import FolderStore
from registry.objects import ObjectStore

S3 = re.compile(r"s3://([a-z0-9][a-z0-9.-]{2,62})(?:/(.*))?")


def open_store(url: str) -> ObjectStore:
    """The store at ``s3://bucket/prefix``, ``file:///folder`` or the path of a folder.

    Raises:
        StoreError: the URL is of no kind that is known, or the store's library is not installed.
    """
    if found := S3.fullmatch(url):
        try:
            from registry.bucket import BucketStore
        except ModuleNotFoundError as error:
            raise StoreError(f"{url} needs the package {error.name}: pip install boto3") from None
        return BucketStore(found[1], found[2] or "")
    scheme, separator, rest = url.partition("://")
    if separator and scheme != "file":
        raise StoreError(f"{url!r} is neither s3://bucket/prefix nor a folder")
    return FolderStore(Path(rest if separator else url).expanduser())


def check_conditions(store: ObjectStore) -> None:
    """Try whether the store enforces what the registry stands on.

    Raises:
        UnsafeStoreError: it writes what it must not; two writers could lose each other's work.
    """
    key = f"probes/{uuid.uuid4().hex}"
    try:
        store.create(key, b"first")
        first = store.read(key)
        try:
            store.create(key, b"second")
        except ExistsError:
            pass
        else:
            raise UnsafeStoreError(_unsafe(store, "If-None-Match: *"))
        store.replace(key, b"third", first.etag)
        try:
            store.replace(key, b"fourth", first.etag)
        except ConflictError:
            pass
        else:
            raise UnsafeStoreError(_unsafe(store, "If-Match"))
        if store.read(key).data != b"third":
            raise UnsafeStoreError(f"{store.url}: what was written is not what is read")
    except NotFoundError as error:
        raise StoreError(f"{error}; `vision registry init` makes it") from None
    finally:
        store.delete(key)


def _unsafe(store: ObjectStore, condition: str) -> str:
    return (
        f"{store.url} does not enforce the condition {condition!r} of a write: two writers could "
        "lose each other's work. Take a store that does, or a newer version of this one"
    )
