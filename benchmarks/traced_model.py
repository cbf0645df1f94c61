"""What traces cost a model: ``python -m benchmarks.traced_model NAME/REVISION PICTURE``.

Starts its servers twice, without traces and with all requests recorded and sent to a receiver, and
asks them by turns, one request at a time. Prints the processor's milliseconds a request of both
servers, and what traces add to them; of a share of the requests it is that share of it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.otlp_receiver import receiver
from benchmarks.processes import cpu_seconds
from local.service import LocalService, free_ports, interpreters

WARM_UP = 10
ANSWER_SECONDS = 60.0


@contextmanager
def variables(wanted: Mapping[str, str]) -> Iterator[None]:
    """Environment variables that are set for what is started meanwhile."""
    before = dict(os.environ)
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Asked:
    """A model's servers, which run until the stack ends.

    Args:
        model: with its revision.
        switched_on: of ``OTEL_*``.
    """

    def __init__(
        self, stack: ExitStack, model: str, root: Path, logs: Path, switched_on: Mapping[str, str]
    ) -> None:
        name, _, revision = model.partition("/")
        logs.mkdir(parents=True, exist_ok=True)
        service = LocalService(
            free_ports(), interpreters(), root, {name: revision}, logs, alone=True
        )
        with variables(switched_on):
            stack.enter_context(service)
        self._pids = [service.pid(component) for component in ("transformer", "predictor")]
        self._url = f"{service.url}/v1/models/{name}:predict"

    def ask(self, body: bytes, kind: str, count: int) -> float:
        """Processor seconds of a request, of so many one after another."""
        began = cpu_seconds(self._pids)
        for _ in range(count):
            request = urllib.request.Request(self._url, body, {"content-type": kind})
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as answer:
                answer.read()
        return (cpu_seconds(self._pids) - began) / count


def table(off: Sequence[float], recorded: Sequence[float]) -> str:
    """Markdown, of processor seconds a request by rounds."""
    more = [(one - other) * 1e3 for one, other in zip(recorded, off, strict=True)]
    error = statistics.stdev(more) / len(more) ** 0.5
    usual = statistics.mean(off) * 1e3
    mean = statistics.mean(more)
    return (
        "| processor ms a request, off | all recorded: more | of it | 5 % of that |\n"
        "| --- | --- | --- | --- |\n"
        f"| {usual:.2f} | {mean:.2f} ± {error:.2f} | {mean / usual:.1%} ± {error / usual:.1%}"
        f" | {mean / usual / 20:.2%} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.traced_model", description=__doc__)
    parser.add_argument("model", metavar="NAME/REVISION")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--type", default="image/png", help="its content type (image/png)")
    parser.add_argument("--models", type=Path, default=Path("models"))
    parser.add_argument("--logs", type=Path, default=Path("build/traced"))
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--requests", type=int, default=10, help="of a round, each")
    options = parser.parse_args()
    body = options.picture.read_bytes()
    with receiver() as (collector, _), ExitStack() as stack:
        sides = [
            Asked(stack, options.model, options.models, options.logs / name, switched_on)
            for name, switched_on in (
                ("off", {}),
                ("recorded", {"OTEL_EXPORTER_OTLP_ENDPOINT": collector}),
            )
        ]
        for side in sides:
            side.ask(body, options.type, WARM_UP)
        found: list[list[float]] = [[], []]
        for number in range(options.rounds):
            for place in (0, 1) if number % 2 else (1, 0):
                found[place].append(sides[place].ask(body, options.type, options.requests))
    print(table(*found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
