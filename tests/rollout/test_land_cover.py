"""A canary of a segmentation model: staged, probed, gated on masks, judged by traffic, promoted."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from kubernetes import client
from numpy.typing import NDArray
from PIL import Image

from artifact import Contract, ModelCard, open_revision, write_revision
from rollout.gate import compare, read_set
from rollout.gate_job import CARD
from rollout.labelled import LabelledSet
from serving.model import Answered
from tests.conftest import make_segmentation_card
from tests.rollout.conftest import FakeClock, Shell
from tests.rollout.fake_cluster import Document, FakeCluster, api_server
from tests.rollout.fake_gateway import FakeGateway, Quality, gateway_server
from transformer.direct import DirectModel
from transformer.hop import PredictorClient

MODEL = "land-cover"
SIDE = 32


@dataclass
class Hop:
    """A predictor of one revision; a pixel's class is its brightest colour's.

    Attributes:
        wrong_rows: share of each tile's rows that it gets wrong.
    """

    revision: str
    digest: str
    wrong_rows: float = 0.0
    max_message_bytes: int = 32 << 20
    asked: int = 0

    async def infer(
        self, model: str, contract: Contract, batch: NDArray[Any], headers: Mapping[str, str]
    ) -> tuple[tuple[NDArray[Any], ...], Answered]:
        self.asked += 1
        found = batch.argmax(axis=1) + 1
        rows = round(self.wrong_rows * found.shape[1])
        found[:, :rows] = found[:, :rows] % 3 + 1
        levels = (found[:, np.newaxis] == np.arange(4)[:, np.newaxis, np.newaxis]) * np.uint8(255)
        return (levels,), Answered(self.revision, self.digest, len(batch))


@pytest.fixture(scope="module")
def cards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("cards")
    for revision in ("1", "2"):
        card = make_segmentation_card(MODEL, revision)
        write_revision(root, card, b"weights of " + revision.encode())
    return root


@pytest.fixture(scope="module")
def questions() -> LabelledSet:
    """Squares of pure colours with their masks; a border is not annotated."""
    random = np.random.default_rng(3)
    classes = random.integers(0, 3, (24, SIDE // 4, SIDE // 4)).repeat(4, 1).repeat(4, 2)
    images = np.eye(3, dtype=np.uint8)[classes] * 200
    labels = (classes + 1).astype(np.uint8)
    labels[:, :, :2] = 0
    return LabelledSet(images, labels)


@pytest.fixture
def fake(cards: Path) -> FakeCluster:
    return FakeCluster({MODEL: "1"}, cards)


@pytest.fixture
def shell(fake: FakeCluster, cards: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    with api_server(fake) as url, client.ApiClient(client.Configuration(host=url)) as api:
        yield Shell(fake, FakeClock(fake), api, cards, capsys)
        api.rest_client.pool_manager.clear()


def masks(body: bytes, contract: Contract, wrong: bool) -> bytes:
    """What the transformer answers: a numpy file with the classes, or with others."""
    mask = np.asarray(Image.open(io.BytesIO(body))).argmax(axis=2).astype(np.uint8) + 1
    buffer = io.BytesIO()
    np.save(buffer, mask % 3 + 1 if wrong else mask)
    return buffer.getvalue()


@pytest.fixture
def gateway(
    shell: Shell, fake: FakeCluster, questions: LabelledSet, tmp_path: Path
) -> Iterator[FakeGateway]:
    (tmp_path / "set.npz").write_bytes(questions.to_bytes())
    found = FakeGateway(fake, MODEL, masks)
    with gateway_server(found) as url:
        shell.extra = ["--gateway", url, "--data", str(tmp_path / "set.npz"), "--images", "24"]
        shell.extra += [
            "--interval-seconds",
            "5",
            "--interval-requests",
            "20",
            "--give-up-seconds",
            "60",
        ]
        shell.extra += ["--report", str(tmp_path / "report"), "--latency-slack-seconds", "60"]
        yield found


class Gate:
    """Runs the gate's Job: with the files that its pod would see, and two predictors."""

    def __init__(self, fake: FakeCluster, folder: Path) -> None:
        self.fake, self.folder = fake, folder
        self.hops = [
            Hop(revision, open_revision(fake.cards, MODEL, revision).digest)
            for revision in ("1", "2")
        ]

    def __call__(self, job: Document) -> str:
        (volume,) = job["spec"]["template"]["spec"]["volumes"]
        for source in volume["projected"]["sources"]:
            found = self.fake.store.get("configmaps", source["configMap"]["name"])
            assert found is not None
            for name, text in found["data"].items():
                (self.folder / name).write_text(text)
            for name, packed in found["binaryData"].items():
                (self.folder / name).write_bytes(base64.b64decode(packed))
        card = ModelCard.from_json((self.folder / CARD).read_bytes())
        return asyncio.run(self._compare(card))

    async def _compare(self, card: ModelCard) -> str:
        with ThreadPoolExecutor(1) as executor:
            stable, canary = (
                DirectModel(card.name, card.contract, cast(PredictorClient, hop), executor)
                for hop in self.hops
            )
            questions = read_set(self.folder)
            found = await compare(card.name, questions, stable, canary, 1.0)
        return found.to_json()


@pytest.fixture
def gate(fake: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Gate:
    folder = tmp_path / "gate"
    folder.mkdir()
    # The set packs to 2 KiB: in parts all the same.
    monkeypatch.setattr("rollout.gate_job.PART_BYTES", 1000)
    monkeypatch.setattr("rollout.report.draw", lambda _outcome, path: path.write_text("plot"))
    fake.job_result = found = Gate(fake, folder)
    return found


def test_a_canary_is_staged_probed_and_opened(shell: Shell, fake: FakeCluster) -> None:
    assert shell("canary", MODEL, "2", "--traffic", "20") == 0, shell.err
    assert fake.served() == {(f"{MODEL}/1",): 80, (f"{MODEL}/2",): 20}
    assert shell("promote") == 0, shell.err
    assert fake.served() == {(f"{MODEL}/2",): 100}


def test_a_good_revision_goes_all_the_way(
    shell: Shell, fake: FakeCluster, gateway: FakeGateway, gate: Gate, tmp_path: Path
) -> None:
    gate.hops[0].wrong_rows = 0.25
    assert shell("rollout", MODEL, "2") == 0, shell.err
    assert fake.served() == {(f"{MODEL}/2",): 100}
    report = tmp_path / "report" / f"vision-{MODEL}-2"
    found = json.loads((report / "report.json").read_text())
    assert found["gate"]["images"] == 24
    assert found["gate"]["canary"]["correct"] == 24.0
    assert 6 < found["gate"]["stable"]["correct"] < 22
    assert (found["gate"]["stable_only"], found["gate"]["canary_only"]) == (0, 24)
    assert "gate: mean IoU 1.000 on 24, stable mean IoU 0." in found["reason"]
    assert [interval["percent"] for interval in found["intervals"]] == [5, 25, 50, 100]
    assert "mean IoU 1.000 on 24" in (report / "report.md").read_text()
    # Warmed up with 20, asked for 24, woken with one; pictures of one tile.
    assert [hop.asked for hop in gate.hops] == [45, 45]
    left = [d["metadata"]["name"] for d in fake.store.all("configmaps")]
    assert left == ["vision-rollout"]


def test_a_worse_revision_is_refused_at_the_gate(
    shell: Shell, fake: FakeCluster, gateway: FakeGateway, gate: Gate
) -> None:
    gate.hops[1].wrong_rows = 0.25
    fake.splits.clear()
    assert shell("rollout", MODEL, "2") == 3
    assert "before the first per cent: mean IoU 0." in shell.err
    assert "only stable right on 24, only the new one on 0" in shell.err
    assert all(not split.get("vision-predictor-00002") for split in fake.splits)
    assert fake.served() == {(f"{MODEL}/1",): 100}


def test_a_revision_that_is_wrong_in_public_is_taken_back(
    shell: Shell, fake: FakeCluster, gateway: FakeGateway, gate: Gate
) -> None:
    gateway.qualities["2"] = Quality(wrong_every=2)
    assert shell("rollout", MODEL, "2") == 3
    assert "labelled images: mean IoU 0." in shell.err
    assert fake.served() == {(f"{MODEL}/1",): 100}


def test_classes_in_place_of_masks_are_refused_before_anything_is_changed(
    shell: Shell, fake: FakeCluster, gateway: FakeGateway, gate: Gate, tmp_path: Path
) -> None:
    images = np.zeros((5, SIDE, SIDE, 3), np.uint8)
    path = tmp_path / "classes.npz"
    path.write_bytes(LabelledSet(images, np.arange(5)).to_bytes())
    shell.extra += ["--data", str(path)]
    assert shell("rollout", MODEL, "2") == 9
    assert "no labelled set for segmentation: labels must be masks" in shell.err
    assert fake.writes == []
