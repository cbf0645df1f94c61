"""``python -m benchmarks.photographs``: published architectures beside peers, by turns.

Random weights, the same in all; JPEG photographs of 451 × 300 to 1411 × 1411 pixels in base64, and
every answer checked. In each round every candidate is started anew, measured and stopped, in an
order that turns with the round, and the same engine with no server is measured first. What is
compared are ratios within a round. ``--against COMMIT`` adds both servers as they were then.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.candidate import Candidate, CandidateError, Program
from benchmarks.load import ROOT, LoadError, Question
from benchmarks.networks import Network
from benchmarks.peers.registry import peers
from benchmarks.photographs.files import photographs
from benchmarks.photographs.limit import measure_limit
from benchmarks.photographs.networks import PhotographNetwork, known_answers, prepare_network
from benchmarks.service import BEFORE, SERVICE, checkout
from benchmarks.turns import Turn, summary, table, take
from local.service import free_ports, interpreters

WORK = ROOT / "build" / "photographs"
NETWORKS = ("resnet50", "mobilenet_v3_large", "vit_b_16")
PEERS = ("litserve", "bentoml", "torchserve", "mlserver", "fastapi")
CONNECTIONS = 16


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.photographs", description=__doc__)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS), help="of torchvision")
    parser.add_argument("--peers", default="", help="by comma; default: those installed")
    parser.add_argument("--against", metavar="COMMIT", help="another commit of this repository")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each load")
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    options = parser.parse_args(arguments)
    try:
        for name in options.networks:
            network = prepare_network(name, WORK, photographs())
            print(f"\n### {name}\n\n{compare(network, options)}", flush=True)
    except (CandidateError, LoadError, OSError, ValueError) as error:
        print(f"photographs: {error}", file=sys.stderr)
        return 1
    return 0


def compare(network: PhotographNetwork, options: argparse.Namespace) -> str:
    """All rounds with one network; the table, and the share of the limit."""
    known = known_answers(network, photographs())
    candidates = [service(network), *chosen_peers(options.peers)]
    if options.against:
        folder = checkout(options.against, WORK / "commits")
        candidates.append(service(network, BEFORE, folder))
    turns: list[Turn] = []
    shares, limits, left_out = [], [], []
    with tempfile.TemporaryDirectory(prefix="photographs-") as name:
        folder = Path(name)
        for index, (encoded, _) in enumerate(known):
            (folder / f"{index}.jpg").write_bytes(encoded)
        for number in range(options.rounds):
            limits.append(measure_limit(network, folder, options.seconds))
            shift = number % len(candidates)
            for candidate in candidates[shift:] + candidates[:shift]:
                try:
                    turn = take(candidate, network, known, [options.connections], options.seconds)
                except CandidateError as error:
                    if candidate.name == SERVICE:
                        raise
                    # A table needs everybody in every round.
                    candidates.remove(candidate)
                    turns = [turn for turn in turns if turn.candidate != candidate.name]
                    left_out.append(f"Left out: {error}.")
                    continue
                print(f"round {number + 1}: {summary(turn)}", file=sys.stderr, flush=True)
                turns.append(turn)
            mine = [turn for turn in turns if turn.candidate == SERVICE][-1]
            shares.append(mine.loads[options.connections].images_a_second / limits[-1])
    share = f"{statistics.median(shares):.2f} of it ({min(shares):.2f} to {max(shares):.2f})"
    rate = f"{statistics.median(limits):.1f} images/s"
    limit = f"Decoding, preparing and the engine with no server: {rate}; the service has {share}."
    return "\n\n".join([table(turns), limit, *left_out])


def service(network: PhotographNetwork, name: str = SERVICE, folder: Path = ROOT) -> Candidate:
    """Both servers as ``vision serve`` of a checkout starts them."""
    venvs = str(interpreters()["predictor"].absolute().parents[2])

    def programs(_: Network, question: Question) -> list[Program]:
        port = free_ports().http
        command = [sys.executable, "-m", "cli", "serve", network.model, "--port", str(port)]
        command += ["--models", str(network.models.absolute())]
        return [Program("both", command, folder, port, path, question, {"VENVS": venvs})]

    path = f"/v1/models/{network.model}:predict"
    return Candidate(name, f"this {name}", "as vision serve starts it", path, programs, ())


def chosen_peers(names: str) -> list[Candidate]:
    """Those named, or all that are installed.

    Raises:
        CandidateError: one that is named is not installed.
    """
    found = {peer.candidate.name: peer for peer in peers(WORK) if peer.candidate.name in PEERS}
    wanted = names.split(",") if names else [n for n in found if found[n].installed]
    for name in wanted:
        if name not in found or not found[name].installed:
            raise CandidateError(f"peer {name!r} is not installed; known: {', '.join(found)}")
    return [found[name].candidate for name in wanted]


if __name__ == "__main__":
    sys.exit(main())
