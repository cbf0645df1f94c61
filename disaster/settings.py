"""What backup and restore read from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from accounts.settings import CommandSettings
from registry.settings import RegistrySettings


class BackupSettings(RegistrySettings, CommandSettings):
    """Of `vision backup`, `restore` and `drill`; registry and database as their own rooms do."""

    backups: str = Field(
        "build/backups", description="`s3://bucket/prefix` or a folder that backups go to"
    )
    backup_key: Path | None = Field(
        None, description="key that seals what is secret; `vision backup key FILE` makes one"
    )
