"""Passwords, hashed with argon2id at the parameters of RFC 9106's second choice."""

from __future__ import annotations

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY

from accounts.errors import Refused

SHORTEST, LONGEST = 10, 256
_HASHER = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
_NOBODYS_HASH = _HASHER.hash("nobody has this password")


def hash_password(password: str) -> str:
    """Raises Refused if it is too short or too long (NIST SP 800-63B asks for length alone)."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise Refused(f"a password has {SHORTEST} to {LONGEST} characters", "password")
    return _HASHER.hash(password)


def password_fits(password: str, stored: str | None) -> bool:
    """Takes as long where there is no hash, so that the time does not tell who is registered."""
    try:
        fits = _HASHER.verify(stored or _NOBODYS_HASH, password[:LONGEST])
    except (VerificationError, InvalidHashError):
        return False
    return fits and stored is not None
