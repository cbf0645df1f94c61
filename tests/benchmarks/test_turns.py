from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks import turns
from benchmarks.candidate import CandidateError
from benchmarks.generator import LoadResult
from benchmarks.load import ROOT, Question
from benchmarks.networks import SHIPPED, Network
from benchmarks.service import at_commit
from benchmarks.turns import Turn, resident, table


def turn(candidate: str, rate: float, start: float) -> Turn:
    load = LoadResult(
        seconds=1.0,
        sent=int(rate),
        images=int(rate),
        right=int(rate),
        images_a_second=rate,
        latency_ms={"p50": 1000 / rate, "p99": 2000 / rate},
        server_cpu_seconds=1.9,
    )
    return Turn(candidate, start, {"all": 100.0}, {64: load})


def test_a_ratio_is_of_the_same_round_so_that_drift_does_not_count() -> None:
    # The machine halves its speed between the rounds; the service is 1.5 times as fast throughout.
    turns_taken = [
        turn("service", 3000, 1.0),
        turn("before", 2000, 2.0),
        turn("before", 1000, 4.0),
        turn("service", 1500, 2.0),
    ]
    found = {line.split(" | ")[0]: line for line in table(turns_taken).splitlines()}
    assert "1.50 (1.50 to 1.50)" in found["| 64 connections, images/s"]
    assert "0.50 (0.50 to 0.50)" in found["| start, s"]


def test_the_memory_of_servers_is_found_by_their_command() -> None:
    # A process without children: that of the tests may have servers of other tests.
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        found = resident([process.pid])
        process.communicate(b"\n")
    assert found["all"] > 0
    assert "predictor" not in found


def test_a_peer_that_is_not_installed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(options: object) -> list[Turn]:
        raise CandidateError("peer 'nobody' is not installed; known: litserve")

    monkeypatch.setattr(turns, "run", refuse)
    assert turns.main(["--peers", "nobody"]) == 1
    assert "nobody" in capsys.readouterr().err


def test_the_traced_candidate_is_the_service_with_opentelemetry_switched_on() -> None:
    service = at_commit("service", "this service", ROOT)
    found = turns.traced(service, 0.05, "http://collector:4318")
    assert found.name == "traced 5%"
    network, question = Network(ROOT / "models", SHIPPED), Question(b"{}", ())
    (plain,), (traced,) = service.programs(network, question), found.programs(network, question)
    more = dict(traced.environment.items() - plain.environment.items())
    assert more == {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318",
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.05",
    }
