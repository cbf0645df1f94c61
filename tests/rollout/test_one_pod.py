"""One pod of the ServingRuntime `vision`: the same commands, by the address of its revision."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from artifact import ModelCard, open_revision
from artifact.address import Address
from registry.connect import connect
from registry.folder import FolderStore
from registry.revisions import Registry
from registry.settings import RegistrySettings
from rollout.inferenceservice import held_models, with_revision
from rollout.labelled import LabelledSet
from rollout.published import Published
from tests.rollout.conftest import Killed, Shell
from tests.rollout.fake_cluster import SERVICE, Behaviour, FakeCluster, one_pod
from tests.rollout.fake_gateway import FakeGateway, Quality, classified, gateway_server
from tests.rollout.test_experiments import TAG, Console

FOLDER = "s3://bucket/models/mnist/"
R1, R2 = "vision-predictor-00001", "vision-predictor-00002"


@pytest.fixture
def fake(cards: Path) -> FakeCluster:
    """A service that is called otherwise than its model."""
    return FakeCluster({}, cards, FOLDER + "1")


@pytest.fixture
def relabelled(cards: Path, tmp_path: Path, shell: Shell, fake: FakeCluster) -> Path:
    """Revision 2 has the labels of 1 the other way round, and one more: another contract."""
    root = tmp_path / "cards"
    shutil.copytree(cards, root)
    path = root / "mnist" / "2" / "model.json"
    card = ModelCard.from_json(path.read_bytes())
    labels = (*reversed(card.contract.labels), "ten")
    path.write_text(replace(card, contract=replace(card.contract, labels=labels)).to_json())
    shell.cards = fake.cards = root
    return root


@pytest.fixture
def gateway(
    shell: Shell, fake: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakeGateway]:
    monkeypatch.setattr("rollout.report.draw", lambda _outcome, path: path.write_text("plot"))
    labels = np.arange(40) % 10
    images = np.random.default_rng(1).integers(0, 255, (40, 28, 28), np.uint8)
    images[:, 0, 0] = labels
    (tmp_path / "set.npz").write_bytes(LabelledSet(images, labels).to_bytes())
    found = FakeGateway(fake, "mnist", counted_as=(SERVICE, "v1"))
    with gateway_server(found) as url:
        shell.extra = ["--gateway", url, "--data", str(tmp_path / "set.npz")]
        shell.extra += ["--interval-seconds", "5", "--interval-requests", "20"]
        shell.extra += ["--give-up-seconds", "60", "--latency-slack-seconds", "60"]
        shell.extra += ["--report", str(tmp_path / "report")]
        yield found


def uri(fake: FakeCluster) -> str:
    found: str = fake.service["spec"]["predictor"]["model"]["storageUri"]
    return found


def kubectl_patch(fake: FakeCluster, percent: int | None, revision: str) -> None:
    """What a person would do by hand."""

    def change(spec: dict[str, Any]) -> None:
        spec["predictor"]["model"]["storageUri"] = FOLDER + revision
        spec["predictor"].pop("canaryTrafficPercent", None)
        if percent is not None:
            spec["predictor"]["canaryTrafficPercent"] = percent

    fake.edit_spec(change)
    for _ in range(10):
        fake.tick()


def test_a_canary_is_promoted_and_gone_back_from(shell: Shell, fake: FakeCluster) -> None:
    assert shell("status") == 0, shell.err
    assert "InferenceService vision in namespace vision: mnist/1\nsettled" in shell.out
    fake.splits.clear()
    assert shell("canary", "mnist", "2", "--traffic", "20") == 0, shell.err
    assert f"{R2} answers as mnist/2" in shell.err
    assert fake.served() == {("mnist/1",): 80, ("mnist/2",): 20}
    assert [split.get(R2, 0) for split in fake.splits[:3]] == [0, 0, 0]
    assert uri(fake) == FOLDER + "2"
    assert shell("promote") == 0, shell.err
    assert f"storageUri is {FOLDER}2 now: write that into the manifest" in shell.out
    assert fake.served() == {("mnist/2",): 100}
    assert shell("rollback", "--why", "wrong sevens") == 0, shell.err
    assert fake.served() == {("mnist/1",): 100}
    assert uri(fake) == FOLDER + "1"
    told = [(e["action"], e["models"]) for e in shell.json("history")]
    assert told == [
        ("found", {"mnist": "1"}),
        ("promoted", {"mnist": "2"}),
        ("rolled back", {"mnist": "1"}),
    ]


def test_an_experiment_is_on_what_the_service_is_called(shell: Shell, fake: FakeCluster) -> None:
    console = Console(fake)
    console.runs(TAG, model="mnist")
    assert shell("canary", "mnist", "2", "--traffic", "0") == 0, shell.err
    console.runs(TAG, model=SERVICE)
    assert shell("promote") == 4
    assert f"experiment halves of {SERVICE} runs" in shell.err
    assert shell("rollback") == 0, shell.err
    assert shell("canary", "mnist", "2") == 4


def test_promotion_leaves_an_overlays_file_alone(
    shell: Shell, fake: FakeCluster, tmp_path: Path
) -> None:
    """It may name the same model, of the two services."""
    assert shell("canary", "mnist", "2") == 0, shell.err
    assert shell("promote", "--overlay", str(tmp_path / "nowhere")) == 0, shell.err
    assert shell("promote", "--overlay", str(tmp_path / "nowhere")) == 9
    assert "no canary is open" in shell.err


def test_a_deployment_that_would_undo_a_promotion_is_stopped(
    shell: Shell, fake: FakeCluster, tmp_path: Path
) -> None:
    assert shell("canary", "mnist", "2") == 0, shell.err
    assert shell("promote") == 0, shell.err
    (tmp_path / "kustomization.yaml").write_text("resources: []\n")
    rendered = tmp_path / "rendered.yaml"
    check = ["deploy-check", "--overlay", str(tmp_path), "--rendered", str(rendered)]
    rendered.write_text(json.dumps(one_pod(FOLDER + "1")))
    assert shell(*check) == 3
    assert "asks for mnist/1, but vision runs mnist/2 (promoted at" in shell.err
    assert "Write the storageUri that runs into it" in shell.err
    rendered.write_text(json.dumps(one_pod(FOLDER + "2")))
    assert shell(*check) == 0, shell.err


@pytest.mark.parametrize(
    ("behaviour", "status", "told"),
    [
        (Behaviour(digest="sha256:0"), 3, "answers with digest sha256:0, not sha256:"),
        (Behaviour(revision="7"), 3, "answers with revision 7, not 2"),
        (
            Behaviour("crash", log='{"message": "golden answers differ"}'),
            6,
            "golden answers differ",
        ),
    ],
)
def test_a_pod_that_is_not_what_it_should_be_is_taken_back(
    shell: Shell, fake: FakeCluster, behaviour: Behaviour, status: int, told: str
) -> None:
    fake.behaviours[FOLDER + "2"] = behaviour
    fake.splits.clear()
    assert shell("canary", "mnist", "2") == status
    assert told in shell.err
    assert all(not split.get(R2) for split in fake.splits)
    assert uri(fake) == FOLDER + "1"
    assert fake.served() == {("mnist/1",): 100}


def test_what_is_refused_before_anything_is_written(
    shell: Shell, fake: FakeCluster, tmp_path: Path
) -> None:
    fake.writes.clear()

    def refused(told: str, *arguments: str, status: int = 3) -> None:
        assert shell(*arguments) == status, shell.out
        assert told in shell.err
        assert {plural for _, plural, _ in fake.writes} <= {"configmaps"}

    refused("the images of one pod", "canary", "mnist", "2", "--image", "mine:2")
    refused("does not hold vision; it holds: mnist", "canary", "vision", "2", status=9)
    refused("no registry that VISION_REGISTRY names has it", "canary", "mnist", "9")
    shell.cards = tmp_path
    refused("its card is not in", "canary", "mnist", "2")


def test_another_task_is_refused(shell: Shell, fake: FakeCluster, relabelled: Path) -> None:
    land_cover = Path(__file__).parents[2] / "models" / "land-cover" / "1" / "model.json"
    document = json.loads(land_cover.read_text())
    path = relabelled / "mnist" / "3" / "model.json"
    path.write_text(json.dumps({**document, "name": "mnist", "revision": "3"}))
    assert shell("canary", "mnist", "3") == 3
    assert "it is of segmentation, mnist/1 of classification" in shell.err


def test_an_address_without_a_revision_cannot_be_changed(shell: Shell, fake: FakeCluster) -> None:
    """A tree of models, as ``--model=/mnt/models`` takes one too."""
    tree = "pvc://claim/models"
    fake.edit_spec(lambda spec: spec["predictor"]["model"].update(storageUri=tree))
    for _ in range(10):
        fake.tick()
    assert shell("status") == 0, shell.err
    assert f"namespace vision: {tree}\nsettled" in shell.out
    assert shell("canary", SERVICE, "2") == 3
    assert f"storageUri {tree} does not end in NAME/REVISION" in shell.err


def test_a_canary_by_hand_is_gone_on_with(shell: Shell, fake: FakeCluster) -> None:
    kubectl_patch(fake, 30, "2")
    assert shell("status") == 0
    assert "the canary of mnist/2: open, 30 %" in shell.out
    assert "not in the record: found on the cluster" in shell.out
    assert shell("canary", "mnist", "3") == 4
    assert shell("rollback") == 0, shell.err
    assert fake.served() == {("mnist/1",): 100}
    assert uri(fake) == FOLDER + "1"


@pytest.mark.parametrize("command", ["promote", "rollback"])
def test_a_lost_record_leaves_a_way_on(shell: Shell, fake: FakeCluster, command: str) -> None:
    assert shell("canary", "mnist", "2", "--traffic", "50") == 0, shell.err
    fake.store.objects.pop(("configmaps", f"{SERVICE}-rollout"))
    assert shell(command) == 0, shell.err
    runs = {"promote": "2", "rollback": "1"}[command]
    assert fake.served() == {(f"mnist/{runs}",): 100}
    assert uri(fake) == FOLDER + runs


def test_killed_at_any_write_it_goes_on(shell: Shell, fake: FakeCluster) -> None:
    for die_at in range(1, 40):
        try:
            assert shell("canary", "mnist", "2", cluster=shell.mortal(die_at)) == 0, shell.err
            break
        except Killed:
            assert shell.json("status")["models"]["mnist"] in "12"
    assert fake.served() == {("mnist/1",): 90, ("mnist/2",): 10}
    assert die_at > 4


def rollout(shell: Shell) -> int:
    return shell("rollout", "mnist", "2")


def test_a_rollout_asks_both_revisions_at_their_tags(
    shell: Shell, fake: FakeCluster, gateway: FakeGateway, tmp_path: Path
) -> None:
    assert rollout(shell) == 0, shell.err
    assert fake.served() == {("mnist/2",): 100}
    host = "vision-predictor.vision"
    assert gateway.hosts == {
        f"{host}.example.com",
        f"latest-{host}.svc.cluster.local",
        f"prev-{host}.svc.cluster.local",
    }
    assert gateway.paths == {f"/v1/models/{SERVICE}:predict"}
    assert not any(plural == "jobs" for _, plural, _ in fake.writes)
    found = json.loads((tmp_path / "report" / "vision-mnist-2" / "report.json").read_text())
    assert found["gate"]["agreement"] == found["gate"]["images"] == 40
    for interval in found["intervals"][:3]:
        canary, stable = (interval["evidence"][f"counted_{s}"] for s in ("canary", "stable"))
        share = canary["total"] / (canary["total"] + stable["total"])
        assert share == pytest.approx(interval["percent"] / 100, abs=0.03)


@pytest.mark.parametrize(
    ("quality", "told"),
    [
        (Quality(wrong_every=1), "before the first per cent: 0 of 40 right, stable 40 of 40"),
        (Quality(fail_every=4), "images got no answer"),
    ],
)
def test_a_worse_revision_ends_at_the_gate(
    shell: Shell, fake: FakeCluster, gateway: FakeGateway, quality: Quality, told: str
) -> None:
    gateway.qualities["2"] = quality
    fake.splits.clear()
    assert rollout(shell) == 3
    assert told in shell.err
    assert all(not split.get(R2) for split in fake.splits)
    assert fake.served() == {("mnist/1",): 100}


def test_a_revision_that_fails_later_is_taken_back(
    shell: Shell, fake: FakeCluster, gateway: FakeGateway
) -> None:
    original = fake.tick

    def tick() -> None:
        original()
        if fake.split.get(R2) == 25:
            gateway.qualities["2"] = Quality(fail_every=3)

    fake.tick = tick  # type: ignore[method-assign]
    assert rollout(shell) == 3
    assert "counted calls failed" in shell.err
    assert fake.served() == {("mnist/1",): 100}


@pytest.mark.usefixtures("relabelled")
def test_other_labels_are_judged_by_their_names(
    shell: Shell, fake: FakeCluster, gateway: FakeGateway, tmp_path: Path
) -> None:
    """The set's labels are those of the new revision; the old one has other places for them."""

    new = open_revision(fake.cards, "mnist", "2").card.contract
    gateway.render = lambda body, _contract, wrong: classified(body, new, wrong)
    assert rollout(shell) == 0, shell.err
    found = json.loads((tmp_path / "report" / "vision-mnist-2" / "report.json").read_text())
    assert found["gate"]["stable"]["correct"] == found["gate"]["canary"]["correct"] == 40
    evidence = found["intervals"][0]["evidence"]["stable"]
    assert evidence["correct"] == evidence["labelled"] > 0


@pytest.fixture
def registry(tmp_path: Path, cards: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Named by the environment; it has revisions 1 and 2."""
    url = str(tmp_path / "store")
    monkeypatch.setenv("VISION_REGISTRY", url)
    FolderStore(Path(url)).set_up()
    made = connect(RegistrySettings(registry=url), "ada")
    for revision in ("1", "2"):
        made.publish(open_revision(cards, "mnist", revision))
    return made


def test_with_a_registry_no_card_is_needed_here(
    shell: Shell, fake: FakeCluster, registry: Registry, tmp_path: Path
) -> None:
    shell.cards = tmp_path / "empty"
    assert shell("canary", "mnist", "3") == 3
    assert "`vision registry publish mnist/3` puts it there" in shell.err
    fake.behaviours[FOLDER + "2"] = Behaviour(digest="sha256:0")
    assert shell("canary", "mnist", "2") == 3
    assert "answers with digest sha256:0, not sha256:" in shell.err
    fake.behaviours.clear()
    assert shell("canary", "mnist", "2") == 0, shell.err
    assert shell("promote") == 0, shell.err
    assert registry.state().resolve("mnist", "stable") == "2"


@pytest.mark.parametrize(
    ("url", "has", "becomes"),
    [
        ("s3://vision/store", FOLDER + "1", "s3://vision/store/models/mnist/2"),
        ("s3://vision/store", "gs://copies/mnist/1", "gs://copies/mnist/2"),
        ("s3://vision/store", "oci://registry:5000/mnist:1", "oci://registry:5000/mnist:2"),
        ("/var/store", FOLDER + "1/", FOLDER + "2"),
        ("s3://vision/store", "pvc://claim/models", ""),
    ],
)
def test_where_a_registrys_revision_is_fetched(url: str, has: str, becomes: str) -> None:
    class Store:
        def url_of(self, model: str, revision: str) -> str:
            return f"{url}/models/{model}/{revision}"

    published = Published(Store(), SERVICE, print)  # type: ignore[arg-type]
    assert published.address(has, "mnist", "2") == becomes


@pytest.mark.parametrize(
    ("address", "model", "revision", "other"),
    [
        ("s3://bucket/models/flowers/3", "flowers", "3", "s3://bucket/models/flowers/4"),
        ("gs://bucket/flowers/3/", "flowers", "3", "gs://bucket/flowers/4"),
        ("pvc://claim/flowers/3", "flowers", "3", "pvc://claim/flowers/4"),
        ("hf://us/flowers:3", "flowers", "3", "hf://us/flowers:4"),
        ("oci://host:5000/us/flowers:3", "flowers", "3", "oci://host:5000/us/flowers:4"),
        ("oci+native://host/flowers:3", "flowers", "3", "oci+native://host/flowers:4"),
        ("oci://host:5000/flowers", "", "", ""),
        ("oci://host/flowers@sha256:00ff", "", "", ""),
        ("hf://us/flowers", "", "", ""),
        ("s3://bucket/3", "", "", ""),
    ],
)
def test_the_revision_at_an_address(address: str, model: str, revision: str, other: str) -> None:
    predictor = {"model": {"modelFormat": {"name": "vision"}, "storageUri": address}}
    found = Address.read(address)
    assert held_models(predictor) == ({model: revision} if model else {})
    assert (found.of("4") if found else "") == other
    if found:
        assert with_revision(predictor, model, "4")["model"]["storageUri"] == other
