"""The gate's program against two predictors on real sockets."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artifact import open_revision
from rollout.errors import RefusedError
from rollout.gate import Comparison, gateway_hop, main, read_set
from rollout.gate_job import (
    CARD,
    MAX_PARTS,
    PART_BYTES,
    STABLE_CARD,
    config_maps,
    gate_job,
    tag_hosts,
)
from rollout.inferenceservice import Target
from rollout.labelled import LabelledSet
from serving.model import CONTRACT_DIGEST, HttpRequest, Reply
from serving.v2 import read_infer_request, write_infer_response
from tests.rollout.loopback import QuietHandler, served
from transformer.hop import PredictorClient

STABLE, CANARY = "prev-vision-predictor.vision", "latest-vision-predictor.vision"


@dataclass
class Predictor:
    """One revision; the class of an image is its first pixel's.

    Attributes:
        wrong: classes that it gets wrong.
        asleep: calls that it refuses before it answers.
        broken: classes that it gives no answer to.
        order: shared by both, for who was asked when.
    """

    revision: str
    order: list[str]
    wrong: set[int] = field(default_factory=set)
    asleep: int = 0
    broken: set[int] = field(default_factory=set)
    contracts: set[str] = field(default_factory=set)
    hosts: set[str] = field(default_factory=set)
    port: int = 0

    def infer(self, headers: dict[str, str], body: bytes) -> tuple[int, Reply]:
        self.order.append(self.revision)
        self.hosts.add(headers["host"])
        if self.asleep > 0:
            self.asleep -= 1
            return 503, Reply(b"waking")
        request = read_infer_request(HttpRequest(body, headers))
        self.contracts.add(request.parameters[CONTRACT_DIGEST])
        tensor = request.inputs[0].numbers()
        number = round(float(tensor.flat[0] * 0.3081 + 0.1307) * 255)
        if number in self.broken:
            return 500, Reply(b"boom")
        scores = np.zeros((1, 10), np.float32)
        scores[0, (number + 1) % 10 if number in self.wrong else number] = 1.0
        digest = {"model_digest": "sha256:" + self.revision}
        outputs: dict[str, Any] = {"probabilities": scores}
        return 200, write_infer_response(request, "mnist", self.revision, digest, outputs)

    def handler(self) -> type[QuietHandler]:
        predictor = self

        class Handler(QuietHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, reply = predictor.infer(headers, body)
                self.send_response(status)
                self.send_header("content-length", str(reply.size))
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(reply.body)

        return Handler


@dataclass
class Both:
    stable: Predictor
    canary: Predictor


@pytest.fixture
def both() -> Iterator[Both]:
    order: list[str] = []
    found = Both(Predictor("1", order), Predictor("2", order))
    with ExitStack() as servers:
        for predictor in (found.stable, found.canary):
            url = servers.enter_context(served(predictor.handler()))
            predictor.port = int(url.rpartition(":")[2])
        yield found


@pytest.fixture
def files(cards: Path, tmp_path: Path) -> list[str]:
    labels = np.arange(100) % 10
    images = np.zeros((100, 28, 28), np.uint8)
    images[:, 0, 0] = labels
    images[:, 14, 14] = 255
    (tmp_path / "set.npz").write_bytes(LabelledSet(images, labels).to_bytes())
    card = cards / "mnist" / "2" / "model.json"
    return ["--set", str(tmp_path / "set.npz"), "--card", str(card)]


def run(
    both: Both, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *more: str
) -> tuple[int, str]:
    """Exit status and termination message; loopback in place of what the cluster's DNS gives."""
    ports = {STABLE: both.stable.port, CANARY: both.canary.port}

    def local(address: str) -> PredictorClient:
        settings = gateway_hop(address).settings
        assert (settings.target, settings.authority) == (f"{address}:80", address)
        return PredictorClient(replace(settings, target=f"127.0.0.1:{ports[address]}"))

    monkeypatch.setattr("rollout.gate.gateway_hop", local)
    log = tmp_path / "termination-log"
    log.touch()
    status = main([*files, "--stable", STABLE, "--canary", CANARY, *more], log)
    return status, log.read_text()


def test_both_are_asked_the_same_and_compared(
    both: Both,
    files: list[str],
    cards: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    both.stable.wrong, both.canary.wrong = {1, 2}, {2, 3, 4}
    status, message = run(both, files, tmp_path, monkeypatch)
    assert status == 0
    assert capsys.readouterr().out.strip() == message
    assert len(message) < 4096
    found = Comparison.from_json(message)
    assert (found.images, found.stable.correct, found.canary.correct) == (100, 80, 70)
    assert (found.stable_only, found.canary_only, found.agreement) == (20, 10, 70)
    assert (found.stable.revisions, found.canary.revisions) == (["1"], ["2"])
    assert found.canary.digests == ["sha256:2"]
    assert 0 < found.stable.p50_ms <= found.stable.p95_ms
    contract = open_revision(cards, "mnist", "2").card.contract.digest
    assert both.stable.contracts == both.canary.contracts == {contract}
    assert (both.stable.hosts, both.canary.hosts) == ({STABLE}, {CANARY})
    timed = both.stable.order[-200:]
    pairs = [tuple(timed[i : i + 2]) for i in range(0, 200, 2)]
    assert pairs == [("2", "1"), ("1", "2")] * 50


def test_what_sleeps_is_woken(
    both: Both, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both.canary.asleep = 2
    status, message = run(both, files, tmp_path, monkeypatch)
    assert status == 0
    assert Comparison.from_json(message).canary.failures == 0


def test_what_does_not_wake_is_told(
    both: Both, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both.canary.asleep = 10**6
    status, message = run(both, files, tmp_path, monkeypatch, "--wake-seconds", "0.2")
    assert status == 1
    assert message == "UnavailableError: the predictor cannot be reached"


def test_images_without_an_answer_are_counted(
    both: Both, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both.canary.broken = {7}
    _, message = run(both, files, tmp_path, monkeypatch)
    found = Comparison.from_json(message)
    assert (found.canary.failures, found.canary.correct) == (10, 90)
    assert found.stable_only == 10
    assert found.agreement == 90
    assert len(found.canary.errors) == 3


def test_the_job_fits_a_restricted_namespace() -> None:
    job = gate_job("vision-gate", [CARD], 2, "dev.local/t:1", "prev.host", "latest.host")
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    security = container["securityContext"]
    assert security["runAsNonRoot"]
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod["automountServiceAccountToken"]
    (volume,) = pod["volumes"]
    assert volume["projected"]["sources"] == [
        {"configMap": {"name": "vision-gate-0"}},
        {"configMap": {"name": "vision-gate-1"}},
    ]
    assert job["spec"]["backoffLimit"] == 0
    assert json.dumps(job)


def noise(count: int, *shape: int) -> LabelledSet:
    """Pictures that do not pack at all."""
    pixels = np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8)
    return LabelledSet(pixels, np.zeros(count, np.int64))


def test_two_hundred_photographs_travel_in_config_maps(cards: Path, tmp_path: Path) -> None:
    card = open_revision(cards, "mnist", "1").card
    questions = noise(200, 224, 224, 3)
    maps = config_maps("vision-gate", {CARD: card, STABLE_CARD: card}, questions)
    assert 30 < len(maps) <= MAX_PARTS
    assert [m["metadata"]["name"] for m in maps[:2]] == ["vision-gate-0", "vision-gate-1"]
    assert maps[0]["data"] == {CARD: card.to_json(), STABLE_CARD: card.to_json()}
    for config_map in maps:
        # What the API server counts: the texts, and the bytes behind the base64.
        files = {k: base64.b64decode(v) for k, v in config_map["binaryData"].items()}
        size = sum(map(len, files.values())) + len("".join(config_map["data"].values()))
        assert size < 1 << 20
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
    found = read_set(tmp_path)
    assert (found.images == questions.images).all()


def test_a_set_too_large_for_the_gate(cards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = open_revision(cards, "mnist", "1").card
    monkeypatch.setattr("rollout.gate_job.MAX_PARTS", 2)
    with pytest.raises(RefusedError, match=f"the gate takes {2 * PART_BYTES:,}: use fewer images"):
        config_maps("vision-gate", {CARD: card}, noise(3000, 28, 28))


def test_a_set_that_is_not_there_or_not_of_the_task_is_told(
    both: Both, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    status, message = run(both, files, tmp_path, monkeypatch, "--set", str(tmp_path / "none"))
    assert (status, message) == (1, f"{tmp_path / 'none'}: No such file or directory")
    masks = LabelledSet(np.zeros((2, 28, 28), np.uint8), np.ones((2, 28, 28), np.uint8))
    (tmp_path / "masks.npz").write_bytes(masks.to_bytes())
    status, message = run(both, files, tmp_path, monkeypatch, "--set", str(tmp_path / "masks.npz"))
    assert status == 1
    assert message.startswith("no labelled set for classification: ")


def test_tag_hosts() -> None:
    latest = Target("r2", 0, "latest", True, "http://latest-p.ns.svc.cluster.local")
    prev = Target("r1", 100, "prev", False, "http://prev-p.ns.svc.cluster.local")
    assert tag_hosts((latest, prev))["prev"] == "prev-p.ns.svc.cluster.local"
    with pytest.raises(Exception, match="no tag 'prev'"):
        tag_hosts((latest,))
