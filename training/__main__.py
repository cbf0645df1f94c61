"""Train a model and write a revision: ``python -m training --preset fashion-mnist --seeds 0 1 2``.

Each seed is a run of its own under ``--runs`` and is not repeated once it has finished; the
revision is written when all of them have. ``--only-fit`` stops before that, so that seeds can be
spread over processes.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load
from torch import Tensor, nn

from artifact import Architecture, ArtifactError, Contract, ImageInput, next_revision, open_revision
from predictor.networks import build_network
from training.data import ImageData, data_folder, load_data, mean_and_std
from training.fit import RESULT, RunResult, after, fit, read_result
from training.publish import publish, summary
from training.settings import TrainingSettings, read_preset


def main(arguments: list[str] | None = None) -> int:
    options = parse(arguments)
    try:
        return train(options, settings_from(options))
    except (ArtifactError, ValueError, OSError) as error:
        print(f"training: {error}", file=sys.stderr)
        return 1


def train(options: argparse.Namespace, settings: TrainingSettings) -> int:
    if len(set(options.seeds)) != len(options.seeds):
        raise ValueError("--seeds: a seed is named twice")
    torch.set_num_threads(options.threads)
    root = Path(options.models)
    revision = options.revision or next_revision(root, settings.model)
    if not options.dry_run and not options.only_fit and (root / settings.model / revision).exists():
        raise ValueError(f"{settings.model}/{revision} exists; a revision is never overwritten")
    data = load_data(settings.dataset, data_folder(options.data))
    parent, settings = parent_of(settings, root)
    contract = contract_for(data)
    runs: list[RunResult] = []
    for seed in options.seeds:
        folder = Path(options.runs) / options.preset / f"seed-{seed}"
        if options.dry_run:
            folder = Path(options.runs) / "dry-run" / options.preset / f"seed-{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / RESULT).exists() and not options.dry_run:
            print(f"{options.preset} seed {seed}: finished earlier, in {folder}")
            runs.append(read_result(folder))
            continue
        print(f"{options.preset} seed {seed}: {settings.epochs} epochs", flush=True)
        runs.append(
            fit(
                settings,
                data,
                contract,
                parent,
                start_of(settings, Path(options.runs), seed),
                teachers_of(settings, Path(options.runs)),
                seed,
                folder,
                options.resume,
                options.dry_run,
            )
        )
    if options.only_fit:
        return 0
    if options.dry_run:
        small = replace(settings, validation=settings.test_batch_size)
        tiny = replace(data, test=data.test.subset(slice(0, settings.test_batch_size)))  # type: ignore[arg-type]
        folder = Path(options.runs) / "dry-run" / "models"
        written = publish(small, tiny, contract, runs, folder, next_revision(folder, small.model))
        print(f"dry run: one batch of everything ran; a throw-away revision is in {written.folder}")
        return 0
    runs = [after(start_of(settings, Path(options.runs), run.seed), run) for run in runs]
    written = publish(settings, data, contract, runs, root, revision)
    print(summary(written.card.metrics.seeds))
    print(f"wrote {written.folder} (seed {written.card.metrics.shipped_seed})")
    return 0


def contract_for(data: ImageData) -> Contract:
    """Both data sets are 28×28, grey, light on dark."""
    mean, std = mean_and_std(data.train)
    height, width = data.train.images.shape[1:]
    return Contract(
        task="classification",
        input=ImageInput(
            name="image",
            height=height,
            width=width,
            mode="L",
            mean=(mean,),
            std=(std,),
            layout="NCHW",
            dtype="FP32",
            background="black",
        ),
        outputs=("probabilities",),
        labels=data.labels,
    )


def parent_of(
    settings: TrainingSettings, root: Path
) -> tuple[dict[str, Tensor] | None, TrainingSettings]:
    """The parent's weights, and the settings with the parent's architecture."""
    if not settings.parent:
        return None, settings
    name, _, number = settings.parent.partition("/")
    revision = open_revision(root, name, number)
    architecture = revision.card.architecture
    weights: dict[str, Tensor] = load(revision.read_weights())
    return weights, replace(
        settings, architecture=architecture.name, arguments=architecture.arguments
    )


def start_of(settings: TrainingSettings, runs: Path, seed: int) -> RunResult | None:
    """The finished run that ``settings.start`` names."""
    if not settings.start:
        return None
    folder = runs / settings.start / f"seed-{seed}"
    if not (folder / RESULT).exists():
        raise ValueError(
            f"no finished run in {folder}; first: "
            f"--preset {settings.start} --seeds {seed} --only-fit"
        )
    return read_result(folder)


def teachers_of(settings: TrainingSettings, runs: Path) -> list[nn.Module]:
    """The networks of all finished runs of the preset that ``settings.teacher`` names."""
    if not settings.teacher:
        return []
    folders = sorted(path.parent for path in (runs / settings.teacher).glob(f"seed-*/{RESULT}"))
    if not folders:
        raise ValueError(
            f"no finished run in {runs / settings.teacher}; first: "
            f"--preset {settings.teacher} --seeds 0 1 2 --only-fit"
        )
    networks = []
    for folder in folders:
        network = build_network(Architecture(settings.architecture, settings.arguments))
        network.load_state_dict(read_result(folder).weights)
        networks.append(network)
    return networks


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("--preset", default="mnist", help="file of training/presets to start from")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one run each")
    parser.add_argument("--revision", default="", help="default: the next number")
    parser.add_argument("--data", default=None, help="data folder (variable DATA; default: data)")
    parser.add_argument("--models", default="models", help="folder of revisions")
    parser.add_argument("--runs", default="runs", help="folder of checkpoints and results")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="torch's threads")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--dry-run", action="store_true", help="one batch of everything")
    parser.add_argument("--only-fit", action="store_true", help="train, but write no revision")
    settings = parser.add_argument_group("settings, each overriding the preset")
    for item in fields(TrainingSettings):
        settings.add_argument(
            "--" + item.name.replace("_", "-"),
            type=_reader(item.type),
            choices=item.metadata["choices"] or None,
            help=item.metadata["help"],
        )
    return parser.parse_args(arguments)


def settings_from(options: argparse.Namespace) -> TrainingSettings:
    values = read_preset(options.preset)
    for item in fields(TrainingSettings):
        given = getattr(options, item.name)
        if given is not None:
            values[item.name] = given
    return TrainingSettings(**values)


def _reader(annotation: Any) -> Any:
    """Numbers and strings as they are, lists and mappings as YAML."""
    return {"int": int, "float": float, "str": str}.get(str(annotation), yaml.safe_load)


if __name__ == "__main__":
    sys.exit(main())
