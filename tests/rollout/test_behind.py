"""What happens behind a rollout: a lost record, a split by hand, a spec that somebody edits.

Every command has a way on from it, and one that is refused has written nothing.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from common.kubernetes import Cluster
from rollout.__main__ import main
from rollout.clock import Clock
from tests.rollout.conftest import FakeClock, Shell
from tests.rollout.fake_cluster import NAMESPACE, Behaviour, FakeCluster
from tests.rollout.test_revision_file import PROMOTED, TEXT, text, write_overlay

OLD = ("fashion-mnist/1", "mnist/1")
NEW = ("fashion-mnist/2", "mnist/1")
RECORD = ("configmaps", "vision-rollout")


def settle(fake: FakeCluster) -> None:
    for _ in range(10):
        fake.tick()


def by_hand(fake: FakeCluster, revision: str = "2", percent: int | None = 50) -> None:
    """A canary as kubectl opens it."""

    def change(spec: dict[str, Any]) -> None:
        args = spec["predictor"]["containers"][0]["args"]
        args[0] = f"--model=fashion-mnist={revision}"
        if percent is not None:
            spec["predictor"]["canaryTrafficPercent"] = percent

    fake.edit_spec(change)
    settle(fake)


def lose_record(shell: Shell, fake: FakeCluster) -> None:
    """The ConfigMap is deleted while a canary is open."""
    assert shell("canary", "fashion-mnist", "2", "--traffic", "50") == 0, shell.err
    del fake.store.objects[RECORD]


def taken_back_by_hand(shell: Shell, fake: FakeCluster) -> None:
    lose_record(shell, fake)
    fake.edit_spec(lambda spec: spec["predictor"].update(canaryTrafficPercent=0))
    settle(fake)


Before = Callable[[Shell, FakeCluster], None]
CASES: dict[str, Before] = {
    "record lost": lose_record,
    "canary by kubectl": lambda _, fake: by_hand(fake),
    "taken back by hand": taken_back_by_hand,
}
cases = pytest.mark.parametrize("before", CASES.values(), ids=CASES)


@cases
def test_it_is_shown(shell: Shell, fake: FakeCluster, before: Before) -> None:
    before(shell, fake)
    assert shell("status") == 0
    assert "the canary of fashion-mnist/2: open" in shell.out
    assert "not in the record: found on the cluster" in shell.out
    status = shell.json("status")
    assert not status["settled"]
    assert (status["operation"]["was"], status["operation"]["revision"]) == ("1", "2")
    assert status["operation"]["recorded"] is False
    assert RECORD not in fake.store.objects


@cases
def test_promotion_goes_on(shell: Shell, fake: FakeCluster, before: Before, tmp_path: Path) -> None:
    before(shell, fake)
    overlay = write_overlay(tmp_path / "minikube")
    assert shell("promote", "--overlay", str(overlay)) == 0, shell.err
    assert fake.served() == {NEW: 100}
    assert text(overlay) == PROMOTED
    assert shell.json("status")["settled"]
    found = shell.json("history")
    assert [entry["action"] for entry in found] == ["found", "promoted"]
    assert found[0]["models"] == {"fashion-mnist": "1", "mnist": "1"}
    assert shell("rollback") == 0, shell.err
    assert fake.served() == {OLD: 100}


@cases
def test_rollback_goes_on_and_the_history_has_what_was_discarded(
    shell: Shell, fake: FakeCluster, before: Before, tmp_path: Path
) -> None:
    before(shell, fake)
    overlay = write_overlay(tmp_path / "minikube")
    predictor = fake.service["spec"]["predictor"]
    fake.splits.clear()
    assert shell("rollback", "--overlay", str(overlay), "--why", "not wanted") == 0, shell.err
    assert fake.served() == {OLD: 100}
    shares = [split.get("vision-predictor-00002", 0) for split in fake.splits]
    assert shares == sorted(shares, reverse=True)
    assert text(overlay) == TEXT
    assert shell.json("status")["settled"]
    found = shell.json("history")
    assert [entry["action"] for entry in found] == ["found", "canary rolled back"]
    assert (found[1]["revision"], found[1]["why"]) == ("2", "not wanted")
    restored = fake.service["spec"]["predictor"]
    assert restored["containers"][0]["args"][0] == "--model=fashion-mnist=1"
    assert {k: v for k, v in restored.items() if k != "containers"} == {
        k: v for k, v in predictor.items() if k not in ("containers", "canaryTrafficPercent")
    }


@cases
def test_the_same_canary_goes_on_and_another_is_refused(
    shell: Shell, fake: FakeCluster, before: Before
) -> None:
    before(shell, fake)
    writes = len(fake.writes)
    assert shell("canary", "mnist", "2") == 4
    assert "the canary of fashion-mnist/2 is open" in shell.err
    assert RECORD not in fake.store.objects or not fake.record()["operation"]
    assert {plural for _, plural, _ in fake.writes[writes:]} <= {"configmaps"}
    assert shell("canary", "fashion-mnist", "2", "--traffic", "30") == 0, shell.err
    assert fake.served() == {OLD: 70, NEW: 30}
    assert shell("rollback") == 0, shell.err
    assert fake.served() == {OLD: 100}


@cases
def test_a_deployment_is_refused_and_with_force_discards_it(
    shell: Shell, fake: FakeCluster, before: Before, tmp_path: Path
) -> None:
    before(shell, fake)
    overlay = str(write_overlay(tmp_path / "minikube"))
    assert shell("deploy-check", "--overlay", overlay) == 4
    assert "`promote` or `rollback` ends it, or `make deploy FORCE=1`" in shell.err
    assert RECORD not in fake.store.objects
    split = fake.split
    assert shell("deploy-check", "--overlay", overlay, "--force") == 0, shell.err
    assert "the canary of fashion-mnist/2 is discarded" in shell.out
    assert fake.split == split
    found = shell.json("history")
    assert [entry["action"] for entry in found] == ["found", "discarded"]
    assert (found[1]["revision"], found[0]["models"]["fashion-mnist"]) == ("2", "1")


def test_what_ran_before_is_rebuilt_whole(shell: Shell, fake: FakeCluster) -> None:
    """Image, command line and environment; what KServe and Knative add is not taken over."""
    fake.edit_spec(
        lambda spec: spec["predictor"]["containers"][0].update(env=[{"name": "A", "value": "1"}])
    )
    settle(fake)
    before = fake.service["spec"]["predictor"]

    def change(spec: dict[str, Any]) -> None:
        (container,) = spec["predictor"]["containers"]
        container["args"] = ["--workers=2", "--model=mnist=1", "--model=fashion-mnist=2"]
        container["image"] = "vision-predictor:next"
        container["env"] = [{"name": "A", "value": "2"}, {"name": "B", "value": "3"}]
        container["resources"] = {"limits": {"cpu": "4"}}
        spec["predictor"]["canaryTrafficPercent"] = 10

    fake.edit_spec(change)
    settle(fake)
    assert shell("rollback") == 0, shell.err
    assert fake.service["spec"]["predictor"] == before


@pytest.mark.parametrize("percent", [50, None])
def test_a_spec_that_knative_has_not_looked_at_is_taken_back(
    shell: Shell, fake: FakeCluster, percent: int | None
) -> None:
    """It may have come a moment ago, or be refused by Knative's webhook."""
    before = fake.service["spec"]["predictor"]
    fake.paused.add("_configuration")
    by_hand(fake, percent=percent)
    assert shell("status") == 0
    assert shell("promote") == (9 if percent is None else 4)
    fake.paused.clear()
    assert shell("rollback") == 0, shell.err
    assert fake.service["spec"]["predictor"] == before
    assert fake.served() == {OLD: 100}
    assert shell.json("status")["settled"]


def test_a_first_deployment_with_a_share_is_none_of_a_canary(
    shell: Shell, fake: FakeCluster, tmp_path: Path
) -> None:
    document = fake.service
    document["spec"]["predictor"]["canaryTrafficPercent"] = 10
    fake.store.objects["inferenceservices", "vision"] = {**document, "status": {}}
    fake.tick = lambda: None  # type: ignore[method-assign]
    overlay = str(write_overlay(tmp_path / "minikube"))
    assert shell("deploy-check", "--overlay", overlay) == 0, shell.err


def test_a_split_of_one_revision_is_ended_by_either(shell: Shell, fake: FakeCluster) -> None:
    for command in ("rollback", "promote"):
        fake.edit_spec(lambda spec: spec["predictor"].update(canaryTrafficPercent=20))
        settle(fake)
        assert shell("canary", "fashion-mnist", "2") == 4
        assert shell(command) == 0, shell.err
        assert fake.served() == {OLD: 100}
        assert "canaryTrafficPercent" not in fake.service["spec"]["predictor"]


def test_a_canary_by_hand_that_does_not_start(shell: Shell, fake: FakeCluster) -> None:
    fake.behaviours["--model=fashion-mnist=2"] = Behaviour("crash", log="boom")
    by_hand(fake)
    assert "canary of fashion-mnist/2: staging" in shell.json("status")["operation"]["text"]
    assert shell("promote") == 4
    assert "has not started yet" in shell.err
    assert RECORD not in fake.store.objects or not fake.record()["operation"]
    assert shell("rollback") == 0, shell.err
    assert fake.served() == {OLD: 100}
    assert shell.json("status")["settled"]


def test_a_canary_by_hand_that_answers_as_something_else_is_taken_back(
    shell: Shell, fake: FakeCluster
) -> None:
    fake.behaviours["--model=fashion-mnist=2"] = Behaviour(revision="1")
    by_hand(fake)
    assert shell("promote") == 3
    assert "answers with revision 1" in shell.err
    assert not fake.record()["operation"]
    assert shell("canary", "fashion-mnist", "2") == 3
    assert fake.served() == {OLD: 100}


def test_a_deployment_that_does_not_start_is_taken_back(shell: Shell, fake: FakeCluster) -> None:
    fake.behaviours["--model=fashion-mnist=2"] = Behaviour("crash", log="boom")
    by_hand(fake, percent=None)
    assert "`rollback` takes it back" in (shell("status") == 0 and shell.out)
    assert shell("canary", "mnist", "2") == 4
    assert "still rolling out" in shell.err
    assert shell("promote") == 9
    assert shell("rollback") == 0, shell.err
    assert fake.served() == {OLD: 100}
    assert shell.json("status")["settled"]
    assert [e["action"] for e in shell.json("history")] == ["found", "canary rolled back"]


def test_promote_does_not_write_what_does_not_run(
    shell: Shell, fake: FakeCluster, tmp_path: Path
) -> None:
    """A deployment that starts, or never will, is not what runs."""
    overlay = write_overlay(tmp_path / "minikube")
    fake.behaviours["--model=fashion-mnist=2"] = Behaviour("hang")
    by_hand(fake, percent=None)
    assert shell("promote", "--overlay", str(overlay)) == 9
    assert text(overlay) == TEXT


@pytest.mark.parametrize("command", [("promote",), ("canary", "fashion-mnist", "2")])
def test_a_refused_command_has_not_written_the_record(
    shell: Shell, fake: FakeCluster, command: tuple[str, ...]
) -> None:
    assert shell("canary", "fashion-mnist", "2", "--traffic", "50") == 0
    fake.edit_spec(lambda spec: spec["predictor"].update(timeout=30))
    settle(fake)
    before = {**fake.record(), "lock": None}
    assert shell(*command) == 5
    assert "`rollback` puts the recorded spec back" in shell.err
    assert fake.record() == before
    assert shell.json("status")["changed_elsewhere"]
    assert shell("rollback") == 0, shell.err
    assert fake.served() == {OLD: 100}
    discarded, ended = shell.json("history")[-2:]
    assert (discarded["action"], ended["action"]) == ("discarded", "canary rolled back")
    assert fake.record()["specs"][discarded["spec"]]["timeout"] == 30


def test_a_share_that_was_changed_by_hand_is_gone_on_with(shell: Shell, fake: FakeCluster) -> None:
    assert shell("canary", "fashion-mnist", "2", "--traffic", "50") == 0
    fake.edit_spec(lambda spec: spec["predictor"].update(canaryTrafficPercent=30))
    settle(fake)
    assert shell("canary", "fashion-mnist", "2", "--traffic", "60") == 0, shell.err
    assert "the share was changed without this program: 30 %" in shell.err
    assert fake.served() == {OLD: 40, NEW: 60}
    fake.edit_spec(lambda spec: spec["predictor"].update(canaryTrafficPercent=30))
    settle(fake)
    assert shell("promote") == 0, shell.err
    assert fake.served() == {NEW: 100}


def test_a_canary_that_goes_with_a_longer_rollback_stands_in_the_history(
    shell: Shell, fake: FakeCluster
) -> None:
    assert shell("canary", "fashion-mnist", "2") == 0
    assert shell("promote") == 0
    assert shell("canary", "fashion-mnist", "3") == 0
    assert shell("rollback", "--steps", "2") == 0, shell.err
    actions = [(e["action"], e["revision"]) for e in shell.json("history")]
    assert actions[1:] == [("promoted", "2"), ("canary rolled back", "3"), ("rolled back", "1")]


@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        (
            Behaviour("unschedulable", ticks=40),
            "vision-predictor-00002-pod: Unschedulable: 0/1 nodes are available: 1 Insufficient cpu"
            " (NotTriggerScaleUp: pod did not trigger scale-up)",
        ),
        (
            Behaviour("pull", ticks=8),
            "vision-predictor-00002-pod: ErrImagePull: no such image: nowhere"
            " (NotTriggerScaleUp: pod did not trigger scale-up)",
        ),
    ],
)
def test_what_keeps_a_pod_from_starting_is_said_at_once(
    shell: Shell, fake: FakeCluster, behaviour: Behaviour, told: str
) -> None:
    fake.behaviours["--model=fashion-mnist=2"] = behaviour
    event = {"type": "Warning", "reason": "NotTriggerScaleUp"}
    more = {"message": "pod did not trigger scale-up", "lastTimestamp": "2026-01-02T03:04:05Z"}
    old = {"type": "Warning", "reason": "Old", "message": "past", "lastTimestamp": "2026-01-01"}
    pod = "vision-predictor-00002-pod"
    fake.store.put("events", {"metadata": {"name": "b"}, "involved": pod, **event, **more})
    fake.store.put("events", {"metadata": {"name": "c"}, "involved": pod, **old})
    assert shell("canary", "fashion-mnist", "2") == 6
    first = next(line for line in shell.err.splitlines() if "waiting for" in line)
    assert first.endswith(f": {told}")
    assert "(0 of at most 300 s)" in first
    assert shell.err.count("(0 of at most 300 s)") == 1


class Beside(Clock):
    """A second command's clock: while the first is at work, its seconds are a while of ours."""

    def __init__(self, fake: FakeCluster, ended: list[int]) -> None:
        self.fake = fake
        self.ended = ended
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if not self.ended:
            threading.Event().wait(0.2)
            return
        for _ in range(max(1, round(seconds))):
            self.fake.tick()

    def moment(self) -> str:
        return "2026-01-02T04:00:00Z"


class Alternating(FakeClock):
    """The first command's clock, slow enough for another command to come between."""

    def sleep(self, seconds: float) -> None:
        threading.Event().wait(0.005)
        super().sleep(seconds)


def test_rollback_stops_a_command_at_work(shell: Shell, fake: FakeCluster) -> None:
    fake.behaviours["--model=fashion-mnist=2"] = Behaviour("hang")
    arguments = ["--cards", str(shell.cards), "--by"]
    first: list[int] = []

    def connect(_: object) -> Cluster:
        return Cluster(shell.api, NAMESPACE)

    def canary() -> None:
        command = ["canary", "fashion-mnist", "2", "--timeout", "100000", *arguments, "first"]
        first.append(main(command, connect, Alternating(fake)))

    thread = threading.Thread(target=canary)
    thread.start()
    while fake.store.get("knative/revisions", "vision-predictor-00002") is None:
        threading.Event().wait(0.01)

    clock = Beside(fake, first)
    assert main(["rollback", *arguments, "second"], connect, clock) == 0
    thread.join(30)
    assert first == [4]
    found = shell.capture.readouterr().err
    assert "asking it to stop" in found
    assert "stopped: second, process" in found
    assert fake.served() == {OLD: 100}
    assert fake.record()["lock"] is fake.record()["stop"] is fake.record()["operation"] is None
    assert json.dumps(fake.record()["history"]).count("canary rolled back") == 1


def test_rollback_takes_over_where_nobody_answers(shell: Shell, fake: FakeCluster) -> None:
    """A command that renews its lock and does not stop has lost it in the end."""
    assert shell("canary", "fashion-mnist", "2") == 0
    found = fake.store.get(*RECORD)
    assert found is not None
    found["data"]["lock"] = '{"holder": "zombie", "since": "2026-01-02T00:00:00Z", "renewed": 1}'
    fake.store.put("configmaps", found)
    original = fake.tick

    def tick() -> None:
        original()
        document = fake.store.get(*RECORD)
        assert document is not None
        if "zombie" in document["data"]["lock"]:
            lock = json.loads(document["data"]["lock"])
            document["data"]["lock"] = json.dumps({**lock, "renewed": lock["renewed"] + 1})
            fake.store.put("configmaps", document)

    fake.tick = tick  # type: ignore[method-assign]
    assert shell("canary", "fashion-mnist", "2", "--traffic", "20") == 4
    assert "zombie is at work since 2026-01-02T00:00:00Z; `rollback` stops it" in shell.err
    assert shell("rollback") == 0, shell.err
    assert "asking it to stop (30 s)" in shell.err
    assert fake.served() == {OLD: 100}
