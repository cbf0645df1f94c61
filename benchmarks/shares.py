"""The service's share of the physical limit, in rounds: limit, one image a request, many, limit, …

A machine's speed drifts by a third within minutes: others share its caches and its clock. Each
measurement is therefore divided by the mean of the limits right before and after it.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.candidate import Running
from benchmarks.limit import measure_limit
from benchmarks.load import closed_loop
from benchmarks.measure import USERS, Step, batch_users
from benchmarks.networks import Network
from benchmarks.questions import Known, questions
from benchmarks.results import Scale, Shares

IMAGES = 64
"""In a request of many."""


def measure_shares(
    running: Running, network: Network, known: Sequence[Known], scale: Scale, step: Step
) -> Shares:
    """Of a service that is running and has been warmed up."""
    asked = {count: questions(known, count, running.candidate.body) for count in (1, IMAGES)}
    users = {1: USERS, IMAGES: batch_users(IMAGES)}
    step("physical limit")
    found = Shares([measure_limit(network, known, scale.seconds)], {1: [], IMAGES: []})
    for _ in range(scale.rounds):
        for count, loads in found.loads.items():
            step(f"{running.candidate.title}: {count} images a request")
            loads.append(
                closed_loop(
                    running.target, asked[count], users[count], scale.seconds, scale.warm_seconds
                )
            )
        step("physical limit")
        found.limits.append(measure_limit(network, known, scale.seconds))
    return found
