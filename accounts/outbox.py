"""Mail that is owed: recorded with what it belongs to, made and sent afterwards.

A request that leads to a mail only records that it was asked for, whoever it names: it does not
wait for a mail server, holds no lock meanwhile, and takes as long for an address that has an
account as for one that has none. What the mail says is decided when it is sent. Its token exists
in that moment only; what is stored of it is a hash.

A mail is sent again until the server has taken it, so that one may arrive twice and none is lost.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Select, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from accounts.clock import SECOND_MS, now_ms
from accounts.database import Database
from accounts.tables import OwedMail
from common.mail import Mail, Mailer, MailRefusedError, MailServerError

LEASE_SECONDS = 120
"""Who has taken a mail and not sent it by then has died; another one takes it."""
FIRST_WAIT_SECONDS, MAX_WAIT_SECONDS = 5, 3600
MAX_TRIES = 40
"""With these waits about a day and a half."""
POLL_SECONDS = 1.0

logger = logging.getLogger("accounts.outbox")

Writer = Callable[[Session, OwedMail], Mail | None]
"""Says in a transaction what a mail says; None where nothing is to be sent."""


@dataclass(frozen=True)
class _Taken:
    id: int
    tries: int


class Outbox:
    """Sends what is owed.

    Args:
        write: see ``Writer``.
    """

    def __init__(self, database: Database, mailer: Mailer, write: Writer) -> None:
        self._database = database
        self._mailer = mailer
        self._write = write
        self._changed = threading.Event()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def notify(self) -> None:
        """Something was recorded and committed: do not wait for the next look."""
        self._changed.set()

    def start(self) -> None:
        """Send in a thread until ``stop``."""
        self._stopped.clear()
        self._thread = threading.Thread(target=self._run, name="outbox", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the mail that is being sent."""
        self._stopped.set()
        self._changed.set()
        if self._thread is not None:
            self._thread.join()

    def send_due(self) -> int:
        """Send everything that is due now; returns how many mails went out."""
        sent = 0
        while (taken := self._take()) is not None:
            sent += self._send(taken)
        return sent

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.send_due()
            except SQLAlchemyError:
                logger.exception("the outbox cannot be read")
            self._changed.wait(POLL_SECONDS)
            self._changed.clear()

    def _take(self) -> _Taken | None:
        """Take one that is due, so that no other replica sends it."""
        with self._database.read() as session:
            # Most looks find nothing, and take no lock for it.
            if session.scalar(_due().limit(1)) is None:
                return None
        with self._database.write() as session:
            row = session.scalar(_due().limit(1).with_for_update(skip_locked=True))
            if row is None:
                return None
            row.tries += 1
            row.due_ms = now_ms() + LEASE_SECONDS * SECOND_MS
            return _Taken(row.id, row.tries)

    def _send(self, taken: _Taken) -> bool:
        with self._database.write() as session:
            row = session.get(OwedMail, taken.id)
            mail = None if row is None else self._write(session, row)
        try:
            if mail is not None:
                self._mailer.send(mail)
        except MailServerError as error:
            self._postpone(taken, error)
            return False
        except MailRefusedError as error:
            logger.error("a mail was refused for good: %s", error)
            mail = None
        with self._database.write() as session:
            row = session.get(OwedMail, taken.id)
            if row is not None:
                session.delete(row)
        return mail is not None

    def _postpone(self, taken: _Taken, error: MailServerError) -> None:
        wait = min(MAX_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** min(taken.tries - 1, 20))
        with self._database.write() as session:
            row = session.get_one(OwedMail, taken.id)
            row.due_ms = now_ms() + wait * SECOND_MS
            if taken.tries >= MAX_TRIES:
                session.delete(row)
        left = "given up" if taken.tries >= MAX_TRIES else f"tried again in {wait} s"
        logger.error("a mail could not be sent and is %s: %s", left, error)


def _due() -> Select[OwedMail]:
    return select(OwedMail).where(OwedMail.due_ms <= now_ms()).order_by(OwedMail.due_ms)
