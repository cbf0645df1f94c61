"""A registry, a database and a place for backups, all of them with something in them."""

from __future__ import annotations

from pathlib import Path

import pytest

from disaster.sealing import Seal, make_key
from disaster.vault import Vault
from registry.folder import FolderStore
from tests.accounts.conftest import mariadb, url  # noqa: F401
from tests.registry.conftest import (  # noqa: F401
    folder,
    models,
    registry,
    revision,
    s3,
    s3_environment,
    store,
)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "backup.key"
    make_key(path)
    return path


@pytest.fixture
def vault(tmp_path: Path, key: Path) -> Vault:
    place = FolderStore(tmp_path / "backups")
    place.set_up()
    return Vault(place, Seal.read(key))
