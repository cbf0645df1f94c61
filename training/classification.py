"""What the task ``classification`` brings to ``python -m training``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load
from torch import Tensor, nn

import training.settings
from artifact import (
    FAMILIARITY,
    Architecture,
    Contract,
    ImageInput,
    Metrics,
    ModelCard,
    Revision,
    SubjectFrame,
    Whole,
    known,
    open_revision,
)
from client.http import PredictClient
from predictor.networks import build_network
from predictor.networks.folding import fold_batch_norm
from training import over_http
from training.data import (
    ImageData,
    data_folder,
    evaluation_tensors,
    load_data,
    mean_and_std,
    split_off,
)
from training.fit import fit
from training.loop import RESULT, RunResult, after, read_result, start_of
from training.publish import publish, summary
from training.settings import TrainingSettings, read_preset
from training.versions import is_version, load_version
from training.views import TaughtViews, taught_views

VIEWS = "views.safetensors"
"""The file beside the runs of a preset that has teachers."""


FRAMES = {
    "MNIST": SubjectFrame(box=20, centre="mass", stroke=2.2),
    "FashionMNIST": SubjectFrame(box=28, centre="box", upright=15.0),
}
"""How each data set's pictures were fitted into 28 × 28."""
VALIDATION_PARTS = 10
"""Of a version's training pictures, at most one in so many is for validation."""


@dataclass(frozen=True)
class _Ready:
    """Settings with the parent's architecture, and what runs and revision need."""

    settings: TrainingSettings
    data: ImageData
    contract: Contract
    parent: dict[str, Tensor] | None


class ClassificationTask:
    """See ``training.tasks.TrainingTask``."""

    settings = TrainingSettings

    @property
    def presets(self) -> Path:
        return training.settings.PRESETS

    def prepare(self, options: argparse.Namespace, settings: TrainingSettings) -> _Ready:
        parent, settings = parent_of(settings, Path(options.models))
        if is_version(options.data):
            return _of_version(options, settings, parent)
        data = load_data(settings.dataset, data_folder(options.data))
        return _Ready(settings, data, contract_for(data, bool(settings.familiarity)), parent)

    def fit(self, ready: _Ready, options: argparse.Namespace, seed: int, folder: Path) -> RunResult:
        return fit(
            ready.settings,
            ready.data,
            ready.contract,
            ready.parent,
            start_of(ready.settings, Path(options.runs), seed),
            views_of(ready, options, folder.parent / VIEWS),
            seed,
            folder,
            options.resume,
            options.dry_run,
        )

    def publish(
        self,
        ready: _Ready,
        options: argparse.Namespace,
        runs: list[RunResult],
        root: Path,
        revision: str,
    ) -> Revision:
        settings, data = ready.settings, ready.data
        if options.dry_run:
            tiny = data.test.subset(slice(0, settings.test_batch_size))  # type: ignore[arg-type]
            settings = replace(settings, validation=settings.test_batch_size)
            data = replace(data, test=tiny)
        else:
            folder = Path(options.runs)
            runs = [after(start_of(settings, folder, run.seed), run) for run in runs]
        others = None
        if settings.familiarity:
            folder = data_folder(None if is_version(options.data) else options.data)
            others = load_data(settings.others, folder)
        return publish(settings, data, ready.contract, runs, root, revision, others)

    def evaluate(
        self, client: PredictClient, models: Path, model: str, wanted: str, data: str | None
    ) -> int:
        return over_http.evaluate(client, models, model, wanted, data)

    def samples(self, card: ModelCard, data: str | None) -> Iterator[NDArray[Any]]:
        name = known(card.data, "data").name
        test = load_data(name, data_folder(data)).test
        yield evaluation_tensors(test, card.contract.input_as(ImageInput)).numpy()

    def summary(self, revision: Revision) -> str:
        metrics = revision.card.metrics
        assert isinstance(metrics, Metrics)
        return summary(metrics.seeds)


def _of_version(
    options: argparse.Namespace, settings: TrainingSettings, parent: dict[str, Tensor] | None
) -> _Ready:
    """A model goes on with the contract of its own parent: servers need not change for new data."""
    contract = None
    if parent is not None and settings.continues_its_model:
        contract = open_revision(Path(options.models), *settings.parent.split("/")).card.contract
        if (FAMILIARITY in contract.outputs) != bool(settings.familiarity):
            raise ValueError(
                f"{settings.parent} {'says' if not settings.familiarity else 'does not say'} how "
                "familiar a picture is: give --familiarity and --others as it was made with"
            )
    spec = None if contract is None else contract.input_as(ImageInput)
    labels = () if contract is None else contract.labels
    data = load_version(options.data, settings.dataset, options.tests, spec, labels)
    most = max(1, len(data.train) // VALIDATION_PARTS)
    settings = replace(settings, validation=min(settings.validation, most))
    if contract is None:
        contract = contract_for(data, bool(settings.familiarity))
    return _Ready(settings, data, contract, parent)


def contract_for(data: ImageData, is_judged: bool = False) -> Contract:
    """Both official data sets are 28×28, grey, light on dark.

    Args:
        is_judged: whether a second output says how familiar an instance is.
    """
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
            frame=FRAMES.get(data.name, Whole()),
        ),
        outputs=("probabilities", FAMILIARITY) if is_judged else ("probabilities",),
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
    architecture = known(revision.card.architecture, "architecture")
    weights: dict[str, Tensor] = load(revision.read_weights())
    arguments = dict(architecture.arguments)
    if settings.familiarity:
        arguments["familiarity"] = settings.familiarity
    return weights, replace(settings, architecture=architecture.name, arguments=arguments)


def views_of(ready: _Ready, options: argparse.Namespace, path: Path) -> TaughtViews | None:
    """What the teachers of the preset say of its training images, kept in the file ``path``.

    None where it has no teachers. A dry run asks them about one view of one batch.
    """
    settings = ready.settings
    teachers = teachers_of(settings, Path(options.runs), Path(options.models))
    if not teachers:
        return None
    train, _ = split_off(ready.data.train, settings.validation, settings.split_seed)
    if options.dry_run:
        train = train.subset(np.arange(settings.batch_size))
        settings = replace(settings, teacher_views=1)
    return taught_views(path, teachers, train, settings, ready.contract.input_as(ImageInput))


def teachers_of(settings: TrainingSettings, runs: Path, root: Path) -> list[nn.Module]:
    """The networks of all finished runs of the preset that ``settings.teacher`` names.

    Their batch norms are folded, which saves a sixth of the time that their answers take.
    """
    if not settings.teacher:
        return []
    folders = sorted(path.parent for path in (runs / settings.teacher).glob(f"seed-*/{RESULT}"))
    if not folders:
        raise ValueError(
            f"no finished run in {runs / settings.teacher}; first: "
            f"--preset {settings.teacher} --seeds 0 1 2 --only-fit"
        )
    _, taught = parent_of(TrainingSettings(**read_preset(settings.teacher)), root)
    architecture = Architecture(taught.architecture, taught.arguments)
    networks = []
    for folder in folders:
        network = build_network(architecture)
        network.load_state_dict(read_result(folder).weights)
        networks.append(fold_batch_norm(network.eval()))
    return networks


TASK = ClassificationTask()
