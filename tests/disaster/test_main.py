from __future__ import annotations

from pathlib import Path

import pytest

from accounts.migration import migrate
from artifact import Revision
from disaster.__main__ import main
from registry.folder import FolderStore
from registry.history import History
from registry.revisions import Registry


@pytest.fixture
def environment(folder: FolderStore, revision: Revision, tmp_path: Path) -> dict[str, str]:
    """A registry with a revision, and accounts with nobody in them."""
    Registry(folder, History(folder), "ada@example.com").publish(revision)
    migrate(f"sqlite:///{tmp_path}/accounts.db")
    return {
        "VISION_REGISTRY": str(tmp_path / "store"),
        "VISION_DATABASE_URL": f"sqlite:///{tmp_path}/accounts.db",
        "VISION_BACKUPS": str(tmp_path / "backups"),
        "VISION_BACKUP_KEY": str(tmp_path / "backup.key"),
    }


def test_from_a_key_to_what_was_restored(
    environment: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unsealed = {k: v for k, v in environment.items() if k != "VISION_BACKUP_KEY"}
    assert main(["backup", "key", environment["VISION_BACKUP_KEY"]], unsealed) == 0
    assert main(["backup"], unsealed) == 3
    assert "vision backup key" in capsys.readouterr().err
    assert main(["backup", "list"], environment) == 0
    assert main(["restore"], environment) == 4
    assert main(["backup", "verify"], environment) == 4
    for _ in range(3):
        assert main(["backup", "--keep", "2"], environment) == 0
    told = capsys.readouterr().out
    assert "registry file://" in told
    assert "1 entries, 3 objects" in told
    assert "accounts (sqlite): 1 rows in " in told  # how far a mirror goes
    assert "beyond the newest 2" in told
    assert main(["backup", "verify"], environment) == 0
    assert capsys.readouterr().out.count("every byte as it was written") == 2
    elsewhere = environment | {
        "VISION_REGISTRY": str(tmp_path / "restored"),
        "VISION_DATABASE_URL": f"sqlite:///{tmp_path}/restored.db",
    }
    assert main(["restore"], elsewhere) == 0
    assert "1 entries, chain checked" in capsys.readouterr().out
    assert main(["restore", "--part", "cluster"], elsewhere) == 1
    assert "has no cluster" in capsys.readouterr().err


def test_a_backup_of_nothing_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environment = {
        "VISION_REGISTRY": str(tmp_path / "store"),
        "VISION_DATABASE_URL": f"sqlite:///{tmp_path}/accounts.db",
        "VISION_BACKUPS": str(tmp_path / "backups"),
    }
    assert main(["backup"], environment) == 1
    assert "there is nothing to back up" in capsys.readouterr().err
    assert main(["backup", "--part", "accounts"], environment) == 1
    assert "nothing to back up of: accounts" in capsys.readouterr().err
    assert main(["backup", "list"], environment) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_one_part_alone(environment: dict[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    del environment["VISION_BACKUP_KEY"]  # a registry holds no secrets
    assert main(["backup", "--part", "registry"], environment) == 0
    assert main(["backup", "list"], environment) == 0
    assert capsys.readouterr().out.splitlines()[-1].endswith("  registry")
