"""Signatures of entries, by Ed25519 keys of one's own."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from registry.entry import Entry
from registry.errors import DamagedError, StoreError

FINGERPRINT_DIGITS = 16


class Signer:
    """Signs entries with a private key."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._fingerprint = _fingerprint(key.public_key())

    @classmethod
    def read(cls, path: Path) -> Signer:
        """A key in PEM; raises StoreError where it is none."""
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise StoreError(f"{path} is no private key: {error}") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise StoreError(f"{path} is no Ed25519 key")
        return cls(key)

    def signed(self, entry: Entry) -> Entry:
        signature = base64.b64encode(self._key.sign(entry.digest.encode())).decode()
        return replace(entry, key=self._fingerprint, signature=signature)


class Verifier:
    """Knows whose signatures count."""

    def __init__(self, keys: Iterable[Ed25519PublicKey]) -> None:
        self._keys = {_fingerprint(key): key for key in keys}

    @classmethod
    def read(cls, paths: Iterable[Path]) -> Verifier:
        """Keys in PEM; raises StoreError where one is none."""
        keys = []
        for path in paths:
            try:
                key = load_pem_public_key(path.read_bytes())
            except (OSError, ValueError) as error:
                raise StoreError(f"{path} is no public key: {error}") from None
            if not isinstance(key, Ed25519PublicKey):
                raise StoreError(f"{path} is no Ed25519 key")
            keys.append(key)
        return cls(keys)

    @property
    def fingerprints(self) -> list[str]:
        """Of the keys."""
        return list(self._keys)

    def check(self, entry: Entry) -> None:
        """Raises DamagedError: the entry is not signed by one of the keys."""
        key = self._keys.get(entry.key)
        if key is None:
            whose = f"by the key {entry.key}, which is not trusted" if entry.key else "by nobody"
            raise DamagedError(f"entry {entry.number} of the history is signed {whose}")
        try:
            key.verify(base64.b64decode(entry.signature), entry.digest.encode())
        except (InvalidSignature, ValueError):
            raise DamagedError(
                f"entry {entry.number} of the history has a wrong signature"
            ) from None


def make_key(path: Path) -> Path:
    """A new private key at ``path``, and its public one beside it, which is returned.

    Raises:
        StoreError: there is a file already.
    """
    key = Ed25519PrivateKey.generate()
    public = path.with_suffix(".pub")
    try:
        descriptor = path.open("xb")
    except OSError as error:
        raise StoreError(f"{path} cannot be made: {error.strerror}") from None
    with descriptor:
        path.chmod(0o600)
        descriptor.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(
        key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    return public


def _fingerprint(key: Ed25519PublicKey) -> str:
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    return hashlib.sha256(raw).hexdigest()[:FINGERPRINT_DIGITS]
