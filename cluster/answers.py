"""A first right answer of every model, the way that clients go: what "deployed" means."""

from __future__ import annotations

import http.client
import json
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from artifact import ArtifactError, model_contract
from cluster.commands import ROOT, ClusterError
from cluster.gateway import EDGE, Entrance, behind_accounts, find_entrance, models_of
from cluster.platform import step
from common.kourier import find_gateway
from common.kubernetes import POD, Cluster, KubernetesError
from tasks import AnswerError, Question, Task, find_task

IN_A_ROW = 5
"""Right answers of a model: one alone may come from the one place that knows the way already."""
PAUSE_SECONDS = 0.5
CALL_SECONDS = 90.0
CONNECT_SECONDS = 10.0
SERVER_PORT = 8080
KNATIVE, ACTIVATOR_PORT = "knative-serving", 8012


class Answers:
    """Asks the models of deployed services with their tasks' own samples.

    Args:
        address: the gateway's; empty: asked of the cluster.
        models: folder of revisions, whose cards say what task a model is of.
    """

    def __init__(self, cluster: Cluster, address: str, models: Path = ROOT / "models") -> None:
        self._cluster = cluster
        self._address = address
        self._models = models

    def await_right(self, isvc: dict[str, Any], timeout_seconds: float) -> None:
        """Until every model has answered right, several times in a row.

        Behind accounts nobody gets in without a key: there the transformer is asked through the
        API server, and the edge whether it is ready. So it is where the gateway cannot
        be reached from this machine, which is said.

        Raises:
            ClusterError: not in time; with the last answer.
        """
        deadline = time.monotonic() + timeout_seconds
        name = isvc["metadata"]["name"]
        inside = behind_accounts(isvc) or not self._gateway_is_near(isvc)
        for model in models_of(isvc):
            try:
                contract = model_contract(self._models, model)
            except ArtifactError as error:
                step(f"{model} was not asked: {error}")
                continue
            task = find_task(contract.task)
            samples = ROOT / "samples"
            picture = samples / task.sample(contract, [path.name for path in samples.iterdir()])
            question = task.question(picture.read_bytes())
            in_a_row, said = 0, ""
            while in_a_row < IN_A_ROW:
                problem = self._ask(isvc, model, question, task, inside)
                in_a_row = 0 if problem else in_a_row + 1
                if problem and time.monotonic() > deadline:
                    raise ClusterError(
                        f"{name} is ready, but {model} gave no right answer within "
                        f"{timeout_seconds:.0f} s: {problem}"
                    )
                if problem and problem != said:
                    said = problem
                    print(f"    {name}: {model}: {problem}", flush=True)
                if problem:
                    time.sleep(PAUSE_SECONDS)
            step(f"{model} answers right, {IN_A_ROW} times in a row")

    def _gateway_is_near(self, isvc: dict[str, Any]) -> bool:
        """Whether a connection can be made; on some machines a node's address leads nowhere."""
        try:
            address = self._address or find_gateway(self._cluster)
            parts = urlsplit(address)
            where = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
            with socket.create_connection(where, CONNECT_SECONDS):
                return True
        except (OSError, ValueError, KubernetesError) as error:
            step(
                f"{isvc['metadata']['name']}: the gateway cannot be reached from here ({error}); "
                "asking through the API server (GATEWAY=http://… names another way)"
            )
            return False

    def _ask(
        self, isvc: dict[str, Any], model: str, question: Question, task: Task, inside: bool
    ) -> str:
        """What is wrong with one answer; empty: nothing."""
        try:
            if inside:
                body = self._ask_pod(isvc, model, question)
            else:
                entrance = find_entrance(self._cluster, model, self._address)
                body = ask(entrance, model, question)
            task.read_answer(model_contract(self._models, model), body)
        except (ClusterError, KubernetesError, AnswerError) as error:
            return str(error)
        return ""

    def _ask_pod(self, isvc: dict[str, Any], model: str, question: Question) -> bytes:
        """By way of Knative's activator, which starts a transformer that is scaled to zero."""
        for pod in self._cluster.find(POD, {"component": EDGE}) if behind_accounts(isvc) else []:
            self._cluster.ask_pod(pod["metadata"]["name"], SERVER_PORT, "/-/ready")
        parts = isvc["status"]["components"]
        asked = parts.get("transformer") or parts["predictor"]
        headers = {
            "Content-Type": question.media_type,
            "Accept": question.accept,
            "Knative-Serving-Namespace": self._cluster.namespace,
            "Knative-Serving-Revision": asked["latestReadyRevision"],
        }
        path = f"/v1/models/{model}:predict"
        if question.query:
            path += f"?{question.query}"
        for pod in self._cluster.find(POD, {"app": "activator"}, KNATIVE):
            return self._cluster.post_to_pod(
                pod["metadata"]["name"], ACTIVATOR_PORT, path, question.body, headers, KNATIVE
            )
        raise ClusterError("no pod of Knative's activator is up")


def ask(entrance: Entrance, model: str, question: Question) -> bytes:
    """One request on a connection of its own; the body of a 200.

    Raises:
        ClusterError: another status, or no connection.
    """
    url = entrance.predict_url(model) + (f"?{question.query}" if question.query else "")
    headers = {
        **entrance.headers,
        "Content-Type": question.media_type,
        "Accept": question.accept,
        "Connection": "close",
    }
    request = urllib.request.Request(url, question.body, headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=CALL_SECONDS) as response:
            body: bytes = response.read()
            return body
    except urllib.error.HTTPError as error:
        raise ClusterError(f"status {error.code}: {_message(error.read())}") from None
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        reason = getattr(error, "reason", error)
        raise ClusterError(
            f"{entrance.address}: {reason} (GATEWAY=http://… names another)"
        ) from None


def _message(body: bytes) -> str:
    text = body.decode("utf-8", "replace").strip()
    try:
        document = json.loads(text)
    except ValueError:
        return text[:200]
    return str(document.get("error", text))[:200] if isinstance(document, dict) else text[:200]
