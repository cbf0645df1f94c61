"""API keys: made, listed, rotated, revoked."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from accounts import audit
from accounts.clock import DAY_MS, HOUR_MS, month_of, now_ms
from accounts.errors import ConflictError, InvalidValueError, NotFoundError, UnknownKeyError
from accounts.secret_tokens import has_key_form, new_api_key, new_id, token_hash
from accounts.tables import Account, ApiKey, QuotaMonth, UsageHour
from common.roles import read_roles

ALL_MODELS = "*"
GIVES_FEEDBACK, READS_FEEDBACK = "feedback:write", "feedback:read"
RIGHTS = (GIVES_FEEDBACK, READS_FEEDBACK)
"""Beside models, in a key's scopes; no model's name has a colon."""
MODEL_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
MAX_KEYS = 50
MAX_SCOPES_CHARACTERS = 500
MAX_RATE = 1000
DEFAULT_RATE = 50
MAX_DAYS = 3650
MAX_OVERLAP_HOURS = 30 * 24
USED_DAYS = 30


@dataclass(frozen=True)
class KeyRequest:
    """What is asked of a new key.

    Attributes:
        scopes: names of models, or ``"*"``, and ``RIGHTS``.
        days: until it expires; None: never.
        quota_requests: billed requests a calendar month; None: no limit.
    """

    name: str
    scopes: tuple[str, ...] = (ALL_MODELS,)
    days: int | None = None
    quota_requests: int | None = None
    rate_per_second: int = DEFAULT_RATE


@dataclass(frozen=True)
class ShownKey:
    """A key as it is made: the only time that its text is seen."""

    id: str
    key: str


@dataclass(frozen=True)
class KeyView:
    """A key as it is listed."""

    id: str
    name: str
    hint: str
    scopes: tuple[str, ...]
    quota_requests: int | None
    used_requests: int
    rate_per_second: int
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None
    replaced_by: str | None

    @property
    def models(self) -> tuple[str, ...]:
        return tuple(scope for scope in self.scopes if scope not in RIGHTS)

    @property
    def rights(self) -> tuple[str, ...]:
        return tuple(scope for scope in self.scopes if scope in RIGHTS)

    @property
    def works(self) -> bool:
        return self.revoked_ms is None and (self.expires_ms is None or self.expires_ms > now_ms())


@dataclass(frozen=True)
class ExpiringKey:
    """A key in use that ends soon.

    Attributes:
        email: its owner's address; the account's id where there is none.
        used_ms: beginning of the hour in which it was last billed for.
    """

    email: str
    name: str
    hint: str
    expires_ms: int
    used_ms: int


def make_key(session: Session, account_id: str, asked: KeyRequest) -> ShownKey:
    """Raises InvalidValueError or ConflictError."""
    _check(asked)
    held = session.scalar(
        select(func.count()).where(ApiKey.account_id == account_id, ApiKey.revoked_ms.is_(None))
    )
    if (held or 0) >= MAX_KEYS:
        raise ConflictError(f"an account has at most {MAX_KEYS} keys; revoke one first")
    now = now_ms()
    key_id = new_id("key")
    shown = new_api_key()
    session.add(
        ApiKey(
            id=key_id,
            account_id=account_id,
            family=key_id,
            name=asked.name.strip(),
            hash=token_hash(shown),
            hint=hint(shown),
            scopes=" ".join(asked.scopes),
            quota_requests=asked.quota_requests,
            rate_per_second=asked.rate_per_second,
            created_ms=now,
            expires_ms=None if asked.days is None else now + asked.days * DAY_MS,
        )
    )
    audit.record(session, "key made", account_id, detail=f"{key_id} {asked.name.strip()}")
    return ShownKey(key_id, shown)


@dataclass(frozen=True)
class Bearer:
    """Who shows a working key.

    Attributes:
        rights: that its account's roles have.
    """

    key_id: str
    account_id: str
    scopes: frozenset[str]
    rights: frozenset[str] = frozenset()

    def may_ask(self, model: str) -> bool:
        return ALL_MODELS in self.scopes or model in self.scopes


def find_bearer(session: Session, shown: str) -> Bearer:
    """Whose key this is.

    Raises:
        UnknownKeyError: no working one.
    """
    row = None
    if has_key_form(shown):
        row = session.execute(
            select(ApiKey, Account.role)
            .join(Account, Account.id == ApiKey.account_id)
            .where(
                ApiKey.hash == token_hash(shown),
                ApiKey.revoked_ms.is_(None),
                ApiKey.expires_ms.is_(None) | (ApiKey.expires_ms > now_ms()),
                Account.closed_ms.is_(None),
                Account.verified_ms.is_not(None),
            )
        ).first()
    if row is None:
        raise UnknownKeyError
    key, role = row
    rights = read_roles().rights_of(role.split())
    return Bearer(key.id, key.account_id, frozenset(key.scopes.split()), rights)


def list_keys(session: Session, account_id: str) -> list[KeyView]:
    rows = session.execute(
        select(ApiKey, QuotaMonth.requests)
        .outerjoin(
            QuotaMonth,
            (QuotaMonth.family == ApiKey.family) & (QuotaMonth.month == month_of(now_ms())),
        )
        .where(ApiKey.account_id == account_id)
        .order_by(ApiKey.created_ms.desc(), ApiKey.id)
    )
    return [
        KeyView(
            key.id,
            key.name,
            key.hint,
            tuple(key.scopes.split()),
            key.quota_requests,
            used or 0,
            key.rate_per_second,
            key.created_ms,
            key.expires_ms,
            key.revoked_ms,
            key.replaced_by,
        )
        for key, used in rows
    ]


def rotate_key(session: Session, account_id: str, key_id: str, overlap_hours: int = 0) -> ShownKey:
    """Another text for the same rights, expiry and quota.

    Args:
        overlap_hours: how long the old one goes on working; they share one quota.

    Raises:
        NotFoundError: this account has no such working key.
        ConflictError: it has been rotated, and works until its period is over.
        InvalidValueError: a period of another length.
    """
    if not 0 <= overlap_hours <= MAX_OVERLAP_HOURS:
        raise InvalidValueError(f"the old key may go on for {MAX_OVERLAP_HOURS} hours", "overlap")
    old = _own_key(session, account_id, key_id)
    if old.revoked_ms is not None:
        raise NotFoundError("that key is revoked")
    if old.replaced_by is not None:
        raise ConflictError("that key has been rotated already; rotate the new one")
    new, shown = new_id("key"), new_api_key()
    now = now_ms()
    session.add(
        ApiKey(
            id=new,
            account_id=account_id,
            family=old.family,
            name=old.name,
            hash=token_hash(shown),
            hint=hint(shown),
            scopes=old.scopes,
            quota_requests=old.quota_requests,
            rate_per_second=old.rate_per_second,
            created_ms=now,
            expires_ms=old.expires_ms,
        )
    )
    old.replaced_by = new
    if overlap_hours:
        ends = now + overlap_hours * HOUR_MS
        old.expires_ms = ends if old.expires_ms is None else min(ends, old.expires_ms)
    else:
        old.revoked_ms = now
    detail = f"{key_id} to {new}, {overlap_hours} h"
    audit.record(session, "key rotated", account_id, detail=detail)
    return ShownKey(new, shown)


def revoke_key(
    session: Session, account_id: str, key_id: str, actor_id: str | None = None, why: str = ""
) -> None:
    """Revoking a revoked key changes nothing.

    Raises:
        NotFoundError: this account has no such key.
    """
    key = _own_key(session, account_id, key_id)
    if key.revoked_ms is None:
        key.revoked_ms = now_ms()
        audit.record(session, "key revoked", account_id, actor_id, key_id, why)


def revoke_any_key(session: Session, key_id: str, actor_id: str, why: str) -> None:
    """Whosever it is: by somebody who has that right.

    Raises:
        NotFoundError: there is no such key.
    """
    key = session.get(ApiKey, key_id)
    if key is None:
        raise NotFoundError("there is no such key")
    revoke_key(session, key.account_id, key_id, actor_id, why)


def expiring(session: Session, days: int) -> list[ExpiringKey]:
    """Keys that work, were billed for in the last ``USED_DAYS`` days, and end within ``days``."""
    now = now_ms()
    used = (
        select(UsageHour.key_id, func.max(UsageHour.hour_ms).label("hour_ms"))
        .where(UsageHour.hour_ms > now - USED_DAYS * DAY_MS)
        .group_by(UsageHour.key_id)
        .subquery()
    )
    rows = session.execute(
        select(ApiKey, Account.email, used.c.hour_ms)
        .join(Account, Account.id == ApiKey.account_id)
        .join(used, used.c.key_id == ApiKey.id)
        .where(
            ApiKey.revoked_ms.is_(None),
            ApiKey.expires_ms > now,
            ApiKey.expires_ms <= now + days * DAY_MS,
        )
        .order_by(ApiKey.expires_ms, ApiKey.id)
    )
    return [
        ExpiringKey(email or key.account_id, key.name, key.hint, key.expires_ms or 0, hour_ms)
        for key, email, hour_ms in rows
    ]


def hint(shown: str) -> str:
    """Enough of a key to know it again, too little to guess it by."""
    return f"{shown[:7]}…{shown[-4:]}"


def _own_key(session: Session, account_id: str, key_id: str) -> ApiKey:
    key = session.get(ApiKey, key_id, with_for_update=True)
    if key is None or key.account_id != account_id:
        raise NotFoundError("there is no such key")
    return key


def _check(asked: KeyRequest) -> None:
    name = asked.name.strip()
    if not 1 <= len(name) <= 80 or not name.isprintable():
        raise InvalidValueError("a key's name has 1 to 80 characters", "name")
    if not asked.scopes or len(" ".join(asked.scopes)) > MAX_SCOPES_CHARACTERS:
        raise InvalidValueError("a key is for one model or more, or for all", "scopes")
    for scope in asked.scopes:
        if scope not in (ALL_MODELS, *RIGHTS) and not MODEL_NAME.fullmatch(scope):
            raise InvalidValueError(
                f"{scope[:63]!r} is no model's name, nor one of {', '.join(RIGHTS)}", "scopes"
            )
    if asked.days is not None and not 1 <= asked.days <= MAX_DAYS:
        raise InvalidValueError(f"a key lasts 1 to {MAX_DAYS} days, or without end", "days")
    if asked.quota_requests is not None and not 0 <= asked.quota_requests <= 10**12:
        raise InvalidValueError("a quota is a number of requests a month", "quota_requests")
    if not 1 <= asked.rate_per_second <= MAX_RATE:
        raise InvalidValueError(f"a rate is 1 to {MAX_RATE} requests a second", "rate_per_second")
