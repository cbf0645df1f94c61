"""Both kinds of store: a folder, and a real S3 server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from registry.bucket import BucketStore
from registry.errors import (
    ConflictError,
    ExistsError,
    NotFoundError,
    StoreError,
    UnsafeStoreError,
)
from registry.folder import DRAFT, FolderStore
from registry.objects import ObjectStore
from registry.opening import check_conditions, open_store
from tests.conftest import ROOT


def test_an_object_is_created_once(store: ObjectStore) -> None:
    store.create("a/b.json", b"1")
    with pytest.raises(ExistsError, match=r"a/b\.json exists"):
        store.create("a/b.json", b"2")
    assert store.read("a/b.json").data == b"1"


def test_an_object_is_replaced_by_whoever_has_read_it(store: ObjectStore) -> None:
    store.create("head", b"1")
    first = store.read("head").etag
    store.replace("head", b"2", first)
    with pytest.raises(ConflictError, match="changed meanwhile"):
        store.replace("head", b"3", first)
    assert store.read("head").data == b"2"


def test_what_is_gone_is_not_replaced(store: ObjectStore) -> None:
    store.create("head", b"1")
    etag = store.read("head").etag
    store.delete("head")
    store.delete("head")
    with pytest.raises(ConflictError):
        store.replace("head", b"2", etag)
    with pytest.raises(NotFoundError, match="head is not there"):
        store.read("head")


def test_keys_are_sorted_and_of_the_prefix(store: ObjectStore) -> None:
    for key in ("b/2", "a/1", "b/1/x", "ba"):
        store.create(key, b"")
    assert list(store.keys("b/")) == ["b/1/x", "b/2"]
    assert list(store.keys("")) == ["a/1", "b/1/x", "b/2", "ba"]
    assert list(store.keys("c/")) == []


def test_of_many_writers_at_once_one_creates(store: ObjectStore) -> None:
    def created(number: int) -> bool:
        try:
            store.create("one", b"%d" % number)
        except ExistsError:
            return False
        return True

    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(created, range(12))) == 1


def test_of_many_writers_at_once_one_replaces(folder: FolderStore) -> None:
    """SeaweedFS 4.48 lets two, now and then: the history does not rely on it."""

    def replaced(number: int) -> bool:
        try:
            folder.replace("one", b"%d" % number, etag)
        except ConflictError:
            return False
        return True

    folder.create("one", b"")
    etag = folder.read("one").etag
    with ThreadPoolExecutor(12) as pool:
        assert sum(pool.map(replaced, range(12))) == 1


def test_both_enforce_what_the_registry_stands_on(store: ObjectStore) -> None:
    check_conditions(store)
    assert list(store.keys("probes/")) == []


def test_a_store_that_overwrites_is_refused_by_name(folder: FolderStore) -> None:
    class Careless(FolderStore):
        def create(self, key: str, data: bytes) -> None:
            self.delete(key)
            super().create(key, data)

    class Forgetful(FolderStore):
        def replace(self, key: str, data: bytes, etag: str) -> None:
            super().replace(key, data, self.read(key).etag)

    root = Path(folder.url.removeprefix("file://"))
    with pytest.raises(UnsafeStoreError, match=r"'If-None-Match: \*'"):
        check_conditions(Careless(root))
    with pytest.raises(UnsafeStoreError, match="'If-Match'"):
        check_conditions(Forgetful(root))


def test_setting_up_twice_changes_nothing(store: ObjectStore) -> None:
    store.create("a", b"1")
    assert store.set_up() == []
    assert store.read("a").data == b"1"


def test_a_bucket_keeps_versions_and_has_rules(s3_environment: str) -> None:
    store = BucketStore(f"vision-{uuid.uuid4().hex[:12]}")
    done = store.set_up()
    assert len(done) == 3
    client = store._client
    bucket = store.url.removeprefix("s3://")
    assert client.get_bucket_versioning(Bucket=bucket)["Status"] == "Enabled"
    store.create("a", b"1")
    store.delete("a")
    versions = client.list_object_versions(Bucket=bucket, Prefix="a")
    assert [v["Key"] for v in versions["Versions"]] == ["a"]


def test_a_bucket_that_is_not_there(folder: FolderStore) -> None:
    class Nowhere(FolderStore):
        def create(self, key: str, data: bytes) -> None:
            raise NotFoundError("s3://not-there is not there")

    with pytest.raises(StoreError, match=r"not there; `vision registry init` makes it"):
        check_conditions(Nowhere(Path(folder.url.removeprefix("file://"))))


def test_a_server_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch, s3_environment: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(StoreError, match="Could not connect"):
        open_store("s3://vision/models").read("a")


@pytest.mark.parametrize("url", ["gs://bucket", "s3://B_ad/x", "s3://", "http://x/y"])
def test_urls_of_no_known_kind(url: str) -> None:
    with pytest.raises(StoreError, match="neither s3://bucket/prefix nor a folder"):
        open_store(url)


def test_folders_are_found_by_url_and_path(tmp_path: Path) -> None:
    for url in (f"file://{tmp_path}", str(tmp_path)):
        store = open_store(url)
        assert isinstance(store, FolderStore)
        assert store.url == f"file://{tmp_path.resolve()}"


@pytest.mark.parametrize("key", ["../x", "a//b", ".hidden", "/x"])
def test_a_key_does_not_leave_the_folder(folder: FolderStore, key: str) -> None:
    with pytest.raises(StoreError, match="cannot be the key"):
        folder.create(key, b"")


def test_a_killed_writer_leaves_no_half_object(tmp_path: Path) -> None:
    """What a store shows is whole, whenever the writer dies."""
    program = (
        "import sys; from pathlib import Path; from registry.folder import FolderStore\n"
        "store = FolderStore(Path(sys.argv[1])); print('go', flush=True)\n"
        "for i in range(10**6): store.create(f'o/{i}', bytes([i % 256]) * 50_000)"
    )
    for number in range(3):
        root = tmp_path / str(number)
        with subprocess.Popen(
            [sys.executable, "-c", program, str(root)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            while not (root / "o" / "1").exists():
                time.sleep(0.001)
            process.send_signal(signal.SIGKILL)
    for folder in tmp_path.iterdir():
        store = FolderStore(folder)
        keys = list(store.keys(""))
        assert keys
        assert not any(DRAFT in key for key in keys)
        for key in keys:
            number = int(key.removeprefix("o/"))
            assert store.read(key).data == bytes([number % 256]) * 50_000
