"""Bringing the tables up to date; apart from ``database``, whose users need no Alembic."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config

FOLDER = Path(__file__).parent / "migrations"


def migrate(url: str, revision: str = "head", ca_file: Path | None = None) -> None:
    """Bring the tables of the database at ``url`` up to a revision; see ``open_database``."""
    command.upgrade(alembic_config(url, ca_file), revision)


def alembic_config(url: str, ca_file: Path | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["url"] = url
    config.attributes["ca_file"] = ca_file
    return config
