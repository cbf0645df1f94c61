from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rollout.labelled import load_labelled
from tests.training.arrival.conftest import CLASSES
from training.arrival.__main__ import main


class Run:
    """``vision data``, with a folder as the store."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.environment = {"VISION_REGISTRY": str(folder / "store")}
        self._capsys = capsys

    def __call__(self, *arguments: str | Path, status: int = 0) -> str:
        given = [*(str(argument) for argument in arguments), "--by", "ada"]
        assert main(given, self.environment) == status
        shown = self._capsys.readouterr()
        return shown.out + shown.err


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(tmp_path, capsys)


def test_from_a_part_to_a_file(run: Run, npz: Callable[..., Path], tmp_path: Path) -> None:
    assert "200 pictures more, 0 left out" in run("add", "clothes", npz(200), "--why", "spring")
    assert "already: nothing changed" in run("add", "clothes", npz(200))
    assert run("list").splitlines()[1].split()[::2] == ["clothes", "1", "184"]
    shown = run("show", "clothes")
    assert "data added by ada, sha256:" in shown
    assert shown.rstrip().endswith(": spring")
    document = json.loads(run("show", "clothes", "--json"))
    assert document["classes"] == list(CLASSES)
    named = f"clothes@{document['digest'][7:19]}"
    assert "200 pictures in 1 parts" in run("verify", named)
    assert "# part.npz, for clothes" in run("report", "clothes", "--folder", tmp_path / "report")
    assert (tmp_path / "report" / "classes.png").is_file()
    run("pull", named, tmp_path / "tests.npz", "--split", "heldout")
    assert len(load_labelled(str(tmp_path / "tests.npz"), "clothes")) == 16


def test_what_goes_wrong_is_said(run: Run, npz: Callable[..., Path], tmp_path: Path) -> None:
    assert "data show: there is no data set clothes" in run("show", "clothes", status=4)
    assert "cannot be the name" in run("add", "../clothes", npz(), status=3)
    (tmp_path / "empty").mkdir()
    assert "has no labelled pictures" in run("add", "clothes", tmp_path / "empty", status=1)
