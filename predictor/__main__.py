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
from predictor.held import Held
from predictor.loading import load
from predictor.model import PredictorModel
from predictor.on_demand import OnDemand, Residents
from predictor.settings import PredictorSettings
from predictor.workers import WorkerPool
from serving.arguments import ModelSelection, read_arguments, server_arguments
from serving.heartbeat import Heartbeat
from serving.quota import cpu_quota, memory_limit
from serving.selection import require_different, select
from serving.server import VisionServer, configure_logs


def main() -> int:
    parser = server_arguments("python -m predictor", "Holds PyTorch models and answers tensors.")
    try:
        options = read_arguments(parser)
        settings = read_settings(PredictorSettings, os.environ)
        everything = [ModelSelection("", settings.model_root)]
        selections: list[ModelSelection] = options.models or everything
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
            selected = [found for s in selections for found in select(s, root, options)]
            require_different(selected)
            engine = settings.engine
            residents = Residents(
                pool,
                lambda revision: load(revision, engine, how),
                settings.max_model_bytes or memory_limit() // 3,
            )
            models = [
                PredictorModel(
                    Held(
                        pool.run_on_first_worker(load, item.revision, engine, how), pool, item.name
                    )
                    if item.named
                    else OnDemand(item.revision, residents, item.name),
                    settings.max_instances,
                    item.name,
                )
                for item in selected
            ]
        except ArtifactError as error:
            for line in str(error).splitlines():
                logging.getLogger("predictor").critical("%s", line)
            return 1
        limit = settings.max_hang_seconds
        heartbeat = Heartbeat(limit, pool.stuck_seconds) if limit else None
        server = VisionServer(settings, options, heartbeat=heartbeat, service="vision-predictor")
        server.start(models)
    return 0


if __name__ == "__main__":
    sys.exit(main())
