"""``vision data``: data sets in the registry, appended in parts that are checked when they come.

Exit statuses: 0 done, 2 wrong arguments, 3 refused, 4 not found, 5 the store, 6 damaged.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from artifact import ArtifactError
from common.table import table
from registry.command import Command, Shown, run
from registry.datasets import ALL, SPLITS, Datasets, Version
from registry.revisions import Registry
from training.arrival.arrive import arrive
from training.arrival.check import Rules
from training.arrival.live import against_live
from training.arrival.part import UnreadablePartError

REFUSED = 3


def main(arguments: list[str] | None = None, environment: Mapping[str, str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    errors = (ArtifactError, UnreadablePartError)
    return run(COMMANDS[options.command], options, environment, errors=errors, room="data")


def _add(registry: Registry, options: argparse.Namespace) -> Shown:
    split = options.split or ""
    arrival = arrive(
        Datasets(registry),
        options.name,
        options.path,
        against_live(registry, options.name, options.model, options.models, options.tests, split),
        options.labels,
        split,
        options.why,
        Rules(**{field.name: getattr(options, field.name) for field in fields(Rules)}),
    )
    version, report = arrival.version, arrival.report
    document = {
        "version": None if version is None else version.identity,
        "new": arrival.is_new,
        "report": None if report is None else asdict(report),
    }
    look = f"the report: vision data report {options.name}"
    if version is None:
        assert report is not None
        reasons = (f"- {reason}" for reason in report.refusals)
        lines = [f"{options.path} is refused:", *reasons, look]
        return document, "\n".join(lines), REFUSED
    if report is None:
        return document, f"{options.path} is in {version.identity} already: nothing changed", 0
    taken, left = sum(_sizes(version, [version.parts[-1].digest])), len(report.left_out)
    lines = [f"{version.identity}: {taken} pictures more, {left} left out", *report.warnings, look]
    return document, "\n".join(lines), 0


def _report(registry: Registry, options: argparse.Namespace) -> Shown:
    name, _, digest = options.name.partition("@")
    files = Datasets(registry).report(name, digest)
    if options.folder is not None:
        options.folder.mkdir(parents=True, exist_ok=True)
        for file, data in files.items():
            (options.folder / file).write_bytes(data)
    told = json.loads(files["report.json"])
    return told, files["report.md"].decode().rstrip(), 0


def _list(registry: Registry, options: argparse.Namespace) -> Shown:
    datasets = Datasets(registry)
    names = [name for name in datasets.names() if options.name in ("", name)]
    versions = [datasets.version(name) for name in names]
    head = ("data", "version", "parts", "classes", *SPLITS)
    rows = [
        (v.name, v.digest, str(len(v.parts)), str(len(v.classes)), *map(str, _sizes(v)))
        for v in versions
    ]
    return [dict(zip(head, row, strict=True)) for row in rows], table(head, rows), 0


def _show(registry: Registry, options: argparse.Namespace) -> Shown:
    datasets = Datasets(registry)
    version = _version(datasets, options)
    told = [entry.as_json() for entry in datasets.entries(version.name)]
    document = json.loads(version.to_json()) | {
        "digest": version.digest,
        "counts": version.counts,
        "history": told,
    }
    rows = [(c, *(str(version.counts[split][c]) for split in SPLITS)) for c in version.classes]
    lines = [version.identity, "", table(("class", *SPLITS), rows), ""]
    for entry in told:
        about = entry["details"].get("part") or entry["details"]["arrived"]
        why = f": {entry['why']}" if entry["why"] else ""
        lines.append(f"{entry['at']}  {entry['action'].value} by {entry['by']}, {about}{why}")
    return document, "\n".join(lines), 0


def _verify(registry: Registry, options: argparse.Namespace) -> Shown:
    datasets = Datasets(registry)
    version = _version(datasets, options)
    count = datasets.verify(version)
    found = {"version": version.identity, "parts": len(version.parts), "images": count}
    return found, f"{count} pictures in {len(version.parts)} parts: every byte as it was added", 0


def _pull(registry: Registry, options: argparse.Namespace) -> Shown:
    datasets = Datasets(registry)
    version = _version(datasets, options)
    samples = datasets.open(version, options.split or ALL)
    if isinstance(samples.images, tuple):
        data = samples.to_bytes()
        options.path.write_bytes(data)
    else:
        with options.path.open("wb") as file:
            np.savez_compressed(
                file,
                images=samples.images,
                labels=samples.labels,
                classes=np.array(samples.classes, np.str_),
            )
    document = {"version": version.identity, "file": str(options.path), "images": len(samples)}
    return document, f"{len(samples)} pictures of {version.identity} are in {options.path}", 0


def _version(datasets: Datasets, options: argparse.Namespace) -> Version:
    name, _, digest = options.name.partition("@")
    return datasets.version(name, digest or None)


def _sizes(version: Version, parts: list[str] | None = None) -> list[int]:
    """Pictures of each split."""
    chosen = [part for part in version.parts if parts is None or part.digest in parts]
    return [sum(sum(getattr(part, split).values()) for part in chosen) for split in SPLITS]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vision data", description=__doc__)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print JSON")
    common.add_argument("--by", default="", help="who is named in the history")
    common.add_argument("--why", default="", help="for the history")
    commands = parser.add_subparsers(dest="command", required=True)

    def add(name: str, about: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=about, description=about, parents=[common])

    adding = add("add", "bring a part: it is checked, and added or refused")
    adding.add_argument("name")
    adding.add_argument("path", type=Path, help="folder of classes, .npz, .parquet, IDX file")
    adding.add_argument("--labels", type=Path, help="file of the labels: .csv, .json, IDX")
    adding.add_argument("--split", choices=SPLITS, help="all of it; default: a tenth is held out")
    adding.add_argument("--model", default="", help="NAME or NAME/REVISION that it is for")
    adding.add_argument("--models", type=Path, default=Path("models"), metavar="FOLDER")
    adding.add_argument("--tests", default="", help="pinned: registry:NAME[@DIGEST] or .npz")
    for field in fields(Rules):
        adding.add_argument(
            f"--{field.name.replace('_', '-')}",
            type=float,
            default=field.default,
            metavar="SHARE",
            help=f"of a part that is taken ({field.default:g})",
        )
    reporting = add("report", "what was found about a part; also --folder for its pictures")
    reporting.add_argument("name", metavar="NAME[@DIGEST]", help="of a part (the newest)")
    reporting.add_argument("--folder", type=Path, help="write its files there")
    listing = add("list", "data sets and their newest versions")
    listing.add_argument("name", nargs="?", default="")
    for name, about in (
        ("show", "classes, counts, and how a version came to be"),
        ("verify", "compare every picture with what was added"),
        ("pull", "write a version's pictures and labels to an .npz"),
    ):
        command = add(name, about)
        command.add_argument("name", metavar="NAME[@DIGEST]")
        if name == "pull":
            command.add_argument("path", type=Path, metavar="FILE.npz")
            command.add_argument("--split", choices=SPLITS, help="default: both")
    return parser


COMMANDS: dict[str, Command] = {
    "add": _add,
    "list": _list,
    "show": _show,
    "verify": _verify,
    "report": _report,
    "pull": _pull,
}

if __name__ == "__main__":
    sys.exit(main())
