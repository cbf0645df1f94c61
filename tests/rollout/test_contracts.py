"""A rollout to a revision of another contract, and back: from mnist/1 to mnist/2 as shipped."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kubernetes import client
from numpy.typing import NDArray
from PIL import Image

from artifact import Contract, model_contracts, open_revision
from predictor.loading import LoadedRevision, load_revision
from rollout.gate import main as gate_program
from rollout.gate_job import MOUNT
from rollout.labelled import LabelledSet
from serving.errors import ContractMismatchError
from serving.model import Answered
from tests.conftest import SHIPPED
from tests.rollout.conftest import FakeClock, Shell
from tests.rollout.fake_cluster import Document, FakeCluster, api_server
from tests.rollout.fake_gateway import FakeGateway, gateway_server
from tests.transformer.local_hop import LocalHop, ask
from transformer.contracts import served_model
from transformer.settings import TransformerSettings

SAMPLES = SHIPPED.parent / "samples"
SIDE, DIGIT = 120, 50
COUNT = 24


class Hop(LocalHop):
    """A predictor that refuses contracts which its card does not accept."""

    def __init__(self, loaded: LoadedRevision) -> None:
        super().__init__(loaded)
        self.card = loaded.card
        self.contracts: set[str] = set()

    async def infer(
        self, model: str, contract: Contract, batch: NDArray[Any], headers: Mapping[str, str]
    ) -> tuple[tuple[NDArray[Any], ...], Answered]:
        if not self.card.answers(contract):
            raise ContractMismatchError(f"{self.card.identity} has another contract")
        self.contracts.add(contract.digest)
        return await super().infer(model, contract, batch, headers)


@pytest.fixture(scope="module")
def loaded() -> dict[str, LoadedRevision]:
    return {revision: load_revision(SHIPPED, "mnist", revision) for revision in ("1", "2")}


@pytest.fixture(scope="module")
def questions() -> LabelledSet:
    """Sevens and threes somewhere on a shaded sheet."""
    digits = [ink(SAMPLES / "seven.png"), ink(SAMPLES / "three.jpg")]
    random = np.random.default_rng(1)
    images = np.empty((COUNT, SIDE, SIDE), np.uint8)
    for number, image in enumerate(images):
        image[:] = np.linspace(225, 205, SIDE)
        top, left = random.integers(0, SIDE - DIGIT, 2)
        image[top : top + DIGIT, left : left + DIGIT] -= digits[number % 2]
    return LabelledSet(images, np.array([7, 3] * (COUNT // 2)))


def ink(path: Path) -> NDArray[np.uint8]:
    """How much darker a sample's digit makes the sheet; its own may be dark or light."""
    picture = Image.open(path).convert("L")
    side = (picture.width - picture.height) // 2
    square = picture.crop((side, 0, side + picture.height, picture.height))
    levels = np.asarray(square.resize((DIGIT, DIGIT))).astype(int)
    return np.clip(abs(levels - np.median(levels)) * 0.7 - 20, 0, 180).astype(np.uint8)


@pytest.fixture
def cards() -> Path:
    return SHIPPED


@pytest.fixture
def fake(cards: Path) -> FakeCluster:
    return FakeCluster({"mnist": "1"}, cards)


@pytest.fixture
def shell(
    fake: FakeCluster,
    cards: Path,
    questions: LabelledSet,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Shell]:
    (tmp_path / "set.npz").write_bytes(questions.to_bytes())
    with api_server(fake) as url, client.ApiClient(client.Configuration(host=url)) as api:
        yield Shell(fake, FakeClock(fake), api, cards, capsys)
        api.rest_client.pool_manager.clear()


class Transformer:
    """What the gateway has behind it: the transformer, and the predictor that a call comes to."""

    def __init__(self, loaded: dict[str, LoadedRevision], executor: ThreadPoolExecutor) -> None:
        self.hops = {found.card.contract.digest: Hop(found) for found in loaded.values()}
        self.chosen = self.hops[loaded["1"].card.contract.digest]
        transformer = self

        class Gateway(Hop):
            async def infer(self, *arguments: Any) -> tuple[tuple[NDArray[Any], ...], Answered]:
                return await transformer.chosen.infer(*arguments)

        contracts = model_contracts(SHIPPED, "mnist")
        settings = TransformerSettings.model_validate({})
        self.model = served_model("mnist", contracts, Gateway(loaded["1"]), executor, settings)
        self.loop = asyncio.new_event_loop()

    def render(self, body: bytes, contract: Contract, wrong: bool) -> bytes:
        self.chosen = self.hops[contract.digest]
        reply = self.loop.run_until_complete(ask(self.model, body, kind="application/json"))
        return b"".join((reply.body, reply.rest))


@pytest.fixture
def transformer(
    loaded: dict[str, LoadedRevision], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Transformer]:
    monkeypatch.setattr("transformer.contracts.RETRY_SECONDS", 0.0)
    with ThreadPoolExecutor(1) as executor:
        found = Transformer(loaded, executor)
        yield found
        found.loop.run_until_complete(found.model.close())
        found.loop.close()


@pytest.fixture
def gateway(
    shell: Shell, fake: FakeCluster, transformer: Transformer, tmp_path: Path
) -> Iterator[FakeGateway]:
    found = FakeGateway(fake, "mnist", transformer.render)
    with gateway_server(found) as url:
        shell.extra = ["--gateway", url, "--data", str(tmp_path / "set.npz")]
        shell.extra += ["--interval-seconds", "5", "--interval-requests", "20"]
        shell.extra += ["--give-up-seconds", "60", "--latency-slack-seconds", "60"]
        shell.extra += ["--report", str(tmp_path / "report")]
        yield found


class Gate:
    """Runs the gate's program with the files that its pod would see."""

    def __init__(self, fake: FakeCluster, hops: dict[str, Hop], folder: Path) -> None:
        self.fake, self.hops, self.folder = fake, hops, folder

    def __call__(self, job: Document) -> str:
        pod = job["spec"]["template"]["spec"]
        for source in pod["volumes"][0]["projected"]["sources"]:
            found = self.fake.store.get("configmaps", source["configMap"]["name"])
            assert found is not None
            for name, text in found["data"].items():
                (self.folder / name).write_text(text)
            for name, packed in found["binaryData"].items():
                (self.folder / name).write_bytes(base64.b64decode(packed))
        arguments = [a.replace(MOUNT, str(self.folder)) for a in pod["containers"][0]["args"]]
        log = self.folder / "termination-log"
        log.touch()
        failed = gate_program([*arguments, "--wake-seconds=0.1"], log)
        return f"failed: {log.read_text()}" if failed else log.read_text()


@pytest.fixture
def gate(
    fake: FakeCluster,
    loaded: dict[str, LoadedRevision],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Gate:
    hops = {"prev": Hop(loaded["1"]), "latest": Hop(loaded["2"])}
    monkeypatch.setattr("rollout.gate.gateway_hop", lambda host: hops[host.partition("-")[0]])
    monkeypatch.setattr("rollout.report.draw", lambda _outcome, path: path.write_text("plot"))
    folder = tmp_path / "gate"
    folder.mkdir()
    fake.job_result = found = Gate(fake, hops, folder)
    return found


def test_a_rollout_across_contracts_and_back(
    shell: Shell,
    fake: FakeCluster,
    gateway: FakeGateway,
    gate: Gate,
    transformer: Transformer,
    tmp_path: Path,
) -> None:
    old, new = (open_revision(SHIPPED, "mnist", revision).card.contract for revision in "12")
    assert shell("rollout", "mnist", "2") == 0, shell.err
    assert fake.served() == {("mnist/2",): 100}
    found = json.loads((tmp_path / "report" / "vision-mnist-2" / "report.json").read_text())
    assert found["promoted"]
    assert gate.hops["prev"].contracts == {old.digest}
    assert gate.hops["latest"].contracts == {new.digest}
    assert found["gate"]["canary"]["correct"] == COUNT
    assert found["gate"]["stable"]["correct"] < COUNT / 2
    assert found["gate"]["stable"]["failures"] == 0
    assert [interval["percent"] for interval in found["intervals"]] == [5, 25, 50, 100]
    for interval in found["intervals"]:
        canary, stable = (interval["evidence"][side] for side in ("canary", "stable"))
        assert canary["failed"] == stable["failed"] == 0
        assert canary["correct"] == canary["labelled"]
        assert interval["percent"] == 100 or stable["correct"] < stable["labelled"] / 2
    shell.extra = []
    assert shell("rollback", "--why", "the old frame") == 0, shell.err
    assert fake.served() == {("mnist/1",): 100}
    actions = [entry["action"] for entry in shell.json("history")]
    assert actions == ["found", "promoted", "rolled back"]


def test_after_a_roll_back_the_old_frame_is_in_use_at_once(
    shell: Shell, fake: FakeCluster, gateway: FakeGateway, transformer: Transformer
) -> None:
    old, new = (open_revision(SHIPPED, "mnist", revision).card.contract for revision in "12")
    body = json.dumps({"instances": [np.zeros((40, 40), int).tolist()]}).encode()
    shell.extra = []

    def asked(contract: Contract) -> set[str]:
        """Digests of the contracts that one call by the gateway was prepared after."""
        for hop in transformer.hops.values():
            hop.contracts.clear()
        status, headers, _ = gateway.answer(body)
        assert status == 200
        card = open_revision(SHIPPED, "mnist", headers["x-model-revision"]).card
        assert card.contract == contract
        return transformer.hops[contract.digest].contracts

    assert asked(old) == {old.digest}
    assert shell("canary", "mnist", "2", "--traffic", "50") == 0, shell.err
    assert shell("promote") == 0, shell.err
    assert asked(new) == {new.digest}
    assert shell("rollback") == 0, shell.err
    assert asked(old) == {old.digest}


def test_a_revision_that_accepts_no_older_contract_is_refused(
    shell: Shell, fake: FakeCluster, gateway: FakeGateway, tmp_path: Path
) -> None:
    shell.cards = tmp_path / "cards"
    shutil.copytree(SHIPPED / "mnist", shell.cards / "mnist")
    path = shell.cards / "mnist" / "2" / "model.json"
    document = json.loads(path.read_text())
    del document["accepts"]
    path.write_text(json.dumps(document))
    assert shell("rollout", "mnist", "2") == 3
    assert "which it does not accept" in shell.err
    assert {plural for _, plural, _ in fake.writes} <= {"configmaps"}
    assert fake.served() == {("mnist/1",): 100}
