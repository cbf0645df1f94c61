"""Start the predictor: ``python -m predictor --model=mnist=1 --model=fashion-mnist=2``."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from artifact import ArtifactError
from common.settings import SettingError, read_settings
from predictor.engines import EngineOptions
from predictor.engines.precision import usable_precision
from predictor.loading import load_revision
from predictor.model import PredictorModel
from predictor.settings import PredictorSettings
from predictor.workers import WorkerPool
from serving.arguments import ModelSelection, read_arguments, server_arguments
from serving.quota import cpu_quota
from serving.server import VisionServer, configure_logs

DEFAULT = [ModelSelection("mnist", "1"), ModelSelection("fashion-mnist", "2")]


def main() -> int:
    parser = server_arguments("python -m predictor", "Holds PyTorch models and answers tensors.")
    try:
        options = read_arguments(parser)
        selections: list[ModelSelection] = options.models or DEFAULT
        settings = read_settings(PredictorSettings, os.environ)
        for selection in selections:
            if selection.selector is None:
                raise ValueError(f"--model={selection.name}: which revision? --model=NAME=REVISION")
        configure_logs(settings, options)
    except (SettingError, ValueError, OSError) as error:
        print(f"predictor: {error}", file=sys.stderr)
        return 2
    workers = settings.workers or max(1, round(cpu_quota()))
    with WorkerPool(workers, settings.max_pass_seconds) as pool:
        root, device = Path(settings.model_root), settings.device
        how = EngineOptions(usable_precision(settings.precision, device), device, workers)
        try:
            models = [
                PredictorModel(
                    pool.run_on_first_worker(
                        load_revision, root, s.name, s.selector or "", settings.engine, how
                    ),
                    pool,
                    settings.max_instances,
                )
                for s in selections
            ]
        except ArtifactError as error:
            for line in str(error).splitlines():
                logging.getLogger("predictor").critical("%s", line)
            return 1
        VisionServer(settings, options).start(models)
    return 0


if __name__ == "__main__":
    sys.exit(main())
