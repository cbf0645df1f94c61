import gzip
import re
import subprocess
from pathlib import Path

import yaml
from sqlalchemy.engine import make_url

from accounts.__main__ import main
from accounts.database import Database, open_database
from accounts.events import reconcile
from accounts.migration import migrate
from edge.ledger import Ledger
from tests.conftest import ROOT
from tests.edge.conftest import intent, outcome


async def record(url: str, names: range) -> None:
    engine = open_database(url)
    ledger = Ledger(engine)
    ledger.start()
    for name in names:
        await ledger.admit(intent(f"r{name}"))
        await ledger.complete(outcome(f"r{name}"))
    ledger.stop()
    engine.dispose()


def billed(url: str) -> tuple[int, int]:
    engine = open_database(url)
    with Database(engine).read() as session:
        found = reconcile(session)
    engine.dispose()
    return found.billed, found.difference


async def test_sqlite_is_copied_at_one_moment_and_put_back(tmp_path, monkeypatch, capsys):
    url = f"sqlite:///{tmp_path}/accounts.db"
    copy = tmp_path / "copy.db"
    migrate(url)
    await record(url, range(5))
    engine = open_database(url)
    monkeypatch.setenv("VISION_DATABASE_URL", url)
    monkeypatch.setenv("VISION_DEVELOPMENT", "true")
    with Database(engine).write() as session:
        # Somebody is writing meanwhile, and is not in the copy.
        session.connection()
        assert main(["backup", str(copy)]) == 0
    engine.dispose()
    await record(url, range(5, 8))
    assert billed(url) == (8, 0)
    assert billed(f"sqlite:///{copy}") == (5, 0)
    assert main(["backup", str(copy)]) == 1
    assert "exists" in capsys.readouterr().err


async def test_a_dump_of_mariadb_is_put_back(mariadb, tmp_path):
    """With the options of the CronJob."""
    url, other = mariadb.url(), mariadb.url()
    migrate(url)
    await record(url, range(5))
    jobs = (ROOT / "manifests/components/accounts/jobs.yaml").read_text()
    (job,) = [
        d
        for d in yaml.safe_load_all(jobs)
        if d["metadata"]["name"] == "accounts-backup" and d["kind"] == "CronJob"
    ]
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    options = re.findall(r"--(?:single-transaction|quick)\b", container["args"][0])
    assert "--single-transaction" in options
    place = make_url(url)
    login = [
        "--no-defaults",
        f"--host={place.host}",
        f"--port={place.port}",
        f"--user={place.username}",
    ]
    login.append(f"--password={place.password}")
    dump = tmp_path / "accounts.sql.gz"
    done = subprocess.run(
        ["mariadb-dump", *login, *options, str(place.database)], capture_output=True, check=True
    )
    dump.write_bytes(gzip.compress(done.stdout))
    await record(url, range(5, 8))
    subprocess.run(
        ["mariadb", *login, str(make_url(other).database)],
        input=gzip.decompress(dump.read_bytes()),
        check=True,
    )
    assert billed(other) == (5, 0)


def test_mariadb_is_not_copied_as_a_file(mariadb_tables, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("VISION_DATABASE_URL", mariadb_tables)
    monkeypatch.setenv("VISION_DEVELOPMENT", "true")
    assert main(["backup", str(tmp_path / "copy.db")]) == 1
    assert "mariadb-dump" in capsys.readouterr().err
    assert not Path(tmp_path / "copy.db").exists()
