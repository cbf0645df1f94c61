"""The price list."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import yaml

from accounts.clock import month_bounds

UNITS = ("request", "instance", "megapixel")
UNANSWERED = "unanswered_second"
"""A unit that a list may leave out: work for requests that were given up or took too long."""
EVERY_MODEL = "*"


class PriceListError(ValueError):
    """The price list cannot be used; names the place."""


@dataclass(frozen=True)
class UnitPrice:
    """What one unit costs above the free ones, in whole units of the currency."""

    price: Decimal
    free: Decimal


@dataclass(frozen=True)
class Period:
    """Prices from a month on, by model and unit."""

    first_month: str
    models: dict[str, dict[str, UnitPrice]]
    vat_percent: Decimal = Decimal(0)

    def of(self, model: str) -> dict[str, UnitPrice]:
        return self.models.get(model, self.models[EVERY_MODEL])


@dataclass(frozen=True)
class PriceList:
    currency: str
    minor_digits: int
    periods: tuple[Period, ...]
    issuer: tuple[str, ...] = ()
    """Who bills: name, address, tax number, as lines."""

    def of_month(self, month: str) -> Period:
        """Raises PriceListError if the month is before the first period."""
        begun = [period for period in self.periods if period.first_month <= month]
        if not begun:
            raise PriceListError(f"there are no prices for {month}")
        return begun[-1]

    def minor(self, amount: Decimal) -> int:
        """An amount in the currency's smallest unit, halves to the even one."""
        scaled = amount.scaleb(self.minor_digits)
        return int(scaled.quantize(Decimal(1), ROUND_HALF_EVEN))

    def shown(self, amount_minor: int) -> str:
        """``1234`` as ``12.34 EUR``."""
        return f"{Decimal(amount_minor).scaleb(-self.minor_digits)} {self.currency}"


def read_prices(path: Path) -> PriceList:
    """Raises PriceListError, naming the place."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise PriceListError(f"{path}: {error}") from None
    try:
        periods = tuple(
            _period(item, f"periods[{index}]") for index, item in enumerate(document["periods"])
        )
        currency, digits = document["currency"], document["minor_digits"]
        issuer = document.get("issuer", [])
    except (KeyError, TypeError) as error:
        raise PriceListError(f"{path}: {error} is missing or of the wrong kind") from None
    months = [period.first_month for period in periods]
    if not months or months != sorted(set(months)):
        raise PriceListError(f"{path}: periods begin one after the other")
    if not isinstance(currency, str) or len(currency) != 3 or digits not in range(5):
        raise PriceListError(f"{path}: currency has three letters, minor_digits is 0 to 4")
    if not isinstance(issuer, list) or not all(isinstance(line, str) for line in issuer):
        raise PriceListError(f"{path}: issuer is a list of lines")
    return PriceList(currency, digits, periods, tuple(issuer))


def _period(item: dict[str, Any], place: str) -> Period:
    first = str(item["from"])
    try:
        month_bounds(first)
    except ValueError:
        raise PriceListError(f"{place}.from: {first!r} is no month") from None
    models = {
        name: {
            unit: _unit_price(units[unit], f"{place}.models.{name}.{unit}")
            for unit in (*UNITS, *([UNANSWERED] if UNANSWERED in units else []))
        }
        for name, units in item["models"].items()
    }
    if EVERY_MODEL not in models:
        raise PriceListError(f'{place}.models: "*" is missing')
    return Period(first, models, _vat_percent(item, place))


def _vat_percent(item: dict[str, Any], place: str) -> Decimal:
    text = item.get("vat_percent", "0")
    try:
        percent = Decimal(text) if isinstance(text, str) else None
    except InvalidOperation:
        percent = None
    if percent is None or not (percent.is_finite() and 0 <= percent <= 100):
        raise PriceListError(f"{place}.vat_percent: a number from 0 to 100, in quotes")
    return percent


def _unit_price(item: dict[str, Any], place: str) -> UnitPrice:
    if not isinstance(item["price"], str):
        raise PriceListError(f"{place}.price: write it in quotes, so that it stays exact")
    try:
        price, free = Decimal(item["price"]), Decimal(str(item.get("free", 0)))
    except InvalidOperation:
        raise PriceListError(f"{place}: not a number") from None
    if not (price.is_finite() and free.is_finite() and price >= 0 and free >= 0):
        raise PriceListError(f"{place}: negative or not finite")
    return UnitPrice(price, free)
