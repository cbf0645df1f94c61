"""Commands that are cut off, and commands that meet: the split stays whole, and one goes on."""

from __future__ import annotations

import threading

import pytest

from common.kubernetes import Cluster
from tests.rollout.conftest import Killed, Shell
from tests.rollout.fake_cluster import NAMESPACE, Behaviour, FakeCluster

OLD = ("fashion-mnist/1", "mnist/1")
NEW = ("fashion-mnist/2", "mnist/1")

WRITES = 14
"""More than any command does. Dying before a write is dying after the one before it."""


def killed(shell: Shell, die_at: int, *command: str) -> bool:
    """Whether the command was killed at its n-th write; False where it ended before that."""
    cluster = shell.mortal(die_at)
    try:
        assert shell(*command, cluster=cluster) == 0, shell.err
    except Killed:
        return True
    return False


def no_stray_traffic(fake: FakeCluster, allowed: set[tuple[str, ...]]) -> None:
    for split in fake.splits:
        assert sum(split.values()) == 100
        for name, percent in split.items():
            if percent:
                assert tuple(f"{m}/{r}" for m, r in fake.models_of(name).items()) in allowed


@pytest.mark.parametrize("die_at", range(1, WRITES))
def test_canary_killed_at_any_write_goes_on(shell: Shell, fake: FakeCluster, die_at: int) -> None:
    fake.splits.clear()
    if killed(shell, die_at, "canary", "fashion-mnist", "2"):
        for _ in range(5):
            fake.tick()
        assert set(fake.served()) <= {OLD, NEW}
        assert fake.served()[OLD] >= 90
        assert shell("canary", "fashion-mnist", "2") == 0, shell.err
    assert fake.served() == {OLD: 90, NEW: 10}
    no_stray_traffic(fake, {OLD, NEW})
    assert shell("promote") == 0, shell.err
    assert fake.served() == {NEW: 100}


@pytest.mark.parametrize("die_at", range(1, WRITES))
def test_canary_killed_at_any_write_can_be_taken_back(
    shell: Shell, fake: FakeCluster, die_at: int
) -> None:
    if killed(shell, die_at, "canary", "fashion-mnist", "2"):
        fake.splits.clear()
        status = shell("rollback")
        assert status == 0 or not fake.record()["operation"], shell.err
        assert fake.served() == {OLD: 100}
        no_stray_traffic(fake, {OLD, NEW})
        assert shell.json("status")["settled"]


@pytest.mark.parametrize("die_at", range(1, WRITES))
@pytest.mark.parametrize("command", ["promote", "rollback"])
def test_promotion_and_rollback_killed_at_any_write_go_on(
    shell: Shell, fake: FakeCluster, die_at: int, command: str
) -> None:
    assert shell("canary", "fashion-mnist", "2") == 0
    fake.splits.clear()
    if killed(shell, die_at, command):
        for _ in range(5):
            fake.tick()
        no_stray_traffic(fake, {OLD, NEW})
        again = shell(command)
        assert again == 0 or not fake.record()["operation"], shell.err
    assert fake.served() == {NEW if command == "promote" else OLD: 100}
    no_stray_traffic(fake, {OLD, NEW})
    assert shell.json("status")["settled"]


@pytest.mark.parametrize("die_at", range(1, WRITES))
def test_rollback_of_a_promotion_killed_at_any_write_goes_on(
    shell: Shell, fake: FakeCluster, die_at: int
) -> None:
    assert shell("canary", "fashion-mnist", "2") == 0
    assert shell("promote") == 0
    fake.splits.clear()
    if killed(shell, die_at, "rollback"):
        again = shell("rollback")
        # Killed after its last write it is done, and there is nothing further down.
        assert again == 0 or (again == 9 and not fake.record()["operation"]), shell.err
    assert fake.served() == {OLD: 100}
    no_stray_traffic(fake, {OLD, NEW})


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
def test_control_c_leaves_a_whole_split_and_no_lock(
    shell: Shell, fake: FakeCluster, at: int
) -> None:
    shell.clock.interrupt_at = at
    if shell("canary", "fashion-mnist", "2") == 130:
        assert "goes on from there" in shell.err
        assert fake.record()["lock"] is None
        assert set(fake.served()) <= {OLD, NEW}
        assert shell("canary", "fashion-mnist", "2") == 0, shell.err
    assert fake.served() == {OLD: 90, NEW: 10}


def test_a_command_at_work_keeps_others_out(shell: Shell, fake: FakeCluster) -> None:
    """The one at work renews its lock at every pass; a dead one would not."""
    fake.behaviours["--model=fashion-mnist=2"] = Behaviour(ticks=30)
    second: list[str] = []
    original = fake.tick
    passes = 0

    def tick() -> None:
        nonlocal passes
        passes += 1
        original()
        if passes == 12:
            from rollout.__main__ import main

            arguments = ["canary", "mnist", "2", "--cards", str(shell.cards), "--by", "other"]
            second.append(
                str(main(arguments, lambda _: Cluster(shell.api, NAMESPACE), Watching(shell)))
            )

    fake.tick = tick  # type: ignore[method-assign]
    assert shell("canary", "fashion-mnist", "2") == 0, shell.err
    assert second == ["4"]
    assert fake.served() == {OLD: 90, NEW: 10}


class Watching:
    """The second command's clock; while it sleeps, the first one's lock goes on being renewed."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        found = self.shell.fake.store.get("configmaps", "vision-rollout")
        assert found is not None
        found["data"]["lock"] = found["data"]["lock"].replace('"renewed":', '"renewed":1')
        self.shell.fake.store.put("configmaps", found)

    def moment(self) -> str:
        return "2026-01-02T03:04:05Z"


def test_a_change_by_somebody_else_stops_a_canary(shell: Shell, fake: FakeCluster) -> None:
    fake.behaviours["--model=fashion-mnist=2"] = Behaviour(ticks=30)
    original = fake.tick
    passes = 0

    def tick() -> None:
        nonlocal passes
        passes += 1
        if passes == 5:
            fake.edit_spec(lambda spec: spec["predictor"].update(timeout=30))
        original()

    fake.tick = tick  # type: ignore[method-assign]
    assert shell("canary", "fashion-mnist", "2") == 5
    assert "somebody else changed InferenceService vision" in shell.err
    assert fake.served() == {OLD: 100}
    assert shell.json("status")["changed_elsewhere"]
    assert shell("canary", "fashion-mnist", "2") == 5
    assert shell("rollback") == 0, shell.err
    assert shell.json("status")["settled"]


def test_edits_that_come_between_read_and_write_are_not_lost(
    shell: Shell, fake: FakeCluster
) -> None:
    """The InferenceService's metadata changes just before each of our writes of it."""
    busy: list[str] = []

    def meddle(method: str, plural: str, name: str) -> None:
        if plural == "inferenceservices" and len(busy) < 3:
            busy.append(name)
            document = fake.service
            document["metadata"].setdefault("labels", {})[f"edit-{len(busy)}"] = "1"
            fake.store.put("inferenceservices", document)

    fake.before_write = meddle
    assert shell("canary", "fashion-mnist", "2") == 0, shell.err
    labels = fake.service["metadata"]["labels"]
    assert labels == {"edit-1": "1", "edit-2": "1", "edit-3": "1"}
    assert fake.served() == {OLD: 90, NEW: 10}


def test_two_that_begin_at_once(shell: Shell, fake: FakeCluster) -> None:
    """Many threads swap one record; every change is in it in the end."""
    from rollout.clock import Clock
    from rollout.ledger import Ledger
    from rollout.record import Action

    def write(number: int) -> None:
        cluster = Cluster(shell.api, NAMESPACE)
        ledger = Ledger(cluster, "vision", f"writer {number}", Clock(), lambda _: None)
        for _ in range(3):
            ledger.change(
                lambda record: record.with_entry(Action.REFUSED, "now", str(number), "why")
            )

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = fake.record()["history"]
    assert [e["number"] for e in entries] == list(range(1, 13))
