"""Random tokens and API keys: shown once, stored as a hash.

A token has 256 random bits, so that a plain SHA-256 of it cannot be turned back; passwords, which
people choose, go through argon2 instead (``passwords``).
"""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib

KEY_PREFIX = "vk_"
KEY_FORM = re.compile(r"vk_([A-Za-z0-9_-]{43})_([0-9a-f]{8})")


def new_token() -> str:
    """256 random bits, fit for a URL."""
    return secrets.token_urlsafe(32)


def new_id(prefix: str) -> str:
    """An identifier that is not secret: ``acc_3f…``."""
    return f"{prefix}_{secrets.token_hex(8)}"


def token_hash(token: str) -> str:
    # What clients send may hold half of a surrogate pair, which is nobody's token.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def new_api_key() -> str:
    """``vk_<random>_<checksum>``: the prefix lets scanners find leaked keys, the checksum lets
    mistyped and made-up ones be refused without a look into the database.
    """
    random = new_token()
    return f"{KEY_PREFIX}{random}_{checksum(random)}"


def has_key_form(key: str) -> bool:
    match = KEY_FORM.fullmatch(key)
    return match is not None and checksum(match[1]) == match[2]


def checksum(random: str) -> str:
    return f"{zlib.crc32(random.encode()):08x}"
