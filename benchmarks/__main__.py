"""``make bench``: the service and its peers in turn, and a report of what came of it."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tqdm import tqdm

from benchmarks.candidate import Candidate, CandidateError, Running
from benchmarks.edge import measure_edge
from benchmarks.goals import evaluate
from benchmarks.limit import measure_cost, measure_limit
from benchmarks.load import ROOT, LoadError, closed_loop
from benchmarks.machine import describe
from benchmarks.measure import (
    USERS,
    Step,
    measure,
    measure_batches,
    measure_overload,
    measure_starts,
)
from benchmarks.networks import SHIPPED, TWO_CONVOLUTIONS, Network, prepare_networks
from benchmarks.peers.registry import (
    KSERVE_GRPC,
    KSERVE_V1,
    LITSERVE,
    MLSERVER,
    TORCHSERVE,
    environment_folder,
    peers,
)
from benchmarks.pictures import Pictures, load_pictures
from benchmarks.plots import draw_plots
from benchmarks.profile import measure_profiles, profiler
from benchmarks.questions import Known, Reference, questions
from benchmarks.report import goals_table, write_report
from benchmarks.results import FULL, QUICK, Results, Scale, read_results
from benchmarks.service import BEFORE, SERVICE, before, in_bfloat16, service
from benchmarks.shares import measure_shares
from local.service import interpreters
from training.data import data_folder

WORK = ROOT / "build" / "bench"
TRAINED_ON = 12_000
BASELINE = "b0e3da2"
"""The last commit before the work on speed."""

NOT_IN_A_HURRY = (BEFORE, MLSERVER, TORCHSERVE)
"""Left out of a quick run."""

HURRIED = (SERVICE, KSERVE_V1, KSERVE_GRPC, LITSERVE)
"""Who serves the second network in a quick run: those whom the goals name."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="less than three minutes")
    parser.add_argument("--only", default="", metavar="NAMES", help="candidates, by comma")
    parser.add_argument("--data", default=None, help="data folder (variable DATA; default: data)")
    parser.add_argument("--baseline", default=BASELINE, help="commit to compare the service with")
    parser.add_argument("--output", type=Path, default=None, help="folder of the report")
    parser.add_argument("--render", type=Path, default=None, help="results.json of an earlier run")
    options = parser.parse_args(arguments)
    # Only a full run of everything may replace the committed report.
    whole = not options.quick and not options.only
    output = options.output or (ROOT / "benchmarks" if whole else WORK)
    try:
        if options.render is not None:
            results = read_results(options.render)
        else:
            results = run(options, QUICK if options.quick else FULL)
            results.write(WORK / "results.json")
    except (CandidateError, LoadError, OSError, ValueError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    path = write(results, output)
    titles = {name: m.title for items in results.measured.values() for name, m in items.items()}
    print(goals_table(evaluate(results), titles))
    print(f"\n{path}")
    return 0


def run(options: argparse.Namespace, scale: Scale) -> Results:
    """All measurements, one after the other."""
    pictures = load_pictures(data_folder(options.data), TRAINED_ON, 3 * scale.known)
    networks = prepare_networks(ROOT / "models", WORK / "models", pictures)
    candidates, left_out = choose(options, scale)
    environments = {p.environment: environment_folder(p.environment) for p in peers(WORK)}
    own = {name: path.absolute().parents[1] for name, path in interpreters().items()}
    results = Results(
        describe(ROOT, own | {n: p for n, p in environments.items() if p.exists()}),
        scale,
        time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        pictures.source,
        left_out,
    )
    known = {
        revision: Reference(network).known(pictures.test, scale.known)
        for revision, network in networks.items()
    }
    with tqdm(total=_steps(candidates, networks, scale), unit="step") as progress:

        def step(what: str) -> None:
            progress.set_description(f"{what:<44}"[:44])
            progress.update()

        for revision, network in networks.items():
            step("physical limit")
            results.limits[revision] = [measure_limit(network, known[revision], scale.seconds)]
        for revision, network in networks.items():
            found = results.measured.setdefault(revision, {})
            for candidate in candidates:
                if serves(candidate, revision, scale):
                    found[candidate.name] = measure(
                        candidate, network, known[revision], scale, WORK / "logs", step
                    )
        in_depth(candidates, networks[SHIPPED], known[SHIPPED], pictures, results, step)
        if SERVICE in [candidate.name for candidate in candidates]:
            step("the edge")
            results.edge = measure_edge(scale.quick)
            if results.edge is None:
                left_out["the edge"] = "not installed"
        for revision, network in networks.items() if not scale.quick else ():
            step("physical limit")
            results.limits[revision].append(measure_limit(network, known[revision], scale.seconds))
        progress.total = progress.n
    return results


def choose(options: argparse.Namespace, scale: Scale) -> tuple[list[Candidate], dict[str, str]]:
    """Who takes part, and why the others do not."""
    left_out = {}
    found = [service(), in_bfloat16()]
    try:
        found.append(before(options.baseline, WORK / "before"))
    except CandidateError as error:
        left_out["the service before"] = str(error)
    for peer in peers(WORK):
        if peer.installed:
            found.append(peer.candidate)
        else:
            left_out[peer.candidate.title] = "not installed"
    wanted = [name for name in options.only.split(",") if name]
    for candidate in list(found):
        if wanted and candidate.name not in wanted:
            found.remove(candidate)
        elif not wanted and scale.quick and candidate.name in NOT_IN_A_HURRY:
            found.remove(candidate)
            left_out[candidate.title] = "a quick run"
    return found, left_out


def serves(candidate: Candidate, revision: str, scale: Scale) -> bool:
    if scale.quick and revision == TWO_CONVOLUTIONS and candidate.name not in HURRIED:
        return False
    return revision in candidate.networks


def in_depth(
    candidates: list[Candidate],
    network: Network,
    known: list[Known],
    pictures: Pictures,
    results: Results,
    step: Step,
) -> None:
    """What is measured of the service alone, and of those that it is set beside there."""
    scale, logs = results.scale, WORK / "logs"
    by_name = {candidate.name: candidate for candidate in candidates}
    for name, candidate in by_name.items():
        if not candidate.batches or results.measured[SHIPPED][name].error:
            continue
        if name != SERVICE and scale.quick:
            continue
        first = questions(known[:1])[0]
        with Running(candidate, candidate.programs(network, first), logs) as running:
            results.batches[name] = measure_batches(running, known, scale, step)
            if name in (SERVICE, BEFORE) and profiler() is not None:
                step(f"{candidate.title}: profile")
                results.profiles += measure_profiles(running, known, scale.seconds, WORK)
            if name != SERVICE:
                continue
            step(f"{candidate.title}: share of the physical limit")
            results.shares = measure_shares(running, network, known, scale, step)
            reference = Reference(network)
            for side in scale.sides:
                step(f"{candidate.title}: {side} × {side} pixels")
                few = reference.known(pictures.test, 16 if side <= 512 else 4, side)
                results.sides[side] = closed_loop(
                    running.target, questions(few), 8, scale.seconds, scale.warm_seconds
                )
                results.side_costs[side] = measure_cost(network, few, scale.seconds / 4)
            capacity = results.measured[SHIPPED][SERVICE].closed[USERS].requests_a_second
            results.overload = measure_overload(running, known, capacity, scale, step)
    if SERVICE in by_name and not results.measured[SHIPPED][SERVICE].error:
        step("this service: starts")
        results.measured[SHIPPED][SERVICE].start_seconds = measure_starts(
            by_name[SERVICE], network, known, scale.starts, logs
        )


def write(results: Results, folder: Path) -> Path:
    """The report and its plots; the path of the report."""
    plots = draw_plots(results)
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    for name, content in plots.items():
        (folder / "plots" / name).write_bytes(content)
    path = folder / "REPORT.md"
    path.write_text(write_report(results, plots), encoding="utf-8")
    return path


def _steps(candidates: list[Candidate], networks: dict[str, Network], scale: Scale) -> int:
    """About how many there will be."""
    each = 1 + len(scale.connections) + (0 if scale.quick else len(scale.shares))
    taking_part = sum(serves(c, r, scale) for c in candidates for r in networks)
    shares = 2 + 3 * scale.rounds
    in_depth = len(scale.batches) + len(scale.sides) + shares + 4
    return 2 * len(networks) + taking_part * each + in_depth


if __name__ == "__main__":
    sys.exit(main())
