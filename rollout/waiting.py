"""Waiting for what a controller has yet to do, with a word on what is in the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from common.kubernetes import ObjectNotFoundError
from rollout.clock import Clock

T = TypeVar("T")

Say = Callable[[str], None]

POLL_SECONDS = 1.0
PROGRESS_SECONDS = 10.0


class Waiting:
    """Polls until there is an answer.

    Args:
        keep: called at every poll: renews the lock, and raises where this command has to stop.
    """

    def __init__(self, clock: Clock, say: Say, keep: Callable[[], None]) -> None:
        self.clock = clock
        self.say = say
        self.keep = keep

    def until(
        self,
        poll: Callable[[], T | None],
        seconds: float,
        what: str,
        late: Callable[[], Exception],
        obstacle: Callable[[], str] = lambda: "",
    ) -> T:
        """What ``poll`` gives once it gives something.

        Args:
            what: is waited for, to be said every so often.
            late: the error after ``seconds``.
            obstacle: what is in the way right now; said at once when it changes.
        """
        start = told = self.clock.monotonic()
        known = ""
        while True:
            try:
                found = poll()
            except ObjectNotFoundError:
                found = None  # an object that a controller has yet to make
            if found is not None:
                return found
            now = self.clock.monotonic()
            if now - start >= seconds:
                raise late()
            seen = obstacle()
            if (seen and seen != known) or now - told >= PROGRESS_SECONDS:
                told = now
                reason = f": {seen}" if seen else ""
                self.say(
                    f"waiting for {what} ({now - start:.0f} of at most {seconds:.0f} s){reason}"
                )
            known = seen
            self.keep()
            self.clock.sleep(POLL_SECONDS)
