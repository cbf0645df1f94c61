"""Domains of customers: asked for, proven, served with a certificate, and taken away with it.

    pending ── proven ── active
       └──────────┴────────┴── removing ── gone

Anybody may ask for a name, and several may at once; who proves it has it. Where it has been proven
before, the older proof is looked for again, and stands as long as it is there. A process of its own
(``edge.domains``) looks at what is due and does it; all of it may be done twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select
from sqlalchemy.orm import Session

from accounts import audit
from accounts.clock import DAY_MS, HOUR_MS, SECOND_MS, now_ms
from accounts.errors import ConflictError, InvalidValueError, NotFoundError
from accounts.keys import ALL_MODELS, MAX_RATE, MAX_SCOPES_CHARACTERS, MODEL_NAME
from accounts.secret_tokens import new_token
from accounts.tables import Account, Domain

PENDING, PROVEN, ACTIVE, REMOVING = "pending", "proven", "active", "removing"
HOLDING = (PROVEN, ACTIVE)
"""States in which a name is its account's, and no other's."""
MAX_DOMAINS = 20
MAX_NAME_CHARACTERS = 63
"""Knative asks for a certificate with the name as its common name, which may have no more."""
PENDING_DAYS = 7
MAX_PROBLEM_CHARACTERS = 300
TXT_LABEL = "_vision-challenge"
TXT_PREFIX = "vision-domain="
FILE_PATH = "/.well-known/vision-challenge/"
FIRST_WAIT_MS, LAST_WAIT_MS = 15 * SECOND_MS, HOUR_MS
KNOWN_WAIT_MS = 4 * SECOND_MS
"""Until every check knows whose it is; only then is it served."""
READY_WAIT_MS, ACTIVE_WAIT_MS = 3 * SECOND_MS, 60 * SECOND_MS
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
NAME = re.compile(rf"(?:{_LABEL}\.)+{_LABEL}")
RESERVED = ("arpa", "internal", "invalid", "local", "localhost", "onion", "svc")
"""Ends of names that are not given to anybody in the public DNS."""


@dataclass(frozen=True)
class DomainView:
    """A domain as it is listed.

    Attributes:
        token: what proves it, in DNS or in a file.
        models: that it answers; ``("*",)`` for all.
        rate_per_second: of all its keys together; None: no more than theirs.
        problem: why it is not further; empty where nothing is wrong.
    """

    name: str
    account_id: str
    token: str
    state: str
    models: tuple[str, ...]
    rate_per_second: int | None
    problem: str
    created_ms: int
    checked_ms: int | None
    active_ms: int | None

    @property
    def txt_name(self) -> str:
        return f"{TXT_LABEL}.{self.name}"

    @property
    def txt_value(self) -> str:
        return TXT_PREFIX + self.token

    @property
    def file_path(self) -> str:
        """Of a file whose text is the token."""
        return FILE_PATH + self.token


@dataclass(frozen=True)
class DomainRules:
    """What a domain lets through."""

    account_id: str
    models: frozenset[str]
    rate_per_second: int | None


def add(
    session: Session,
    account_id: str,
    name: str,
    own_host: str,
    models: tuple[str, ...] = (ALL_MODELS,),
    rate_per_second: int | None = None,
) -> DomainView:
    """Ask for a name.

    Args:
        own_host: the service's, neither of which nor a part of which is anybody's.

    Raises:
        InvalidValueError: no name that somebody can have.
        ConflictError: it is in the account's list already, or that is full.
    """
    name = _checked_name(name, own_host)
    _require_limits(models, rate_per_second)
    if session.get(Domain, (name, account_id)) is not None:
        raise ConflictError(f"{name} is in your list already", "name")
    # A row to lock, so that two requests do not count the same.
    session.execute(select(Account.id).where(Account.id == account_id).with_for_update())
    query = select(func.count()).select_from(Domain).where(Domain.account_id == account_id)
    if session.scalar(query) >= MAX_DOMAINS:  # type: ignore[operator]
        raise ConflictError(f"an account has {MAX_DOMAINS} domains at most")
    now = now_ms()
    row = Domain(
        name=name,
        account_id=account_id,
        token=new_token(),
        state=PENDING,
        models=" ".join(models),
        rate_per_second=rate_per_second,
        problem="",
        tries=0,
        created_ms=now,
        due_ms=now + FIRST_WAIT_MS,
    )
    session.add(row)
    audit.record(session, "domain added", account_id, detail=name)
    return view(row)


def listed(session: Session, account_id: str) -> list[DomainView]:
    query = select(Domain).where(Domain.account_id == account_id).order_by(Domain.name)
    return [view(row) for row in session.scalars(query)]


def look_now(session: Session, account_id: str, name: str) -> None:
    """Have the proof looked for as soon as can be; raises NotFoundError."""
    row = _own(session, account_id, name)
    if row.state == PENDING and (
        row.checked_ms is None or now_ms() - row.checked_ms > READY_WAIT_MS
    ):
        row.due_ms, row.tries = now_ms(), 0


def set_limits(
    session: Session,
    account_id: str,
    name: str,
    models: tuple[str, ...],
    rate_per_second: int | None,
) -> DomainView:
    """Change what it answers.

    Raises:
        NotFoundError: it is not in the account's list.
        InvalidValueError: no model's name, or no rate.
    """
    row = _own(session, account_id, name)
    _require_limits(models, rate_per_second)
    row.models, row.rate_per_second = " ".join(models), rate_per_second
    audit.record(session, "domain changed", account_id, detail=f"{row.name}: {row.models}")
    return view(row)


def remove(session: Session, account_id: str, name: str) -> None:
    """Stop answering under it, and take its certificate away; raises NotFoundError."""
    row = _own(session, account_id, name)
    if row.state != REMOVING:
        _begin_removal(row)
        audit.record(session, "domain removed", account_id, detail=row.name)


def due(session: Session, count: int) -> list[DomainView]:
    """What is to be looked at now, those of closed accounts to be taken away among it."""
    closed = (
        select(Domain).join(Account).where(Account.closed_ms.is_not(None), Domain.state != REMOVING)
    )
    for row in session.scalars(closed):
        _begin_removal(row)
    session.flush()
    query = select(Domain).where(Domain.due_ms <= now_ms()).order_by(Domain.due_ms).limit(count)
    return [view(row) for row in session.scalars(query)]


def holder(session: Session, name: str) -> DomainView | None:
    """Whose name it is."""
    query = select(Domain).where(Domain.name == name, Domain.state.in_(HOLDING))
    row = session.scalars(query).first()
    return view(row) if row else None


def take_over(session: Session, old: DomainView) -> None:
    """Take a name away from who cannot prove it any more, for who can."""
    row = session.get(Domain, (old.name, old.account_id))
    if row is not None and row.state in HOLDING:
        _begin_removal(row)
        row.problem = "somebody else has proven it, and your proof is gone"
        audit.record(session, "domain lost", old.account_id, "", old.name)


def proven(session: Session, of: DomainView) -> None:
    """Its proof was found, and nobody else has it."""
    row = _locked(session, of)
    others = select(Domain.account_id).where(
        Domain.name == of.name, Domain.account_id != of.account_id, Domain.state != PENDING
    )
    if row is None or row.state != PENDING:
        return
    row.checked_ms = now_ms()
    if session.scalars(others).first() is not None:
        # Its certificate is still being taken away.
        row.due_ms = now_ms() + READY_WAIT_MS
        return
    row.state, row.problem, row.tries = PROVEN, "", 0
    row.due_ms = now_ms() + KNOWN_WAIT_MS
    audit.record(session, "domain proven", of.account_id, detail=of.name)


def unproven(session: Session, of: DomainView, problem: str) -> None:
    """Its proof was not found: it is looked for again, less and less often, then no more."""
    row = _locked(session, of)
    if row is None or row.state != PENDING:
        return
    now = now_ms()
    row.checked_ms, row.problem = now, problem[:MAX_PROBLEM_CHARACTERS]
    row.due_ms = now + min(LAST_WAIT_MS, FIRST_WAIT_MS << min(row.tries, 12))
    row.tries += 1
    if now - row.created_ms > PENDING_DAYS * DAY_MS:
        _begin_removal(row)


def served(session: Session, of: DomainView, problem: str) -> None:
    """It has what it needs to be served, or ``problem`` says what it waits for."""
    row = _locked(session, of)
    if row is None or row.state not in HOLDING:
        return
    row.problem = problem[:MAX_PROBLEM_CHARACTERS]
    if not problem and row.state == PROVEN:
        row.state, row.active_ms = ACTIVE, now_ms()
        audit.record(session, "domain active", of.account_id, detail=of.name)
    row.due_ms = now_ms() + (READY_WAIT_MS if problem else ACTIVE_WAIT_MS)


def gone(session: Session, of: DomainView) -> None:
    """Nothing of it is served any more."""
    row = _locked(session, of)
    if row is not None and row.state == REMOVING:
        session.delete(row)


def not_gone(session: Session, of: DomainView, problem: str) -> None:
    row = _locked(session, of)
    if row is not None:
        row.problem, row.due_ms = problem[:MAX_PROBLEM_CHARACTERS], now_ms() + FIRST_WAIT_MS


def held(connection: Connection) -> Mapping[str, DomainRules]:
    """By name, what is somebody's; one that is being removed lets nothing through."""
    rows = connection.execute(
        select(Domain.__table__)
        .where((Domain.state.in_(HOLDING)) | (Domain.state == REMOVING))
        # Of a name that is another's by now, the one that has it counts.
        .order_by(Domain.state.in_(HOLDING))
    )
    found = {}
    for row in rows:
        if row.state != REMOVING:
            models = frozenset(row.models.split())
            found[row.name] = DomainRules(row.account_id, models, row.rate_per_second)
        elif row.active_ms is not None:
            found[row.name] = DomainRules(row.account_id, frozenset(), row.rate_per_second)
    return found


def view(row: Domain) -> DomainView:
    return DomainView(
        row.name,
        row.account_id,
        row.token,
        row.state,
        tuple(row.models.split()),
        row.rate_per_second,
        row.problem,
        row.created_ms,
        row.checked_ms,
        row.active_ms,
    )


def _begin_removal(row: Domain) -> None:
    row.state, row.due_ms, row.problem = REMOVING, now_ms(), ""


def _own(session: Session, account_id: str, name: str) -> Domain:
    row = session.get(Domain, (name.lower(), account_id))
    if row is None:
        raise NotFoundError("that domain is not in your list")
    return row


def _locked(session: Session, of: DomainView) -> Domain | None:
    """The row, with all rows of its name locked in one order: two accounts may prove it at once."""
    query = (
        select(Domain).where(Domain.name == of.name).order_by(Domain.account_id).with_for_update()
    )
    rows = {row.account_id: row for row in session.scalars(query)}
    return rows.get(of.account_id)


def _checked_name(text: str, own_host: str) -> str:
    """In small letters, as DNS has it; raises InvalidValueError."""
    name = text.strip().rstrip(".").lower()
    if not name.isascii():
        try:
            name = name.encode("idna").decode()
        except UnicodeError:
            name = ""
    if not NAME.fullmatch(name) or name.rpartition(".")[2].isdecimal():
        raise InvalidValueError(
            f"{text[:60]!r} is no domain's name such as vision.example.org", "name"
        )
    if len(name) > MAX_NAME_CHARACTERS:
        raise InvalidValueError(f"a name has {MAX_NAME_CHARACTERS} characters at most", "name")
    own = own_host.partition(":")[0].lower()
    if name == own or name.endswith(f".{own}") or own.endswith(f".{name}"):
        raise InvalidValueError(f"{name} is the service's own", "name")
    if name.rpartition(".")[2] in RESERVED or name.endswith(".cluster.local"):
        raise InvalidValueError(f"{name} is nobody's in the public DNS", "name")
    return name


def _require_limits(models: tuple[str, ...], rate_per_second: int | None) -> None:
    if not models or len(" ".join(models)) > MAX_SCOPES_CHARACTERS:
        raise InvalidValueError("a domain has one model at least", "models")
    for model in models:
        if model != ALL_MODELS and not MODEL_NAME.fullmatch(model):
            raise InvalidValueError(f"{model[:40]!r} is no model's name", "models")
    if rate_per_second is not None and not 1 <= rate_per_second <= MAX_RATE:
        raise InvalidValueError(f"a rate is 1 to {MAX_RATE} requests a second", "rate_per_second")
