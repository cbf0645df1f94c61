"""Monthly bills: what windows say, times what the price list says, kept as they were issued."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from accounts import audit
from accounts.clock import SECOND_MS, month_bounds, now_ms
from accounts.csv_text import csv_lines
from accounts.database import database_now_ms
from accounts.errors import ConflictError, NotFoundError
from accounts.prices import UNANSWERED, PriceList
from accounts.tables import Account, Invoice, UsageHour
from accounts.usage import ModelUsage, per_model

CLOSING_SECONDS = 120
"""A month is closed that long after its end: what was under way has been committed by then."""
PIXELS_PER_MEGAPIXEL = 1_000_000


@dataclass(frozen=True)
class Line:
    """Quantities and the unit price are exact decimals as text; ``amount_minor`` is rounded, so
    that the lines of a bill add up to its total.
    """

    model: str
    unit: str
    quantity: str
    free: str
    charged: str
    unit_price: str
    amount_minor: int


@dataclass(frozen=True)
class Bill:
    """A month's bill; ``number`` and ``issued_ms`` are None while the month goes on.

    Attributes:
        total_minor: with tax.
        vat_percent: exact decimal as text.
        issuer: who bills, as lines.
    """

    number: int | None
    account_id: str
    email: str
    month: str
    issued_ms: int | None
    currency: str
    minor_digits: int
    lines: tuple[Line, ...]
    total_minor: int
    # Bills that were issued before there was a tax have none.
    vat_percent: str = "0"
    vat_minor: int = 0
    issuer: tuple[str, ...] = ()

    @property
    def net_minor(self) -> int:
        return self.total_minor - self.vat_minor

    @property
    def shown_number(self) -> str:
        """Its number with the month's year; empty while it has none."""
        return "" if self.number is None else f"{self.month[:4]}-{self.number:06d}"

    def shown(self, amount_minor: int) -> str:
        return f"{Decimal(amount_minor).scaleb(-self.minor_digits)} {self.currency}"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def lines_of(usage: list[ModelUsage], prices: PriceList, month: str) -> tuple[Line, ...]:
    """One line a model and unit, in order."""
    period = prices.of_month(month)
    lines = []
    for used in usage:
        quantities = {
            "request": Decimal(used.requests),
            "instance": Decimal(used.instances),
            "megapixel": Decimal(used.pixels) / PIXELS_PER_MEGAPIXEL,
            UNANSWERED: Decimal(used.unanswered_milliseconds) / SECOND_MS,
        }
        for unit, unit_price in period.of(used.model).items():
            if not used.requests and unit != UNANSWERED:
                # Nothing of it was answered: a line would only say so.
                continue
            quantity = quantities[unit]
            charged = max(Decimal(0), quantity - unit_price.free)
            lines.append(
                Line(
                    used.model,
                    unit,
                    str(quantity),
                    str(quantity - charged),
                    str(charged),
                    str(unit_price.price),
                    prices.minor(charged * unit_price.price),
                )
            )
    return tuple(lines)


def bill_so_far(session: Session, account_id: str, month: str, prices: PriceList) -> Bill:
    """What a month has come to; not a bill that is owed yet."""
    account = session.get_one(Account, account_id)
    lines = lines_of(per_model(session, account_id, *month_bounds(month)), prices, month)
    net = sum(line.amount_minor for line in lines)
    percent = prices.of_month(month).vat_percent
    vat = int((net * percent / 100).quantize(Decimal(1), ROUND_HALF_EVEN))
    return Bill(
        None,
        account_id,
        account.email or "",
        month,
        None,
        prices.currency,
        prices.minor_digits,
        lines,
        net + vat,
        str(percent),
        vat,
        prices.issuer,
    )


def is_over(session: Session, month: str) -> bool:
    """Whether everything that will be billed in a month has been committed.

    By this machine's clock and by the database's: one that runs ahead closes no month.
    """
    closed = month_bounds(month)[1] + CLOSING_SECONDS * SECOND_MS
    return min(now_ms(), database_now_ms(session)) >= closed


def require_over(session: Session, month: str) -> None:
    """Raises ConflictError if the month goes on."""
    if not is_over(session, month):
        raise ConflictError(f"{month} is not over yet")


def find_issued(session: Session, account_id: str, month: str) -> Bill | None:
    """The bill of a month as it was issued, if it was."""
    row = _find(session, account_id, month)
    return None if row is None or _is_of_the_future(row) else _stored(row)


def issue(session: Session, account_id: str, month: str, prices: PriceList) -> Bill:
    """The bill of a month that is over, the same however often it is asked for.

    Raises:
        ConflictError: the month is not over yet.
    """
    require_over(session, month)
    known = _find(session, account_id, month)
    if known is not None:
        if not _is_of_the_future(known):
            return _stored(known)
        # Issued while a clock was ahead, perhaps before the month was over.
        _void(session, known, audit.SHELL, "issued while a clock was ahead")
    draft = bill_so_far(session, account_id, month, prices)
    row = Invoice(
        account_id=account_id,
        month=month,
        issued_ms=now_ms(),
        voided_ms=0,
        currency=draft.currency,
        total_minor=draft.total_minor,
        document="",
    )
    session.add(row)
    session.flush()
    bill = Bill(**{**vars(draft), "number": row.number, "issued_ms": row.issued_ms})
    row.document = json.dumps(bill.as_json())
    audit.record(session, "invoice issued", account_id, audit.SHELL, f"{month} {row.number}")
    return bill


def void(session: Session, number: int, actor_id: str, why: str) -> str:
    """Take a bill back that was wrong; its number stays, and the month can be issued anew.

    Returns:
        Its month.

    Raises:
        NotFoundError: there is no such bill, or it is void already.
    """
    row = session.get(Invoice, number, with_for_update=True)
    if row is None or row.voided_ms:
        raise NotFoundError(f"there is no bill {number} that counts")
    _void(session, row, actor_id, why)
    return row.month


def behind_usage(session: Session) -> list[int]:
    """Numbers of bills that say fewer requests than the windows of their month: usage was recorded
    after they were issued, as it is when a clock was wrong. Void them, and issue them anew.
    """
    found = []
    for row in session.scalars(select(Invoice).where(Invoice.voided_ms == 0)):
        used = per_model(session, row.account_id, *month_bounds(row.month))
        billed = {x.model: Decimal(x.quantity) for x in _stored(row).lines if x.unit == "request"}
        if any(billed.get(item.model, 0) < item.requests for item in used):
            found.append(row.number)
    return found


def _find(session: Session, account_id: str, month: str) -> Invoice | None:
    return session.scalar(
        select(Invoice).where(
            Invoice.account_id == account_id, Invoice.month == month, Invoice.voided_ms == 0
        )
    )


def _void(session: Session, row: Invoice, actor_id: str, why: str) -> None:
    row.voided_ms = now_ms()
    session.flush()
    audit.record(session, "invoice voided", row.account_id, actor_id, str(row.number), why)


def _is_of_the_future(row: Invoice) -> bool:
    return row.issued_ms > now_ms() + CLOSING_SECONDS * SECOND_MS


def accounts_to_bill(session: Session, month: str, prices: PriceList) -> list[str]:
    """Everybody who used something in a month that is over; raises ConflictError."""
    require_over(session, month)
    start, end = month_bounds(month)
    accounts = session.scalars(
        select(UsageHour.account_id)
        .where(
            UsageHour.hour_ms >= start,
            UsageHour.hour_ms < end,
            (UsageHour.requests > 0) | (UsageHour.unanswered_milliseconds > 0),
        )
        .distinct()
        .order_by(UsageHour.account_id)
    ).all()
    drafts = [bill_so_far(session, account_id, month, prices) for account_id in accounts]
    # Work that led to no answer is on the bill where the price list says so, and else no reason
    # for one.
    return [draft.account_id for draft in drafts if draft.lines]


def issued(session: Session, account_id: str | None) -> list[Bill]:
    """An account's bills, newest first; everybody's without one."""
    wanted = select(Invoice).where(Invoice.voided_ms == 0)
    if account_id is not None:
        wanted = wanted.where(Invoice.account_id == account_id)
    rows = session.scalars(wanted.order_by(Invoice.month.desc(), Invoice.number))
    return [_stored(row) for row in rows if not _is_of_the_future(row)]


def as_csv(bill: Bill) -> str:
    """One row a line, and the total in the last; amounts in minor units (RFC 4180)."""
    titles = ("model", "unit", "quantity", "free", "charged", "unit_price", "amount_minor")
    rows: list[tuple[object, ...]] = [(*titles, "currency")]
    for line in bill.lines:
        values = asdict(line)
        rows.append((*(values[title] for title in titles), bill.currency))
    if bill.vat_minor:
        rows.append(("vat", "", bill.vat_percent, "", "", "", bill.vat_minor, bill.currency))
    rows.append(("total", "", "", "", "", "", bill.total_minor, bill.currency))
    return "".join(csv_lines(rows))


def _stored(row: Invoice) -> Bill:
    document = json.loads(row.document)
    document["lines"] = tuple(Line(**line) for line in document["lines"])
    document["issuer"] = tuple(document.get("issuer", ()))
    return Bill(**document)
