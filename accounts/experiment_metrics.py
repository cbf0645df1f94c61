"""What experiments run, told with the console's counters; docs/metrics.md has all names.

A rollout asks this before it moves what an experiment counts on, so it is read from the database
at each time of asking, and nothing at all is told where that does not answer.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from prometheus_client import REGISTRY, CollectorRegistry
from sqlalchemy.exc import SQLAlchemyError

from accounts.database import Database
from accounts.experiments import ExperimentView, running
from common.metrics import Labels, Levels

logger = logging.getLogger("accounts.experiment_metrics")


class RunningExperiments:
    """How many experiments run, and where the answers of each come from."""

    def __init__(self, database: Database, registry: CollectorRegistry = REGISTRY) -> None:
        self._database = database
        Levels("vision_experiments_running", "Experiments that run.", (), self._count, registry)
        Levels(
            "vision_experiment_target",
            "1 for each place that answers requests of an experiment that runs.",
            ("experiment", "model_name", "target"),
            self._targets,
            registry,
        )

    def _count(self) -> Iterator[tuple[Labels, float]]:
        found = self._read()
        if found is not None:
            yield (), len(found)

    def _targets(self) -> Iterator[tuple[Labels, float]]:
        for view in self._read() or ():
            places = {variant.target for variant in view.variants}
            if view.shadow is not None:
                places.add(view.shadow.target)
            for place in sorted(places):
                yield (view.name, view.model, place), 1

    def _read(self) -> list[ExperimentView] | None:
        """None where the database does not answer."""
        try:
            with self._database.read() as session:
                return running(session.connection())
        except SQLAlchemyError:
            logger.exception("the experiments that run cannot be read")
            return None
