"""Canary, promotion and rollback against controllers that behave like KServe's and Knative's."""

from __future__ import annotations

import pytest

from tests.rollout.conftest import Shell
from tests.rollout.fake_cluster import Behaviour, FakeCluster

OLD = ("fashion-mnist/1", "mnist/1")
NEW = ("fashion-mnist/2", "mnist/1")


def test_canary_gets_its_share_and_only_the_predictor_changes(
    shell: Shell, fake: FakeCluster
) -> None:
    transformer = fake.service["spec"]["transformer"]
    assert shell("canary", "fashion-mnist", "2") == 0, shell.err
    assert fake.served() == {OLD: 90, NEW: 10}
    assert fake.service["spec"]["transformer"] == transformer
    assert "vision-predictor-00002  canary  10 %" in shell.out


def test_nothing_but_the_stable_one_serves_until_the_new_one_is_ready(
    shell: Shell, fake: FakeCluster
) -> None:
    fake.splits.clear()
    assert shell("canary", "fashion-mnist", "2", "--traffic", "25") == 0, shell.err
    shares = [split.get("vision-predictor-00002", 0) for split in fake.splits]
    assert set(shares) == {0, 25}
    assert shares == sorted(shares)


def test_promotion_gives_everything(shell: Shell, fake: FakeCluster) -> None:
    assert shell("canary", "fashion-mnist", "2") == 0
    assert shell("promote", "--why", "better") == 0, shell.err
    assert fake.served() == {NEW: 100}
    assert "canaryTrafficPercent" not in fake.service["spec"]["predictor"]
    status = shell.json("status")
    assert status["settled"]
    assert status["stable"] == status["latest"] == "vision-predictor-00002"
    assert [e["action"] for e in shell.json("history")] == ["found", "promoted"]


def test_rollback_of_a_canary_leaves_no_bad_latest(shell: Shell, fake: FakeCluster) -> None:
    assert shell("canary", "fashion-mnist", "2") == 0
    fake.splits.clear()
    assert shell("rollback", "--why", "do not like it") == 0, shell.err
    assert fake.served() == {OLD: 100}
    status = shell.json("status")
    assert status["settled"]
    assert status["latest"] == status["stable"] == "vision-predictor-00003"
    shares = [split.get("vision-predictor-00002", 0) for split in fake.splits]
    assert shares == sorted(shares, reverse=True)


@pytest.mark.parametrize("route_first", [False, True])
def test_every_share_is_of_what_was_promoted_or_its_canary(
    shell: Shell, fake: FakeCluster, route_first: bool
) -> None:
    """With the Route reconciled first, KServe would take a canary's start for a rollback."""
    fake.route_first = route_first
    for revision in ("2", "3"):
        assert shell("canary", "fashion-mnist", revision) == 0, shell.err
        assert shell("promote") == 0, shell.err
    fake.splits.clear()
    assert shell("canary", "mnist", "2", "--traffic", "50") == 0, shell.err
    allowed = {
        ("fashion-mnist/3", "mnist/1"),
        ("fashion-mnist/3", "mnist/2"),
    }
    for split in fake.splits:
        for name, percent in split.items():
            if percent:
                assert tuple(f"{m}/{r}" for m, r in fake.models_of(name).items()) in allowed


def test_rollback_goes_any_number_of_steps(shell: Shell, fake: FakeCluster) -> None:
    for revision in ("2", "3"):
        assert shell("canary", "fashion-mnist", revision) == 0, shell.err
        assert shell("promote") == 0, shell.err
    assert shell("canary", "mnist", "2") == 0
    assert shell("promote") == 0
    assert shell("rollback", "--steps", "2", "--why", "two back") == 0, shell.err
    assert fake.served() == {("fashion-mnist/2", "mnist/1"): 100}
    assert shell("rollback") == 0, shell.err
    assert fake.served() == {OLD: 100}
    assert shell("rollback") == 9
    assert "the history reaches 0 step(s) back" in shell.err
    actions = [e["action"] for e in shell.json("history")]
    assert actions == ["found", "promoted", "promoted", "promoted", "rolled back", "rolled back"]


def test_rollback_of_a_promotion_takes_effect_before_the_old_spec_has_started(
    shell: Shell, fake: FakeCluster
) -> None:
    assert shell("canary", "fashion-mnist", "2") == 0
    assert shell("promote") == 0
    fake.behaviours["--model=fashion-mnist=1"] = Behaviour(ticks=60)
    fake.ages["vision-predictor-00001"] = 1000
    fake.splits.clear()
    assert shell("rollback") == 0, shell.err
    served = [fake.models_of(max(s, key=s.__getitem__))["fashion-mnist"] for s in fake.splits]
    assert served.index("1") < 10
    assert len(served) > 60
    assert set(served[served.index("1") :]) == {"1"}


def test_rollback_with_a_canary_open_counts_the_canary(shell: Shell, fake: FakeCluster) -> None:
    assert shell("canary", "fashion-mnist", "2") == 0
    assert shell("promote") == 0
    assert shell("canary", "fashion-mnist", "3", "--traffic", "30") == 0
    assert shell("rollback", "--steps", "2") == 0, shell.err
    assert fake.served() == {OLD: 100}


def test_a_second_canary_is_refused(shell: Shell, fake: FakeCluster) -> None:
    assert shell("canary", "fashion-mnist", "2") == 0
    before = fake.service
    assert shell("canary", "mnist", "2") == 4
    assert "the canary of fashion-mnist/2 is open" in shell.err
    assert fake.service == before


def test_the_same_canary_again_changes_the_share(shell: Shell, fake: FakeCluster) -> None:
    assert shell("canary", "fashion-mnist", "2") == 0
    assert shell("canary", "fashion-mnist", "2", "--traffic", "40") == 0, shell.err
    assert fake.served() == {OLD: 60, NEW: 40}


def test_what_runs_already_is_no_canary(shell: Shell, fake: FakeCluster) -> None:
    assert shell("canary", "fashion-mnist", "1") == 0
    assert "runs already" in shell.err
    assert not fake.record()["operation"]


def test_dry_runs_change_nothing(shell: Shell, fake: FakeCluster) -> None:
    assert shell("canary", "fashion-mnist", "2", "--dry-run") == 0, shell.err
    assert "write fashion-mnist=2 (was 1)" in shell.out
    assert shell("canary", "fashion-mnist", "9", "--dry-run") == 3
    assert shell("canary", "fashion-mnist", "2", "--dry-run", "--image", "not an image") == 8
    assert "bad image name" in shell.err
    assert fake.writes == []
    assert shell("canary", "fashion-mnist", "2") == 0
    done = len(fake.writes)
    for command in ("promote", "rollback"):
        assert shell(command, "--dry-run") == 0, shell.err
        assert shell.out.startswith("would ")
    assert len(fake.writes) == done


def test_promote_without_a_canary(shell: Shell) -> None:
    assert shell("promote") == 9
    assert "no canary is open" in shell.err


def test_another_image_can_come_with_a_revision(shell: Shell, fake: FakeCluster) -> None:
    assert shell("canary", "fashion-mnist", "2", "--image", "vision-predictor:next") == 0
    assert shell("promote") == 0
    container = fake.service["spec"]["predictor"]["containers"][0]
    assert container["image"] == "vision-predictor:next"
    assert shell("rollback") == 0, shell.err
    container = fake.service["spec"]["predictor"]["containers"][0]
    assert container["image"] == "vision-predictor:dev"
