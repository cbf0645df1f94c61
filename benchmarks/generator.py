"""The load generator: one thread, epoll, raw HTTP/1.1 with requests that were rendered before.

It shares the cores with what it measures, so it does as little as it can: during the run it only
sends, receives and finds the end of each response. Answers are kept and checked when the clock has
stopped. Nor does it interrupt what it measures: as a batch task it waits, when an answer wakes it,
for a core that is free or a turn that ends, where else every second answer would push aside the
server that is about to send the next. Standard library only, in a process of its own:
``python -m benchmarks.generator FOLDER`` with the plan that ``benchmarks.load`` wrote there.

Latencies have no coordinated omission at an open arrival rate: they count from the moment a
request should have been sent, whether or not a connection was free for it then.
"""

from __future__ import annotations

import gc
import json
import os
import select
import socket
import sys
import time
from array import array
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.answers import Expected, right
from benchmarks.processes import cpu_seconds, machine_busy_seconds

RECEIVE_BYTES = 1 << 14
"""At a time. A larger buffer would be mapped and unmapped by malloc for every response."""

PAUSE_SECONDS = 0.005
"""Before a connection that was refused or cut is tried again."""

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)


@dataclass(frozen=True)
class Plan:
    """One measurement.

    Attributes:
        connections: a closed loop keeps all of them busy; an open one opens as many at most.
        open_loop: whether requests have moments of their own (``arrivals.bin``, seconds from
            the start as float64).
        drop: at an open rate, leave out a request for which no connection is free rather than
            send it late; it counts as ``unsent``.
        warm_seconds, seconds: what is sent in the first counts nowhere; what is sent in the
            second is measured.
        drain_seconds: how long answers may take to come in afterwards.
        server_pids: whose CPU time is measured, with their descendants.
    """

    host: str
    port: int
    connections: int
    open_loop: bool
    drop: bool
    warm_seconds: float
    seconds: float
    drain_seconds: float
    server_pids: list[int]
    request_sizes: list[int]
    expected: list[list[tuple[int, float | None]]]


@dataclass
class LoadResult:
    """What came of it, counting only requests of the measured span.

    Attributes:
        sent: requests; each is in exactly one of the counts from ``right`` to ``failed``.
        right: 200 with the right answer to every image of the request.
        wrong: 200 with another answer.
        refused: 429 and 503, by status.
        refused_silently: those of them without Retry-After.
        errors: other statuses.
        failed: connections refused, cut or without an answer in time.
        unsent: requests for which no connection got free.
        images_a_second: rightly answered within the span, over its length.
        latency_ms, refusal_ms: percentiles by name (``p50``), ``mean`` and ``max``, of right
            answers and of refusals.
        lag_ms: how late requests were sent at an open rate.
        server_cpu_seconds, generator_cpu_seconds, others_cpu_seconds: within the span; the last
            is everything else on the machine, and what its host took.
    """

    seconds: float
    sent: int = 0
    images: int = 0
    right: int = 0
    wrong: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    refused_silently: int = 0
    errors: dict[str, int] = field(default_factory=dict)
    failed: int = 0
    unsent: int = 0
    images_a_second: float = 0.0
    requests_a_second: float = 0.0
    latency_ms: dict[str, float] = field(default_factory=dict)
    refusal_ms: dict[str, float] = field(default_factory=dict)
    lag_ms: dict[str, float] = field(default_factory=dict)
    server_cpu_seconds: float = 0.0
    generator_cpu_seconds: float = 0.0
    others_cpu_seconds: float = 0.0

    @property
    def server_cpu_us_an_image(self) -> float:
        return self.server_cpu_seconds / max(1, self.images) * 1e6

    @property
    def faults(self) -> int:
        """Requests that got neither a right answer nor an orderly refusal."""
        return self.wrong + sum(self.errors.values()) + self.failed


@dataclass(slots=True)
class Exchange:
    """One request and what became of it; moments in seconds of the monotonic clock."""

    request: int
    intended: float
    sent: float
    done: float = 0.0
    response: bytes = b""


class Connection:
    __slots__ = ("exchange", "fd", "need", "received", "rest", "socket", "writing")

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, timeout=5)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.fd = self.socket.fileno()
        self.exchange: Exchange | None = None
        self.received = bytearray()
        self.need = 0
        self.rest: bytes | memoryview = b""
        self.writing = False

    def receive(self) -> bytes | None:
        """A whole response; None while there is more to come.

        Raises:
            ConnectionError: closed, or an answer whose length it does not say.
        """
        try:
            data = self.socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return None
        if not data:
            raise ConnectionResetError("closed")
        if not self.received and not self.need:
            self.need = needed(data)
            if self.need == len(data):
                self.need = 0
                return data
        self.received += data
        self.need = self.need or needed(self.received)
        if not self.need or len(self.received) < self.need:
            return None
        response = bytes(self.received)
        self.received, self.need = bytearray(), 0
        return response


def needed(start: bytes | bytearray) -> int:
    """Bytes of the whole response that begins so; 0 while its head is not complete."""
    end = start.find(b"\r\n\r\n")
    return end + 4 + content_length(bytes(start[:end])) if end >= 0 else 0


def content_length(head: bytes) -> int:
    """Of a response's head.

    Raises:
        ConnectionError: it does not say.
    """
    start = head.find(b"\r\ncontent-length:")
    if start < 0:
        start = head.lower().find(b"\r\ncontent-length:")
    if start < 0:
        raise ConnectionError("the response has no Content-Length")
    return int(head[start + 17 :].split(b"\r\n", 1)[0])


def says_close(response: bytes) -> bool:
    """Whether the server will close the connection behind this response."""
    return b"\r\nconnection: close" in response.partition(b"\r\n\r\n")[0].lower()


class Generator:
    """Runs one plan.

    Args:
        requests: bytes of whole HTTP requests, taken in turn.
        arrivals: moments of an open loop, in seconds from the start.
    """

    def __init__(self, plan: Plan, requests: Sequence[bytes], arrivals: Sequence[float]) -> None:
        self._plan = plan
        self._requests = requests
        self._arrivals = arrivals
        self._epoll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._idle: list[Connection] = []
        self._waiting: deque[float] = deque()
        self._next_request = 0
        self._next_arrival = 0
        self._reconnect_after = 0.0
        self._finished: list[Exchange] = []
        self._failed: list[Exchange] = []
        self._unsent: list[float] = []

    def run(self) -> LoadResult:
        plan = self._plan
        gc.collect()
        gc.disable()
        started = time.monotonic()
        begin, end = started + plan.warm_seconds, started + plan.warm_seconds + plan.seconds
        if not plan.open_loop:
            for _ in range(plan.connections):
                self._dispatch(started)
        self._until(begin, started)
        usage = self._usage()
        self._until(end, started)
        usage = [later - earlier for earlier, later in zip(usage, self._usage(), strict=True)]
        self._drain(end + plan.drain_seconds)
        gc.enable()
        for connection in self._connections.values():
            connection.socket.close()
        return self._result(begin, end, usage)

    def _until(self, deadline: float, started: float) -> None:
        """Send and receive until the deadline."""
        open_loop = self._plan.open_loop
        arrivals = self._arrivals
        while (now := time.monotonic()) < deadline:
            wait = deadline - now
            if open_loop:
                while (
                    self._next_arrival < len(arrivals)
                    and started + arrivals[self._next_arrival] <= now
                ):
                    self._arrive(started + arrivals[self._next_arrival])
                    self._next_arrival += 1
                if self._next_arrival < len(arrivals):
                    wait = min(wait, started + arrivals[self._next_arrival] - now)
            if len(self._connections) < self._plan.connections and (self._waiting or not open_loop):
                # A connection was lost.
                wait = min(wait, PAUSE_SECONDS)
                if now > self._reconnect_after:
                    self._dispatch(self._waiting.popleft() if open_loop else now)
            self._receive(wait, resend=not open_loop)

    def _drain(self, deadline: float) -> None:
        while (now := time.monotonic()) < deadline:
            if all(connection.exchange is None for connection in self._connections.values()):
                break
            self._receive(deadline - now, resend=False)
        now = time.monotonic()
        for connection in self._connections.values():
            if connection.exchange is not None:
                connection.exchange.done = now
                self._failed.append(connection.exchange)
        self._unsent += self._waiting

    def _receive(self, wait: float, resend: bool) -> None:
        wait = max(0.0, wait)
        if self._plan.open_loop:
            # Moments of arrival want microseconds, which select on the epoll itself counts in;
            # epoll counts in milliseconds.
            if not select.select((self._epoll,), (), (), wait)[0]:
                return
            wait = 0.0
        for fd, event in self._epoll.poll(wait):
            connection = self._connections[fd]
            if event & select.EPOLLOUT:
                self._push(connection)
                continue
            exchange = connection.exchange
            try:
                response = connection.receive()
            except (OSError, ValueError):
                self._lose(connection)
                continue
            if response is None or exchange is None:
                continue
            now = time.monotonic()
            exchange.done = now
            exchange.response = response
            self._finished.append(exchange)
            connection.exchange = None
            if response[9:12] != b"200" and says_close(response):
                self._lose(connection)
            elif self._waiting:
                self._send(connection, self._waiting.popleft(), now)
            elif resend:
                self._send(connection, now, now)
            else:
                self._idle.append(connection)

    def _arrive(self, intended: float) -> None:
        if not self._dispatch(intended):
            if self._plan.drop:
                self._unsent.append(intended)
            else:
                self._waiting.append(intended)

    def _dispatch(self, intended: float) -> bool:
        """Send the next request on an idle or a new connection; False if there can be none."""
        if self._idle:
            self._send(self._idle.pop(), intended, time.monotonic())
            return True
        if len(self._connections) >= self._plan.connections:
            return False
        now = time.monotonic()
        try:
            connection = Connection((self._plan.host, self._plan.port))
        except OSError:
            self._reconnect_after = now + PAUSE_SECONDS
            self._failed.append(Exchange(self._next_request, intended, now, time.monotonic()))
            return True
        self._connections[connection.fd] = connection
        self._epoll.register(connection.fd, select.EPOLLIN)
        self._send(connection, intended, time.monotonic())
        return True

    def _send(self, connection: Connection, intended: float, now: float) -> None:
        index = self._next_request
        self._next_request = (index + 1) % len(self._requests)
        connection.exchange = Exchange(index, intended, now)
        connection.rest = self._requests[index]
        self._push(connection)

    def _push(self, connection: Connection) -> None:
        try:
            sent = connection.socket.send(connection.rest)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._lose(connection)
            return
        writing = sent < len(connection.rest)
        if writing:
            connection.rest = memoryview(connection.rest)[sent:]
        if writing != connection.writing:
            connection.writing = writing
            events = select.EPOLLIN | select.EPOLLOUT if writing else select.EPOLLIN
            self._epoll.modify(connection.fd, events)

    def _lose(self, connection: Connection) -> None:
        """Forget a connection that broke; a request on it has failed."""
        self._epoll.unregister(connection.fd)
        del self._connections[connection.fd]
        connection.socket.close()
        if connection in self._idle:
            self._idle.remove(connection)
        if connection.exchange is not None:
            connection.exchange.done = time.monotonic()
            self._failed.append(connection.exchange)
            self._reconnect_after = time.monotonic() + PAUSE_SECONDS

    def _usage(self) -> list[float]:
        return [
            cpu_seconds(self._plan.server_pids),
            time.process_time(),
            machine_busy_seconds(),
        ]

    def _result(self, begin: float, end: float, usage: list[float]) -> LoadResult:
        plan = self._plan
        result = LoadResult(plan.seconds)
        expected = [[Expected(*item) for item in items] for items in plan.expected]
        # A closed loop counts what ends in the span, so that its ends hold nothing back; an
        # open one counts what should have been sent in it.
        measured = [
            e for e in self._finished if begin <= (e.intended if plan.open_loop else e.done) < end
        ]
        refused: Counter[str] = Counter()
        errors: Counter[str] = Counter()
        latencies, refusals = [], []
        in_span = 0
        for exchange in measured:
            head, _, body = exchange.response.partition(b"\r\n\r\n")
            status = head[9:12].decode("latin-1")
            seconds = exchange.done - exchange.intended
            if status == "200":
                wanted = expected[exchange.request]
                if right(body, wanted):
                    result.right += 1
                    result.images += len(wanted)
                    latencies.append(seconds)
                    if begin <= exchange.done < end:
                        in_span += len(wanted)
                else:
                    result.wrong += 1
            elif status in ("429", "503"):
                refused[status] += 1
                refusals.append(seconds)
                result.refused_silently += b"\r\nretry-after:" not in head.lower()
            else:
                errors[status] += 1
        result.refused, result.errors = dict(refused), dict(errors)
        result.failed = sum(begin <= e.intended < end for e in self._failed)
        result.unsent = sum(begin <= moment < end for moment in self._unsent)
        result.sent = len(measured) + result.failed
        result.images_a_second = in_span / plan.seconds
        result.requests_a_second = len(measured) / plan.seconds
        result.latency_ms = percentiles(latencies)
        result.refusal_ms = percentiles(refusals)
        if plan.open_loop:
            result.lag_ms = percentiles([e.sent - e.intended for e in measured])
        server, own, machine = usage
        result.server_cpu_seconds = server
        result.generator_cpu_seconds = own
        result.others_cpu_seconds = max(0.0, machine - server - own)
        return result


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """``p50`` to ``p99.9``, ``mean`` and ``max`` in milliseconds; empty for nothing."""
    if not seconds:
        return {}
    ordered = sorted(seconds)
    last = len(ordered) - 1
    found = {f"p{p:g}": ordered[min(last, int(len(ordered) * p / 100))] for p in PERCENTILES}
    found |= {"mean": sum(ordered) / len(ordered), "max": ordered[last]}
    return {name: value * 1e3 for name, value in found.items()}


def read_plan(folder: Path) -> tuple[Plan, list[bytes], Sequence[float]]:
    """What ``benchmarks.load`` wrote: the plan, the requests and the moments of arrival."""
    plan = Plan(**json.loads((folder / "plan.json").read_text()))
    blob = (folder / "requests.bin").read_bytes()
    requests = []
    start = 0
    for size in plan.request_sizes:
        requests.append(blob[start : start + size])
        start += size
    arrivals = array("d")
    arrivals.frombytes((folder / "arrivals.bin").read_bytes())
    return plan, requests, arrivals


def main() -> int:
    plan, requests, arrivals = read_plan(Path(sys.argv[1]))
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    print(json.dumps(asdict(Generator(plan, requests, arrivals).run())))
    return 0


if __name__ == "__main__":
    sys.exit(main())
