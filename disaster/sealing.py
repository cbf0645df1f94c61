"""Sealing of what is secret, by cryptography's Fernet (AES-CBC and HMAC)."""

from __future__ import annotations

from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken

from disaster.errors import SealError


class Seal:
    """Closes and opens with one key."""

    def __init__(self, key: bytes) -> None:
        """Raises SealError: it is no key."""
        try:
            self._fernet = Fernet(key.strip())
        except ValueError:
            raise SealError(
                "the key of the backups is none; `vision backup key FILE` makes one"
            ) from None

    @classmethod
    def read(cls, path: Path) -> Seal:
        """Raises SealError: the file cannot be read, or holds no key."""
        try:
            return cls(path.read_bytes())
        except OSError as error:
            raise SealError(f"{path} cannot be read: {error.strerror}") from None

    def close(self, data: bytes) -> bytes:
        return self._fernet.encrypt(data)

    def open(self, data: bytes) -> bytes:
        """Raises SealError: it was sealed with another key."""
        try:
            return self._fernet.decrypt(data)
        except InvalidToken:
            raise SealError(
                "this was sealed with another key: VISION_BACKUP_KEY must name the one that the "
                "backup was made with"
            ) from None


def make_key(path: Path) -> None:
    """A new key, readable by its owner alone; raises SealError: there is a file already."""
    try:
        with path.open("xb") as file:
            path.chmod(0o600)
            file.write(Fernet.generate_key() + b"\n")
    except OSError as error:
        raise SealError(f"{path} cannot be made: {error.strerror}") from None
