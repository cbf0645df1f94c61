"""Passwords, hashed with argon2id at the parameters of RFC 9106's second choice.

A hash takes 64 MiB and about 50 ms, by design. So it is never made while a database transaction is
open, and only so many are made at once: the rest wait for a moment, and then are told to come back.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from accounts.errors import BusyError, InvalidValueError

MIN_CHARACTERS, MAX_CHARACTERS = 10, 256
WAITING_PER_HASH = 8
"""Requests that may wait for their turn, each in a thread of the console."""
WAIT_SECONDS = 10.0
_HASHER = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
_NOBODYS_HASH = _HASHER.hash("nobody has this password")


class Passwords:
    """Hashes and compares; safe to use from many threads.

    Args:
        max_at_once: hashes that are made at the same time.
    """

    def __init__(self, max_at_once: int = 2) -> None:
        self._turns = threading.BoundedSemaphore(max_at_once)
        self._places = threading.BoundedSemaphore(max_at_once * (1 + WAITING_PER_HASH))

    def hash(self, password: str) -> str:
        """A hash of a new password.

        Raises:
            InvalidValueError: it is too short or too long (NIST SP 800-63B asks for length alone).
            BusyError: too many are being hashed.
        """
        if not MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS:
            raise InvalidValueError(
                f"a password has {MIN_CHARACTERS} to {MAX_CHARACTERS} characters", "password"
            )
        with self._turn():
            return _HASHER.hash(_storable(password))

    def fits(self, password: str, stored: str | None) -> bool:
        """Takes as long where there is no hash: the time does not tell who is registered.

        Raises:
            BusyError: too many are being hashed.
        """
        with self._turn():
            try:
                fits = _HASHER.verify(stored or _NOBODYS_HASH, _storable(password[:MAX_CHARACTERS]))
            except (VerificationError, InvalidHashError):
                return False
        return fits and stored is not None

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._places.acquire(blocking=False):
            raise BusyError
        try:
            if not self._turns.acquire(timeout=WAIT_SECONDS):
                raise BusyError
            try:
                yield
            finally:
                self._turns.release()
        finally:
            self._places.release()


def _storable(password: str) -> bytes:
    # JSON can hold half of a surrogate pair, which UTF-8 cannot: such a password is taken as it is.
    return password.encode("utf-8", "surrogatepass")
