"""Entries of the history: what happened, chained by digest."""

from __future__ import annotations

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

from registry.errors import DamagedError

BEGINNING = "sha256:" + "0" * 64
"""What stands in place of the digest of the entry before the first."""


CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
"""What digests are of."""


class Action(str, Enum):
    """What an entry tells of."""

    PUBLISHED = "published"
    RETIRED = "retired"
    ALIASED = "aliased"
    # What rollouts write down, in their words.
    FOUND = "found"
    CHANGED = "changed elsewhere"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled back"
    ABANDONED = "canary rolled back"
    REFUSED = "refused"
    FAILED = "failed to start"
    DISCARDED = "discarded"
    DATA_ADDED = "data added"
    DATA_REFUSED = "data refused"
    TRAINED = "trained"
    APPROVED = "approved"
    REJECTED = "rejected"


@dataclass(frozen=True)
class Event:
    """What somebody wants to have in the history.

    Attributes:
        model, revision: what it is about; empty where it is about something else.
        by: a person or a program, by name.
        why: for people.
        details: of the action, such as a service's name or the digests of files.
    """

    action: Action
    by: str
    model: str = ""
    revision: str = ""
    why: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """``model/revision``."""
        return f"{self.model}/{self.revision}"


@dataclass(frozen=True)
class Entry(Event):
    """One link of the chain.

    Attributes:
        number: from 1, without a gap.
        at: UTC, ``2026-11-29T20:00:00Z``.
        previous: digest of the entry before.
        nonce: makes it another one than an equal entry of somebody else.
        signature: of the digest, by the key with that fingerprint; both empty where unsigned.
    """

    number: int = 0
    at: str = ""
    previous: str = BEGINNING
    nonce: str = ""
    key: str = ""
    signature: str = ""

    @classmethod
    def of(cls, event: Event, number: int, at: str, previous: str) -> Entry:
        """The link that an event becomes, unsigned."""
        told = {name: getattr(event, name) for name in Event.__dataclass_fields__}
        return cls(**told, number=number, at=at, previous=previous, nonce=secrets.token_hex(8))

    @cached_property
    def digest(self) -> str:
        """``sha256:`` and the hash of all but key and signature, as canonical JSON."""
        told = self.as_json()
        del told["key"], told["signature"]
        return "sha256:" + hashlib.sha256(CANONICAL.encode(told).encode()).hexdigest()

    def as_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def to_json(self) -> bytes:
        return json.dumps(self.as_json(), ensure_ascii=False, sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes, where: str) -> Entry:
        """Raises DamagedError: it is no entry; names where it was found."""
        try:
            document = json.loads(data)
            return cls(**{**document, "action": Action(document["action"])})
        except (ValueError, TypeError, KeyError) as error:
            raise DamagedError(f"{where} is no entry of a history: {error}") from None
