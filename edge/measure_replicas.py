"""What several replicas of the check cost: ``python -m edge.measure_replicas``.

Starts them on one database, and asks one of them and all of them by turns: predictions, whose
intent is written before the answer, from keys whose rate is drawn from the database. Percentages
of processor time are the checks' own; the database's is beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from statistics import median

from accounts.migration import migrate
from common.errors import StartError
from common.ports import LOCAL_HOST, free_row
from common.processes import Processes
from edge.measure import PREDICT, WARM_UP, Load, load, make_keys

TURNS = 5


def measure(database: str, replicas: int, checks: int, concurrency: int) -> dict[int, list[Load]]:
    """By how many replicas were asked, a load a turn.

    Raises:
        StartError: one does not start.
    """
    migrate(database)
    with tempfile.TemporaryDirectory() as name, Processes(Path(name) / "logs") as processes:
        # The checks are asked by one account, and no Envoy tells of ends.
        settings = {"VISION_DATABASE_URL": database, "VISION_ACCOUNT_IN_FLIGHT": str(10**9)}
        known = {}
        for number, port in enumerate(free_row(replicas)):
            address = f"{LOCAL_HOST}:{port}"
            command = [sys.executable, "-m", "edge", "--address", address]
            processes.start(f"check-{number}", command, settings)
            processes.wait_for_port(f"check-{number}", port)
            known[address] = processes.pid(f"check-{number}")
        keys, _, _ = make_keys(database)
        first = dict(list(known.items())[:1])
        asyncio.run(load(known, keys, PREDICT, WARM_UP * replicas, replicas))
        found: dict[int, list[Load]] = {1: [], replicas: []}
        for _ in range(TURNS):
            for some in (first, known):
                done = load(some, keys, PREDICT, checks, concurrency)
                found[len(some)].append(asyncio.run(done))
    return found


def table(found: dict[int, list[Load]]) -> str:
    """Medians of the turns."""
    lines = [
        "| replicas | at once | a second | CPU µs | a second of one core | p50 ms | p99 ms |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for replicas, loads in found.items():
        cpu = median(item.cpu_microseconds for item in loads)
        lines.append(
            f"| {replicas} | {loads[0].concurrency} | {median(i.per_second for i in loads):.0f} "
            f"| {cpu:.0f} | {1e6 / cpu:.0f} | {median(i.p50_ms for i in loads):.2f} "
            f"| {median(i.p99_ms for i in loads):.2f} |"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m edge.measure_replicas", description=__doc__)
    parser.add_argument("--database", required=True, help="URL of an empty one")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--checks", type=int, default=2000, help="a turn")
    parser.add_argument("--concurrency", type=int, default=16)
    options = parser.parse_args()
    try:
        found = measure(options.database, options.replicas, options.checks, options.concurrency)
    except StartError as error:
        print(f"measure: {error}", file=sys.stderr)
        return 1
    print(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
