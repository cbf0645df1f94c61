"""What the ledger is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Admitted(Enum):
    """What became of an intent."""

    NEW = "new"
    REPEATED = "repeated"
    """Under an id that was not billed before."""
    BILLED_BEFORE = "billed before"
    """A repeat that will not be billed again; one of the repeats that its id may have is reserved
    for it."""
    REUSED = "reused"
    """The id belongs to another request, or was repeated too often; nothing was recorded."""
    NO_ROOM = "no room"
    """The quota is used up, and it is no repeat of something billed; nothing was recorded."""
    TOO_MANY = "too many"
    """The account, or the address of a try, has its share under way; nothing was recorded."""
    NO_TRIES = "no tries"
    """The day's tries without a key are used up; nothing was recorded."""


@dataclass(frozen=True)
class Admission:
    """Attributes:
    content: digest of what the id belongs to; empty where nobody knows yet.
    tries_left: of the address, where it is a try.
    """

    admitted: Admitted
    content: str = ""
    tries_left: int = 0


class Completed(Enum):
    """What became of an answer."""

    BILLED = "billed"
    REPEATED = "repeated"
    """Given again, not billed again."""
    FAILED = "failed"
    WITHHELD = "withheld"
    """Of another content than the id belongs to, or one repeat too many: it must not leave."""
    NOTHING = "nothing"
    """An end that was recorded before."""


@dataclass(frozen=True)
class Tried:
    """A try without a key; request ids of tries begin with day and address.

    Attributes:
        day, address: what the ids of all tries of the day, and of the address's, begin with.
        per_address, in_all, at_once: how many there may be.
    """

    day: str
    address: str
    per_address: int
    in_all: int
    at_once: int


@dataclass(frozen=True)
class Intent:
    """A request that is about to reach a model.

    Attributes:
        family: of its key.
        quota: billed requests that the family may have this month, where that is to be counted.
        share: requests that the account may have under way, where that is to be counted.
        tried: where it has no key.
    """

    account_id: str
    request_id: str
    attempt_id: int
    key_id: str
    model: str
    request_bytes: int
    started_ms: int
    family: str = ""
    quota: int | None = None
    share: int | None = None
    tried: Tried | None = None


@dataclass(frozen=True)
class Outcome:
    """How an answer's headers say that a request ended.

    Attributes:
        reserved: whether the intent was admitted as ``BILLED_BEFORE``.
        attempt_id: of the intent; 0 where it is not known.
        content: digest of what was asked; empty where the model server did not read it.
        unsure: instances whose prediction says so; None where the model does not say.
        predicted: of each instance, as ``common.predicted`` writes it; empty where it is not kept.
    """

    account_id: str
    request_id: str
    key_id: str
    family: str
    model: str
    revision: str
    status: int
    billed: bool
    instances: int
    pixels: int
    request_bytes: int
    response_bytes: int
    milliseconds: int
    reserved: bool = False
    content: str = ""
    experiment: str = ""
    variant: str = ""
    subject: str = ""
    unsure: int | None = None
    predicted: str = ""
    attempt_id: int = 0


@dataclass(frozen=True)
class Abandonment:
    """A request that ended without an answer: the client went away, or Envoy gave up.

    Attributes:
        outcome: what is known of it; never billed as a prediction.
        unanswered: whether it is certain that this attempt had no answer. Otherwise the event
            tells: it had none if it is still this attempt's intent.
    """

    outcome: Outcome
    attempt_id: int
    unanswered: bool


@dataclass(frozen=True)
class KeyRecord:
    """A working key as the database has it.

    Attributes:
        captures: percent of the requests to a model that its account lets us keep, by model.
    """

    hash: str
    key_id: str
    account_id: str
    family: str
    scopes: frozenset[str]
    quota_requests: int | None
    used_requests: int
    rate_per_second: int
    expires_ms: int | None
    captures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class RepeatRule:
    """How a billed id may be repeated by a client that saw no answer.

    Answers are counted, not attempts: a client may knock as often as it likes while a model is
    down, but an id is no season ticket.
    """

    answers: int = 10
    seconds: int = 3600
