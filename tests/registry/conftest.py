from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from artifact import Revision
from disaster.seaweed import ACCESS, running
from registry.bucket import BucketStore
from registry.folder import FolderStore
from registry.history import History
from registry.objects import ObjectStore
from registry.revisions import Registry
from tests.conftest import write_small


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("seaweed")) as endpoint:
        yield endpoint


@pytest.fixture
def s3_environment(s3: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """AWS's own variables, as a user sets them."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS["accessKey"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", ACCESS["secretKey"])
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    return s3


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ObjectStore:
    """Each kind of store, empty."""
    made: ObjectStore
    if request.param == "folder":
        made = FolderStore(tmp_path / "store")
    else:
        request.getfixturevalue("s3_environment")
        # One bucket for all: each takes several of the server's volumes.
        made = BucketStore("vision-tests", f"some/{uuid.uuid4().hex}")
    made.set_up()
    return made


@pytest.fixture
def registry(store: ObjectStore) -> Registry:
    return Registry(store, History(store), "ada@example.com")


@pytest.fixture
def folder(tmp_path: Path) -> FolderStore:
    made = FolderStore(tmp_path / "store")
    made.set_up()
    return made


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def revision(models: Path) -> Revision:
    return write_small(models, "mnist", "1", 1)
