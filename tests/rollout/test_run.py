"""Rollouts that decide by themselves, from the gate to the history."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from artifact import open_revision
from rollout.gate import Comparison, Measured
from rollout.labelled import LabelledSet
from tests.rollout.conftest import Shell
from tests.rollout.fake_cluster import Behaviour, Document, FakeCluster
from tests.rollout.fake_gateway import FakeGateway, Quality, gateway_server

OLD = ("fashion-mnist/1", "mnist/1")
NEW = ("fashion-mnist/2", "mnist/1")


class Gate:
    """What the gate's Job finds; keeps the Jobs that it was given."""

    def __init__(self, cards: Path) -> None:
        digest = open_revision(cards, "fashion-mnist", "2").digest
        self.stable = Measured(["1"], ["sha256:0"], 430, 0, [], 5.0, 8.0)
        self.canary = Measured(["2"], [digest], 470, 0, [], 5.0, 8.0)
        self.stable_only, self.canary_only = 10, 50
        self.failure = ""
        self.jobs: list[Document] = []

    def __call__(self, job: Document) -> str:
        self.jobs.append(job)
        if self.failure:
            return f"failed: {self.failure}"
        return Comparison(
            "fashion-mnist",
            "classification",
            500,
            self.stable,
            self.canary,
            440,
            self.stable_only,
            self.canary_only,
        ).to_json()


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without their plot, which takes most of a test's time."""
    monkeypatch.setattr("rollout.report.draw", lambda _outcome, path: path.write_text("plot"))


@pytest.fixture
def gate(fake: FakeCluster, cards: Path) -> Gate:
    fake.job_result = found = Gate(cards)
    return found


@pytest.fixture
def gateway(shell: Shell, fake: FakeCluster, tmp_path: Path) -> Iterator[FakeGateway]:
    """The gateway; ``shell.extra`` gets the options that ``auto`` needs."""
    random = np.random.default_rng(1)
    labels = random.integers(0, 10, 40)
    images = random.integers(0, 255, (40, 28, 28), np.uint8)
    images[:, 0, 0] = labels
    (tmp_path / "set.npz").write_bytes(LabelledSet(images, labels).to_bytes())
    found = FakeGateway(fake, "fashion-mnist")
    with gateway_server(found) as url:
        shell.extra = ["--gateway", url, "--data", str(tmp_path / "set.npz")]
        shell.extra += ["--images", "40", "--interval-seconds", "5", "--interval-requests", "20"]
        shell.extra += ["--give-up-seconds", "60", "--report", str(tmp_path / "report")]
        # The clock stands still, but requests are real: how long one takes is the machine's.
        shell.extra += ["--latency-slack-seconds", "60"]
        yield found


def run(shell: Shell, *more: str) -> int:
    return shell("rollout", "fashion-mnist", "2", *more)


def report(tmp_path: Path) -> Path:
    return tmp_path / "report" / "vision-fashion-mnist-2"


def test_a_good_revision_goes_all_the_way(
    shell: Shell, fake: FakeCluster, gateway: FakeGateway, gate: Gate, tmp_path: Path
) -> None:
    fake.splits.clear()
    assert run(shell) == 0, shell.err
    shares = [split.get("vision-predictor-00002", 0) for split in fake.splits]
    assert list(dict.fromkeys(shares)) == [0, 5, 25, 50, 100]
    assert fake.served() == {NEW: 100}
    assert gateway.hosts == {"vision-transformer.vision.example.com"}
    found = json.loads((report(tmp_path) / "report.json").read_text())
    assert found["promoted"]
    assert [interval["percent"] for interval in found["intervals"]] == [5, 25, 50, 100]
    for interval in found["intervals"][:3]:
        counted = [
            interval["evidence"][f"counted_{side}"]["total"] for side in ("canary", "stable")
        ]
        assert counted[0] / sum(counted) == pytest.approx(interval["percent"] / 100, abs=0.03)
        assert counted[0] >= 20
    assert "470 of 500 right, stable 430 of 500 right" in found["reason"]
    assert "<svg" in (report(tmp_path) / "report.svg").read_text()
    assert "| 25 % |" in (report(tmp_path) / "report.md").read_text()
    shell.extra = []
    entry = shell.json("history")[-1]
    assert (entry["action"], entry["why"]) == ("promoted", found["reason"])
    # What it was judged by outlives it, for the operators' page.
    judged = fake.record()["judged"]
    assert (judged["entry"], judged["was"]) == (entry["number"], "1")
    assert judged["progress"]["intervals"] == found["intervals"]


@pytest.mark.usefixtures("plain")
def test_the_gate_runs_where_and_as_it_may(
    shell: Shell, fake: FakeCluster, gateway: FakeGateway, gate: Gate
) -> None:
    assert run(shell) == 0, shell.err
    (job,) = gate.jobs
    pod = job["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert container["image"] == "vision-transformer:dev"
    assert "--stable=prev-vision-predictor.vision.svc.cluster.local" in container["args"]
    assert "--canary=latest-vision-predictor.vision.svc.cluster.local" in container["args"]
    assert pod["metadata"]["labels"] == {"component": "gate"}
    assert not fake.store.all("jobs")
    assert not fake.store.get("configmaps", "vision-gate-0")


@pytest.mark.usefixtures("plain")
def test_a_worse_revision_never_gets_traffic(
    shell: Shell, fake: FakeCluster, gateway: FakeGateway, gate: Gate, tmp_path: Path
) -> None:
    gate.canary = Measured(["2"], gate.canary.digests, 50, 0, [], 5.0, 8.0)
    gate.stable_only, gate.canary_only = 390, 10
    fake.splits.clear()
    assert run(shell) == 3, shell.err
    assert "before the first per cent: 50 of 500 right, stable 430 of 500 right" in shell.err
    assert all(not split.get("vision-predictor-00002") for split in fake.splits)
    assert fake.served() == {OLD: 100}
    assert (report(tmp_path) / "report.md").read_text().startswith("# fashion-mnist/2: refused")
    shell.extra = []
    assert shell.json("status")["settled"]
    assert shell.json("history")[-1]["action"] == "refused"


@pytest.mark.usefixtures("plain")
def test_a_gate_that_gets_no_answer_refuses(
    shell: Shell, fake: FakeCluster, gateway: FakeGateway, gate: Gate
) -> None:
    gate.failure = "Unavailable: the predictor cannot be reached"
    assert run(shell) == 3, shell.err
    assert "the predictor cannot be reached" in shell.err
    shell.extra = []
    assert shell("rollback") == 0, shell.err
    assert fake.served() == {OLD: 100}


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize(
    ("quality", "told"),
    [
        (Quality(wrong_every=2), "labelled images: "),
        (Quality(fail_every=4), "counted calls failed"),
        (Quality(lost_every=3), "of them of no revision"),
        (Quality(strange_every=9), "an artefact that nobody rolled out"),
    ],
)
def test_a_revision_that_fails_in_public_is_taken_back(
    shell: Shell,
    fake: FakeCluster,
    gateway: FakeGateway,
    gate: Gate,
    quality: Quality,
    told: str,
) -> None:
    gateway.qualities["2"] = quality
    assert run(shell) == 3, shell.err
    assert told in shell.err
    assert fake.served() == {OLD: 100}
    assert max(split.get("vision-predictor-00002", 0) for split in fake.splits) < 100


@pytest.mark.usefixtures("plain")
def test_what_fails_before_and_after_alike_is_not_the_canarys_fault(
    shell: Shell, fake: FakeCluster, gateway: FakeGateway, gate: Gate
) -> None:
    gateway.qualities["1"] = Quality(wrong_every=12, fail_every=40)
    gateway.qualities["2"] = Quality(wrong_every=13, fail_every=41)
    assert run(shell, "--rate", "20") == 0, shell.err
    assert fake.served() == {NEW: 100}


@pytest.mark.usefixtures("plain")
def test_bad_at_a_hundred_per_cent_goes_back_at_once(
    shell: Shell, fake: FakeCluster, gateway: FakeGateway, gate: Gate
) -> None:
    """KServe calls a canary at 100 % rolled out; its own step back is what takes effect first."""
    original = fake.tick

    def tick() -> None:
        original()
        if fake.split.get("vision-predictor-00002") == 100:
            gateway.qualities["2"] = Quality(fail_every=2)

    fake.tick = tick  # type: ignore[method-assign]
    fake.ages["vision-predictor-00001"] = 1000
    fake.behaviours["--model=fashion-mnist=1"] = Behaviour(ticks=40)
    fake.splits.clear()
    assert run(shell) == 3, shell.err
    assert "at 100 %" in shell.err
    all_new = sum(split.get("vision-predictor-00002") == 100 for split in fake.splits)
    assert 0 < all_new < 25
    assert fake.served() == {OLD: 100}
    shell.extra = []
    assert shell.json("status")["settled"]


@pytest.mark.usefixtures("plain")
def test_too_few_requests_means_stay_and_then_give_up(
    shell: Shell, fake: FakeCluster, gateway: FakeGateway, gate: Gate
) -> None:
    assert run(shell, "--rate", "1", "--interval-requests", "1000") == 3
    assert "too few requests to tell" in shell.err, shell.err
    assert fake.served() == {OLD: 100}


@pytest.mark.usefixtures("plain")
def test_other_peoples_calls_count(
    shell: Shell, fake: FakeCluster, gateway: FakeGateway, gate: Gate, tmp_path: Path
) -> None:
    gateway.others_rate = 5
    assert run(shell, "--rate", "2") == 0, shell.err
    (first, *_) = json.loads((report(tmp_path) / "report.json").read_text())["intervals"]
    assert first["evidence"]["counted_canary"]["total"] >= 20
    assert first["evidence"]["canary"]["total"] < 20


@pytest.mark.usefixtures("plain")
def test_a_url_that_does_not_answer_changes_nothing(
    shell: Shell, fake: FakeCluster, gateway: FakeGateway, gate: Gate
) -> None:
    gateway.qualities["1"] = Quality(lost_every=1)
    assert run(shell) == 8
    assert "nothing was changed" in shell.err
    assert {plural for _, plural, _ in fake.writes} == {"configmaps"}


@pytest.mark.usefixtures("plain")
@pytest.mark.parametrize("at", [2, 5, 12, 26])
def test_interrupted_anywhere_it_goes_on_to_the_end(
    shell: Shell, fake: FakeCluster, gateway: FakeGateway, gate: Gate, at: int
) -> None:
    shell.clock.interrupt_at = at
    assert run(shell) == 130, shell.err
    before = fake.served()
    for _ in range(5):
        fake.tick()
    assert fake.served() == before
    assert fake.record()["lock"] is None
    intervals = fake.record()["operation"]["progress"].get("intervals", [])
    assert run(shell) == 0, shell.err
    assert fake.served() == {NEW: 100}
    assert len(gate.jobs) <= 2
    assert len(intervals) == 0 or len(gate.jobs) == 1


@pytest.mark.usefixtures("plain")
def test_dry_run(shell: Shell, fake: FakeCluster, gateway: FakeGateway, gate: Gate) -> None:
    assert run(shell, "--dry-run") == 0, shell.err
    assert "would analyse an interval each at 5 %, 25 %, 50 %, 100 %" in shell.out
    assert fake.writes == []


@pytest.mark.usefixtures("plain")
def test_somebody_elses_change_ends_it(
    shell: Shell, fake: FakeCluster, gateway: FakeGateway, gate: Gate
) -> None:
    original = fake.tick
    changed = []

    def tick() -> None:
        original()
        if fake.split.get("vision-predictor-00002") == 25 and not changed:
            changed.append(True)
            fake.edit_spec(lambda spec: spec["predictor"].update(timeout=30))

    fake.tick = tick  # type: ignore[method-assign]
    assert run(shell) == 5
    assert "somebody else changed" in shell.err
