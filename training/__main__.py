"""Train a model and write a revision: ``python -m training --preset fashion-mnist --seeds 0 1 2``.

Each seed is a run of its own under ``--runs`` and is not repeated once it has finished; the
revision is written when all of them have. ``--only-fit`` stops before that, so that seeds can be
spread over processes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
import yaml

from artifact import ArtifactError, known, next_revision
from training.loop import RESULT, RunResult, read_result
from training.settings import RunSettings, read_preset
from training.tasks import task_of, training_task
from training.versions import is_version, named


def main(arguments: list[str] | None = None) -> int:
    try:
        options = parse(arguments)
        return train(options, settings_from(options))
    except (ArtifactError, ValueError, OSError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 1


def train(options: argparse.Namespace, settings: RunSettings) -> int:
    if len(set(options.seeds)) != len(options.seeds):
        raise ValueError("--seeds: a seed is named twice")
    torch.set_num_threads(options.threads)
    task = training_task(options.task)
    root = Path(options.models)
    revision = options.revision or next_revision(root, settings.model)
    if not options.dry_run and not options.only_fit and (root / settings.model / revision).exists():
        raise ValueError(f"{settings.model}/{revision} exists; a revision is never overwritten")
    if is_version(options.data):
        options.data = named(options.data)
    runs_folder = _runs_folder(options, settings)
    ready = task.prepare(options, settings)
    runs: list[RunResult] = []
    for seed in options.seeds:
        folder = runs_folder / f"seed-{seed}"
        if options.dry_run:
            folder = Path(options.runs) / "dry-run" / options.preset / f"seed-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / RESULT).exists() and not options.dry_run:
            print(f"{options.preset} seed {seed}: finished earlier, in {folder}")
            runs.append(read_result(folder))
            continue
        print(f"{options.preset} seed {seed}: {settings.epochs} epochs", flush=True)
        runs.append(task.fit(ready, options, seed, folder))
    if options.only_fit:
        return 0
    if options.dry_run:
        folder = Path(options.runs) / "dry-run" / "models"
        written = task.publish(ready, options, runs, folder, next_revision(folder, settings.model))
        print(f"dry run: one batch of everything ran; a throw-away revision is in {written.folder}")
        return 0
    written = task.publish(ready, options, runs, root, revision)
    print(task.summary(written))
    shipped = known(written.card.metrics, "metrics").shipped_seed
    print(f"wrote {written.folder} ({'all seeds' if shipped is None else f'seed {shipped}'})")
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """The options; which settings there are depends on the task of the preset."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", default="mnist")
    name = task_of(first.parse_known_args(arguments)[0].preset)
    parser = argparse.ArgumentParser(prog="vision train", description=__doc__)
    parser.set_defaults(task=name)
    parser.add_argument("--preset", default="mnist", help="file of a presets folder to start from")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one run each")
    parser.add_argument("--revision", default="", help="default: the next number")
    parser.add_argument(
        "--data",
        default=None,
        help="data folder (variable DATA; default: data), or registry:NAME[@DIGEST]",
    )
    parser.add_argument(
        "--tests",
        default="",
        help="with a data set of the registry: registry:NAME[@DIGEST] or .npz (the official one)",
    )
    parser.add_argument("--models", default="models", help="folder of revisions")
    parser.add_argument("--runs", default="runs", help="folder of checkpoints and results")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="torch's threads")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--dry-run", action="store_true", help="one batch of everything")
    parser.add_argument("--only-fit", action="store_true", help="train, but write no revision")
    group = parser.add_argument_group("settings, each overriding the preset")
    for item in fields(training_task(name).settings):
        group.add_argument(
            "--" + item.name.replace("_", "-"),
            type=_reader(item.type),
            choices=item.metadata["choices"] or None,
            help=item.metadata["help"],
        )
    return parser.parse_args(arguments)


def settings_from(options: argparse.Namespace) -> RunSettings:
    task = training_task(options.task)
    values = read_preset(options.preset, task.settings, task.presets)
    for item in fields(task.settings):
        given = getattr(options, item.name)
        if given is not None:
            values[item.name] = given
    found: RunSettings = task.settings(**values)
    return found


def _runs_folder(options: argparse.Namespace, settings: RunSettings) -> Path:
    """Of a preset's runs; one of its own for every version of the data, and what it was told."""
    name: str = options.preset
    if is_version(options.data):
        told = json.dumps([options.data, options.tests, settings.as_json()], sort_keys=True)
        name += f"@{hashlib.sha256(told.encode()).hexdigest()[:12]}"
    return Path(options.runs) / name


def _reader(annotation: Any) -> Any:
    """Numbers and strings as they are, lists and mappings as YAML."""
    return {"int": int, "float": float, "str": str}.get(str(annotation), yaml.safe_load)


if __name__ == "__main__":
    sys.exit(main())
