"""Everything that an application around the accounts needs, built once."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from accounts.captures import Captures, open_captures
from accounts.client_address import client_address
from accounts.database import Database, open_database
from accounts.mirror import open_mirror
from accounts.outbox import Outbox
from accounts.owed_mail import MailWriter
from accounts.passwords import Passwords
from accounts.people import People
from accounts.prices import PriceList, read_prices
from accounts.settings import AccountsSettings
from common.mail import Mailer, mailer_for


@dataclass(frozen=True)
class Service:
    """Accounts, to be put behind an API and a page."""

    settings: AccountsSettings
    database: Database
    people: People
    prices: PriceList
    outbox: Outbox
    captures: Captures | None = None

    def client(self, request: Request) -> str:
        """The address that a request came from, as far as our own proxies say."""
        return client_address(
            request.headers.get("x-forwarded-for", ""),
            self.settings.trusted_proxies,
            request.client.host if request.client else "",
        )


def build_service(settings: AccountsSettings, mailer: Mailer | None = None) -> Service:
    """
    Raises:
        PriceListError: the price list cannot be used.
        MirrorError, RegistryError: the mirror, or the store of captures, cannot.
        SealError: the keys of captures are none.
    """
    url = settings.database_url.get_secret_value()
    engine = open_database(url, ca_file=settings.database_ca_file)
    database = Database(engine, open_mirror(settings.accounts_mirror))
    outbox = Outbox(database, mailer or mailer_for(settings), MailWriter(settings))
    people = People(settings, database, Passwords(settings.password_hashes), outbox)
    captures = open_captures(
        database, settings.capture_store, settings.capture_keys.get_secret_value()
    )
    return Service(settings, database, people, read_prices(settings.prices_file), outbox, captures)
