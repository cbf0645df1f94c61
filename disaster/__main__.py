"""``vision backup``, ``restore``, ``drill``: registry, accounts and a namespace's own objects.

Exit statuses: 0 done, 2 wrong arguments, 3 refused, 4 not found, 5 a store, 6 damaged, 7 something
was lost in a drill.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from accounts.errors import AccountsError
from common.errors import StartError
from common.kubernetes import Cluster, KubernetesError
from common.settings import SettingError, read_settings
from common.table import table
from disaster import copies
from disaster.copies import PARTS, Place
from disaster.errors import DisasterError, DrillError, NotInstalledError
from disaster.sealing import Seal, make_key
from disaster.settings import BackupSettings
from disaster.vault import Vault
from registry.errors import RegistryError
from registry.opening import check_conditions, open_store

WRONG_ARGUMENTS = 2
KEEP = 14


def main(
    arguments: list[str] | None = None,
    environment: Mapping[str, str] | None = None,
    connect: Callable[[str], Cluster] = Cluster.connect,
) -> int:
    options = _parser().parse_args(arguments)
    try:
        settings = read_settings(BackupSettings, os.environ if environment is None else environment)
        with _place(settings, options, connect) as place:
            COMMANDS[options.command, options.action](place, options)
    except SettingError as error:
        print(f"{options.command}: {error}", file=sys.stderr)
        return WRONG_ARGUMENTS
    except (DisasterError, RegistryError) as error:
        print(f"{options.command}: {error}", file=sys.stderr)
        return error.status
    except (AccountsError, StartError, KubernetesError, SQLAlchemyError, OSError) as error:
        print(f"{options.command}: {error}", file=sys.stderr)
        return 1
    return 0


@contextlib.contextmanager
def _place(
    settings: BackupSettings, options: argparse.Namespace, connect: Callable[[str], Cluster]
) -> Iterator[Place]:
    parts = tuple(options.part)
    if not options.namespace:
        yield Place(settings, None, parts)
        return
    with connect(options.namespace) as cluster:
        yield Place(settings, cluster, parts)


def _vault(settings: BackupSettings) -> Vault:
    seal = None if settings.backup_key is None else Seal.read(settings.backup_key)
    return Vault(open_store(settings.backups), seal)


def _make(place: Place, options: argparse.Namespace) -> None:
    began = time.monotonic()
    vault = _vault(place.settings)
    vault.store.set_up()
    check_conditions(vault.store)
    manifest = copies.back_up(place, vault, options.keep, _say)
    _say(f"backup {manifest['id']} in {vault.store.url}, {time.monotonic() - began:.1f} s")


def _list(place: Place, _: argparse.Namespace) -> None:
    vault = _vault(place.settings)
    manifests = [vault.manifest(identity) for identity in vault.identities()]
    rows = [(m["id"], m["made"][:19] + "Z", ", ".join(m["parts"])) for m in manifests]
    print(table(("backup", "made", "parts"), rows))


def _verify(place: Place, options: argparse.Namespace) -> None:
    vault = _vault(place.settings)
    for identity in [options.id] if options.id else vault.identities() or [""]:
        blobs = vault.verify(vault.manifest(identity))
        _say(f"{identity}: {blobs} blobs, every byte as it was written")


def _key(_: Place, options: argparse.Namespace) -> None:
    path = Path(options.id or "backup.key")
    make_key(path)
    _say(f"{path}: VISION_BACKUP_KEY={path}; keep a copy where the backups are not")


def _restore(place: Place, options: argparse.Namespace) -> None:
    began = time.monotonic()
    vault = _vault(place.settings)
    manifest = vault.manifest(options.id)
    _say(f"restoring backup {manifest['id']} of {manifest['made'][:19]}Z")
    copies.restore(place, vault, manifest, _say)
    _say(f"restored in {time.monotonic() - began:.1f} s")


def _drill(_: Place, options: argparse.Namespace) -> None:
    """Every kind of place, one after the other."""
    from disaster import drill
    from disaster.worlds import WORLDS

    found = []
    for name, world in WORLDS.items():
        with tempfile.TemporaryDirectory(prefix="drill-") as folder:
            try:
                with world(Path(folder)) as made:
                    found.append(drill.run(name, made, _say))
            except NotInstalledError as error:
                if options.all:
                    raise
                _say(f"{name}: left out: {error}")
    print()
    head = ("registry and accounts in", "answers", "bills", "RPO: lost", "RTO, seconds")
    print(
        table(
            head,
            [(f.name, "same", "same", str(f.lost), f"{f.recovery_seconds:.1f}") for f in found],
        )
    )
    if lost := sum(f.lost for f in found):
        raise DrillError(f"{lost} entries, bills and billed requests did not come back")


def _say(text: str) -> None:
    print(text, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vision", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--namespace", default="", help="its objects, too")
    common.add_argument(
        "--part", action="append", default=[], choices=PARTS, help="this alone; more than once"
    )
    made = commands.add_parser(
        "backup",
        parents=[common],
        help="make a backup",
        description="Back up registry, accounts and a namespace's objects to VISION_BACKUPS; or "
        "list what there is, verify every byte of it, or make the key that seals secrets.",
    )
    made.add_argument(
        "action", nargs="?", default="make", choices=("make", "list", "verify", "key")
    )
    made.add_argument("id", nargs="?", default="", help="verify: of a backup; key: the file")
    made.add_argument(
        "--keep", type=_at_least_one, default=KEEP, help=f"newest ones to keep ({KEEP})"
    )
    restored = commands.add_parser(
        "restore",
        parents=[common],
        help="restore a backup where nothing is",
        description="Restore a backup, or the newest, into the registry, the database and the "
        "namespace that are named; what is there already and is the same is left.",
    )
    restored.add_argument("id", nargs="?", default="", help="of a backup; the newest if not given")
    restored.set_defaults(action="")
    drilled = commands.add_parser(
        "drill",
        help="destroy, restore and compare, on this machine",
        description="Fill a registry and accounts in places of their own, back them up, go on, "
        "destroy them, restore them and compare answers and bills; prints RPO and RTO.",
    )
    drilled.add_argument("--all", action="store_true", help="fail where a server is not installed")
    drilled.set_defaults(action="", namespace="", part=[])
    return parser


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least one backup is kept")
    return number


COMMANDS: dict[tuple[str, str], Callable[[Place, argparse.Namespace], None]] = {
    ("backup", "make"): _make,
    ("backup", "list"): _list,
    ("backup", "verify"): _verify,
    ("backup", "key"): _key,
    ("restore", ""): _restore,
    ("drill", ""): _drill,
}

if __name__ == "__main__":
    sys.exit(main())
