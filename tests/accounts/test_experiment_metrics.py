"""What a rollout reads of the experiments that run."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from accounts import experiments
from accounts.database import Database
from accounts.experiment_metrics import RunningExperiments
from accounts.experiments import Plan, Shadow, Variant

HOST = "http://{}.vision.svc.cluster.local"


def told(registry: CollectorRegistry) -> list[str]:
    lines = generate_latest(registry).decode().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_what_runs_is_told_with_its_places(session: Session, database: Database) -> None:
    registry = CollectorRegistry()
    RunningExperiments(database, registry)
    assert told(registry) == ["vision_experiments_running 0.0"]
    old, new = (Variant(name, name, HOST.format(name)) for name in ("old", "new"))
    plan = Plan("halves", "mnist", (old, new), shadow=Shadow("3", HOST.format("shade")))
    experiments.start(session, plan, "t")
    session.commit()
    target = 'vision_experiment_target{{experiment="halves",model_name="mnist",target="{}"}} 1.0'
    places = [target.format(HOST.format(name)) for name in ("new", "old", "shade")]
    assert told(registry) == ["vision_experiments_running 1.0", *places]
    experiments.stop(session, "halves", "t")
    session.commit()
    assert told(registry) == ["vision_experiments_running 0.0"]


def test_without_a_database_nothing_is_told(engine: Engine, database: Database) -> None:
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE experiments RENAME TO elsewhere"))
    registry = CollectorRegistry()
    RunningExperiments(database, registry)
    try:
        assert told(registry) == []
    finally:
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE elsewhere RENAME TO experiments"))
