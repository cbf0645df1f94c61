"""``Content-Encoding: gzip`` of a request's body, undone within the body's limit.

A few kilobytes can unfold to gigabytes, so a body is unfolded a step at a time, and what it has
become is reserved like what has arrived.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import zlib
from collections.abc import Callable, Mapping

from serving.errors import MalformedRequestError, TooLargeError, UnsupportedCodingError

GZIP = ("gzip", "x-gzip")
STEP_BYTES = 256 << 10
"""Unfolded at a time: a millisecond. The first step is made on the event loop, others in a thread,
which costs more than a small body takes."""


def is_coded(headers: Mapping[str, str]) -> bool:
    """Whether a body is to be unfolded.

    Raises:
        UnsupportedCodingError: it has another coding, or several.
    """
    named = headers.get("content-encoding", "").strip().lower()
    if named in ("", "identity"):
        return False
    if named not in GZIP:
        raise UnsupportedCodingError(
            f"content encoding {named[:80]!r} is not read; send gzip, or the body as it is"
        )
    return True


async def unfold(body: bytes, limit: int, reserve: Callable[[int], None]) -> bytes:
    """What a gzip body stands for.

    Args:
        limit: most bytes that it may become.
        reserve: called with the bytes of every step.

    Raises:
        MalformedRequestError: no gzip, damaged or cut off.
        TooLargeError: above the limit.
        OverloadedError: as ``reserve`` raises it.
    """
    whole = io.BytesIO()
    with gzip.GzipFile(fileobj=io.BytesIO(body)) as coded:
        step = _read(coded)
        while step:
            if whole.tell() + len(step) > limit:
                raise TooLargeError(f"the body unfolds to more than the limit of {limit} bytes")
            reserve(len(step))
            whole.write(step)
            step = await asyncio.get_running_loop().run_in_executor(None, _read, coded)
    return whole.getvalue()


def _read(coded: gzip.GzipFile) -> bytes:
    try:
        return coded.read(STEP_BYTES)
    except (OSError, EOFError, zlib.error):
        raise MalformedRequestError("the body is no gzip, or is damaged or cut off") from None
