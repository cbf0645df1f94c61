"""What the task ``segmentation`` brings to ``python -m training``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from artifact import ModelCard, RasterInput, Revision, SegmentationContract, SegmentationMetrics
from client.http import PredictClient
from training.data import data_folder
from training.loop import RunResult, after, start_of
from training.segmentation import over_http
from training.segmentation.data import AerialData, load_aerial, tile_of
from training.segmentation.fit import fit
from training.segmentation.publish import contract_for, publish, summary
from training.segmentation.settings import SegmentationSettings
from training.versions import is_version


@dataclass(frozen=True)
class _Ready:
    settings: SegmentationSettings
    data: AerialData
    contract: SegmentationContract


class SegmentationTask:
    """See ``training.tasks.TrainingTask``."""

    settings = SegmentationSettings
    presets = Path(__file__).parent / "presets"

    def prepare(self, options: argparse.Namespace, settings: SegmentationSettings) -> _Ready:
        if settings.parent:
            raise ValueError("parent: a segmenter is trained from scratch only")
        if is_version(options.data):
            raise ValueError("--data registry:… is for classifiers: masks come from a folder")
        data = load_aerial(data_folder(options.data))
        if options.dry_run:
            data = replace(
                data,
                train=data.train[:1],
                validation=data.validation[:1],
                test=data.test[:1],
            )
        return _Ready(settings, data, contract_for(data, settings))

    def fit(self, ready: _Ready, options: argparse.Namespace, seed: int, folder: Path) -> RunResult:
        start = start_of(ready.settings, Path(options.runs), seed)
        return fit(ready.settings, ready.data, start, seed, folder, options.resume, options.dry_run)

    def publish(
        self,
        ready: _Ready,
        options: argparse.Namespace,
        runs: list[RunResult],
        root: Path,
        revision: str,
    ) -> Revision:
        if not options.dry_run:
            folder = Path(options.runs)
            runs = [after(start_of(ready.settings, folder, run.seed), run) for run in runs]
        return publish(ready.settings, ready.data, ready.contract, runs, root, revision)

    def evaluate(
        self, client: PredictClient, models: Path, model: str, wanted: str, data: str | None
    ) -> int:
        return over_http.evaluate(client, models, model, wanted, data)

    def samples(self, card: ModelCard, data: str | None) -> Iterator[NDArray[Any]]:
        spec = card.contract.input_as(RasterInput)
        for item in load_aerial(data_folder(data)).test:
            yield tile_of(item, spec)

    def summary(self, revision: Revision) -> str:
        metrics = revision.card.metrics
        assert isinstance(metrics, SegmentationMetrics)
        return summary(metrics)
