"""What is dropped into the inbox, and what people say of it, by the commands."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lifecycle import watch as watch_module
from lifecycle.__main__ import main as lifecycle
from lifecycle.found import Found
from lifecycle.inbox import Inbox, digest_of
from lifecycle.step import Step
from lifecycle.watch import main as watch
from registry.__main__ import main as registry
from registry.connect import connect
from registry.datasets import Datasets
from registry.samples import Samples
from registry.settings import RegistrySettings
from tests.conftest import write_small
from tests.lifecycle.stubs import WORKS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a live revision, and steps that take no time."""
    write_small(tmp_path / "models", "mnist", "1", 1)
    monkeypatch.setattr(
        watch_module, "works_of", lambda service, steps: {step: WORKS[step] for step in steps}
    )
    monkeypatch.setenv("VISION_REGISTRY", str(tmp_path / "store"))
    monkeypatch.setenv("VISION_LIFECYCLE_INBOX", str(tmp_path / "inbox"))
    return tmp_path


def look(folder: Path, *options: str) -> int:
    where = [f"--models={folder / 'models'}", f"--scratch={folder / 'work'}", "--seconds=0.01"]
    return watch(["--once", "--by=ada", *where, *options])


def drop(folder: Path, name: str, value: int = 1) -> Path:
    path = folder / "inbox" / "mnist" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.full(3, value))
    return path


def said(capsys: pytest.CaptureFixture[str], call: Callable[..., int], *arguments: str) -> Any:
    capsys.readouterr()
    assert call([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_part_becomes_a_revision_and_again_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drop(folder, "boots.npy")
    assert look(folder) == 0
    (run,) = said(capsys, lifecycle, "list")
    assert (run["state"], run["revision"]) == ("rolled-out", "2")
    history = said(capsys, registry, "history")
    drop(folder, "boots-again.npy")
    for _ in range(2):
        assert look(folder) == 0
    assert len(said(capsys, lifecycle, "list")) == 1
    assert said(capsys, registry, "history") == history
    live = said(capsys, registry, "history", "--at", "2999-01-01T00:00:00Z")
    assert [(t["service"], t["revision"]) for t in live] == [("local", "2")]
    assert live[0]["why"].endswith("mnist/2: 10 of 10 right, the live one 5")


def test_one_can_go_back(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert lifecycle(["rollback", "mnist", "--why=odd answers"]) == 3
    assert "mnist has no revision to go back to" in capsys.readouterr().err
    drop(folder, "boots.npy")
    assert look(folder) == 0
    said(capsys, lifecycle, "rollback", "mnist", "--why=odd answers")
    (live,) = said(capsys, registry, "history", "--at", "2999-01-01T00:00:00Z")
    assert (live["revision"], live["why"]) == ("1", "odd answers")


def test_every_part_has_a_run_of_its_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drop(folder, "one.npy", 1)
    drop(folder, "two.npy", 2)
    assert look(folder) == 0
    assert [run["revision"] for run in said(capsys, lifecycle, "list")] in (["2", "3"], ["3", "2"])


def test_a_person_lets_it_go_on_or_ends_it(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISION_LIFECYCLE_APPROVALS", "trained,rolled-out")
    drop(folder, "one.npy", 1)
    drop(folder, "two.npy", 2)
    assert look(folder) == 0
    one, two = (run["run"] for run in said(capsys, lifecycle, "list"))
    assert [run["waits for"] for run in said(capsys, lifecycle, "list")] == ["trained"] * 2
    assert lifecycle(["approve", one, "--by=bea", "--why=looks good"]) == 0
    assert lifecycle(["reject", two, "--by=bea", "--why=blurred"]) == 0
    assert look(folder) == 0
    states = {run["run"]: run for run in said(capsys, lifecycle, "list")}
    assert states[two]["why"] == "trained was rejected by bea: blurred"
    assert states[one]["waits for"] == "rolled-out"
    assert lifecycle(["approve", one, "--by=cy"]) == 0
    assert look(folder) == 0
    shown = said(capsys, lifecycle, "show", one)
    assert shown["state"] == "rolled-out"
    assert [(d["step"], d["verdict"], d["by"], d["why"]) for d in shown["decisions"]] == [
        ("rolled-out", "approved", "cy", ""),
        ("trained", "approved", "bea", "looks good"),
    ]
    told = [(e["action"], e["by"], e["why"]) for e in said(capsys, registry, "history")]
    assert ("approved", "bea", "looks good") in told
    assert ("rejected", "bea", "blurred") in told
    assert lifecycle(["approve", one]) == 3
    assert f"{one} waits for nobody: it is rolled-out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["show", "mnist-0"], 4, "there is no run mnist-0; there are: none"),
        (["approve", "mnist-0"], 4, "there is no run mnist-0"),
        (["start", "mnist", "--because=drift"], 4, "there is no data set mnist"),
    ],
)
def test_what_is_not_there_is_said(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    status: int,
    message: str,
) -> None:
    assert lifecycle(arguments) == status
    assert message in capsys.readouterr().err


def test_a_reason_starts_a_run_without_a_part_once(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = connect(RegistrySettings(registry=str(folder / "store")), "ada")
    images = [np.full((2, 2), i, np.uint8) for i in range(3)]
    Datasets(own).add("mnist", Samples.of(images, ["0", "1", "2"], ("0", "1", "2")))
    for is_new in (True, False):
        assert said(capsys, lifecycle, "start", "mnist", "--because=drift")["new"] is is_new
    assert look(folder) == 0
    (run,) = said(capsys, lifecycle, "list")
    assert (run["what"], run["state"], run["revision"]) == ("drift", "rolled-out", "2")
    assert said(capsys, lifecycle, "start", "mnist", "--because=drift")["new"] is True


def test_a_job_that_is_stopped_does_not_pass_for_one_that_is_done(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: object) -> Found:
        raise KeyboardInterrupt

    works = {**WORKS, Step.TRAINED: stopped}
    monkeypatch.setattr(watch_module, "works_of", lambda service, steps: works)
    drop(folder, "boots.npy")
    assert look(folder) == 130


def test_steps_of_others_are_left_to_them(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drop(folder, "boots.npy")
    assert look(folder, "--steps=checked,trained,evaluated,published") == 0
    assert said(capsys, lifecycle, "list")[0]["state"] == "published"
    assert look(folder, "--steps=rolled-out") == 0
    assert said(capsys, lifecycle, "list")[0]["state"] == "rolled-out"
    with pytest.raises(SystemExit):
        look(folder, "--steps=guessed")


@pytest.mark.parametrize("step", ["arrived", "guessed"])
def test_a_wrong_setting_is_refused_by_name(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setenv("VISION_LIFECYCLE_APPROVALS", step)
    assert look(folder) == 2
    assert f"VISION_LIFECYCLE_APPROVALS='{step}': {step} is no step" in capsys.readouterr().err


def test_what_is_still_written_to_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inbox = Inbox(str(tmp_path / "inbox"))
    path = drop(tmp_path, "boots.npy")
    drop(tmp_path, "other.npy")
    drop(tmp_path, "copying.part.npy").rename(path.with_name("copying.part"))
    stamp = path.stat().st_mtime

    def write(_seconds: float) -> None:
        os.utime(path, (stamp, stamp + 5))

    monkeypatch.setattr(time, "sleep", write)
    assert [part.path for part in inbox.settled(1)] == ["mnist/other.npy"]


def test_a_folder_is_the_same_whatever_it_is_called(tmp_path: Path) -> None:
    for name in ("one", "two"):
        for label in ("a", "b"):
            (tmp_path / name / label).mkdir(parents=True)
            (tmp_path / name / label / "1.png").write_bytes(label.encode())
    (tmp_path / "two" / ".DS_Store").write_bytes(b"")
    assert digest_of(tmp_path / "one") == digest_of(tmp_path / "two")
    (tmp_path / "two" / "a" / "1.png").rename(tmp_path / "two" / "b" / "2.png")
    assert digest_of(tmp_path / "one") != digest_of(tmp_path / "two")
