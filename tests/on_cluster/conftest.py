"""What the tests on a real cluster share: a deployment of their own, a load, and the commands.

They run against the cluster that ``KUBECONFIG`` points to (``make test-cluster``), in a namespace
of their own that they make and take away. The images that the overlay names must be there.

    OVERLAY       folder under manifests/overlays (minikube)
    NAMESPACE     (vision-test)
    GATEWAY       http://host:port of the gateway (Kourier's service)
    CYCLES        canaries, promotions and rollbacks in a row (2)
    KEEP          not empty: the namespace is left as it is at the end, and taken as it is found
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import yaml
from onnx import numpy_helper
from safetensors.torch import save

from artifact import Contract, Revision, open_revision, sha256_of, write_revision
from common.kourier import find_gateway
from common.kubernetes import INFERENCE_SERVICE, NODE, POD, Cluster, KubernetesError
from rollout.__main__ import main
from rollout.labelled import LabelledSet, load_labelled
from rollout.traffic import Answer, LabelledTraffic
from tests.conftest import ROOT, SHIPPED

MODEL = "fashion-mnist"
RUINED, BROKEN = "901", "902"
"""Test revisions: the contract of the shipped ones with noise for weights; weights that no
network takes."""

NAMESPACE = os.environ.get("NAMESPACE") or "vision-test"
OVERLAY = ROOT / "manifests" / "overlays" / (os.environ.get("OVERLAY") or "minikube")
KEEP = bool(os.environ.get("KEEP"))
READY_SECONDS = 300.0
SLACK = "5"
"""Seconds that a canary may be slower: a node that is shared says nothing about a revision."""


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster")
    if not shutil.which("kubectl"):
        pytest.skip("kubectl is not there")
    try:
        found = Cluster.connect(NAMESPACE)
        found.find(NODE)
    except KubernetesError as error:
        pytest.skip(f"the cluster of KUBECONFIG cannot be reached: {error}")
    return found


@pytest.fixture(scope="session")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped revisions, and two that no one should ever get an answer from."""
    root = tmp_path_factory.mktemp("models")
    shutil.copytree(SHIPPED, root, dirs_exist_ok=True)
    good = open_revision(root, MODEL, "2")
    # Written apart: what comes after the newest shipped revision would have to accept its contract.
    own = tmp_path_factory.mktemp("own")
    # An export alone is served by every predictor, with torch or without.
    (export,) = good.card.exports
    program = ruined(good.read_export(export))
    noise = replace(export, sha256=sha256_of(program), size_bytes=len(program))
    card = replace(good.card, architecture=None, exports=(noise,), golden=None)
    write_revision(own, replace(card, revision=RUINED), None, {noise.file: program})
    # Golden answers belong to the weights that they were made from.
    card = replace(good.card, exports=(), golden=None)
    write_revision(own, replace(card, revision=BROKEN), save({"x": torch.zeros(1)}))
    shutil.copytree(own, root, dirs_exist_ok=True)
    return root


def ruined(program: bytes) -> bytes:
    """An ONNX program with noise of the same spread for its weights."""
    model = onnx.load_from_string(program)
    rng = np.random.default_rng(0)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        # Biases and batch norms stay as they are, or the answers would not even be finite.
        if values.ndim > 1:
            noise = (rng.standard_normal(values.shape) * values.std()).astype(values.dtype)
            tensor.CopyFrom(numpy_helper.from_array(noise, tensor.name))
    written: bytes = model.SerializeToString()
    return written


@dataclass(frozen=True)
class Deployment:
    """The InferenceService under test; times in seconds."""

    cluster: Cluster
    url: str
    gateway: str
    ready_seconds: float

    @property
    def document(self) -> dict[str, Any]:
        return self.cluster.get(INFERENCE_SERVICE, "vision")

    def patch(self, predictor: dict[str, Any]) -> None:
        """Change the predictor's spec as a person does with kubectl: behind the rollout."""
        self.cluster.patch(INFERENCE_SERVICE, "vision", {"spec": {"predictor": predictor}})

    def pods(self, component: str) -> list[dict[str, Any]]:
        return self.cluster.find(POD, {"component": component})


@pytest.fixture(scope="session")
def deployment(cluster: Cluster, cards: Path) -> Iterator[Deployment]:
    """The overlay from nothing, in a namespace of its own, with the test revisions mounted."""
    if not KEEP:
        kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=true")
    documents = manifests(cards)
    first = [d for d in documents if d["kind"] in ("Namespace", "ConfigMap")]
    started = time.monotonic()
    for part in (first, [d for d in documents if d not in first]):
        kubectl("apply", "--server-side", "-f", "-", given=yaml.safe_dump_all(part))
    wait_ready(cluster, "vision")
    seconds = time.monotonic() - started
    status = cluster.get(INFERENCE_SERVICE, "vision")["status"]
    gateway = os.environ.get("GATEWAY") or find_gateway(cluster)
    if not gateway.startswith("http"):
        gateway = f"http://{gateway}"
    yield Deployment(cluster, status["url"], gateway, seconds)
    if not KEEP:
        kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def manifests(cards: Path) -> list[dict[str, Any]]:
    """The rendered overlay, moved to the tests' namespace, with ConfigMaps of test revisions."""
    rendered = kubectl("kustomize", str(OVERLAY))
    documents = [d for d in yaml.safe_load_all(rendered) if d]
    for document in documents:
        if document["kind"] == "Namespace":
            document["metadata"]["name"] = NAMESPACE
        else:
            document["metadata"]["namespace"] = NAMESPACE
        for subject in document.get("subjects", []):
            subject["namespace"] = NAMESPACE
        if document["kind"] == "InferenceService":
            mount(document["spec"]["predictor"], cards)
    folders = [open_revision(cards, MODEL, revision) for revision in (RUINED, BROKEN)]
    return [*documents, *(config_map(revision) for revision in folders)]


def mount(predictor: dict[str, Any], cards: Path) -> None:
    (container,) = predictor["containers"]
    for revision in (RUINED, BROKEN):
        name = f"revision-{revision}"
        predictor.setdefault("volumes", []).append({"name": name, "configMap": {"name": name}})
        container.setdefault("volumeMounts", []).append(
            {"name": name, "mountPath": f"/opt/models/{MODEL}/{revision}", "readOnly": True}
        )


def config_map(revision: Revision) -> dict[str, Any]:
    packed = {
        name: base64.b64encode((revision.folder / name).read_bytes()).decode()
        for name in revision.card.files
    }
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": f"revision-{revision.card.revision}", "namespace": NAMESPACE},
        "data": {"model.json": (revision.folder / "model.json").read_text(encoding="utf-8")},
        "binaryData": packed,
    }


def wait_ready(cluster: Cluster, name: str) -> None:
    """Until the Ready condition is true; ``kubectl wait`` can hang on one that is."""
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until:
        status = cluster.get(INFERENCE_SERVICE, name).get("status") or {}
        conditions = {c["type"]: c["status"] for c in status.get("conditions") or []}
        if conditions.get("Ready") == "True" and status.get("url"):
            return
        time.sleep(1.0)
    pytest.fail(f"not ready after {READY_SECONDS:.0f} s: {json.dumps(status)}")


def kubectl(*arguments: str, given: str | None = None) -> str:
    done = subprocess.run(
        ["kubectl", *arguments], input=given, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def questions(data: Path) -> LabelledSet:
    """Images of the official test set."""
    return load_labelled(str(data), "FashionMNIST").sample(500, seed=1)


@dataclass
class Load:
    """Real test images to the public URL, at a steady rate, until it is told to stop."""

    deployment: Deployment
    questions: LabelledSet
    contract: Contract
    rate: float = 40.0
    answers: list[Answer] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _marks: list[int] = field(default_factory=list)

    def __enter__(self) -> Load:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join()

    def _run(self) -> None:
        traffic = LabelledTraffic(
            self.deployment.url, self.deployment.gateway, MODEL, self.questions, self.contract
        )
        batch = 4
        while not self._stop.is_set():
            due = time.monotonic() + batch / self.rate
            self.answers += traffic.send(batch)
            self._stop.wait(max(0.0, due - time.monotonic()))
        traffic.close()

    def wait(self, calls: int, seconds: float = 600.0) -> list[Answer]:
        """The next so many answers."""
        first = len(self.answers)
        until = time.monotonic() + seconds
        while len(self.answers) < first + calls:
            assert time.monotonic() < until, f"{len(self.answers) - first} calls in {seconds:.0f} s"
            time.sleep(0.2)
        return self.answers[first : first + calls]

    def failures(self) -> Counter[int]:
        """Statuses other than 200, and 200s that do not name their revision (as -1)."""
        bad = [a.status for a in self.answers if a.status != 200]
        return Counter(bad + [-1 for a in self.answers if a.status == 200 and not a.revision])


@pytest.fixture
def load_of(deployment: Deployment, questions: LabelledSet, cards: Path) -> Iterator[Load]:
    """A load; use it as a context. At the end no answer may have been lost or strange."""
    known = {
        open_revision(cards, MODEL, revision).digest: revision for revision in ("1", "2", RUINED)
    }
    contract = open_revision(cards, MODEL, "1").card.contract
    load = Load(deployment, questions, contract)
    yield load
    assert not load.failures(), f"{load.failures()} of {len(load.answers)}"
    assert all(known.get(answer.digest) == answer.revision for answer in load.answers)


@dataclass
class Shell:
    """Runs ``python -m rollout`` here."""

    cards: Path
    capture: pytest.CaptureFixture[str]
    service: str = "vision"
    out: str = ""
    err: str = ""

    def __call__(self, command: str, *arguments: str) -> int:
        self.capture.readouterr()
        common = ["--namespace", NAMESPACE, "--service", self.service, "--cards", str(self.cards)]
        try:
            return main([command, *arguments, *common])
        finally:
            self.out, self.err = self.capture.readouterr()

    def tell(self, text: str) -> None:
        """Print a figure past the capture."""
        with self.capture.disabled():
            print(f"\n  {text}", end="", flush=True)

    def json(self, command: str, *arguments: str) -> Any:
        assert self(command, *arguments, "--output", "json") == 0, self.err
        return json.loads(self.out)


@pytest.fixture
def shell(deployment: Deployment, cards: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(cards, capsys)


@pytest.fixture
def settled(shell: Shell) -> Shell:
    """Nothing under way, and revision 1 of the model stable, whatever came before."""
    if shell.json("status")["operation"] is not None:
        assert shell("rollback") == 0, shell.err
    if shell.json("status")["models"][MODEL] != "1":
        assert shell("canary", MODEL, "1") == 0, shell.err
        assert shell("promote") == 0, shell.err
    return shell
