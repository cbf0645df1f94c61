"""The tables, as SQLAlchemy maps them.

Times are whole milliseconds since 1970-01-01 UTC (``*_ms``): every database holds them alike.
Secrets (session tokens, API keys, mailed tokens) are stored only as their SHA-256; passwords only
as argon2id. Every text column that is compared is compared byte by byte, on MariaDB too.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.mysql import LONGTEXT
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

BINARY_TEXT = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin"}
SERIAL = BigInteger().with_variant(Integer, "sqlite")
"""SQLite counts up by itself only in a column of type INTEGER."""

LONG_TEXT = Text().with_variant(LONGTEXT(), "mysql", "mariadb")

INTENT, FAILED, BILLED = "intent", "failed", "billed"
"""States of an event; see ``Event``."""
USER = "user"
"""The role of an account that has no other."""


class Base(DeclarativeBase):
    __table_args__: Any = BINARY_TEXT


class Account(Base):
    """A person, or whoever pays for them. A closed one keeps its bills and loses its address."""

    __tablename__ = "accounts"

    id: Mapped[str] = mapped_column(String(24), primary_key=True)
    email: Mapped[str | None] = mapped_column(String(254), unique=True)
    password_hash: Mapped[str | None] = mapped_column(String(200))
    subject: Mapped[str | None] = mapped_column(String(64), unique=True)
    """SHA-256 of issuer and subject, where the person logs in by OpenID Connect."""
    role: Mapped[str] = mapped_column(String(80))
    """Names of roles with spaces between (``common/roles.yaml``)."""
    created_ms: Mapped[int] = mapped_column(BigInteger)
    verified_ms: Mapped[int | None] = mapped_column(BigInteger)
    closed_ms: Mapped[int | None] = mapped_column(BigInteger)


class MailedToken(Base):
    """A token that was mailed to prove an address; used once."""

    __tablename__ = "mailed_tokens"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), index=True)
    purpose: Mapped[str] = mapped_column(String(16))
    password_hash: Mapped[str | None] = mapped_column(String(200))
    """Of the registration that the token was mailed for."""
    browser_hash: Mapped[str | None] = mapped_column(String(64))
    """SHA-256 of a cookie of the browser that registered."""
    expires_ms: Mapped[int] = mapped_column(BigInteger)
    used_ms: Mapped[int | None] = mapped_column(BigInteger)


class LoginSession(Base):
    """A browser that is logged in."""

    __tablename__ = "sessions"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), index=True)
    csrf: Mapped[str] = mapped_column(String(64))
    created_ms: Mapped[int] = mapped_column(BigInteger)
    expires_ms: Mapped[int] = mapped_column(BigInteger)


class ApiKey(Base):
    """An API key. ``family`` is the first key of a line of rotations: they share one quota."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(24), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), index=True)
    family: Mapped[str] = mapped_column(String(24))
    name: Mapped[str] = mapped_column(String(80))
    hash: Mapped[str] = mapped_column(String(64), unique=True)
    hint: Mapped[str] = mapped_column(String(16))
    scopes: Mapped[str] = mapped_column(String(500))
    """Names of models with spaces between; ``*`` is all of them."""
    quota_requests: Mapped[int | None] = mapped_column(BigInteger)
    """Billed requests a calendar month (UTC); None: as many as one likes."""
    rate_per_second: Mapped[int] = mapped_column(Integer)
    created_ms: Mapped[int] = mapped_column(BigInteger)
    expires_ms: Mapped[int | None] = mapped_column(BigInteger)
    revoked_ms: Mapped[int | None] = mapped_column(BigInteger)
    replaced_by: Mapped[str | None] = mapped_column(String(24))
    """The key that it was rotated to."""


class Event(Base):
    """One metered request, whatever number of attempts it took.

    ``intent`` is written before the request reaches a model. The answer's status makes it
    ``billed`` (a prediction was given; final) or ``failed``; a repeat under the same request id
    makes a failed one an intent again. An old intent is *unknown*: nobody saw an answer leave.
    """

    __tablename__ = "events"
    __table_args__ = (
        Index("events_by_completion", "account_id", "completed_ms"),
        Index("events_by_state", "state", "started_ms"),
        Index("events_by_experiment", "experiment", "started_ms"),
        BINARY_TEXT,
    )

    account_id: Mapped[str] = mapped_column(String(24), primary_key=True)
    request_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    attempt_id: Mapped[int] = mapped_column(BigInteger)
    """Random; tells one's own intent from another's under the same request id."""
    attempts: Mapped[int] = mapped_column(Integer)
    content: Mapped[str] = mapped_column(String(64))
    """SHA-256 of what was asked, as the model server read it; empty until it has said so."""
    answers: Mapped[int] = mapped_column(Integer)
    """Answers of this content that were given or are being given; one is billed."""
    withheld: Mapped[int] = mapped_column(Integer)
    """Answers that did not leave: of another content, or one repeat too many."""
    state: Mapped[str] = mapped_column(String(8))
    key_id: Mapped[str] = mapped_column(String(24))
    model: Mapped[str] = mapped_column(String(63))
    revision: Mapped[str] = mapped_column(String(63))
    status: Mapped[int] = mapped_column(Integer)
    instances: Mapped[int] = mapped_column(Integer)
    pixels: Mapped[int] = mapped_column(BigInteger)
    request_bytes: Mapped[int] = mapped_column(BigInteger)
    response_bytes: Mapped[int] = mapped_column(BigInteger)
    milliseconds: Mapped[int] = mapped_column(Integer)
    unanswered_milliseconds: Mapped[int] = mapped_column(BigInteger)
    """Of all attempts: work that led to no answer (given up, too slow, kept back)."""
    started_ms: Mapped[int] = mapped_column(BigInteger)
    completed_ms: Mapped[int | None] = mapped_column(BigInteger)
    experiment: Mapped[str] = mapped_column(String(40), default="")
    """That the answered attempt was part of, with its variant; empty where it was of none."""
    variant: Mapped[str] = mapped_column(String(40), default="")
    subject: Mapped[str] = mapped_column(String(16), default="")
    """Hash of whom the experiment was sticky by."""
    unsure: Mapped[int | None] = mapped_column(Integer)
    """Instances whose prediction says that it is; None where the model does not say."""


class Experiment(Base):
    """Several revisions of a model beside each other; see ``accounts.experiments``."""

    __tablename__ = "experiments"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    model: Mapped[str] = mapped_column(String(63))
    sticky_by: Mapped[str] = mapped_column(String(64))
    percent: Mapped[int] = mapped_column(Integer)
    """Of all subjects, how many take part."""
    variants: Mapped[str] = mapped_column(Text)
    """A JSON list, the control first."""
    shadow: Mapped[str] = mapped_column(Text)
    """A JSON object; empty where nothing is copied."""
    created_ms: Mapped[int] = mapped_column(BigInteger)
    shares_ms: Mapped[int] = mapped_column(BigInteger)
    """Since when the shares are as they are."""
    stopped_ms: Mapped[int | None] = mapped_column(BigInteger, index=True)


class ShadowTotals(Base):
    """What a shadow's answers were beside those that were given; see ``accounts.shadows``."""

    __tablename__ = "shadow_totals"

    experiment: Mapped[str] = mapped_column(String(40), primary_key=True)
    totals: Mapped[str] = mapped_column(Text)
    """A JSON object of sums."""


class Domain(Base):
    """A name that an account has asked for; see ``accounts.domains``."""

    __tablename__ = "domains"
    __table_args__ = (Index("domains_by_state", "state", "name"), BINARY_TEXT)

    name: Mapped[str] = mapped_column(String(253), primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    token: Mapped[str] = mapped_column(String(64))
    """What proves it; public once it is shown."""
    state: Mapped[str] = mapped_column(String(8))
    models: Mapped[str] = mapped_column(String(500))
    rate_per_second: Mapped[int | None] = mapped_column(Integer)
    problem: Mapped[str] = mapped_column(String(300))
    tries: Mapped[int] = mapped_column(Integer)
    created_ms: Mapped[int] = mapped_column(BigInteger)
    checked_ms: Mapped[int | None] = mapped_column(BigInteger)
    active_ms: Mapped[int | None] = mapped_column(BigInteger)
    due_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    """When it is looked at next."""


class UsageHour(Base):
    """What was billed in an hour (UTC); kept when its events are gone.

    ``requests`` counts billed ones; ``failures`` counts attempts that ended in another status.
    """

    __tablename__ = "usage_hours"

    account_id: Mapped[str] = mapped_column(String(24), primary_key=True)
    hour_ms: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    key_id: Mapped[str] = mapped_column(String(24), primary_key=True)
    model: Mapped[str] = mapped_column(String(63), primary_key=True)
    revision: Mapped[str] = mapped_column(String(63), primary_key=True)
    requests: Mapped[int] = mapped_column(BigInteger)
    failures: Mapped[int] = mapped_column(BigInteger)
    instances: Mapped[int] = mapped_column(BigInteger)
    pixels: Mapped[int] = mapped_column(BigInteger)
    request_bytes: Mapped[int] = mapped_column(BigInteger)
    response_bytes: Mapped[int] = mapped_column(BigInteger)
    milliseconds: Mapped[int] = mapped_column(BigInteger)
    unanswered_milliseconds: Mapped[int] = mapped_column(BigInteger)


class Prediction(Base):
    """What a billed answer said, kept for a while so that right answers can be compared with it."""

    __tablename__ = "predictions"

    account_id: Mapped[str] = mapped_column(String(24), primary_key=True)
    request_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    model: Mapped[str] = mapped_column(String(63))
    revision: Mapped[str] = mapped_column(String(63))
    predicted: Mapped[str] = mapped_column(Text)
    """Of each instance, as ``common.predicted`` writes it."""
    at_ms: Mapped[int] = mapped_column(BigInteger, index=True)


class Feedback(Base):
    """What an instance is, as a customer says, beside what was predicted."""

    __tablename__ = "feedback"
    __table_args__ = (
        Index("feedback_by_model", "model", "predicted_ms"),
        Index("feedback_by_account", "account_id", "predicted_ms"),
        Index("feedback_by_age", "predicted_ms"),
        BINARY_TEXT,
    )

    account_id: Mapped[str] = mapped_column(String(24), primary_key=True)
    request_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    instance: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    model: Mapped[str] = mapped_column(String(63))
    revision: Mapped[str] = mapped_column(String(63))
    predicted: Mapped[str] = mapped_column(String(200))
    probability: Mapped[float] = mapped_column(Float)
    unsure: Mapped[bool] = mapped_column(Boolean)
    predicted_ms: Mapped[int] = mapped_column(BigInteger)
    label: Mapped[str] = mapped_column(String(200))
    """The right answer, as it was said last."""
    words: Mapped[int] = mapped_column(Integer)
    """How many have been said: one more than corrections."""
    given_ms: Mapped[int] = mapped_column(BigInteger)
    """When the last one was said."""


class FeedbackWord(Base):
    """One thing that was said of an instance: corrections replace none of them."""

    __tablename__ = "feedback_words"

    account_id: Mapped[str] = mapped_column(String(24), primary_key=True)
    request_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    instance: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    """From 1."""
    label: Mapped[str] = mapped_column(String(200))
    key_id: Mapped[str] = mapped_column(String(24))
    at_ms: Mapped[int] = mapped_column(BigInteger, index=True)


class CaptureChoice(Base):
    """What an account lets us keep of its requests to a model; without a row nothing."""

    __tablename__ = "capture_choices"

    account_id: Mapped[str] = mapped_column(String(24), primary_key=True)
    model: Mapped[str] = mapped_column(String(63), primary_key=True)
    percent: Mapped[float] = mapped_column(Float)
    max_bytes: Mapped[int] = mapped_column(BigInteger)
    days: Mapped[int] = mapped_column(Integer)
    since_ms: Mapped[int] = mapped_column(BigInteger)


class Capture(Base):
    """A request that is kept, sealed, in a store of objects; see ``accounts.captures``."""

    __tablename__ = "captures"
    __table_args__ = (Index("captures_by_object", "object"), BINARY_TEXT)

    account_id: Mapped[str] = mapped_column(String(24), primary_key=True)
    request_id: Mapped[str] = mapped_column(String(128), primary_key=True)
    model: Mapped[str] = mapped_column(String(63))
    object: Mapped[str] = mapped_column(String(120))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    key_id: Mapped[str] = mapped_column(String(32))
    """Of the service's key that the object's own is sealed by."""
    wrapped: Mapped[str] = mapped_column(String(128))
    """The object's own key, sealed: without it nobody opens the object."""
    at_ms: Mapped[int] = mapped_column(BigInteger)
    expires_ms: Mapped[int] = mapped_column(BigInteger, index=True)


class QuotaMonth(Base):
    """Billed requests of a family of keys in a calendar month (UTC)."""

    __tablename__ = "quota_months"

    family: Mapped[str] = mapped_column(String(24), primary_key=True)
    month: Mapped[str] = mapped_column(String(7), primary_key=True)
    requests: Mapped[int] = mapped_column(BigInteger)


class RateBucket(Base):
    """The rate of a family of keys, or of a domain, by its hash; see ``edge.rate``."""

    __tablename__ = "rate_buckets"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    due_ns: Mapped[int] = mapped_column(BigInteger)
    """When it is full again, in nanoseconds since 1970."""


class Invoice(Base):
    """A month's bill as it was issued; never changed afterwards, but perhaps taken back."""

    __tablename__ = "invoices"
    __table_args__ = (
        UniqueConstraint("account_id", "month", "voided_ms", name="one_bill_per_month"),
        BINARY_TEXT,
    )

    number: Mapped[int] = mapped_column(SERIAL, primary_key=True)
    account_id: Mapped[str] = mapped_column(ForeignKey("accounts.id"))
    month: Mapped[str] = mapped_column(String(7))
    issued_ms: Mapped[int] = mapped_column(BigInteger)
    voided_ms: Mapped[int] = mapped_column(BigInteger)
    """0 where it counts."""
    currency: Mapped[str] = mapped_column(String(3))
    total_minor: Mapped[int] = mapped_column(BigInteger)
    document: Mapped[str] = mapped_column(Text)


class AuditEntry(Base):
    """Who did what to whom. Never holds a secret, nor an address of a closed account."""

    __tablename__ = "audit"

    id: Mapped[int] = mapped_column(SERIAL, primary_key=True)
    at_ms: Mapped[int] = mapped_column(BigInteger, index=True)
    actor_id: Mapped[str] = mapped_column(String(24), index=True)
    account_id: Mapped[str] = mapped_column(String(24), index=True)
    action: Mapped[str] = mapped_column(String(32))
    detail: Mapped[str] = mapped_column(String(500))
    why: Mapped[str] = mapped_column(String(500), server_default="")
    """What somebody said who changed what is not their own."""


class Attempt(Base):
    """A try at something that is limited (a login, a registration), by who tries."""

    __tablename__ = "attempts"
    __table_args__ = (Index("attempts_by_subject", "subject", "at_ms"), BINARY_TEXT)

    id: Mapped[int] = mapped_column(SERIAL, primary_key=True)
    subject: Mapped[str] = mapped_column(String(64))
    at_ms: Mapped[int] = mapped_column(BigInteger, index=True)


class AttemptSubject(Base):
    """Who tries, as a row to lock while attempts are counted."""

    __tablename__ = "attempt_subjects"

    subject: Mapped[str] = mapped_column(String(64), primary_key=True)
    at_ms: Mapped[int] = mapped_column(BigInteger, index=True)


class KnownClient(Base):
    """A client and an account that has logged in from there, as a hash of both."""

    __tablename__ = "known_clients"

    hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    at_ms: Mapped[int] = mapped_column(BigInteger, index=True)


class OwedMail(Base):
    """A mail that was asked for and is not sent yet; see ``accounts.outbox``."""

    __tablename__ = "owed_mail"

    id: Mapped[int] = mapped_column(SERIAL, primary_key=True)
    kind: Mapped[str] = mapped_column(String(16))
    email: Mapped[str] = mapped_column(String(254))
    password_hash: Mapped[str | None] = mapped_column(String(200))
    browser_hash: Mapped[str | None] = mapped_column(String(64))
    tries: Mapped[int] = mapped_column(Integer)
    created_ms: Mapped[int] = mapped_column(BigInteger)
    due_ms: Mapped[int] = mapped_column(BigInteger, index=True)


class MirrorPosition(Base):
    """How many transactions have a number in the mirror; one row. See ``accounts.mirror``."""

    __tablename__ = "mirror_position"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(BigInteger)


class Unmirrored(Base):
    """What a transaction has changed, until the mirror has it."""

    __tablename__ = "unmirrored"

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    document: Mapped[str] = mapped_column(LONG_TEXT)
