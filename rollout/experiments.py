"""Experiments of customers, and whether a move of a model's traffic would disturb one.

They are the accounts', whose console tells among its counters which of them run. It is asked as a
predictor's pods are, over the API server; or at an address, where the accounts run elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx
from prometheus_client.parser import text_string_to_metric_families

from common.kubernetes import POD, Cluster, KubernetesError
from rollout.errors import BusyError, UnreachableError
from rollout.knative import is_ready

NOBODY = "none"
"""In place of an address: nobody is asked."""
CONSOLE = {"component": "console"}
COUNTERS_PORT = 8001
RUNNING, TARGET = "vision_experiments_running", "vision_experiment_target"
TIMEOUT_SECONDS = 10.0
CLUSTER_LOCAL = ".svc.cluster.local"
TAGS = ("prev-", "latest-")


@dataclass(frozen=True)
class Experiment:
    """One that runs.

    Attributes:
        targets: URLs where its variants' answers, and its shadow's, come from.
    """

    name: str
    model: str
    targets: tuple[str, ...]

    def is_at(self, service: str, namespace: str) -> bool:
        """Whether requests of it go where a canary of this InferenceService splits them.

        What answers on somebody's own machine may be anything, so it may be that.
        """
        return any(
            not ours or name in _names(service) for name, ours in self._places(namespace) if name
        )

    def is_at_tags(self, service: str, namespace: str) -> bool:
        """Whether it names a tag, which leads elsewhere once a canary is opened or has ended."""
        tagged = {tag + name for tag in TAGS for name in _names(service)}
        return any(ours and name in tagged for name, ours in self._places(namespace))

    def _places(self, namespace: str) -> Iterator[tuple[str, bool]]:
        """Each target's name, and whether it is one of a cluster; empty in another namespace."""
        for target in self.targets:
            host = urlsplit(target).hostname or ""
            name, _, rest = host.removesuffix(CLUSTER_LOCAL).partition(".")
            if not host.endswith(CLUSTER_LOCAL):
                yield host, False
            else:
                yield name if rest == namespace else "", True


@dataclass(frozen=True)
class Experiments:
    """What runs, as the accounts' console tells.

    Args:
        address: of a console's counters, where it is not in the cluster's namespace; or ``none``.
        cluster: where consoles are looked for without one; None: nowhere.
    """

    address: str = ""
    cluster: Cluster | None = field(default=None, repr=False)

    def of(self, model: str) -> list[Experiment]:
        """
        Raises:
            UnreachableError: there are accounts, and they do not say.
        """
        if self.address == NOBODY:
            return []
        text = self._at_address() if self.address else self._on_cluster()
        return [] if text is None else [one for one in _read(text) if one.model == model]

    def _at_address(self) -> str:
        try:
            answer = httpx.get(self.address, timeout=TIMEOUT_SECONDS, trust_env=False)
            return answer.raise_for_status().text
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _unknown(f"{self.address}: {error}") from None

    def _on_cluster(self) -> str | None:
        """None where there are no accounts."""
        if self.cluster is None:
            return None
        try:
            pods = self.cluster.find(POD, CONSOLE)
        except KubernetesError as error:
            raise _unknown(str(error)) from None
        if not pods:
            return None
        reason = "no pod of the console is ready"
        for name in (pod["metadata"]["name"] for pod in pods if is_ready(pod)):
            try:
                return self.cluster.ask_pod(name, COUNTERS_PORT, "/metrics")
            except KubernetesError as error:
                reason = (
                    f"pod {name}: {error} (the API server asks it on port {COUNTERS_PORT}; does a "
                    "network policy let it?)"
                )
        raise _unknown(reason)


def require_apart(
    found: list[Experiment], service: str, namespace: str, open_canary: bool = False
) -> None:
    """Refuse to move the traffic of what an experiment counts on.

    Args:
        open_canary: one is open and stays open, so that its tags stay, too.

    Raises:
        BusyError: what is in the way, and what to do.
    """
    for one in found:
        if one.is_at(service, namespace):
            why = f"has a variant at {service}, which would get answers of another revision, too"
        elif one.is_at_tags(service, namespace) and not open_canary:
            why = f"has variants at tags of {service}, which would lead to other revisions"
        else:
            continue
        raise BusyError(
            f"experiment {one.name} of {one.model} runs, and {why}: stop it first (`vision "
            f"experiment stop {one.name}`, or Operator → Experiments in the console)"
        )


def _names(service: str) -> set[str]:
    return {service, f"{service}-predictor", f"{service}-transformer"}


def _read(text: str) -> list[Experiment]:
    """
    Raises:
        UnreachableError: not all is said of experiments.
    """
    count = None
    targets: dict[tuple[str, str], list[str]] = {}
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name == RUNNING:
                    count = int(sample.value)
                elif sample.name == TARGET:
                    key = sample.labels["experiment"], sample.labels["model_name"]
                    targets.setdefault(key, []).append(sample.labels["target"])
    except (ValueError, KeyError) as error:
        raise _unknown(f"these are no counters: {error}") from None
    if count != len(targets):
        raise _unknown(
            "the console's counters do not tell; it is of an older version, or its database does "
            "not answer"
        )
    return [Experiment(name, model, tuple(sorted(at))) for (name, model), at in targets.items()]


def _unknown(reason: str) -> UnreachableError:
    return UnreachableError(
        f"whether an experiment runs is not known: {reason}. VISION_ROLLOUT_EXPERIMENTS={NOBODY} "
        "goes on without asking"
    )
