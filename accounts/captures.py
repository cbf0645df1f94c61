"""Requests with pictures that customers let us keep, sampled and bounded, each sealed by itself.

Nothing is kept without a choice of the account for the model. What is kept is the request as it
came. Its row has its key: deleting the row makes the object unreadable, before it is deleted too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from accounts import audit
from accounts.clock import DAY_MS, moment, now_ms
from accounts.database import Database
from accounts.errors import BusyError, InvalidValueError, NotFoundError
from accounts.keys import MODEL_NAME
from accounts.seals import Sealed, SealError, Seals
from accounts.secret_tokens import new_token
from accounts.tables import Capture, CaptureChoice
from registry.errors import NotFoundError as ObjectNotFoundError
from registry.errors import RegistryError
from registry.objects import ObjectStore
from registry.opening import open_store

FOLDER = "captures"
MAX_DAYS = 90
MIN_BYTES, MAX_BYTES = 1 << 20, 10 << 30
MAX_CHOICES = 50
AT_ONCE = 500
KEPT_HEADERS = ("content-type", "content-encoding", "inference-header-content-length")


@dataclass(frozen=True)
class Choice:
    """What an account lets us keep of a model's requests.

    Attributes:
        percent: of the requests, above 0 to 100.
        max_bytes: that are kept at a time; beyond it nothing is.
        days: for how long.
    """

    model: str
    percent: float
    max_bytes: int
    days: int


@dataclass(frozen=True)
class Kept:
    """What is kept of an account's requests to a model."""

    model: str
    count: int
    size_bytes: int
    oldest_ms: int


@dataclass(frozen=True)
class Copy:
    """A request as it came.

    Attributes:
        headers: those of ``KEPT_HEADERS`` that it had.
    """

    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes


def choose(session: Session, account_id: str, choice: Choice) -> None:
    """Switch on, or change, what may be kept; what is kept already stays as long as it was to.

    Raises:
        InvalidValueError: out of bounds.
    """
    if not MODEL_NAME.fullmatch(choice.model):
        raise InvalidValueError(f"{choice.model[:63]!r} is no model's name", "model")
    if not 0.1 <= choice.percent <= 100:
        raise InvalidValueError("a share is 0.1 to 100 percent", "percent")
    if not MIN_BYTES <= choice.max_bytes <= MAX_BYTES:
        raise InvalidValueError(
            f"{MIN_BYTES >> 20} MiB to {MAX_BYTES >> 30} GiB may be kept", "max_bytes"
        )
    if not 1 <= choice.days <= MAX_DAYS:
        raise InvalidValueError(f"pictures are kept 1 to {MAX_DAYS} days", "days")
    row = session.get(CaptureChoice, (account_id, choice.model), with_for_update=True)
    if row is None:
        held = session.scalar(select(func.count()).where(CaptureChoice.account_id == account_id))
        if (held or 0) >= MAX_CHOICES:
            raise InvalidValueError(f"an account chooses for {MAX_CHOICES} models at most", "model")
        row = CaptureChoice(account_id=account_id, model=choice.model)
        session.add(row)
    row.percent, row.max_bytes, row.days = choice.percent, choice.max_bytes, choice.days
    row.since_ms = now_ms()
    room = f"{choice.max_bytes / (1 << 20):g} MiB"
    detail = f"{choice.model}: {choice.percent:g} %, {room}, {choice.days} days"
    audit.record(session, "capture switched on", account_id, detail=detail)


def stop(session: Session, account_id: str, model: str) -> None:
    """Keep nothing more; what is there stays until it is old or deleted. Raises NotFoundError."""
    row = session.get(CaptureChoice, (account_id, model))
    if row is None:
        raise NotFoundError("nothing is kept of that model's requests")
    session.delete(row)
    audit.record(session, "capture switched off", account_id, detail=model)


def choices(session: Session, account_id: str) -> list[Choice]:
    rows = session.scalars(
        select(CaptureChoice)
        .where(CaptureChoice.account_id == account_id)
        .order_by(CaptureChoice.model)
    )
    return [Choice(row.model, row.percent, row.max_bytes, row.days) for row in rows]


def kept(session: Session, account_id: str) -> list[Kept]:
    rows = session.execute(
        select(Capture.model, func.count(), func.sum(Capture.size_bytes), func.min(Capture.at_ms))
        .where(Capture.account_id == account_id)
        .group_by(Capture.model)
        .order_by(Capture.model)
    )
    return [Kept(model, count, int(size), oldest) for model, count, size, oldest in rows]


class Captures:
    """Keeps, reads and forgets, in a database and a store."""

    def __init__(self, database: Database, store: ObjectStore, seals: Seals) -> None:
        self._database = database
        self._store = store
        self._seals = seals

    def keep(self, account_id: str, request_id: str, model: str, copy: Copy) -> bool:
        """Keep a request if its account still wants that, and there is room.

        Raises:
            BusyError: the store does not answer.
        """
        own = (account_id, request_id)
        with self._database.read() as session:
            if session.get(Capture, own) or not _has_room(session, account_id, model, copy):
                return False
        head = {"path": copy.path, "query": copy.query, "headers": dict(copy.headers)}
        data = json.dumps(head).encode() + b"\n" + copy.body
        sealed = self._seals.close(data, _what(*own))
        # By the day: what a kill left behind without a row is found when the day is over.
        name = f"{FOLDER}/{moment(now_ms()):%Y-%m-%d}/{new_token()}"
        try:
            self._store.create(name, sealed.data)
        except RegistryError as error:
            raise BusyError(f"the store of pictures does not answer: {error}") from None
        with self._database.write() as session:
            choice = _has_room(session, account_id, model, copy)
            taken = choice is not None and session.get(Capture, own) is None
            if choice is not None and taken:
                now = now_ms()
                session.add(
                    Capture(
                        account_id=account_id,
                        request_id=request_id,
                        model=model,
                        object=name,
                        size_bytes=len(copy.body),
                        key_id=sealed.key_id,
                        wrapped=sealed.wrapped,
                        at_ms=now,
                        expires_ms=now + choice.days * DAY_MS,
                    )
                )
        if not taken:
            self._store.delete(name)
        return taken

    def read(self, account_id: str, request_id: str) -> Copy:
        """What was kept of a request.

        Raises:
            NotFoundError: nothing.
            BusyError: the store does not answer, or the key is not here.
        """
        own = (account_id, request_id)
        with self._database.read() as session:
            row = session.get(Capture, own)
            if row is None or row.expires_ms <= now_ms():
                raise NotFoundError("nothing is kept of that request")
            name, key_id, wrapped = row.object, row.key_id, row.wrapped
        try:
            sealed = Sealed(self._store.read(name).data, key_id, wrapped)
            data = self._seals.open(sealed, _what(*own))
        except ObjectNotFoundError:
            raise NotFoundError("nothing is kept of that request") from None
        except (RegistryError, SealError) as error:
            raise BusyError(f"what is kept cannot be read: {error}") from None
        head, _, body = data.partition(b"\n")
        return Copy(**json.loads(head), body=body)

    def forget(self, account_id: str, request_id: str | None = None) -> int:
        """Delete what is kept of one request, or all of it; returns how many there were."""
        mine = [Capture.account_id == account_id]
        if request_id is not None:
            mine.append(Capture.request_id == request_id)
        with self._database.write() as session:
            names = session.scalars(select(Capture.object).where(*mine)).all()
            session.execute(delete(Capture).where(*mine))
            detail = f"{len(names)} requests" if request_id is None else request_id
            audit.record(session, "captures deleted", account_id, detail=detail)
        self._delete(names)
        return len(names)

    def prune(self) -> int:
        """Delete what is too old, and what a kill has left in the store without a row."""
        deleted = 0
        while True:
            with self._database.write() as session:
                old = session.scalars(
                    select(Capture).where(Capture.expires_ms <= now_ms()).limit(AT_ONCE)
                ).all()
                names = [row.object for row in old]
                for row in old:
                    session.delete(row)
            self._delete(names)
            deleted += len(names)
            if len(names) < AT_ONCE:
                break
        today = f"{FOLDER}/{moment(now_ms() - DAY_MS // 4):%Y-%m-%d}"
        past = [name for name in self._store.keys(f"{FOLDER}/") if name < today]
        for start in range(0, len(past), AT_ONCE):
            names = past[start : start + AT_ONCE]
            with self._database.read() as session:
                known = set(
                    session.scalars(select(Capture.object).where(Capture.object.in_(names)))
                )
            orphans = [name for name in names if name not in known]
            self._delete(orphans)
        return deleted

    def _delete(self, names: Iterable[str]) -> None:
        for name in names:
            self._store.delete(name)


def open_captures(database: Database, url: str, keys: str) -> Captures | None:
    """Where requests are kept; None where no store is named.

    Raises:
        SealError: the keys are none.
        RegistryError: the store cannot be opened.
    """
    if not url:
        return None
    store = open_store(url)
    store.set_up()
    return Captures(database, store, Seals(keys))


def _has_room(session: Session, account_id: str, model: str, copy: Copy) -> CaptureChoice | None:
    """The choice that lets this be kept; held to the end of a transaction that writes."""
    choice = session.get(CaptureChoice, (account_id, model), with_for_update=True)
    if choice is None:
        return None
    used = session.scalar(
        select(func.sum(Capture.size_bytes)).where(
            Capture.account_id == account_id, Capture.model == model
        )
    )
    return choice if int(used or 0) + len(copy.body) <= choice.max_bytes else None


def _what(account_id: str, request_id: str) -> bytes:
    return f"{account_id}\n{request_id}".encode()
