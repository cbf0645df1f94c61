"""The goals: what was wanted, what was reached, and the same of each peer in the same run."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from benchmarks.edge import CHECK_P99_MS, CORE_CHECKS
from benchmarks.generator import LoadResult
from benchmarks.measure import USERS
from benchmarks.networks import SHIPPED, TWO_CONVOLUTIONS
from benchmarks.peers.registry import KSERVE_GRPC, KSERVE_V1, LITSERVE
from benchmarks.results import Measured, Results
from benchmarks.service import BFLOAT16, SERVICE
from benchmarks.shares import IMAGES

MB = 1e6


@dataclass(frozen=True)
class Goal:
    """One row of the table.

    Attributes:
        target, reached: in words, with units.
        met: None where the run did not measure it.
        ratios: by candidate, how many times better the service is; below 1 it is worse.
    """

    what: str
    target: str
    reached: str
    met: bool | None
    ratios: dict[str, float] = field(default_factory=dict)


def evaluate(results: Results) -> list[Goal]:
    """All goals, in the order of the report."""
    return [
        *_one_image(results),
        *_shares(results),
        *_starts(results),
        *_memory(results),
        Goal(
            "wake from zero to the first answer on a cluster, both hops",
            "≤ 5 s",
            "measured on a cluster, not here",
            None,
        ),
        *_overload(results),
        *_two_convolutions(results),
        *_edge(results),
        _correct(results),
    ]


def _one_image(results: Results) -> list[Goal]:
    alone = _ratios(results, SHIPPED, lambda m: m.closed[1].latency_ms["p50"], less=True)
    own = _own(results, SHIPPED)
    if own is None or not own.closed[USERS].right or not own.closed[1].right:
        return [Goal("one image a request", "≥ 5,000 images/s", "nothing", False)]
    goals = _many(results, SERVICE, "float32")
    if BFLOAT16 in results.measured[SHIPPED]:
        goals += _many(results, BFLOAT16, "bfloat16")
    at_one = own.closed[1].latency_ms["p50"]
    return [
        *goals,
        _goal("one connection, p50", "≤ 1.2 ms", at_one, "{:.2f} ms", at_one <= 1.2, alone),
    ]


def _many(results: Results, name: str, precision: str) -> list[Goal]:
    measured = results.measured[SHIPPED][name]
    if measured.error or not measured.closed[USERS].right:
        return []
    at = measured.closed[USERS]
    speed, tail = at.images_a_second, at.latency_ms["p99"]
    faster = _ratios(results, SHIPPED, lambda m: m.closed[USERS].images_a_second, name=name)
    sooner = _ratios(
        results, SHIPPED, lambda m: m.closed[USERS].latency_ms["p99"], less=True, name=name
    )
    return [
        _goal(f"one image a request, 64 connections, {precision}", "≥ 5,000 images/s", speed,
              "{:,.0f} images/s", speed >= 5000, faster),
        _goal(f"its p99, {precision}", "≤ 40 ms", tail, "{:.1f} ms", tail <= 40, sooner),
    ]  # fmt: skip


def _shares(results: Results) -> list[Goal]:
    if results.shares is None:
        return []
    goals = []
    for what, images, least in (
        (f"{IMAGES} images a request", IMAGES, 0.6),
        ("one image a request", 1, 0.5),
    ):
        found, rounds = results.shares.typical(images), results.shares.of(images)
        reached = f"{found:.1%} ({min(rounds):.0%} to {max(rounds):.0%} in {len(rounds)} rounds)"
        goals.append(
            Goal(f"{what}, share of the physical limit", f"≥ {least:.0%}", reached, found >= least)
        )
    return goals


def _starts(results: Results) -> list[Goal]:
    own = _own(results, SHIPPED)
    goals = []
    for name, most in (("transformer", 0.8), ("predictor", 1.8)):
        seconds = own.start_seconds.get(name) if own is not None else None
        if seconds:
            typical = statistics.median(seconds)
            ratios = _ratios(results, SHIPPED, partial(_typical_start, name), less=True)
            goals.append(
                _goal(f"{name}: process start to first right answer", f"≤ {most} s", typical,
                      "{:.2f} s", typical <= most, ratios)
            )  # fmt: skip
    return goals


def _memory(results: Results) -> list[Goal]:
    own = _own(results, SHIPPED)
    goals = []
    for name, most in (("transformer", 140), ("predictor", 320)):
        if own is not None and name in own.idle:
            size = own.idle[name].resident / MB
            ratios = _ratios(results, SHIPPED, partial(_idle, name), less=True)
            goals.append(
                _goal(f"{name}: resident memory, idle", f"≤ {most} MB", size, "{:.0f} MB",
                      size <= most, ratios)
            )  # fmt: skip
    return goals


def _overload(results: Results) -> list[Goal]:
    found = results.overload
    if found is None or not found.busy.right or not found.over.right:
        return []
    tail, over = found.busy.latency_ms["p99"], found.over.latency_ms["p99"]
    rest = found.over.sent - found.over.right
    orderly = found.over.faults == 0 and found.over.refused_silently == 0
    return [
        Goal(
            "overload at 4× capacity: p99 of accepted answers",
            "≤ 3× the p99 at 80 % load",
            f"{over / tail:.1f}× ({over:.0f} ms to {tail:.0f} ms)",
            over <= 3 * tail,
        ),
        Goal(
            "the rest of them",
            "429 or 503 with Retry-After",
            f"{rest - found.over.faults:,} of {rest:,} refused, "
            f"{found.over.refused_silently:,} without Retry-After",
            orderly and rest > 0,
        ),
    ]


def _two_convolutions(results: Results) -> list[Goal]:
    ratios = _ratios(results, TWO_CONVOLUTIONS, lambda m: m.closed[USERS].images_a_second)
    sample = [ratios[name] for name in (KSERVE_V1, KSERVE_GRPC) if name in ratios]
    goals = []
    for title, least, ratio in (
        ("LitServe", 1.5, ratios.get(LITSERVE)),
        ("the KServe sample, the faster protocol", 3.0, min(sample, default=None)),
    ):
        if ratio is not None:
            goals.append(
                _goal(f"two convolutions: images/s beside {title}", f"≥ {least}×", ratio,
                      "{:.1f}×", ratio >= least, ratios)
            )  # fmt: skip
    return goals


def _edge(results: Results) -> list[Goal]:
    """Of checks that write an intent, as those of predictions do."""
    if results.edge is None:
        return []
    loads = list(results.edge.checks.values())[-1]
    speed = 1e6 / min(item["cpu_microseconds"] for item in loads)
    tail = min(item["p99_ms"] for item in loads if item["concurrency"] == 1)
    return [
        _goal("the edge's check, of one core", f"≥ {CORE_CHECKS:,} checks/s", speed,
              "{:,.0f} checks/s", speed >= CORE_CHECKS),
        _goal("its p99, one at a time", f"≤ {CHECK_P99_MS:g} ms", tail, "{:.1f} ms",
              tail <= CHECK_P99_MS),
    ]  # fmt: skip


def _correct(results: Results) -> Goal:
    """Over every measurement of the service but the overload, which has a row of its own."""
    loads: list[LoadResult] = []
    for revision in results.measured:
        own = _own(results, revision)
        if own is not None:
            loads += [*own.closed.values(), *own.opened.values()]
    loads += [*results.batches.get(SERVICE, {}).values(), *results.sides.values()]
    if results.shares is not None:
        loads += [load for rounds in results.shares.loads.values() for load in rounds]
    images, faults = sum(item.images for item in loads), sum(item.faults for item in loads)
    return Goal(
        "answers that are right, each of its own request",
        "all",
        f"{images:,} images; {faults:,} requests wrong or failed",
        faults == 0 and images > 0,
    )


def _goal(
    what: str,
    target: str,
    value: float,
    form: str,
    met: bool,
    ratios: dict[str, float] | None = None,
) -> Goal:
    return Goal(what, target, form.format(value), met, ratios or {})


def _own(results: Results, revision: str, name: str = SERVICE) -> Measured | None:
    found = results.measured.get(revision, {}).get(name)
    return None if found is None or found.error else found


def _ratios(
    results: Results,
    revision: str,
    value: Callable[[Measured], float | None],
    less: bool = False,
    name: str = SERVICE,
) -> dict[str, float]:
    """``name`` against each other candidate; ``less`` where a smaller figure is better."""
    own = _own(results, revision, name)
    if own is None:
        return {}
    ratios = {}
    for peer, other in results.measured[revision].items():
        if peer == name or other.error:
            continue
        try:
            mine, theirs = value(own), value(other)
        except KeyError:
            continue  # no right answer, so no latency
        if mine and theirs:
            ratios[peer] = theirs / mine if less else mine / theirs
    return ratios


def _typical_start(program: str, measured: Measured) -> float | None:
    """Of the same program, or of a peer's only one."""
    seconds = measured.start_seconds.get(program) or measured.start_seconds.get("server")
    return statistics.median(seconds) if seconds else None


def _idle(program: str, measured: Measured) -> float | None:
    found = measured.idle.get(program) or measured.idle.get("server")
    return None if found is None else found.resident
