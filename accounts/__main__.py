"""``python -m accounts``: what operators do from a shell or a scheduled job."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict
from pathlib import Path

from accounts import audit, events, experiment_command, feedback, invoices
from accounts.answers import AnswerReconciliation, read_answers, reconcile_answers
from accounts.captures import open_captures
from accounts.clock import DAY_MS, moment, month_bounds, month_of, now_ms
from accounts.database import Database, back_up, open_database
from accounts.errors import AccountsError
from accounts.keys import expiring
from accounts.migration import migrate
from accounts.mirror import open_mirror
from accounts.people import forget_old
from accounts.prices import PriceListError, read_prices
from accounts.settings import CommandSettings
from accounts.staff import set_roles
from accounts.throttle import forget_attempts
from common.roles import read_roles
from common.settings import SettingError, read_settings
from registry.errors import RegistryError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m accounts", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("migrate", help="bring the database's tables up to date")
    role = commands.add_parser("role", help="give somebody these roles and no others")
    role.add_argument("email")
    role.add_argument("roles", nargs="+", choices=read_roles().roles, metavar="ROLE")
    role.add_argument("--why", default="", help="for the audit")
    bills = commands.add_parser("invoices", help="issue the bills of a month that is over")
    bills.add_argument("month", nargs="?", help="such as 2026-11; the last one if not given")
    taken_back = commands.add_parser("void", help="take a bill back; its month can be issued anew")
    taken_back.add_argument("number", type=int)
    taken_back.add_argument("--why", required=True, help="for the audit")
    compare = commands.add_parser(
        "reconcile", help="compare billed events with windows; 1 if they differ"
    )
    compare.add_argument(
        "--answers",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="logs of the transformer (VISION_ACCESS_LOG=true): compare what it answered, too",
    )
    ending = commands.add_parser("expiring", help="keys in use that end soon, and whose they are")
    ending.add_argument("days", nargs="?", type=int, default=7, help="how soon (7)")
    commands.add_parser("retain", help="delete events, sessions and tokens that are too old")
    experiment = commands.add_parser("experiment", help=experiment_command.ABOUT)
    experiment_command.add_verbs(experiment)
    backup = commands.add_parser("backup", help="copy an SQLite database while it is in use")
    backup.add_argument("file", type=Path)
    options = parser.parse_args(arguments)
    try:
        settings = read_settings(CommandSettings, os.environ)
        return run(options, settings)
    except (
        AccountsError,
        RegistryError,
        SettingError,
        PriceListError,
        ValueError,
        OSError,
    ) as error:
        print(f"accounts: {error}", file=sys.stderr)
        return 1


def run(options: argparse.Namespace, settings: CommandSettings) -> int:
    """The exit status of a command."""
    url = settings.database_url.get_secret_value()
    if options.command == "migrate":
        migrate(url, ca_file=settings.database_ca_file)
        return 0
    engine = open_database(url, ca_file=settings.database_ca_file)
    if options.command == "backup":
        back_up(engine, options.file)
        return 0
    database = Database(engine, open_mirror(settings.accounts_mirror))
    if options.command == "experiment":
        return experiment_command.run(options, database, settings)
    if options.command == "role":
        with database.write() as session:
            set_roles(session, options.email, options.roles, audit.SHELL, options.why)
    elif options.command == "invoices":
        month = options.month or month_of(month_bounds(month_of(now_ms()))[0] - 1)
        prices = read_prices(settings.prices_file)
        with database.read() as session:
            accounts = invoices.accounts_to_bill(session, month, prices)
        for account_id in accounts:
            # One at a time: the ledger waits for the write lock meanwhile.
            with database.write() as session:
                bill = invoices.issue(session, account_id, month, prices)
                print(bill.number, bill.account_id, bill.shown(bill.total_minor))
    elif options.command == "void":
        with database.write() as session:
            month = invoices.void(session, options.number, audit.SHELL, options.why)
            print(f"bill {options.number} of {month} is void")
    elif options.command == "expiring":
        with database.read() as session:
            for key in expiring(session, options.days):
                ends, used = (
                    f"{moment(ms):%Y-%m-%d %H:%M}" for ms in (key.expires_ms, key.used_ms)
                )
                print(f"{ends}  {key.email}  {key.hint}  {key.name}, last used about {used}")
    elif options.command == "reconcile":
        with database.read() as session:
            behind = invoices.behind_usage(session)
            found: list[events.Reconciliation | AnswerReconciliation] = [events.reconcile(session)]
            if options.answers:
                found.append(reconcile_answers(session, read_answers(options.answers)))
        for part in found:
            for name, value in asdict(part).items():
                print(f"{name:20} {value}")
        if behind:
            print("bills_behind_usage  ", *behind)
        return int(bool(behind) or not all(part.agrees for part in found))
    else:
        before = now_ms() - settings.event_days * DAY_MS
        with database.write() as session:
            forget_old(session)
            forget_attempts(session, now_ms() - DAY_MS)
        with database.write() as session:
            print(events.delete_old(session, before), "events deleted")
        with database.write() as session:
            kept_from = now_ms() - settings.prediction_days * DAY_MS
            predictions, answers = feedback.delete_old(session, kept_from, before)
            print(predictions, "predictions and", answers, "right answers deleted")
        kept = open_captures(
            database, settings.capture_store, settings.capture_keys.get_secret_value()
        )
        if kept is not None:
            print(kept.prune(), "captures deleted")
    return 0


if __name__ == "__main__":
    sys.exit(main())
