"""The pods' own counters, read pod by pod and added up by Knative revision.

Of two services they are the predictor's; of one pod the transformer's, which counts everybody's
requests, and those that it refuses, too: what users send wrong is as often wrong on either side.
A contract that the transformer offers and the predictor refuses is no call of either.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from common.kubernetes import Cluster, KubernetesError, ObjectNotFoundError
from rollout.errors import UnreachableError
from rollout.evidence import Calls
from rollout.knative import is_ready, pods_of
from rollout.pods import REST_PORT, has_transformer

HOP_PROTOCOLS = ("v2",)
"""What the transformer speaks. This program asks a pod in it too, but before it counts."""
USERS_PROTOCOLS = ("v1", "v2")

REQUESTS = "vision_requests_total"
REJECTIONS = "vision_rejections_total"
SECONDS = "vision_request_seconds_bucket"
SERVED = "200"
MISMATCH, REFUSED = "contract_mismatch", "400"
"""Reason and code of a tensor that was made after another contract."""

Sample = dict[tuple[str, str], float]
"""Values by metric and code (of ``REQUESTS``), reason (of ``REJECTIONS``) or bucket (of
``SECONDS``)."""


@dataclass
class Counters:
    """What pods have answered since ``start``, pods that have gone since included.

    Args:
        model: whose calls are counted, by the name that it is served as.
        revisions: Knative revisions to read.
    """

    cluster: Cluster
    model: str
    revisions: list[str]
    calls: dict[str, Calls] = field(default_factory=dict)
    _last: dict[str, Sample] = field(default_factory=dict)

    def start(self) -> None:
        """Take what pods have counted up to now as zero.

        Raises:
            UnreachableError: a pod's counters cannot be read.
        """
        for revision in self.revisions:
            for pod, protocols in self._pods(revision):
                self._last[pod] = self._read(pod, protocols)

    def read(self) -> None:
        """Add what has been counted since the last time; a pod that is gone is left out."""
        for revision in self.revisions:
            calls = self.calls.setdefault(revision, Calls())
            for pod, protocols in self._pods(revision):
                try:
                    now = self._read(pod, protocols)
                except (UnreachableError, KubernetesError):
                    continue
                before = self._last.get(pod, {})
                # A counter that went down was set to zero by a restart of its container.
                restarted = any(now.get(key, 0.0) < value for key, value in before.items())
                self._last[pod] = now
                _add(calls, now, {} if restarted else before)

    def _pods(self, revision: str) -> list[tuple[str, tuple[str, ...]]]:
        """Name of each pod, and the protocols of the calls that count in it."""
        return [
            (pod["metadata"]["name"], USERS_PROTOCOLS if has_transformer(pod) else HOP_PROTOCOLS)
            for pod in pods_of(self.cluster, revision)
            if is_ready(pod)
        ]

    def _read(self, pod: str, protocols: tuple[str, ...]) -> Sample:
        try:
            text = self.cluster.ask_pod(pod, REST_PORT, "/metrics")
        except ObjectNotFoundError as error:
            raise UnreachableError(f"{pod} has no counters: {error}") from None
        return parse(text, self.model, protocols)


def parse(text: str, model: str, protocols: tuple[str, ...] = HOP_PROTOCOLS) -> Sample:
    """The samples of one model in Prometheus' text format."""
    found: Sample = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels: dict[str, Any] = sample.labels
            if labels.get("model_name") != model:
                continue
            if sample.name == REJECTIONS:
                found[REJECTIONS, labels["reason"]] = sample.value
                continue
            if labels.get("protocol") not in protocols:
                continue
            if sample.name == REQUESTS:
                key = (REQUESTS, labels["code"])
            elif sample.name == SECONDS:
                key = (SECONDS, labels["le"])
            else:
                continue
            # Lines of one code differ by revision: a failed call has none.
            found[key] = found.get(key, 0.0) + sample.value
    return found


def _add(calls: Calls, now: Sample, before: Sample) -> None:
    delta = {key: value - before.get(key, 0.0) for key, value in now.items()}
    # A transformer that holds several contracts offers the newest one every few seconds to
    # whichever revision a call comes to. What is refused then is answered after an older one: no
    # user's call has failed, and nothing is to be learned of the revision.
    offers = round(delta.get((REJECTIONS, MISMATCH), 0.0))
    for (metric, code), value in delta.items():
        if metric != REQUESTS:
            continue
        count = round(value)
        if code == REFUSED:
            count -= min(count, offers)
        calls.total += count
        calls.failed += 0 if code == SERVED else count
    below = 0.0
    buckets = sorted((float(le), n) for (metric, le), n in delta.items() if metric == SECONDS)
    for bound, cumulative in buckets:
        calls.seconds.add({bound: cumulative - below})
        below = cumulative
