"""Reading a request's body: bounded in bytes, in time, and in what it holds of the server."""

from __future__ import annotations

import asyncio
import io
import re

from serving.errors import RequestTimeoutError, TooLargeError
from serving.interruption import DisconnectedError, Interruption, Receive
from serving.scheduling.admission import Admission

MAX_SECONDS = 60.0
"""For a whole body."""

CHECK_SECONDS = 5.0
MIN_BYTES_PER_SECOND = 4 << 10
"""Of a body that is not there yet, looked at every ``CHECK_SECONDS``: whoever sends a byte now and
then to hold what others need is told to come again."""


def declared_bytes(headers: dict[str, str], limit: int) -> int:
    """The body's length; 0 where it is not told.

    Raises:
        TooLargeError: it is above ``limit``.
    """
    declared = headers.get("content-length", "")
    if not re.fullmatch(r"[0-9]+", declared):
        return 0
    if len(declared) > 15 or int(declared) > limit:
        raise TooLargeError(f"the body has {declared[:15]} bytes; the limit is {limit}")
    return int(declared)


class BodyReader:
    """Reads one body; what has arrived is reserved in ``admission``, what was announced is not.

    Attributes:
        reserved: bytes; whoever reads gives them back.
    """

    def __init__(
        self, receive: Receive, limit: int, admission: Admission, interruption: Interruption
    ) -> None:
        self._receive = receive
        self._limit = limit
        self._admission = admission
        self._interruption = interruption
        self._begun = 0.0
        self._seen = 0
        self.reserved = 0

    async def read(self) -> bytes:
        """The body.

        Raises:
            DisconnectedError: the client went away.
            OverloadedError: there is no room for more of it.
            TooLargeError: it is above the limit.
            asyncio.CancelledError: it was too slow; the interruption has the reason.
        """
        loop = asyncio.get_running_loop()
        self._begun = loop.time()
        timer = loop.call_later(CHECK_SECONDS, self._check)
        try:
            first = await self._take()
            if not first[1]:
                return first[0]
            # Joining a list of parts would hold a large body twice; this gives its buffer away.
            whole = io.BytesIO()
            whole.write(first[0])
            more = True
            while more:
                part, more = await self._take()
                whole.write(part)
            return whole.getvalue()
        finally:
            timer.cancel()
            self._begun = 0.0

    def reserve(self, count: int) -> None:
        """Reserve what the body has grown by; raises OverloadedError where there is no room."""
        self._admission.reserve(count, self.reserved)
        self.reserved += count

    async def _take(self) -> tuple[bytes, bool]:
        """The next part, and whether there is more."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise DisconnectedError
        part: bytes = message.get("body", b"")
        if self.reserved + len(part) > self._limit:
            raise TooLargeError(f"the body is larger than the limit of {self._limit} bytes")
        self.reserve(len(part))
        return part, message.get("more_body", False)

    def _check(self) -> None:
        if not self._begun:
            return
        loop = asyncio.get_running_loop()
        arrived, self._seen = self.reserved - self._seen, self.reserved
        if loop.time() - self._begun >= MAX_SECONDS:
            reason = f"the body did not arrive within {MAX_SECONDS:.0f} seconds"
        elif arrived < MIN_BYTES_PER_SECOND * CHECK_SECONDS:
            reason = f"the body came at less than {MIN_BYTES_PER_SECOND} bytes per second"
        else:
            loop.call_later(CHECK_SECONDS, self._check)
            return
        self._interruption.interrupt(RequestTimeoutError(reason))
