"""Everything that an application around the accounts needs, built once."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from accounts.database import Database, open_database
from accounts.mail import Mailer, mailer_for
from accounts.people import People
from accounts.prices import PriceList, read_prices
from accounts.settings import AccountsSettings


@dataclass(frozen=True)
class Service:
    """Accounts, to be put behind an API and a page."""

    settings: AccountsSettings
    database: Database
    people: People
    prices: PriceList

    def client(self, request: Request) -> str:
        """The address that a request came from, as far as our own proxies say."""
        hops = self.settings.trusted_proxies
        forwarded = [part.strip() for part in request.headers.get("x-forwarded-for", "").split(",")]
        if hops and len(forwarded) >= hops and forwarded[-hops]:
            return forwarded[-hops]
        return request.client.host if request.client else ""


def build_service(settings: AccountsSettings, mailer: Mailer | None = None) -> Service:
    """Raises PriceListError if the price list cannot be used."""
    engine = open_database(settings.database_url.get_secret_value())
    return Service(
        settings,
        Database(engine),
        People(settings, mailer or mailer_for(settings)),
        read_prices(settings.prices_file),
    )
