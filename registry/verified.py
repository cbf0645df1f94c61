"""How far a history's signatures were checked before, on this machine.

An entry's digest stands for every entry before it, so a chain that comes by the same digest again
needs no signature checked up to there: of 10,000 entries that is two thirds of the time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class Point(NamedTuple):
    """An entry up to which all signatures are good."""

    number: int
    digest: str


class VerifiedPoint:
    """Kept in a file, which whoever can write to it is trusted with, as with this program."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @classmethod
    def of(cls, url: str, keys: Iterable[str]) -> VerifiedPoint | None:
        """In the user's cache, for a store and the keys that are trusted; None where there is none.

        Args:
            keys: their fingerprints.
        """
        try:
            cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        except RuntimeError:
            return None
        name = hashlib.sha256("\n".join([url, *sorted(keys)]).encode()).hexdigest()[:32]
        return cls(cache / "vision-kserve" / "verified" / f"{name}.json")

    def read(self) -> Point:
        """Number 0 where nothing is known."""
        try:
            number, digest = json.loads(self._path.read_bytes())
            return Point(int(number), str(digest))
        except (OSError, ValueError, TypeError):
            return Point(0, "")

    def write(self, point: Point) -> None:
        """Whole or not at all; a cache that cannot be written is done without."""
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._path.parent, delete=False) as draft:
                draft.write(json.dumps(point).encode())
            Path(draft.name).rename(self._path)
