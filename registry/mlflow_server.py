"""Models in a registry of MLflow's, by its package, which is an extra: ``pip install mlflow``."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

from artifact import Revision
from registry.errors import StoreError
from registry.mlflow_folder import write_folder

DIGEST = "vision.digest"
"""The tag of a version by which a revision that is there is found again."""
EXPERIMENT = "vision"


class Version(NamedTuple):
    """Of a registered model; ``is_new`` where it was not there before."""

    uri: str
    is_new: bool


def register(revision: Revision, uri: str) -> Version:
    """Log a revision as a model of MLflow's, registered under its name; done again, it is found.

    Args:
        uri: of the tracking server, ``http://…`` or ``sqlite:///…``.

    Raises:
        StoreError: the package is not installed, or the server does not answer.
        RefusedError, ArtifactError: as ``write_folder``.
    """
    mlflow, client = _client(uri)
    card = revision.card
    try:
        if not client.search_registered_models(f"name = '{card.name}'"):
            client.create_registered_model(card.name)
        for version in client.search_model_versions(f"name = '{card.name}'"):
            if version.tags.get(DIGEST) == revision.digest:
                return Version(f"models:/{card.name}/{version.version}", False)
        found = client.get_experiment_by_name(EXPERIMENT)
        experiment = found.experiment_id if found else client.create_experiment(EXPERIMENT)
        run = client.create_run(experiment, run_name=card.identity)
        with tempfile.TemporaryDirectory() as folder:
            written = write_folder(revision, Path(folder) / "model")
            client.log_artifacts(run.info.run_id, str(written), "model")
        client.set_terminated(run.info.run_id)
        made = client.create_model_version(
            card.name,
            f"{run.info.artifact_uri}/model",
            run.info.run_id,
            tags={DIGEST: revision.digest, "vision.revision": card.identity},
            description=f"{card.identity}, {revision.digest}",
        )
        return Version(f"models:/{card.name}/{made.version}", True)
    except mlflow.exceptions.MlflowException as error:
        raise StoreError(f"{uri}: {error}") from None


def download(uri: str, folder: Path) -> Path:
    """The model folder at ``models:/name/version`` of the server that MLFLOW_TRACKING_URI names.

    Raises:
        StoreError: the package is not installed, or there is no such model.
    """
    mlflow, _ = _client(None)
    try:
        return Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder)))
    except (mlflow.exceptions.MlflowException, OSError) as error:
        raise StoreError(f"{uri}: {error}") from None


def _client(uri: str | None) -> tuple[Any, Any]:
    try:
        import mlflow
        import mlflow.artifacts
    except ModuleNotFoundError as error:
        raise StoreError(
            f"a registry of MLflow's needs the package {error.name}: pip install mlflow; "
            "a model folder needs none"
        ) from None
    return mlflow, mlflow.MlflowClient(uri, uri)
