"""What the edge costs: ``python -m edge.measure``.

Starts everything that ``make up`` does on free ports, then

- sends the same picture to the transformer and to the edge in turns, over one connection each, and
  compares the latencies: with a key, with one that gives feedback, so that what was predicted is
  kept, and with one of an account that lets us keep all of its requests;
- asks the check alone, over gRPC, at several concurrencies, with a key that it knows: requests that
  only look, and predictions, whose intent is written before the answer;
- sends pictures to the edge over several connections, and says what each process spends on one.

CPU time is the process's own (``/proc/<pid>/stat``), so that a busy machine distorts it less than
it does the clock's.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import itertools
import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import grpc
from envoy.service.auth.v3 import external_auth_pb2 as pb

from accounts.captures import MAX_BYTES, Choice, choose
from accounts.clock import now_ms
from accounts.database import Database, open_database
from accounts.keys import ALL_MODELS, GIVES_FEEDBACK, MAX_RATE, KeyRequest, make_key
from accounts.tables import Account
from common.errors import StartError
from common.ports import LOCAL_HOST
from common.processes import ROOT, Processes
from edge.envoy import EdgePorts
from edge.processes import free_edge_ports
from edge.up import start

METHOD = "/envoy.service.auth.v3.Authorization/Check"
PREDICT, LOOK = ("POST", "/v1/models/mnist:predict"), ("GET", "/v1/models/mnist")
KEYS = 40
"""Enough that no key's rate is reached."""
WARM_UP = 100
CONCURRENCIES = (1, 4, 16, 64)
CONNECTIONS = 16
PROCESSES = ("envoy", "check", "transformer", "predictor")


@dataclass(frozen=True)
class Load:
    """What asking the check so many times at once came to."""

    concurrency: int
    per_second: float
    cpu_microseconds: float
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Latency:
    """Of one request at a time."""

    p50_ms: float
    p99_ms: float

    @classmethod
    def of(cls, milliseconds: list[float]) -> Latency:
        return cls(quantile(milliseconds, 0.5), quantile(milliseconds, 0.99))


@dataclass(frozen=True)
class Measurement:
    """All of it; ``kept`` by what is kept of a request, ``checks`` by what the check has to do,
    ``cost`` by process: CPU microseconds of a request, of many at once.
    """

    without: Latency
    through: Latency
    kept: dict[str, Latency]
    checks: dict[str, list[Load]]
    cost: dict[str, float]


def quantile(values: list[float], q: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def latencies(sides: Mapping[str, tuple[int, str]], count: int) -> dict[str, list[float]]:
    """Milliseconds, in turns.

    Args:
        sides: port and key by name.
    """
    picture = (ROOT / "samples" / "seven.png").read_bytes()
    asked = {
        name: (
            http.client.HTTPConnection(LOCAL_HOST, port),
            {"authorization": f"Bearer {key}", "content-type": "image/png"},
        )
        for name, (port, key) in sides.items()
    }
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(count + WARM_UP):
        for name, (side, headers) in asked.items():
            started = time.perf_counter()
            side.request("POST", PREDICT[1], picture, headers)
            answer = side.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"status {answer.status}: {text.decode()}")
            if number >= WARM_UP:
                found[name].append((time.perf_counter() - started) * 1000)
    for side, _ in asked.values():
        side.close()
    return found


def process_ids(processes: Processes) -> dict[str, int]:
    """Of ``PROCESSES``; the models' two servers are children of what starts them."""
    found = {name: processes.pid(name) for name in ("envoy", "check")}
    pending = [processes.pid("models")]
    while pending:
        for task in Path(f"/proc/{pending.pop()}/task").iterdir():
            for child in (task / "children").read_text().split():
                words = Path(f"/proc/{child}/cmdline").read_text().split("\0")
                pending.append(int(child))
                for name in set(words).intersection(PROCESSES):
                    found.setdefault(name, int(child))
    return found


def cost(ports: EdgePorts, keys: list[str], pids: dict[str, int], count: int) -> dict[str, float]:
    """CPU microseconds of a request by process, ``CONNECTIONS`` at a time."""
    picture = (ROOT / "samples" / "seven.png").read_bytes()
    wanted = iter(range(count))

    def ask(key: str) -> None:
        connection = http.client.HTTPConnection(LOCAL_HOST, ports.edge)
        headers = {"authorization": f"Bearer {key}", "content-type": "image/png"}
        for _ in wanted:
            connection.request("POST", PREDICT[1], picture, headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status != 200:
                raise RuntimeError(f"status {answer.status}: {text.decode()}")
        connection.close()

    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(ask, keys[:CONNECTIONS]))
    return {name: (cpu_seconds(pid) - before[name]) / count * 1e6 for name, pid in pids.items()}


async def load(
    checks: Mapping[str, int],
    keys: list[str],
    route: tuple[str, str],
    count: int,
    concurrency: int,
) -> Load:
    """Ask the checks ``count`` times, in turns.

    Args:
        checks: process ids by address.
    """
    questions = iter([_question(keys[n % len(keys)], route) for n in range(count)])
    times: list[float] = []
    async with contextlib.AsyncExitStack() as ends:
        channels = [
            await ends.enter_async_context(grpc.aio.insecure_channel(address)) for address in checks
        ]
        ways_in = itertools.cycle([channel.unary_unary(METHOD) for channel in channels])

        async def one() -> None:
            for question in questions:
                started = time.perf_counter()
                answer = await next(ways_in)(question)
                times.append((time.perf_counter() - started) * 1000)
                if not pb.CheckResponse.FromString(answer).HasField("ok_response"):
                    raise RuntimeError("the check refused")

        began, cpu = time.perf_counter(), sum(map(cpu_seconds, checks.values()))
        await asyncio.gather(*(one() for _ in range(concurrency)))
        seconds = time.perf_counter() - began
        cpu = sum(map(cpu_seconds, checks.values())) - cpu
    return Load(
        concurrency,
        count / seconds,
        cpu / count * 1e6,
        quantile(times, 0.5),
        quantile(times, 0.99),
    )


def _question(key: str, route: tuple[str, str]) -> bytes:
    request = pb.CheckRequest()
    http_request = request.attributes.request.http
    http_request.method, http_request.path = route
    http_request.headers["authorization"] = f"Bearer {key}"
    http_request.headers["x-request-id"] = str(uuid.uuid4())
    http_request.headers["content-length"] = "500"
    data: bytes = request.SerializeToString()
    return data


def make_keys(url: str) -> tuple[list[str], str, str]:
    """Keys of a new account, one that gives feedback, and one whose requests are kept."""
    engine = open_database(url)
    now = now_ms()
    with Database(engine).write() as session:
        for name in ("acc_measure", "acc_kept"):
            session.add(Account(id=name, role="user", created_ms=now, verified_ms=now))
        session.flush()
        wish = KeyRequest("measure", rate_per_second=MAX_RATE)
        keys = [make_key(session, "acc_measure", wish).key for _ in range(KEYS)]
        gives = replace(wish, scopes=(ALL_MODELS, GIVES_FEEDBACK))
        feedback = make_key(session, "acc_measure", gives).key
        kept = make_key(session, "acc_kept", gives).key
        choose(session, "acc_kept", Choice("mnist", 100, MAX_BYTES, 1))
    engine.dispose()
    return keys, feedback, kept


def measure(requests: int, checks: int) -> Measurement:
    """Start everything, measure, and stop it again.

    Raises:
        StartError: something does not start.
    """
    with tempfile.TemporaryDirectory() as name, Processes(Path(name) / "logs") as processes:
        url = f"sqlite:///{name}/accounts.db"
        # The check alone is asked by one account, and Envoy tells of no ends.
        os.environ["VISION_ACCOUNT_IN_FLIGHT"] = str(10**9)
        ports = start(processes, free_edge_ports(0).edge, url)
        keys, gives, lets = make_keys(url)
        sides = {
            "without the edge": (ports.models, ""),
            "with the edge": (ports.edge, keys[0]),
            "what was predicted is kept": (ports.edge, gives),
            "the request is kept, too": (ports.edge, lets),
        }
        times = latencies(sides, requests)
        pids = process_ids(processes)
        of_each = cost(ports, keys, pids, requests)
        for title, key in (("what was predicted is kept", gives), ("the request is kept", lets)):
            more = cost(ports, [key] * CONNECTIONS, pids, requests)
            of_each |= {f"{process}; {title}": spent for process, spent in more.items()}
        check = {f"{LOCAL_HOST}:{ports.check}": processes.pid("check")}
        loads: dict[str, list[Load]] = {}
        for title, route in (("cached", LOOK), ("cached, with intent", PREDICT)):
            asyncio.run(load(check, keys, route, WARM_UP, 1))
            loads[title] = [
                asyncio.run(load(check, keys, route, checks, concurrency))
                for concurrency in CONCURRENCIES
            ]
    without, through, *kept = (Latency.of(found) for found in times.values())
    by_kept = dict(zip(list(sides)[2:], kept, strict=True))
    return Measurement(without, through, by_kept, loads, of_each)


def table(found: Measurement) -> str:
    lines = ["| latency | p50 ms | p99 ms |", "| --- | --- | --- |"]
    titled = {"without the edge": found.without, "with the edge": found.through, **found.kept}
    for title, latency in titled.items():
        lines.append(f"| {title} | {latency.p50_ms:.2f} | {latency.p99_ms:.2f} |")
    lines += [
        "",
        "| check | at once | a second | CPU µs | a second of one core | p50 ms | p99 ms |",
    ]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    for title, loads in found.checks.items():
        lines += [
            f"| {title} | {item.concurrency} | {item.per_second:.0f} "
            f"| {item.cpu_microseconds:.0f} | {1e6 / item.cpu_microseconds:.0f} "
            f"| {item.p50_ms:.2f} | {item.p99_ms:.2f} |"
            for item in loads
        ]
    lines += ["", "| process | CPU µs a request |", "| --- | --- |"]
    lines += [f"| {name} | {microseconds:.0f} |" for name, microseconds in found.cost.items()]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m edge.measure", description=__doc__)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--checks", type=int, default=6000)
    parser.add_argument("--json", action="store_true", help="for another program")
    options = parser.parse_args()
    try:
        found = measure(options.requests, options.checks)
    except StartError as error:
        print(f"measure: {error}", file=sys.stderr)
        return 1
    print(json.dumps(asdict(found)) if options.json else table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
