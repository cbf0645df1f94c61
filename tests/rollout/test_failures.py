"""Revisions that do not start or are not what they should be: the good spec comes back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from artifact import write_revision
from tests.conftest import make_card, make_contract, make_weights
from tests.rollout.conftest import Shell
from tests.rollout.fake_cluster import Behaviour, FakeCluster

OLD = ("fashion-mnist/1", "mnist/1")
REFUSED_LOAD = json.dumps(
    {"level": "CRITICAL", "message": "fashion-mnist/2: the weights do not fit the architecture"}
)


@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        (Behaviour("crash", log="starting\nRuntimeError: boom"), ["RuntimeError: boom", "again"]),
        (Behaviour("crash", log=REFUSED_LOAD), ["again and again: fashion-mnist/2: the weights"]),
        (Behaviour("pull"), ["ImagePullBackOff: its image cannot be pulled", "nowhere"]),
        (Behaviour("hang", log="still loading"), ["not ready after 300 s", "| still loading"]),
        (Behaviour("unschedulable"), ["Unschedulable", "Insufficient cpu"]),
    ],
)
def test_a_failed_start_is_told_and_taken_back(
    shell: Shell, fake: FakeCluster, behaviour: Behaviour, told: list[str]
) -> None:
    fake.behaviours["--model=fashion-mnist=2"] = behaviour
    fake.splits.clear()
    assert shell("canary", "fashion-mnist", "2") == 6
    for text in told:
        assert text in shell.err
    assert "the spec and the split from before are back" in shell.err
    assert fake.served() == {OLD: 100}
    assert all(
        set(split) <= {"vision-predictor-00001", "vision-predictor-00003"} for split in fake.splits
    )
    status = shell.json("status")
    assert status["settled"]
    assert status["models"] == {"fashion-mnist": "1", "mnist": "1"}
    entry = shell.json("history")[-1]
    assert (entry["action"], entry["revision"]) == ("failed to start", "2")
    assert shell("canary", "fashion-mnist", "3") == 0, shell.err


def test_a_failure_of_a_moment_is_waited_out(shell: Shell, fake: FakeCluster) -> None:
    behaviour = fake.behaviours["--model=fashion-mnist=2"] = Behaviour("start", ticks=8)
    original = fake.tick

    def flaky() -> None:
        original()
        name = "vision-predictor-00002"
        found = fake.store.get("knative/revisions", name)
        if found and 3 <= fake.ages[name] < behaviour.ticks:
            found["status"]["conditions"][0].update(status="False", reason="ExitCode1")
            fake.store.put("knative/revisions", found, status=True)

    fake.tick = flaky  # type: ignore[method-assign]
    assert shell("canary", "fashion-mnist", "2") == 0, shell.err


def test_knative_alone_calling_it_failed_is_believed_in_the_end(
    shell: Shell, fake: FakeCluster
) -> None:
    fake.behaviours["--model=fashion-mnist=2"] = Behaviour("hang")
    original = fake.tick

    def failing() -> None:
        original()
        found = fake.store.get("knative/revisions", "vision-predictor-00002")
        if found:
            found["status"]["conditions"][0].update(
                status="False", reason="ContainerMissing", message="Unable to fetch image"
            )
            fake.store.put("knative/revisions", found, status=True)

    fake.tick = failing  # type: ignore[method-assign]
    fake.store.objects.pop(("pods", "vision-predictor-00002-pod"), None)
    assert shell("canary", "fashion-mnist", "2") == 6
    assert shell.clock.now < 100
    assert fake.served() == {OLD: 100}


def test_a_spec_that_knative_refuses_is_told_by_the_event(shell: Shell, fake: FakeCluster) -> None:
    fake.paused.add("_configuration")
    fake.store.put(
        "events",
        {
            "metadata": {"name": "event"},
            "involved": "vision",
            "type": "Warning",
            "reason": "InternalError",
            "message": 'admission webhook "validation.webhook.serving.knative.dev" denied',
        },
    )

    def recover(method: str, plural: str, name: str) -> None:
        if plural == "inferenceservices" and shell.clock.now > 250:
            fake.paused.clear()

    fake.before_write = recover
    assert shell("canary", "fashion-mnist", "2") == 6
    assert "InternalError: admission webhook" in shell.err
    assert fake.served() == {OLD: 100}


def test_when_the_old_spec_does_not_come_up_either_traffic_stays_where_it_is(
    shell: Shell, fake: FakeCluster
) -> None:
    fake.behaviours["--model=fashion-mnist=2"] = Behaviour("crash")
    fake.ages["vision-predictor-00001"] = 1000
    fake.behaviours["--model=fashion-mnist=1"] = Behaviour("start", ticks=900)
    assert shell("canary", "fashion-mnist", "2") == 7
    assert "on the previous Knative revision, vision-predictor-00001" in shell.err
    assert fake.split["vision-predictor-00001"] == 100
    assert shell("canary", "fashion-mnist", "2") == 4
    assert shell("promote") == 4
    fake.behaviours["--model=fashion-mnist=1"].ticks = 2
    assert shell("rollback") == 0, shell.err
    assert fake.served() == {OLD: 100}
    assert shell.json("status")["settled"]


@pytest.mark.parametrize(
    ("behaviour", "told"),
    [
        (Behaviour(digest="sha256:" + "f" * 64), "answers with digest sha256:ffff"),
        (Behaviour(revision="1"), "answers with revision 1, not 2"),
    ],
)
def test_a_pod_that_answers_as_something_else_gets_no_traffic(
    shell: Shell, fake: FakeCluster, behaviour: Behaviour, told: str
) -> None:
    fake.behaviours["--model=fashion-mnist=2"] = behaviour
    fake.splits.clear()
    assert shell("canary", "fashion-mnist", "2") == 3
    assert told in shell.err
    assert all(not split.get("vision-predictor-00002") for split in fake.splits)
    assert fake.served() == {OLD: 100}
    assert shell.json("history")[-1]["action"] == "refused"


def test_revisions_that_are_not_admitted(
    shell: Shell, fake: FakeCluster, cards: Path, tmp_path: Path
) -> None:
    assert shell("canary", "fashion-mnist", "9") == 3
    assert "no revision at" in shell.err

    other = make_card("fashion-mnist", "9", contract=make_contract(mean=(0.5,)))
    write_revision(tmp_path, other, make_weights(0))
    (tmp_path / "fashion-mnist" / "1").symlink_to(cards / "fashion-mnist" / "1")
    shell.cards = tmp_path
    assert shell("canary", "fashion-mnist", "9") == 3
    assert "a new contract takes a model name of its own" in shell.err

    weights = tmp_path / "fashion-mnist" / "9" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert shell("canary", "fashion-mnist", "9") == 3
    assert "but its card names" in shell.err
    assert fake.writes == [("POST", "configmaps", "vision-rollout")] + [
        ("PUT", "configmaps", "vision-rollout")
    ] * (len(fake.writes) - 1)


def test_a_card_without_weights_is_enough_here(
    shell: Shell, fake: FakeCluster, cards: Path, tmp_path: Path
) -> None:
    """The weights may be in the image alone; the pod's own digest is compared then."""
    for revision in ("1", "2"):
        folder = tmp_path / "fashion-mnist" / revision
        folder.mkdir(parents=True)
        card = cards / "fashion-mnist" / revision / "model.json"
        (folder / "model.json").write_bytes(card.read_bytes())
    shell.cards = tmp_path
    assert shell("canary", "fashion-mnist", "2") == 0, shell.err


def test_unknown_models_and_services(shell: Shell) -> None:
    assert shell("canary", "land-cover", "2") == 9
    assert "no InferenceService that holds land-cover" in shell.err
    assert shell("status", "--service", "other") == 9


def test_an_inference_service_that_cannot_do_canaries(shell: Shell, fake: FakeCluster) -> None:
    document = fake.service
    document["metadata"]["annotations"].pop("serving.kserve.io/enable-tag-routing")
    fake.store.put("inferenceservices", document)
    assert shell("canary", "fashion-mnist", "2") == 3
    assert "enable-tag-routing" in shell.err


def test_without_a_pod_left_the_check_is_left_out_and_said(shell: Shell, fake: FakeCluster) -> None:
    original = fake.tick

    def tick() -> None:
        original()
        fake.scale_to_zero("vision-predictor-00002")

    fake.tick = tick  # type: ignore[method-assign]
    assert shell("canary", "fashion-mnist", "2") == 0, shell.err
    assert "has no pod any more that could be asked" in shell.err
