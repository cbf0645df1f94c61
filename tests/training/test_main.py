from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import training.__main__ as entry
import training.classification as task
from artifact import open_revision, revisions_of
from tests.conftest import write_small
from tests.training.synthetic import data, settings
from training.checkpoint import read_checkpoint
from training.loop import CHECKPOINT, RESULT, read_result

SMALL = [
    "--arguments={channels: 1, classes: 10, stem: 4, widths: [4], hidden: [4], blocks: [0]}",
    "--epochs=1",
    "--batch-size=16",
    "--test-batch-size=20",
    "--validation=20",
    "--precision=fp32",
    "--threads=1",
]


@pytest.fixture(autouse=True)
def synthetic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "load_data", lambda name, folder: data())


def train(folder: Path, *more: str) -> int:
    places = [f"--models={folder / 'models'}", f"--runs={folder / 'runs'}"]
    return entry.main([*places, *SMALL, *more])


def test_from_data_to_a_revision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(tmp_path, "--seeds", "1", "2") == 0
    card = open_revision(tmp_path / "models", "mnist", "1").card
    assert [seed.seed for seed in card.metrics.seeds] == [1, 2]
    assert "wrote" in capsys.readouterr().out
    assert train(tmp_path, "--seeds", "1", "2") == 0
    assert "seed 1: finished earlier" in capsys.readouterr().out
    assert revisions_of(tmp_path / "models", "mnist") == ["1", "2"]


def test_seeds_can_be_spread_over_processes(tmp_path: Path) -> None:
    assert train(tmp_path, "--seeds", "3", "--only-fit") == 0
    assert not (tmp_path / "models").exists()
    folder = tmp_path / "runs" / "mnist" / "seed-3"
    assert {path.name for path in folder.iterdir()} == {CHECKPOINT, RESULT}
    assert len(read_result(folder).history) == 1


def test_a_dry_run_leaves_models_and_runs_alone(tmp_path: Path) -> None:
    assert train(tmp_path, "--dry-run", "--epochs=50") == 0
    assert not (tmp_path / "models").exists()
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {"dry-run"}
    assert revisions_of(tmp_path / "runs" / "dry-run" / "models", "mnist") == ["1"]


def test_a_revision_that_exists_is_refused_before_any_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_small(tmp_path / "models", "mnist", "1", seed=0)
    assert train(tmp_path, "--revision=1") == 1
    captured = capsys.readouterr()
    assert captured.err == "training: mnist/1 exists; a revision is never overwritten\n"
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset=nope"], "training: no preset 'nope'"),
        (["--parent=mnist/9"], "training: model mnist has no revision at"),
        (["--teacher=other"], "training: no finished run in"),
        (["--start=other"], "training: no finished run in"),
    ],
)
def test_a_mistake_gets_a_plain_message(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    assert train(tmp_path, *arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith(message)
    assert error.count("\n") == 1


def test_a_child_has_its_parents_architecture(tmp_path: Path) -> None:
    parent = write_small(tmp_path, "mnist", "1", seed=0)
    weights, found = task.parent_of(settings(parent="mnist/1", arguments={}), tmp_path)
    assert weights is not None
    assert found.arguments == parent.card.architecture.arguments
    assert task.parent_of(settings(), tmp_path) == (None, settings())


def test_a_teacher_may_be_another_network_than_its_student(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = {"stem": 8, "widths": [8], "hidden": [8], "blocks": [1]}
    large |= {"channels": 1, "classes": 10}
    monkeypatch.setattr("training.settings.PRESETS", tmp_path)
    (tmp_path / "large.yaml").write_text(yaml.safe_dump({"arguments": large}), "utf-8")
    (tmp_path / "small.yaml").write_text("", "utf-8")
    places = ["--preset=large", f"--arguments={large}", "--only-fit"]
    assert train(tmp_path, *places) == 0
    [teacher] = task.teachers_of(settings(teacher="large"), tmp_path / "runs", tmp_path)
    assert sum(p.numel() for p in teacher.parameters()) > 1000
    taught = ["--preset=small", "--teacher=large", "--teacher-views=3", "--only-fit"]
    assert train(tmp_path, *taught, "--dry-run") == 0
    runs = tmp_path / "runs"
    tried = read_checkpoint(runs / "dry-run" / "small" / task.VIEWS)[0]["views"]
    assert tried["logits"].shape == (1, 16, 10)
    assert train(tmp_path, *taught, "--seeds", "0", "1") == 0
    views = read_checkpoint(runs / "small" / task.VIEWS)[0]["views"]
    assert views["logits"].shape == (3, 48, 10)


def test_the_contract_comes_from_the_training_images() -> None:
    contract = task.contract_for(data())
    spec = contract.input
    assert spec.shape == (1, 28, 28)
    pixels = data().train.images / 255
    assert spec.mean == (pytest.approx(pixels.mean(), abs=1e-4),)
    assert spec.std == (pytest.approx(pixels.std(), abs=1e-4),)
    assert contract.labels == data().labels
