"""While one customer does its worst within its rate, another one is answered as if alone.

``HOSTILE=…`` (``make test-hostile``) measures times as well: the other customer's 99th percentile
beside that of an empty service. By default, on machines that do anything else meanwhile, it is
only seen that every one of the other's requests is answered.
"""

from __future__ import annotations

import base64
import contextlib
import io
import itertools
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

from tests.edge.stack import Client, Stack, with_models
from tests.hostile.requests import SAMPLES

pytestmark = pytest.mark.slow

TIMED = "HOSTILE" in os.environ
SECONDS = 20.0 if TIMED else 3.0
MAX_TIMES = 5.0
RATE = 20
"""Requests a second of the attacker's key."""

PICTURE = (SAMPLES / "seven.png").read_bytes()
Attack = Callable[[int, str, threading.Event], None]


def head(key: str, length: int, kind: str = "image/png") -> bytes:
    return (
        f"POST /v1/models/mnist:predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n"
    ).encode()


def paced(stop: threading.Event) -> Iterator[int]:
    """A number per request, as many a second as the key may send."""
    started = time.monotonic()
    for number in itertools.count():
        if stop.wait(max(0.0, started + number / RATE - time.monotonic())):
            return
        yield number


def half_sent(port: int, key: str, stop: threading.Event) -> None:
    """Many requests of which one byte arrives; each is held open as long as the edge lets it."""
    with contextlib.ExitStack() as stack:
        for _ in paced(stop):
            with contextlib.suppress(OSError):
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), 5))
                connection.sendall(head(key, 32 << 20) + b"\x89")


def hung_up(port: int, key: str, stop: threading.Event) -> None:
    """Whole requests for much work, whose answers nobody waits for."""
    body = large_picture()
    for _ in paced(stop):
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port), 5) as connection,
        ):
            connection.sendall(head(key, len(body)) + body)
            time.sleep(0.01)


def whole(body: bytes, kind: str) -> Attack:
    def attack(port: int, key: str, stop: threading.Event) -> None:
        def one() -> None:
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", port), 60) as connection,
            ):
                connection.sendall(head(key, len(body), kind) + body)
                connection.recv(1 << 16)

        threads = []
        for _ in paced(stop):
            threads.append(threading.Thread(target=one))
            threads[-1].start()
        for thread in threads:
            thread.join()

    return attack


def large_picture() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (6000, 6000)).save(buffer, "PNG", compress_level=9)
    return buffer.getvalue()


def batch() -> bytes:
    random = np.random.default_rng(0)
    texts = []
    for _ in range(256):
        buffer = io.BytesIO()
        Image.fromarray(random.integers(0, 256, (28, 28), np.uint8)).save(buffer, "PNG")
        texts.append({"base64": base64.b64encode(buffer.getvalue()).decode()})
    return json.dumps({"instances": texts}).encode()


ATTACKS: dict[str, Callable[[], Attack]] = {
    "half-sent": lambda: half_sent,
    "hung up": lambda: hung_up,
    "large pictures": lambda: whole(large_picture(), "image/png"),
    "256 pictures a request": lambda: whole(batch(), "application/json"),
    "empty arrays": lambda: whole(
        b'{"instances":[' + b"[]," * 300_000 + b"[]]}", "application/json"
    ),
}


def percentile(client: Client, seconds: float) -> float:
    """The 99th percentile, in seconds, of requests that must all be answered."""
    times = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        started = time.perf_counter()
        assert client.predict(PICTURE) == 200
        times.append(time.perf_counter() - started)
        time.sleep(0.01)
    return float(np.percentile(times, 99))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("edge")
    with with_models(folder, f"sqlite:///{folder}/accounts.db") as running:
        yield running


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ATTACKS)
def test_a_neighbour_is_answered(stack: Stack, name: str) -> None:
    port = stack.ports.edge
    good = Client(port, stack.key().key, timeout=30)
    bad = stack.key(rate_per_second=RATE).key
    attack = ATTACKS[name]()
    alone = percentile(good, SECONDS)
    stop = threading.Event()
    attacker = threading.Thread(target=attack, args=(port, bad, stop))
    attacker.start()
    try:
        time.sleep(1.0)
        beside = percentile(good, SECONDS)
    finally:
        stop.set()
        attacker.join()
        good.close()
    print(f"{name}: p99 {alone * 1e3:.1f} ms alone, {beside * 1e3:.1f} ms beside it")
    if TIMED:
        assert beside <= MAX_TIMES * alone
