"""Admission: no more requests are taken than are answered in good time; the rest hear so at once.

Three bounds, the first two against memory, the third against time: requests and bytes in
progress, and requests in progress times the time that one takes at full load. That time is
measured, not set, so one setting fits a small network and a large one.
"""

from __future__ import annotations

import time
from collections import deque

from serving.errors import OverloadedError
from serving.scheduling.polling import BusyPoll

FLOOR = 64
"""Requests that are always admitted: less than this is no queue, and says nothing of the speed."""

WINDOW_SECONDS = 0.25
MEMORY_SECONDS = 30.0
"""The speed is that of the best window of the last while. Refusing takes time as well, so what is
answered under overload is less than what could be; were the limit to follow that down, clients
that ask again at once would hold it there."""

STALL_SECONDS = 2.0
"""A window that took longer (its predictor was waking up) says nothing of the speed, either."""

PRESSED_SHARE = 1 / 6
"""Of the limit, while more requests are refused than answered. Refusing takes processor time from
answering, and those that are admitted would wait for longer than they should. Not sooner: many
connections that each wait for their turn are no reason to turn any of them away."""

PRESSED_SECONDS = 30.0
"""Then a window with the whole limit shows whether there still are more than fit into that:
clients that ask again at once would be refused for ever by the smaller one."""

TOO_MANY_BYTES = "too many bytes are in progress"


class Admission:
    """Counts requests in; refuses those that would wait too long.

    Args:
        max_requests: in progress at once.
        max_bytes: of their bodies.
        wait_seconds: time after which a request that is admitted should be answered.
        polling: is told how many are in progress.
    """

    def __init__(
        self,
        max_requests: int,
        max_bytes: int,
        wait_seconds: float,
        polling: BusyPoll | None = None,
    ) -> None:
        self._max_requests = max_requests
        self._max_bytes = max_bytes
        self._wait_seconds = wait_seconds
        self._polling = polling
        self._limit = max_requests
        self._requests = 0
        self._bytes = 0
        self._speeds: deque[tuple[float, float]] = deque()
        self._started = time.monotonic()
        self._answered = 0
        self._refused = 0
        self._pressed = False
        self._pressed_until = 0.0
        self._idle = True

    @property
    def limit(self) -> int:
        """Requests in progress above which one is refused now."""
        return self._limit

    @property
    def requests(self) -> int:
        """Requests in progress."""
        return self._requests

    @property
    def size_bytes(self) -> int:
        """Bytes of their bodies."""
        return self._bytes

    def has_room(self, size_bytes: int) -> bool:
        """Whether a request of that size would be taken in.

        One without bytes to come is not measured by them: what is here of its body was reserved,
        and one body alone may be larger than all bodies together.
        """
        return self._requests < self._limit and (
            not size_bytes or not self._bytes or self._bytes + size_bytes <= self._max_bytes
        )

    def check(self, size_bytes: int) -> None:
        """See that there is room for a request.

        Raises:
            OverloadedError: it would have to wait too long, or there is no room for it.
        """
        if self.has_room(size_bytes):
            return
        if self._requests >= self._limit:
            self._refused += 1
            raise OverloadedError("too many requests are in progress", reason="queue_requests")
        raise OverloadedError(TOO_MANY_BYTES, reason="queue_bytes")

    def reserve(self, size_bytes: int, own_bytes: int) -> None:
        """Hold bytes of a body that is still arriving; ``release`` must follow.

        Args:
            own_bytes: what is held of that body already. One body alone may be as large as it is.

        Raises:
            OverloadedError: there is no room for them.
        """
        others = self._bytes - own_bytes
        if others and self._bytes + size_bytes > self._max_bytes:
            raise OverloadedError(TOO_MANY_BYTES, reason="queue_bytes")
        self._bytes += size_bytes

    def release(self, size_bytes: int) -> None:
        """Give reserved bytes back."""
        self._bytes -= size_bytes

    def enter(self, size_bytes: int) -> None:
        """Take a request in, if there is room; ``leave`` must follow.

        Raises:
            OverloadedError: as ``check`` does.
        """
        self.check(size_bytes)
        self._requests += 1
        self._bytes += size_bytes
        if self._polling is not None:
            self._polling.saw(self._requests)

    def leave(self, size_bytes: int, answered: bool) -> None:
        """A request is done with; one that failed says nothing of the speed."""
        self._requests -= 1
        self._bytes -= size_bytes
        if self._polling is not None:
            self._polling.saw(self._requests)
        if self._requests < FLOOR // 2:
            self._idle = True
        if answered:
            self._answered += 1
            now = time.monotonic()
            if now - self._started >= WINDOW_SECONDS:
                self._close_window(now)

    def _close_window(self, now: float) -> None:
        elapsed = now - self._started
        speed = self._answered / elapsed
        while self._speeds and self._speeds[0][0] < now - MEMORY_SECONDS:
            self._speeds.popleft()
        best = max((speed for _, speed in self._speeds), default=0.0)
        # Where there was too little to do, the speed was at least what was seen.
        if elapsed < STALL_SECONDS and (not self._idle or speed > best > 0):
            self._speeds.append((now, speed))
            best = max(best, speed)
        if best:
            self._press(now)
            allowed = int(best * self._wait_seconds * (PRESSED_SHARE if self._pressed else 1))
            self._limit = min(self._max_requests, max(FLOOR, allowed))
        self._started = now
        self._answered = self._refused = 0
        self._idle = self._requests < FLOOR // 2

    def _press(self, now: float) -> None:
        """Whether the limit is to be smaller, by the window that ends."""
        was = self._pressed
        over = self._refused > self._answered
        self._pressed = over and not (was and now >= self._pressed_until)
        if self._pressed and not was:
            self._pressed_until = now + PRESSED_SECONDS
