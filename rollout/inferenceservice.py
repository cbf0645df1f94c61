"""What an InferenceService says of its predictor: spec, and KServe's view of the Knative side.

Nothing here talks to a cluster.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from artifact.address import Address
from rollout.errors import NotFoundError, RefusedError

FORMAT = "vision"
"""The model format of the ServingRuntime that has transformer and predictor in one pod."""

PERCENT = "canaryTrafficPercent"
TAG_ROUTING = "serving.kserve.io/enable-tag-routing"
DEPLOYMENT_MODE = "serving.kserve.io/deploymentMode"
KNATIVE_MODES = ("Knative", "Serverless")
OPTION = "--model="

Predictor = dict[str, Any]
"""``spec.predictor`` without ``canaryTrafficPercent``: what makes a Knative revision."""


@dataclass(frozen=True)
class Target:
    """One line of a traffic split.

    Attributes:
        revision: the Knative revision's name.
        percent: of the traffic to the component's own host.
        tag: ``latest``, ``prev`` or empty.
        latest: whether it follows the latest ready Knative revision.
        url: the tag's own address.
    """

    revision: str
    percent: int
    tag: str
    latest: bool
    url: str


def read_targets(items: list[dict[str, Any]] | None) -> tuple[Target, ...]:
    return tuple(
        Target(
            revision=item.get("revisionName", ""),
            percent=int(item.get("percent") or 0),
            tag=item.get("tag", ""),
            latest=bool(item.get("latestRevision")),
            url=item.get("url", ""),
        )
        for item in items or []
    )


def shares(targets: tuple[Target, ...]) -> dict[str, int]:
    """Per cent by Knative revision, lines of one revision added up."""
    found: dict[str, int] = {}
    for target in targets:
        found[target.revision] = found.get(target.revision, 0) + target.percent
    return found


@dataclass(frozen=True)
class InferenceService:
    """One InferenceService as it was read; ``document`` is the whole object."""

    document: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.document["metadata"]["name"])

    @property
    def generation(self) -> int:
        """Goes up with every change of the spec, whoever makes it."""
        return int(self.document["metadata"].get("generation", 0))

    @property
    def predictor(self) -> Predictor:
        """A copy of the predictor's spec, without the split."""
        predictor: Predictor = copy.deepcopy(self.document["spec"]["predictor"])
        predictor.pop(PERCENT, None)
        return predictor

    @property
    def percent(self) -> int | None:
        """``canaryTrafficPercent``; None where the field is absent."""
        value = self.document["spec"]["predictor"].get(PERCENT)
        return None if value is None else int(value)

    @property
    def models(self) -> dict[str, str]:
        """Revision by model, as the predictor's command line or address says."""
        return held_models(self.document["spec"]["predictor"])

    @property
    def storage_uri(self) -> str:
        """See ``storage_uri``."""
        return storage_uri(self.document["spec"]["predictor"])

    def served_as(self, model: str) -> str:
        """What a model is called in URLs: one pod calls it as the InferenceService is called."""
        return self.name if self.storage_uri else model

    @property
    def transformer_image(self) -> str:
        """The image of the transformer's container.

        Raises:
            NotFoundError: there is no transformer of its own container.
        """
        containers = self.document["spec"].get("transformer", {}).get("containers") or []
        if not containers:
            raise NotFoundError(f"InferenceService {self.name} has no transformer with a container")
        return str(containers[0]["image"])

    @property
    def url(self) -> str:
        return str(self.document.get("status", {}).get("url", ""))

    @property
    def latest_created(self) -> str:
        return self._component("latestCreatedRevision")

    @property
    def latest_ready(self) -> str:
        return self._component("latestReadyRevision")

    @property
    def rolled_out(self) -> str:
        """KServe's ``latestRolledoutRevision``: what a canary leaves the rest of traffic to."""
        return self._component("latestRolledoutRevision")

    @property
    def previous(self) -> str:
        """KServe's ``previousRolledoutRevision``."""
        return self._component("previousRolledoutRevision")

    @property
    def targets(self) -> tuple[Target, ...]:
        return read_targets(self._predictor_status().get("traffic"))

    def with_predictor(self, predictor: Predictor, percent: int | None) -> dict[str, Any]:
        """The whole object with another predictor and split; everything else as it was."""
        document = copy.deepcopy(self.document)
        document["spec"]["predictor"] = copy.deepcopy(predictor)
        if percent is not None:
            document["spec"]["predictor"][PERCENT] = percent
        return document

    def require_canaries(self) -> None:
        """See that KServe would do a canary here as this program expects it.

        Raises:
            RefusedError: not Knative mode, or no tag routing (switching that on later would make
                new Knative revisions of both components).
        """
        annotations = self.document["metadata"].get("annotations") or {}
        mode = self.document.get("status", {}).get("deploymentMode") or annotations.get(
            DEPLOYMENT_MODE, ""
        )
        if mode and mode not in KNATIVE_MODES:
            raise RefusedError(
                f"InferenceService {self.name} runs in {mode} mode, where KServe ignores "
                f"{PERCENT}; deploy it with {DEPLOYMENT_MODE}: Knative"
            )
        if annotations.get(TAG_ROUTING) != "true":
            raise RefusedError(
                f"InferenceService {self.name} lacks the annotation {TAG_ROUTING}: "
                '"true", without which a new revision cannot be reached before it has traffic'
            )
        if not self.rolled_out:
            raise RefusedError(
                f"InferenceService {self.name} has not rolled anything out yet; "
                "wait until its first deployment is ready"
            )

    def _predictor_status(self) -> dict[str, Any]:
        components = self.document.get("status", {}).get("components") or {}
        found: dict[str, Any] = components.get("predictor") or {}
        return found

    def _component(self, field: str) -> str:
        return str(self._predictor_status().get(field, ""))


def predictor_container(predictor: Predictor) -> dict[str, Any]:
    """The container that holds the models: ``kserve-container``, or the only one.

    Raises:
        NotFoundError: the predictor has none (it uses a serving runtime).
    """
    containers: list[dict[str, Any]] = predictor.get("containers") or []
    for container in containers:
        if len(containers) == 1 or container.get("name") == "kserve-container":
            return container
    raise NotFoundError("the predictor has no container of its own")


def storage_uri(predictor: Predictor) -> str:
    """Where the revision of one pod lies; empty where a predictor is no pod of our runtime."""
    model = predictor.get("model") or {}
    ours = (model.get("modelFormat") or {}).get("name") == FORMAT
    return str(model.get("storageUri") or "") if ours else ""


def held_models(predictor: Predictor) -> dict[str, str]:
    """Revision by model, as the container's command line says, or the address of one pod.

    Empty where they say nothing: another serving runtime, a container of another program, an
    address that does not end in a model and its revision.
    """
    if uri := storage_uri(predictor):
        return models_at(uri)
    try:
        container = predictor_container(predictor)
    except NotFoundError:
        return {}
    return models_in(command_line(container))


def models_at(uri: str) -> dict[str, str]:
    """The revision that an address names, by its model; empty where it names none."""
    address = Address.read(uri)
    return {} if address is None else {address.model: address.revision}


def command_line(container: dict[str, Any]) -> list[str]:
    return [str(word) for key in ("command", "args") for word in container.get(key) or []]


def models_in(words: list[str]) -> dict[str, str]:
    """Revision by model from ``--model=NAME=REVISION``, written as one word or two."""
    found = {}
    for _, name, revision in _selections(words):
        found[name] = revision
    return found


def with_revision(
    predictor: Predictor, model: str, revision: str, image: str = "", uri: str = ""
) -> Predictor:
    """The predictor with another revision of one model, and another image where one is given.

    Args:
        uri: where that revision lies, for one pod; beside the one that it has where empty.

    Raises:
        NotFoundError: it does not hold the model.
        RefusedError: one pod, whose images are not its own, or whose address names no revision.
    """
    changed = copy.deepcopy(predictor)
    if has := storage_uri(changed):
        address = Address.read(has)
        if address is None:
            raise RefusedError(
                f"storageUri {has} does not end in NAME/REVISION (NAME:REVISION of oci:// and "
                "hf://), so there is no revision in it that could be changed"
            )
        if image:
            raise RefusedError(
                "the images of one pod are those of its ServingRuntime; leave IMAGE out"
            )
        if address.model == model:
            changed["model"]["storageUri"] = uri or address.of(revision)
            return changed
    if model not in held_models(changed):
        held = ", ".join(held_models(changed)) or "no model"
        raise NotFoundError(f"the predictor does not hold {model}; it holds: {held}")
    container = predictor_container(changed)
    for key in ("command", "args"):
        words = [str(word) for word in container.get(key) or []]
        for place, name, _ in _selections(words):
            if name == model:
                option = OPTION if words[place].startswith(OPTION) else ""
                container[key][place] = f"{option}{model}={revision}"
    if image:
        container["image"] = image
    return changed


def _selections(words: list[str]) -> Iterator[tuple[int, str, str]]:
    """Where a model is selected: place of the word, name and revision (empty without one)."""
    for place, word in enumerate(words):
        if word.startswith(OPTION):
            name, _, revision = word.removeprefix(OPTION).partition("=")
        elif place and words[place - 1] == OPTION.rstrip("="):
            name, _, revision = word.partition("=")
        else:
            continue
        if "/" not in name:  # else a folder, with whatever lies in it
            yield place, name, revision
