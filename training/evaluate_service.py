"""``make evaluate MODEL=name``: the test set over HTTP, through both servers."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

from artifact import ArtifactError, model_contract, revisions_of
from client.http import PredictClient, PredictError
from common.errors import StartError
from common.processes import ROOT
from local.manifest import DEFAULT, service_of
from local.service import LocalService, free_ports, interpreters
from rollout.errors import NotFoundError
from tasks import TaskError
from training.labelled import evaluate, is_labelled_set
from training.tasks import training_task


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="vision evaluate")
    parser.add_argument("--model", default="mnist")
    parser.add_argument("--revision", default="", help="default: the one that answers")
    parser.add_argument("--url", default="", help="of a running service; default: start one")
    parser.add_argument(
        "--data",
        default=None,
        help="data folder, or .npz of images and labels (variable DATA; default: data)",
    )
    parser.add_argument("--models", type=Path, default=ROOT / "models")
    options = parser.parse_args(arguments)
    try:
        with (
            service(options.url, options.models, options.model, options.revision) as url,
            PredictClient(url) as client,
        ):
            contract = model_contract(options.models, options.model)
            if is_labelled_set(options.data):
                return evaluate(client, contract, options.model, options.revision, options.data)
            return training_task(contract.task).evaluate(
                client, options.models, options.model, options.revision, options.data
            )
    except (ArtifactError, NotFoundError, PredictError, StartError, TaskError, OSError) as error:
        print(f"evaluate: {error}", file=sys.stderr)
        return 1


@contextlib.contextmanager
def service(url: str, models: Path, model: str, revision: str) -> Iterator[str]:
    """A running service, or one started for the occasion."""
    if url:
        yield url
        return
    logs = Path("build") / "evaluate"
    name = service_of(model)
    alone = name is None  # a model of one's own: in the folder alone, and in no manifest
    if name is None:
        name, revision = DEFAULT, revision or revisions_of(models, model)[-1]
    chosen = {model: revision} if revision else {}
    with LocalService(free_ports(), interpreters(), models, chosen, logs, name, alone) as started:
        yield started.url


if __name__ == "__main__":
    sys.exit(main())
