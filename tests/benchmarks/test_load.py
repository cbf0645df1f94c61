"""The load generator against a server that misbehaves on purpose."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence

import pytest

from benchmarks.answers import Expected
from benchmarks.generator import LoadResult
from benchmarks.load import LoadError, Question, Target, closed_loop, open_loop
from local.service import free_ports
from tests.benchmarks.fake_server import response, running

QUESTIONS = [
    Question(json.dumps({"image": i}).encode(), (Expected(i, 0.5 + i / 100),)) for i in range(10)
]


def target(port: int) -> Target:
    return Target("127.0.0.1", port, "/predict", (os.getpid(),))


def answer(body: bytes) -> bytes:
    index = json.loads(body)["image"]
    return json.dumps(
        {"predictions": [{"class_id": index, "probability": 0.5 + index / 100}]}
    ).encode()


def closed(
    port: int, connections: int = 2, questions: Sequence[Question] = QUESTIONS
) -> LoadResult:
    return closed_loop(target(port), questions, connections, 0.4, 0.1)


def test_latencies_and_rate_of_a_closed_loop() -> None:
    async def slow(body: bytes) -> bytes:
        await asyncio.sleep(0.02)
        return response(answer(body))

    with running(slow) as port:
        result = closed(port, connections=4)
    assert result.faults == 0
    assert result.right == result.sent == result.images > 0
    assert result.latency_ms["p50"] >= 20
    assert result.latency_ms["p50"] <= result.latency_ms["p99"] <= result.latency_ms["max"]
    # Four users who wait for 20 ms each, or longer: Little's law, but for what the ends cut off.
    assert 0.8 * 4000 / result.latency_ms["max"] < result.images_a_second <= 200
    assert result.images_a_second == pytest.approx(result.requests_a_second)
    assert 0 < result.generator_cpu_seconds < 0.4


def test_open_loop_counts_from_the_intended_moment() -> None:
    served = 0

    async def stalls_once(body: bytes) -> bytes:
        nonlocal served
        served += 1
        if served == 20:
            await asyncio.sleep(0.3)
        return response(answer(body))

    # One connection: everything that should have been sent during the stall waits for it.
    with running(stalls_once) as port:
        result = open_loop(target(port), QUESTIONS, 100, 0.8, 0.0, connections=1)
    assert result.faults == result.unsent == 0
    assert result.right == result.sent > 40
    assert result.latency_ms["max"] >= 300
    # A generator that waits with its users would see one slow answer in eighty.
    assert result.latency_ms["p90"] > 50
    assert result.lag_ms["max"] > 200


def test_open_loop_keeps_its_rate_and_leaves_out_what_has_no_connection() -> None:
    async def slow(body: bytes) -> bytes:
        await asyncio.sleep(0.1)
        return response(answer(body))

    with running(slow) as port:
        result = open_loop(target(port), QUESTIONS, 200, 0.5, 0.1, connections=4, drop=True)
    assert result.right > 0
    assert result.sent + result.unsent == pytest.approx(100, abs=40)
    assert result.unsent > 30
    # Queued, the last of a hundred would wait for two seconds.
    assert result.latency_ms["max"] < 1000


def test_wrong_answers_are_found() -> None:
    async def mixes_up(body: bytes) -> bytes:
        index = json.loads(body)["image"]
        return response(
            answer(json.dumps({"image": (index + 1) % 10 if index < 3 else index}).encode())
        )

    with running(mixes_up) as port:
        result = closed(port)
    assert result.wrong > 0
    assert result.right > 0
    assert result.wrong / result.sent == pytest.approx(0.3, abs=0.05)
    assert result.images == result.right


@pytest.mark.parametrize(
    "body", [b"", b"not json", b'{"predictions": []}', b"{}", b'{"predictions": [{"class": 1}]}']
)
def test_what_is_no_answer_is_wrong(body: bytes) -> None:
    async def nonsense(_: bytes) -> bytes:
        return response(body)

    with running(nonsense) as port:
        result = closed(port)
    assert result.wrong == result.sent > 0
    assert result.latency_ms == {}


def test_refusals_and_errors_are_counted_apart() -> None:
    async def refuses(body: bytes) -> bytes:
        index = json.loads(body)["image"]
        if index == 0:
            return response(b"{}", "429 Too Many Requests", "Retry-After: 1\r\n")
        if index == 1:
            return response(b"{}", "503 Service Unavailable")
        if index == 2:
            return response(b"{}", "500 Internal Server Error", "Connection: close\r\n")
        return response(answer(body))

    with running(refuses) as port:
        result = closed(port)
    assert set(result.refused) == {"429", "503"}
    assert result.refused_silently == result.refused["503"]
    assert result.errors.keys() == {"500"}
    assert result.faults == result.errors["500"]
    assert result.refusal_ms["p50"] > 0
    assert result.sent == result.right + sum(result.refused.values()) + result.errors["500"]


def test_cut_connections_are_failures() -> None:
    async def cuts(body: bytes) -> bytes | None:
        return None if json.loads(body)["image"] == 4 else response(answer(body))

    with running(cuts) as port:
        result = closed(port)
    assert result.failed > 0
    assert result.right > result.failed
    assert result.faults == result.failed


def test_nobody_there() -> None:
    result = closed(free_ports().http)
    assert result.right == result.images == 0
    assert result.failed > 0


def test_an_answer_that_never_comes_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    async def silent(body: bytes) -> bytes:
        if json.loads(body)["image"] == 1:
            await asyncio.sleep(2)
        return response(answer(body))

    monkeypatch.setattr("benchmarks.load.DRAIN_SECONDS", 0.2)
    with running(silent) as port:
        result = open_loop(target(port), QUESTIONS[:2], 20, 0.5, 0.0)
    assert result.failed > 0
    assert result.right > 0


def test_large_bodies_go_both_ways() -> None:
    async def echoes(body: bytes) -> bytes:
        return response(answer(body) + b" " * 300_000)

    body = json.dumps({"image": 3, "padding": "x" * 1_500_000}).encode()
    with running(echoes) as port:
        result = closed(port, questions=[Question(body, (Expected(3, 0.53),))])
    assert result.faults == 0
    assert result.right > 0


def test_a_plan_that_cannot_be_run() -> None:
    async def answers(body: bytes) -> bytes:
        return response(answer(body))

    with running(answers) as port, pytest.raises(LoadError, match="generator failed"):
        closed_loop(target(port), [], 1, 0.1, 0.0)
