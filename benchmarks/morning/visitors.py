"""Whoever asks: Poisson arrivals, with a key or as a try, a share of them the canary."""

from __future__ import annotations

import http.client
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from common.ports import LOCAL_HOST

THREADS = 16
TIMEOUT_SECONDS = 10.0
TRY_SHARE = 0.2

Picture = Callable[[], bytes]


class Visitors:
    """Send pictures until they are told to stop.

    Attributes:
        rate: requests a second.
        canary_share: of the requests, to the canary's transformer.
        picture: gives the next one's bytes.
        answers: statuses so far; 0 where there was none.
    """

    def __init__(self, edge: int, canary: int, key: str, path: str, picture: Picture) -> None:
        self.rate = 20.0
        self.canary_share = 0.0
        self.picture = picture
        self.answers: Counter[int] = Counter()
        self._edge, self._canary, self._key, self._path = edge, canary, key, path
        self._waiting: queue.SimpleQueue[tuple[bool, bytes] | None] = queue.SimpleQueue()
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._arrive, daemon=True)]
        self._threads += [
            threading.Thread(target=self._send, args=(number,), daemon=True)
            for number in range(THREADS)
        ]

    def __enter__(self) -> Visitors:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for _thread in self._threads[1:]:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()

    def _arrive(self) -> None:
        draw = np.random.default_rng(THREADS)
        due = time.monotonic()
        while not self._ended.is_set():
            due += draw.exponential(1 / self.rate)
            if (wait := due - time.monotonic()) > 0:
                time.sleep(wait)
            self._waiting.put((draw.random() < self.canary_share, self.picture()))

    def _send(self, number: int) -> None:
        draw = np.random.default_rng(number)
        connections: dict[int, http.client.HTTPConnection] = {}
        while (item := self._waiting.get()) is not None:
            to_canary, body = item
            port = self._canary if to_canary else self._edge
            headers = {"content-type": "image/png"}
            if draw.random() >= TRY_SHARE:
                headers["authorization"] = f"Bearer {self._key}"
            # An address of its own: tries without a key are few at once.
            source = (f"127.0.1.{number + 1}", 0)
            client = connections.get(port) or http.client.HTTPConnection(
                LOCAL_HOST, port, TIMEOUT_SECONDS, source_address=source
            )
            try:
                client.request("POST", self._path, body, headers)
                answer = client.getresponse()
                answer.read()
                self.answers[answer.status] += 1
                connections[port] = client
            except (OSError, http.client.HTTPException):
                self.answers[0] += 1
                client.close()
                connections.pop(port, None)
        for client in connections.values():
            client.close()


def any_of(pictures: Sequence[bytes]) -> Picture:
    """One of them, drawn each time."""
    draw = np.random.default_rng(0)
    return lambda: pictures[int(draw.integers(len(pictures)))]
