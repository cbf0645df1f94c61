"""The service beside itself at another commit, and beside peers, by turns.

``python -m benchmarks.turns --against COMMIT --rounds 5``: every round starts each candidate anew,
measures it and stops it, in an order that turns with the round, so that a machine whose speed
drifts favours nobody. What is compared are ratios within a round; the table gives their median.
Both commits are started as their own ``make run`` starts them, with their own shipped revision.
``--together`` starts all of them once and loads one at a time, in many short rounds: less drifts in
two seconds, so that a difference of some percent is seen.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace

from benchmarks.candidate import Candidate, CandidateError, Running
from benchmarks.generator import LoadResult
from benchmarks.load import ROOT, closed_loop
from benchmarks.measure import USERS
from benchmarks.networks import SHIPPED, Network, prepare_networks
from benchmarks.otlp_receiver import receiver
from benchmarks.peers.registry import peers
from benchmarks.pictures import load_pictures
from benchmarks.processes import PROC, memory, tree
from benchmarks.questions import Known, Reference, questions
from benchmarks.service import SERVICE, at_commit, checkout
from common.processes import interruptible
from training.data import data_folder

WORK = ROOT / "build" / "turns"
TRAINED_ON = 12_000
SERVERS = ("transformer", "predictor")


@dataclass(frozen=True)
class Turn:
    """One candidate in one round.

    Attributes:
        start_seconds: from the first process's start to the first right answer.
        idle_mb: resident memory before its load, of all processes together and of each server.
        loads: by number of connections.
    """

    candidate: str
    start_seconds: float
    idle_mb: dict[str, float]
    loads: dict[int, LoadResult]

    @property
    def figures(self) -> dict[str, float]:
        """By name; ``images/s`` is better the larger, everything else the smaller."""
        found = {"start, s": self.start_seconds}
        found |= {f"idle memory of {name}, MB": size for name, size in self.idle_mb.items()}
        for connections, load in self.loads.items():
            found[f"{connections} connections, images/s"] = load.images_a_second
            cost = load.server_cpu_us_an_image / 1e3
            found[f"{connections} connections, processor ms an image"] = cost
            found[f"{connections} connections, p50 ms"] = load.latency_ms["p50"]
            found[f"{connections} connections, p99 ms"] = load.latency_ms["p99"]
        return found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.turns", description=__doc__)
    parser.add_argument("--against", metavar="COMMIT", help="another commit of this repository")
    parser.add_argument("--peers", default="", metavar="NAMES", help="peers to include, by comma")
    parser.add_argument(
        "--traced",
        type=float,
        nargs="+",
        default=[],
        metavar="SHARE",
        help="each also with traces of that share, or of each of several",
    )
    parser.add_argument("--together", action="store_true", help="all are started once")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each load")
    parser.add_argument("--connections", type=int, nargs="+", default=[1, USERS])
    parser.add_argument("--data", default=None, help="data folder (variable DATA; default: data)")
    options = parser.parse_args(arguments)
    try:
        # Who is told to end takes the servers along.
        with interruptible():
            turns = run(options)
    except (CandidateError, OSError, ValueError) as error:
        print(f"turns: {error}", file=sys.stderr)
        return 1
    WORK.mkdir(parents=True, exist_ok=True)
    (WORK / "turns.json").write_text(json.dumps([asdict(turn) for turn in turns], indent=1) + "\n")
    print(table(turns))
    return 0


def run(options: argparse.Namespace) -> list[Turn]:
    """All rounds; the table needs every candidate in every round, so an error ends the run."""
    with receiver() as (collector, _):
        return _rounds(options, collector)


def _rounds(options: argparse.Namespace, collector: str) -> list[Turn]:
    pictures = load_pictures(data_folder(options.data), TRAINED_ON, 1500)
    network = prepare_networks(ROOT / "models", WORK / "models", pictures)[SHIPPED]
    known = Reference(network).known(pictures.test, 500)
    candidates = [(at_commit(SERVICE, "this service", ROOT), Network(ROOT / "models", SHIPPED))]
    if options.against:
        folder = checkout(options.against, WORK / "commits")
        older = at_commit("before", f"this service at {options.against}", folder)
        candidates.append((older, Network(folder / "models", SHIPPED)))
    candidates += [
        (traced(candidate, share, collector), its)
        for share in options.traced
        for candidate, its in candidates
    ]
    wanted = [name for name in options.peers.split(",") if name]
    found = {peer.candidate.name: peer for peer in peers(WORK)}
    for name in wanted:
        if name not in found or not found[name].installed:
            raise CandidateError(f"peer {name!r} is not installed; known: {', '.join(found)}")
        candidates.append((found[name].candidate, network))
    turns = []
    with contextlib.ExitStack() as started:
        held = {}
        if options.together:
            for candidate, its in candidates:
                held[candidate.name] = started.enter_context(_running(candidate, its, known))
        for number in range(options.rounds):
            shift = number % len(candidates)
            for candidate, its in candidates[shift:] + candidates[:shift]:
                running = held.get(candidate.name)
                turn = take(candidate, its, known, options.connections, options.seconds, running)
                print(f"round {number + 1}: {summary(turn)}", file=sys.stderr, flush=True)
                turns.append(turn)
    return turns


def _running(candidate: Candidate, network: Network, known: Sequence[Known]) -> Running:
    asked = questions(known[:1], body=candidate.body)
    return Running(candidate, candidate.programs(network, asked[0]), WORK / "logs" / candidate.name)


def traced(service: Candidate, share: float, collector: str) -> Candidate:
    """A candidate with traces of a share of the requests."""
    switched_on = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": str(share),
    }
    return replace(
        service,
        name=f"{'' if service.name == SERVICE else f'{service.name}, '}traced {share:.0%}",
        programs=lambda network, question: [
            replace(program, environment={**program.environment, **switched_on})
            for program in service.programs(network, question)
        ],
    )


def take(
    candidate: Candidate,
    network: Network,
    known: Sequence[Known],
    connections: Sequence[int],
    seconds: float,
    running: Running | None = None,
) -> Turn:
    """Measure one candidate: started for it and stopped, unless it is running.

    Raises:
        CandidateError: it does not start, or gave a wrong answer under load.
    """
    if running is None:
        with _running(candidate, network, known) as started:
            return take(candidate, network, known, connections, seconds, started)
    start = sum(running.start_seconds.values())
    idle = resident(list(running.pids.values()))
    asked = questions(known, body=candidate.body)
    loads = {
        count: closed_loop(running.target, asked, count, seconds, 1.0) for count in connections
    }
    for count, load in loads.items():
        if load.faults or not load.right:
            raise CandidateError(f"{candidate.title}: {load.faults} faults at {count} connections")
    return Turn(candidate.name, start, idle, loads)


def resident(pids: list[int]) -> dict[str, float]:
    """Megabytes of all processes together, and of each server that can be told by its command."""
    found = {"all": memory(pids).resident / 1e6}
    for pid in tree(pids):
        words = (PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
        for name in SERVERS:
            if name.encode() in words:
                found[name] = memory([pid]).resident / 1e6
    return found


def summary(turn: Turn) -> str:
    figures = ", ".join(f"{name} {value:,.2f}" for name, value in turn.figures.items())
    return f"{turn.candidate}: {figures}"


def table(turns: Sequence[Turn]) -> str:
    """Markdown: a row per figure, each candidate's median and the service's median ratio to it."""
    names = list(dict.fromkeys(turn.candidate for turn in turns))
    by_name = {name: [turn for turn in turns if turn.candidate == name] for name in names}
    own = by_name[SERVICE]
    head = [SERVICE, *(f"{name} | service ÷ {name}" for name in names if name != SERVICE)]
    lines = ["| | " + " | ".join(head) + " |", "| --- |" + " --- |" * (2 * len(names) - 1)]
    for figure in own[0].figures:
        cells = [_middle(own, lambda turn: turn.figures.get(figure))]  # noqa: B023
        for name in names:
            if name == SERVICE:
                continue
            theirs = by_name[name]
            ratios = [
                mine.figures[figure] / other.figures[figure]
                for mine, other in zip(own, theirs, strict=True)
                if figure in other.figures
            ]
            cells.append(_middle(theirs, lambda turn: turn.figures.get(figure)))  # noqa: B023
            cells.append(_compared(ratios))
        lines.append(f"| {figure} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _compared(ratios: Sequence[float]) -> str:
    """Median and range, and of several the mean with its standard error."""
    if not ratios:
        return ""
    found = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    if len(ratios) == 1:
        return found
    error = statistics.stdev(ratios) / len(ratios) ** 0.5
    return f"{found}; mean {statistics.mean(ratios):.3f} ± {error:.3f}"


def _middle(turns: Sequence[Turn], figure: Callable[[Turn], float | None]) -> str:
    values = [value for turn in turns if (value := figure(turn)) is not None]
    return f"{statistics.median(values):,.2f}" if values else ""


if __name__ == "__main__":
    sys.exit(main())
