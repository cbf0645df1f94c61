"""The platform's release manifests, each downloaded once and applied only as it was pinned.

``cluster/platform.lock`` has a line a manifest, as ``sha256sum`` writes it: digest and URL.
``make lock-platform`` writes it from what the releases' pages give at that moment, to be read and
committed.
"""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from cluster.commands import ROOT, ClusterError

LOCK = ROOT / "cluster" / "platform.lock"
FOLDER = ROOT / "build" / "platform"
SECONDS = 60.0


def pinned(lock: Path = LOCK) -> dict[str, str]:
    """Digest by URL; empty where nothing is pinned yet.

    Raises:
        ClusterError: a line is none.
    """
    if not lock.exists():
        return {}
    found = {}
    for number, line in enumerate(lock.read_text(encoding="utf-8").splitlines(), 1):
        digest, _, url = line.partition("  ")
        if len(digest) != hashlib.sha256().digest_size * 2 or not url:
            raise ClusterError(f"{lock.name}, line {number}: not a sha256 and an URL: {line!r}")
        found[url] = digest
    return found


def manifest(url: str, lock: Path = LOCK, folder: Path = FOLDER) -> tuple[Path, str]:
    """A manifest as a file, and what is to be said of it where it is not pinned.

    Raises:
        ClusterError: it is another one than was pinned, or cannot be downloaded.
    """
    wanted = pinned(lock).get(url, "")
    path = folder / urlsplit(url).path.lstrip("/")
    if wanted and path.exists() and _digest(path.read_bytes()) == wanted:
        return path, ""
    data = download(url)
    found = _digest(data)
    if wanted and found != wanted:
        raise ClusterError(
            f"{url}\nhas sha256 {found}, but {lock.name} pins {wanted}: it was changed since it "
            "was pinned, or on the way here. Nothing of it was applied. If the change is known and "
            "meant, `make lock-platform` pins it anew"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    note = "" if wanted else f"sha256 {found}, not pinned: `make lock-platform` pins it"
    return path, note


def write_lock(urls: Iterable[str], lock: Path = LOCK) -> list[str]:
    """Pin what the URLs give now; returns the lines.

    Raises:
        ClusterError: one cannot be downloaded; the lock is as it was.
    """
    lines = [f"{_digest(download(url))}  {url}" for url in urls]
    lock.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return lines


def download(url: str) -> bytes:
    """Raises ClusterError: it cannot be had."""
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as response:
            data: bytes = response.read()
            return data
    except (urllib.error.URLError, OSError) as error:
        raise ClusterError(f"{url} cannot be downloaded: {error}") from None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
