"""Sealing of what customers let us keep: AES-256-GCM, a key for each thing that is sealed.

Its key is sealed by one of the service's own and stands in the database; what is sealed stands in a
store of objects. Whoever deletes the row has made the object, and every copy of it, unreadable.
"""

from __future__ import annotations

import base64
import binascii
import os
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12
KEY_BYTES = 32


class SealError(ValueError):
    """No keys, or none that opens it."""


class Sealed(NamedTuple):
    """Attributes:
    key_id: of the service's key.
    wrapped: the thing's own key, sealed by that, in base64.
    """

    data: bytes
    key_id: str
    wrapped: str


class Seals:
    """Closes with the first of the service's keys, opens with any.

    Args:
        text: ``name:key`` with spaces between, each key 32 random bytes in base64. To rotate, put a
            new one in front, and leave the old one there for as long as things are kept.

    Raises:
        SealError: it is no such text.
    """

    def __init__(self, text: str) -> None:
        self._keys: dict[str, AESGCM] = {}
        for part in text.split():
            name, _, key = part.partition(":")
            try:
                raw = base64.b64decode(key, validate=True)
            except binascii.Error:
                raw = b""
            if not name or len(name) > 32 or len(raw) != KEY_BYTES:
                raise SealError(
                    "each key is NAME:KEY, of 32 random bytes in base64 (openssl rand -base64 32)"
                )
            self._keys[name] = AESGCM(raw)
        if not self._keys:
            raise SealError("there is no key to seal with")

    def close(self, data: bytes, what: bytes) -> Sealed:
        """Seal data that belongs to ``what``, and opens as nothing else."""
        own = AESGCM.generate_key(8 * KEY_BYTES)
        key_id, seal = next(iter(self._keys.items()))
        wrapped = base64.b64encode(_close(seal, own, what)).decode()
        return Sealed(_close(AESGCM(own), data, what), key_id, wrapped)

    def open(self, sealed: Sealed, what: bytes) -> bytes:
        """Raises SealError: its key is gone, or it is not what was sealed."""
        seal = self._keys.get(sealed.key_id)
        if seal is None:
            raise SealError(f"it was sealed with key {sealed.key_id}, which is not here")
        try:
            own = AESGCM(_open(seal, base64.b64decode(sealed.wrapped), what))
            return _open(own, sealed.data, what)
        except InvalidTag:
            raise SealError("it is not what was sealed") from None


def _close(key: AESGCM, data: bytes, what: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + key.encrypt(nonce, data, what)


def _open(key: AESGCM, data: bytes, what: bytes) -> bytes:
    return key.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], what)
