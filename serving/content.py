"""What a request asks, as one digest: two requests under one id are the same if theirs are equal.

The edge in front names every request that it meters (``x-request-id``) and, where it has seen
that id before, says what content belongs to it (``EXPECTED``). The body passes only here, so here
it is compared, before any work is done; and every metered answer says what it was an answer to
(``CONTENT``), so that the edge can tell two requests apart that came at the same moment.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping

from serving.errors import RequestIdReusedError

METERED = "x-account-id"
"""Request header that the edge sets, and no client can, on what it meters."""
EXPECTED = "x-expected-content"
CONTENT = "x-model-content"
RECEIVED_BYTES = "x-model-received-bytes"
HEADERS = ("content-type", "content-encoding", "accept", "inference-header-content-length")
"""Request headers that change what a body means, or how it is answered."""
INLINE_BYTES = 128 << 10
"""Larger bodies are hashed in a thread: half a millisecond of the event loop is enough."""


def content_digest(path: str, query: str, headers: Mapping[str, str], body: bytes) -> str:
    """SHA-256, in hexadecimal, of everything that an answer depends on."""
    found = hashlib.sha256()
    for text in (path, query, *(headers.get(name, "") for name in HEADERS)):
        raw = text.encode("utf-8", "surrogateescape")
        # With their lengths, so that no part can be read as the end of the one before.
        found.update(b"%d:" % len(raw))
        found.update(raw)
    found.update(body)
    return found.hexdigest()


async def metered_headers(
    path: str, query: str, headers: Mapping[str, str], body: bytes
) -> dict[str, str]:
    """Response headers that say what was asked; none for a request that nobody meters."""
    if METERED not in headers:
        return {}
    if len(body) <= INLINE_BYTES:
        digest = content_digest(path, query, headers, body)
    else:
        loop = asyncio.get_running_loop()
        digest = await loop.run_in_executor(None, content_digest, path, query, headers, body)
    return {CONTENT: digest, RECEIVED_BYTES: str(len(body))}


def require_expected(headers: Mapping[str, str], metered: Mapping[str, str]) -> None:
    """Raises RequestIdReusedError if the request's id belongs to another content."""
    expected = headers.get(EXPECTED, "")
    if metered and expected and expected != metered[CONTENT]:
        raise RequestIdReusedError("this x-request-id was another request's; use a new one")
