"""A rollout's record, as it is kept in a ConfigMap, read over HTTP; and the canary that is open."""

from __future__ import annotations

import json
import ssl
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from accounts.errors import BusyError, ConflictError
from accounts.experiments import ExperimentView, Plan
from accounts.settings import RecordSettings

SECONDS = 2.0
UNREADABLE = (httpx.HTTPError, OSError, ValueError, KeyError, TypeError)
"""What is raised where the record cannot be read."""
NAME_END = "-rollout"
"""Of the ConfigMap, after the InferenceService's name."""


@dataclass(frozen=True)
class OpenCanary:
    """A change of one model that is under way on an InferenceService."""

    service: str
    model: str
    revision: str

    def is_of(self, model: str) -> bool:
        """Whether it is of what the edge calls so: in one pod that is the service's name."""
        return model in (self.model, self.service)

    def splits(self, target: str) -> bool:
        """Whether requests to this URL are answered by both revisions; its tags' are not."""
        first = (urlsplit(target).hostname or "").partition(".")[0]
        return first in {self.service, f"{self.service}-predictor", f"{self.service}-transformer"}


def read_record(settings: RecordSettings) -> dict[str, str] | None:
    """The record's documents; None where there is none yet.

    Raises:
        httpx.HTTPError, OSError, ValueError, KeyError: it cannot be read.
    """
    headers = {}
    if settings.rollout_token_file is not None:
        token = settings.rollout_token_file.read_text(encoding="utf-8").strip()
        headers["authorization"] = f"Bearer {token}"
    verify: Any = True
    if settings.rollout_ca_file is not None:
        verify = ssl.create_default_context(cafile=str(settings.rollout_ca_file))
    answer = httpx.get(settings.rollout_url, headers=headers, timeout=SECONDS, verify=verify)
    if answer.status_code == httpx.codes.NOT_FOUND:
        return None
    answer.raise_for_status()
    found: dict[str, str] = answer.json()["data"]
    return found


def open_canary(settings: RecordSettings) -> OpenCanary | None:
    """None where none is open, or no record is configured; raises as ``read_record``."""
    if not settings.rollout_url:
        return None
    operation = json.loads((read_record(settings) or {}).get("operation", "null"))
    if not operation:
        return None
    name = settings.rollout_url.rpartition("/")[2].removesuffix(NAME_END)
    return OpenCanary(name, str(operation["model"]), str(operation["revision"]))


def canary_beside(settings: RecordSettings, view: ExperimentView) -> str:
    """What is to be said of a canary of the model while the experiment runs; empty: nothing."""
    if view.stopped_ms is not None:
        return ""
    try:
        canary = open_canary(settings)
    except UNREADABLE:
        return (
            "whether a canary is open beside it is not known: the rollout's record cannot be read"
        )
    if canary is None or not canary.is_of(view.model):
        return ""
    split = [variant.name for variant in view.variants if canary.splits(variant.target)]
    whom = f"{', '.join(split)} and whoever does not take part" if split else "who takes no part"
    return f"the canary of {canary.model}/{canary.revision} is open, and splits {whom}"


def require_apart(settings: RecordSettings, plan: Plan) -> None:
    """Refuse an experiment whose variants a canary would split.

    Raises:
        ConflictError: one of its targets leads to both revisions of the open canary.
        BusyError: whether one is open is not known.
    """
    try:
        canary = open_canary(settings)
    except UNREADABLE:
        raise BusyError("the rollout's record cannot be read; is a canary open?") from None
    if canary is None or not canary.is_of(plan.model):
        return
    places = {variant.name: variant.target for variant in plan.variants}
    if plan.shadow is not None:
        places["the shadow"] = plan.shadow.target
    for name, target in places.items():
        if canary.splits(target):
            raise ConflictError(
                f"the canary of {canary.model}/{canary.revision} is open, and would split what "
                f"{name} gets: name its tags (http://prev-…, http://latest-…), or promote "
                "or roll it back first",
                "variants",
            )
