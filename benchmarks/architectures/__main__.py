"""``python -m benchmarks.architectures``: import, serve and compare with the original.

A line of JSON for each architecture is added to ``--results`` as soon as it is known, and what is
there already is not done again. ``--table`` writes the page of what is known so far.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.architectures.choice import timm_architectures, torchvision_architectures
from benchmarks.architectures.comparison import Comparison, compare
from benchmarks.architectures.table import write_table
from benchmarks.load import ROOT
from benchmarks.photographs.files import photographs

RESULTS = ROOT / "benchmarks" / "architectures" / "results.jsonl"
PAGE = ROOT / "benchmarks" / "ARCHITECTURES.md"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.architectures", description=__doc__)
    parser.add_argument("names", nargs="*", help="torchvision:NAME, timm:NAME; default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--again", action="store_true", help="what was not equal")
    parser.add_argument("--table", type=Path, help="write the page, and do nothing else")
    options = parser.parse_args(arguments)
    known = read(options.results)
    chosen = [*torchvision_architectures(), *timm_architectures(options.seed)]
    if options.table:
        options.table.write_text(write_table(chosen, known, options.seed), encoding="utf-8")
        return 0
    unknown = set(options.names) - {architecture.identity for architecture in chosen}
    if unknown:
        print(f"architectures: {', '.join(sorted(unknown))} take no part", file=sys.stderr)
        return 2
    pictures = photographs()
    by_identity = {architecture.identity: architecture for architecture in chosen}
    for architecture in [by_identity[name] for name in options.names] or chosen:
        before = known.get(architecture.identity)
        if before is not None and not (options.again and before.outcome != "equal"):
            continue
        found = compare(architecture, options.seed, pictures)
        options.results.parent.mkdir(parents=True, exist_ok=True)
        with options.results.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(found)) + "\n")
        difference = "" if found.difference is None else f" {found.difference:.1e}"
        print(f"{found.architecture}: {found.outcome}{difference} {found.reason}", flush=True)
    return 0


def read(path: Path) -> dict[str, Comparison]:
    """The last result of each architecture."""
    if not path.exists():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {found.architecture: found for found in (Comparison(**json.loads(x)) for x in lines)}


if __name__ == "__main__":
    sys.exit(main())
