"""The step ``trained``: from data to a revision that may be published, kept in the store."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from safetensors.torch import load

from artifact import Architecture, ImageInput, ModelCard, Revision, Trust, known
from artifact.trust import FAMILIAR_FROM
from lifecycle.data import PARTS, WITHOUT, RunData, data_of, to_train
from lifecycle.errors import StoppedError
from lifecycle.found import Found
from lifecycle.place import Place
from lifecycle.publication import next_number
from lifecycle.run import Run
from predictor.networks import build_network
from predictor.networks.folding import fold_batch_norm
from predictor.networks.residual_cnn import Familiarity, ResidualCNN
from training.data import ImageData, LabelledImages, split_off
from training.familiarity import FLAGGED, scores_of
from training.fit import fit
from training.loop import RESULT, RunResult, now, read_result
from training.publish import publish
from training.settings import AUGMENTATION, TrainingSettings
from training.tasks import training_task

PRESETS = Path(__file__).parent / "presets"
SEED = 0
OLD_LEAST, OLD_A_NEW = 12_000, 3
"""Pictures of before that fine-tuning sees beside the new ones: so many, or so many for each."""

LEAST_STEPS = 300
"""Of training, where there are few pictures."""

VALIDATION_SHARE, MOST_VALIDATION = 0.1, 5_000


def check_trainable(card: ModelCard) -> None:
    """Raises StoppedError: a revision with this card cannot be trained further."""
    task = card.contract.task
    if training_task(task).settings is not TrainingSettings or card.architecture is None:
        raise StoppedError(
            f"{card.identity} cannot be trained from parts: that takes a classifier whose card "
            "names its network"
        )


def train(place: Place, run: Run) -> Found:
    """Train, or go on with it where it was ended, and keep the revision's files in the store."""
    live = place.pulled(run.model, place.live(run.model))
    data = data_of(place, run)
    if not len(data.old) + len(data.new):
        raise StoppedError("there is nothing to train with")
    if place.settings.lifecycle_threads:
        torch.set_num_threads(place.settings.lifecycle_threads)
    number = str(next_number(place, run.model))
    written = _written(place, run, live, data, number)
    files = {
        path.name: place.runs.keep_file(path.read_bytes())
        for path in sorted(written.folder.iterdir())
    }
    details = {
        "files": files,
        "parent": live.card.revision,
        "data": data.digest,
        "parts": list(data.parts),
        "without": list(data.without),
    }
    taught = known(written.card.data, "data").train
    why = f"{place.settings.lifecycle_training} of {live.card.identity} with {taught} pictures"
    if data.without:
        why += f", without {len(data.without)} parts that made it worse"
    return Found(why, details)


def _written(place: Place, run: Run, live: Revision, data: RunData, number: str) -> Revision:
    """The trained revision, in the run's folder."""
    contract = live.card.contract
    images = ImageData(
        name=run.model,
        train=_mixed(place, data, live.card),
        test=to_train(data.tests, contract),
        labels=contract.labels,
        digest=data.digest,
    )
    settings = _settings(place, live.card, len(images.train))
    folder = place.folder(run.id) / "fit"
    folder.mkdir(exist_ok=True)
    weights = load(live.read_weights())
    start = None
    if place.settings.lifecycle_training == "fine-tune":
        start = RunResult(SEED, now(), weights, [])
    if (folder / RESULT).exists():
        result = read_result(folder)
    else:
        result = fit(settings, images, contract, None, start, None, SEED, folder, resume=True)
    trust = live.card.trust and _recalibrated(settings, result, images, live.card)
    root = place.folder(run.id) / "candidate"
    shutil.rmtree(root, ignore_errors=True)  # of an earlier try
    written = publish(settings, images, contract, [result], root, number)
    lineage = {PARTS: list(data.parts), WITHOUT: list(data.without)}
    card = replace(
        written.card,
        accepts=live.card.accepts,
        trust=trust,
        training={**written.card.training, **lineage},
    )
    (written.folder / "model.json").write_text(card.to_json(), encoding="utf-8")
    return replace(written, card=card)


def _mixed(place: Place, data: RunData, card: ModelCard) -> LabelledImages:
    """What is new, and of what is old everything or a seeded part."""
    old, new = to_train(data.old, card.contract), to_train(data.new, card.contract)
    if not len(new) or not len(old):
        return new if len(new) else old
    if place.settings.lifecycle_training == "fine-tune":
        count = max(OLD_LEAST, OLD_A_NEW * len(new))
        old = old.subset(np.random.default_rng(SEED).permutation(len(old))[:count])
    if old.images.shape[1:] != new.images.shape[1:]:
        raise StoppedError(
            f"the new pictures are {new.images.shape[1:]}, those before {old.images.shape[1:]}"
        )
    return LabelledImages(
        np.concatenate([old.images, new.images]), np.concatenate([old.labels, new.labels])
    )


def _settings(place: Place, card: ModelCard, count: int) -> TrainingSettings:
    """Those of the preset, with the live revision's network and augmentation."""
    kind = place.settings.lifecycle_training
    path = place.settings.lifecycle_settings or PRESETS / f"{kind}.yaml"
    own: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    architecture = known(card.architecture, "architecture")
    validation = min(MOST_VALIDATION, max(1, round(VALIDATION_SHARE * count)))
    inherited = {name: card.training[name] for name in AUGMENTATION if name in card.training}
    values = {
        **inherited,
        "validation": validation,
        **own,
        "model": card.name,
        "parent": card.identity if kind == "fine-tune" else "",
        "architecture": architecture.name,
        "arguments": dict(architecture.arguments),
    }
    settings = TrainingSettings(**values)
    settings = replace(settings, batch_size=min(settings.batch_size, max(1, count - validation)))
    if "epochs" in own and place.settings.lifecycle_settings is not None:
        return settings
    steps = (count - validation) // settings.batch_size
    return replace(settings, epochs=max(settings.epochs, math.ceil(LEAST_STEPS / steps)))


def _recalibrated(
    settings: TrainingSettings, result: RunResult, data: ImageData, card: ModelCard
) -> Trust:
    """Shift what tells the familiar from the rest to the new features, in place, and measure it."""
    network = build_network(Architecture(settings.architecture, settings.arguments))
    network.load_state_dict(result.weights)
    fold_batch_norm(network.eval())
    assert isinstance(network, ResidualCNN) and isinstance(network.familiarity, Familiarity)
    spec = card.contract.input_as(ImageInput)
    _, held_out = split_off(data.train, settings.validation, settings.split_seed)
    shift = scores_of(network, held_out.images, spec).quantile(FLAGGED)
    result.weights["familiarity.score.bias"].sub_(shift)
    with torch.no_grad():
        network.familiarity.score.bias.sub_(shift)
    flagged = (scores_of(network, data.test.images, spec) < 0).double().mean().item()
    return Trust(known(card.trust, "trust").method, FAMILIAR_FROM, {"test": round(flagged, 4)})
