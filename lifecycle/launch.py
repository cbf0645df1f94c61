"""``python -m lifecycle.launch``: the jobs of a cluster that take runs on, where there is work.

It looks at the inbox and at open runs, and makes a Job of the suspended CronJob ``lifecycle``,
which does all steps but the last, or of ``lifecycle-rollout``, which does that. While one is at
work, no second one is made, and its name is that of what is to be done, so that of two that look at
once one makes it. With Kubeflow's Trainer, a TrainJob takes the first Job's place.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from artifact import ArtifactError, open_revision
from common.kubernetes import (
    INFERENCE_SERVICE,
    JOB,
    Cluster,
    Document,
    Kind,
    KubernetesError,
    ObjectConflictError,
)
from common.processes import say
from common.settings import SettingError, read_settings
from lifecycle.inbox import Inbox
from lifecycle.runs import Runs
from lifecycle.settings import LifecycleSettings
from lifecycle.step import Step
from local.following import LOCAL
from registry.connect import connect
from registry.entry import Action, Event
from registry.errors import RegistryError
from registry.revisions import Registry
from rollout.inferenceservice import InferenceService
from rollout.recovery import running_models

CRON_JOB = Kind("/apis/batch/v1", "cronjobs")
TRAIN_JOB = Kind("/apis/trainer.kubeflow.org/v1alpha1", "trainjobs")
TRAINING, ROLLOUT = "lifecycle", "lifecycle-rollout"
"""The suspended CronJobs, whose templates are taken."""

LABEL = "lifecycle"
"""Of Jobs: the CronJob they were made of."""

ENDS = ("Complete", "Failed")
DIGITS = 12


class LaunchSettings(LifecycleSettings):
    """Of what makes Jobs."""

    lifecycle_namespace: str = Field("vision", description="namespace of jobs and service")
    lifecycle_trainer: str = Field(
        "", description="ClusterTrainingRuntime of Kubeflow's Trainer to train with; empty: a Job"
    )


class Launcher:
    """Of one cluster and one registry.

    Args:
        models: folder of revisions that the images hold.
    """

    def __init__(
        self, cluster: Cluster, registry: Registry, settings: LaunchSettings, models: Path
    ) -> None:
        self._cluster = cluster
        self._registry = registry
        self._settings = settings
        self._models = models
        self._inbox = Inbox(settings.lifecycle_inbox)
        self._runs = Runs(registry.store)

    def look(self) -> list[str]:
        """Make the Jobs that have something to do; returns the names of those that are new."""
        new = [part.mark for part in self._inbox.parts() if not self._runs.seen(part.mark)]
        training, rollout = list(new), list[str]()
        for run in self._runs.open():
            if run.waits is None:
                stage = f"{run.id} {sorted(run.results)} {sorted(run.decisions)} {run.failures}"
                is_last = Step.PUBLISHED in run.results and not run.is_over
                (rollout if is_last else training).append(stage)
        if training or rollout:
            self._tell_what_is_live()
        made = [self._make(TRAINING, training), self._make(ROLLOUT, rollout)]
        return [name for name in made if name]

    def _make(self, template: str, work: list[str]) -> str:
        """A Job for what is to be done; empty where there is nothing, or there is one."""
        kind = TRAIN_JOB if template == TRAINING and self._settings.lifecycle_trainer else JOB
        if not work or any(map(_is_at_work, self._cluster.find(kind, {LABEL: template}))):
            return ""
        digest = hashlib.sha256("\n".join(sorted(work)).encode()).hexdigest()[:DIGITS]
        name = f"{template}-{digest}"
        document = job_of(name, self._cluster.get(CRON_JOB, template))
        if kind is TRAIN_JOB:
            document = train_job_of(document, self._settings.lifecycle_trainer)
        try:
            self._cluster.create(kind, document)
        except ObjectConflictError:
            return ""
        return name

    def _tell_what_is_live(self) -> None:
        """Have in the registry what the service answers with, where nobody has written it down.

        A revision of the images is published first: it must be possible to go back to it.
        """
        service = self._settings.lifecycle_service
        if service == LOCAL:
            return
        known = {
            time.model
            for time in self._registry.state().live
            if time.service == service and not time.until
        }
        read = InferenceService(self._cluster.get(INFERENCE_SERVICE, service))
        for model, revision in running_models(self._cluster, read).items():
            if model in known or "/" in revision:
                continue
            if (model, revision) not in self._registry.state().published:
                self._registry.publish(open_revision(self._models, model, revision))
            event = Event(
                Action.FOUND,
                self._registry.by,
                model,
                revision,
                "served before there was a registry",
                {"service": service},
            )
            self._registry.record(event, f"found {model}/{revision}")


def _is_at_work(job: Document) -> bool:
    conditions = (job.get("status") or {}).get("conditions") or []
    return not any(c["type"] in ENDS and c.get("status") == "True" for c in conditions)


def job_of(name: str, cron_job: Document) -> Document:
    """The Job that a CronJob would make, as ``kubectl create job --from`` does."""
    template = cron_job["spec"]["jobTemplate"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "labels": {LABEL: cron_job["metadata"]["name"]},
        },
        "spec": template["spec"],
    }


def train_job_of(job: Document, runtime: str) -> Document:
    """The TrainJob that does what a Job would (trainer.kubeflow.org/v1alpha1)."""
    pod: dict[str, Any] = job["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    trainer = {
        "numNodes": 1,
        **{key: container[key] for key in ("image", "command", "args", "env") if key in container},
        "resourcesPerNode": container["resources"],
    }
    own = {key: pod["spec"][key] for key in POD_FIELDS if key in pod["spec"]}
    mounts = {"name": "node", "volumeMounts": container.get("volumeMounts", [])}
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": job["metadata"],
        "spec": {
            "runtimeRef": {
                "apiGroup": "trainer.kubeflow.org",
                "kind": "ClusterTrainingRuntime",
                "name": runtime,
            },
            "trainer": trainer,
            "labels": pod.get("metadata", {}).get("labels", {}),
            "podTemplateOverrides": [
                {"targetJobs": [{"name": "node"}], "spec": {**own, "containers": [mounts]}}
            ],
        },
    }


POD_FIELDS = ("serviceAccountName", "nodeSelector", "tolerations", "affinity", "volumes")
"""Of a pod's spec, that a TrainJob takes."""


def connected(environment: Mapping[str, str], models: Path) -> Launcher:
    """Raises SettingError, KubernetesError, RegistryError."""
    settings = read_settings(LaunchSettings, environment)
    cluster = Cluster.connect(settings.lifecycle_namespace)
    return Launcher(cluster, connect(settings, "lifecycle"), settings, models)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m lifecycle.launch", description=__doc__)
    parser.add_argument("--models", type=Path, default=Path("/opt/models"))
    options = parser.parse_args(arguments)
    try:
        made = connected(os.environ, options.models).look()
    except (KubernetesError, RegistryError, ArtifactError, SettingError) as error:
        print(f"launch: {error}", file=sys.stderr)
        return 1
    say(f"made {', '.join(made)}" if made else "nothing to do")
    return 0


if __name__ == "__main__":
    sys.exit(main())
