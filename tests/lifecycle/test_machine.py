"""A run from what arrived to its end, with steps that take no time."""

from __future__ import annotations

from pathlib import Path

import pytest

from lifecycle.errors import NeedError
from lifecycle.found import Found
from lifecycle.machine import Work
from lifecycle.place import Place
from lifecycle.run import Run
from lifecycle.step import Decision, Step, Verdict
from registry.entry import Action
from rollout.experiments import Experiment, Experiments
from tests.conftest import write_small
from tests.lifecycle.stubs import (
    Dying,
    KilledError,
    Mailbox,
    Memory,
    arrive,
    machine,
    place_of,
    train,
    worse,
)

GOOD = [
    (Action.PUBLISHED, "1"),
    (Action.FOUND, "1"),
    (Action.DATA_ADDED, ""),
    (Action.TRAINED, ""),
    (Action.PUBLISHED, "2"),
    (Action.PROMOTED, "2"),
]
BAD = [*GOOD[:4], (Action.REFUSED, "")]


def told(place: Place) -> list[tuple[Action, str]]:
    return [(entry.action, entry.revision) for entry in place.registry.history.entries()]


def test_a_good_part_becomes_the_live_revision(place: Place) -> None:
    mailbox = Mailbox()
    run = machine(place, mailbox).advance(arrive(place))
    assert (run.state, run.revision, run.ended) == ("rolled-out", "2", True)
    assert place.live("mnist") == "2"
    assert told(place) == GOOD
    promoted = place.registry.history.entries()[-1]
    assert promoted.why == f"run {run.id}: mnist/2: 10 of 10 right, the live one 5"
    assert (place.models / "mnist" / "2" / "model.json").exists()
    (notice,) = mailbox.notices
    assert (notice.kind, notice.run.revision) == ("promoted", "2")


def test_a_second_delivery_does_nothing(place: Place) -> None:
    machine(place).advance(arrive(place))
    before = sorted(place.registry.store.keys(""))
    mailbox = Mailbox()
    assert machine(place, mailbox).advance(arrive(place)).ended
    assert sorted(place.registry.store.keys("")) == before
    assert mailbox.notices == []
    assert place.runs.open() == []


def test_a_worse_revision_is_refused_and_not_published(place: Place) -> None:
    mailbox = Mailbox()
    run = machine(place, mailbox, evaluated=worse).advance(arrive(place))
    assert run.state == "refused"
    assert run.why == "worse than mnist/1: 3 of 10 right, stable 5"
    assert run.evaluations["1"].details == {"p": 0.001}
    assert place.live("mnist") == "1"
    assert told(place) == BAD
    assert mailbox.notices[0].text == f"mnist: mnist/boots.npz is refused: {run.why}"


@pytest.mark.parametrize("is_done", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("good", [True, False], ids=["good", "worse"])
def test_wherever_it_is_killed_it_ends_in_one_of_two_states(
    tmp_path: Path, good: bool, is_done: bool
) -> None:
    """Every write of a run is the last one of its process once; then another one goes on."""
    works: dict[str, Work] = {} if good else {"evaluated": worse}
    for at in range(1, 100):
        folder, store = tmp_path / str(at), Memory()
        write_small(folder / "models", "mnist", "1", 1)
        place = place_of(folder, Dying(store, at, is_done))
        try:
            machine(place, **works).advance(arrive(place))
        except KilledError:
            pass
        else:
            assert at > 15, "nothing was killed"
            return
        after = place_of(folder, store)
        run = machine(after, **works).advance(arrive(after))
        assert run.ended, at
        assert told(after) == (GOOD if good else BAD), at
        assert after.live("mnist") == ("2" if good else "1"), at
        there = sorted(path.name for path in (after.models / "mnist").iterdir())
        assert there == (["1", "2"] if good else ["1"])
        after.registry.verify("mnist", after.live("mnist"))
    raise AssertionError("it never came to an end")


def test_two_at_once_publish_once(place: Place, tmp_path: Path) -> None:
    """Somebody else does the whole run while a step is at work."""

    def slow(own: Place, run: Run) -> Found:
        machine(place_of(tmp_path)).advance(run.id)
        return train(own, run)

    run = machine(place, trained=slow).advance(arrive(place))
    assert run.revision == "2"
    assert told(place) == GOOD


def test_a_number_that_somebody_takes_is_not_given_again(place: Place, tmp_path: Path) -> None:
    def evaluated(own: Place, run: Run) -> Found:
        own.registry.publish(write_small(tmp_path / "other", "mnist", "2", 9), "by hand")
        return Found("better", {})

    run = machine(place, evaluated=evaluated).advance(arrive(place))
    assert (run.revision, place.live("mnist")) == ("3", "3")


def test_a_failing_step_is_tried_again_and_ends_the_run_at_last(place: Place) -> None:
    def failing(own: Place, run: Run) -> Found:
        raise RuntimeError("out of memory")

    own = machine(place, trained=failing)
    id = arrive(place)
    for tries in (1, 2):
        run = own.advance(id)
        assert (run.state, run.failures) == ("checked", {Step.TRAINED: ["out of memory"] * tries})
    run = own.advance(id)
    assert run.why == "training failed 3 times: out of memory"
    assert run.ended
    assert place.live("mnist") == "1"


def test_what_is_missing_is_waited_for(place: Place) -> None:
    def needing(own: Place, run: Run) -> Found:
        raise NeedError("there is no test set")

    id = arrive(place)
    with pytest.raises(NeedError, match="no test set"):
        machine(place, checked=needing).advance(id)
    assert place.runs.read(id).failures == {}
    assert machine(place).advance(id).state == "rolled-out"


def approve(place: Place, id: str, step: Step) -> None:
    decision = Decision(step, Verdict.APPROVED, "2026-11-30T00:00:01Z", "ada")
    place.runs.decide(place.runs.read(id), decision)


def test_another_live_revision_means_another_evaluation(tmp_path: Path, place: Place) -> None:
    place = place_of(tmp_path, lifecycle_approvals="published")
    id, other = arrive(place), arrive(place, "mnist/other.npz", "sha256:" + "b" * 64)
    for waiting in (id, other):
        run = machine(place).advance(waiting)
        assert (run.state, run.waits) == ("evaluated", Step.PUBLISHED)
        approve(place, waiting, Step.PUBLISHED)
    assert machine(place).advance(other).revision == "2"
    run = machine(place, evaluated=worse).advance(id)
    assert sorted(run.evaluations) == ["1", "2"]
    assert run.state == "refused"
    assert place.live("mnist") == "2"


def test_people_who_cannot_be_told_are_told_later(tmp_path: Path, place: Place) -> None:
    place = place_of(tmp_path, lifecycle_approvals="trained")
    mailbox = Mailbox(is_open=False)
    id = arrive(place)
    assert machine(place, mailbox).advance(id).waits is Step.TRAINED
    mailbox.is_open = True
    for _ in range(2):
        machine(place, mailbox).advance(id)
    (notice,) = mailbox.notices
    assert (notice.kind, notice.awaits) == ("awaiting-approval", "trained")


def test_a_promotion_waits_for_an_experiment_of_the_model(
    tmp_path: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = place_of(tmp_path, rollout_experiments="http://127.0.0.1:1/metrics")
    runs = [Experiment("halves", "mnist", ("http://127.0.0.1:8081", "http://127.0.0.1:8090"))]
    asked = []

    def of(own: Experiments, model: str) -> list[Experiment]:
        asked.append((own.address, model))
        return runs

    monkeypatch.setattr(Experiments, "of", of)
    id = arrive(place)
    with pytest.raises(NeedError, match="stop it first"):
        machine(place).advance(id)
    assert place.live("mnist") == "1"
    runs.clear()
    assert machine(place).advance(id).state == "rolled-out"
    assert asked == [("http://127.0.0.1:1/metrics", "mnist")] * 2
