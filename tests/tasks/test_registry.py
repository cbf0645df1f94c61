"""Tasks are found by name: this project's by their folders, others' by entry points."""

from __future__ import annotations

import importlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from artifact import CardError, InvalidCardError, ModelCard
from artifact.tasks import find_part, part_names
from tasks import Task, TaskError, find_task, task_names, task_of_outputs
from tests.conftest import ROOT, make_card, make_contract

SERVING = ("tasks", "transformer", "predictor.programs")
ROOMS = (*SERVING, "training")
TASKS = [
    "classification",
    "detection",
    "embedding",
    "keypoints",
    "regression",
    "segmentation",
]


@pytest.fixture
def counting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package with a task ``counting``, a part in every room."""
    package = tmp_path / "counting_task.py"
    package.write_text(
        "from tasks.classification.task import Classification\n"
        "class Counting(Classification):\n"
        "    name = 'counting'\n"
        "    outputs = ('count',)\n"
        "TASK = Counting()\n"
        "PART = object()\n"
    )
    info = tmp_path / "counting_task-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: counting-task\nVersion: 1.0\n")
    points = [f"[vision.{room}]\ncounting = counting_task:PART\n" for room in ROOMS[1:]]
    points.append("[vision.tasks]\ncounting = counting_task:TASK\n")
    (info / "entry_points.txt").write_text("\n".join(points))
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    monkeypatch.delitem(sys.modules, "counting_task", raising=False)


def test_every_task_has_a_part_in_every_room_that_serves() -> None:
    assert task_names() == TASKS
    for room in SERVING:
        assert part_names(room) == TASKS
    assert part_names("training") == ["classification", "segmentation"]


@pytest.mark.parametrize("name", task_names())
def test_a_task_has_the_name_it_is_found_by(name: str) -> None:
    task = find_task(name)
    assert isinstance(task, Task)
    assert task.name == name
    assert task_of_outputs(task.outputs) is task


def test_an_unknown_task_is_refused_and_the_known_ones_are_named() -> None:
    document = make_card(contract=replace(make_contract(), task="divination")).to_json()
    with pytest.raises(InvalidCardError) as caught:
        ModelCard.from_json(document)
    (fault,) = caught.value.faults
    assert fault.field == "contract.task"
    assert fault.reason == f"'divination' is none of {', '.join(TASKS)}"


@pytest.mark.parametrize("name", ["task", "registry", "errors", "os", "classification.task"])
def test_a_module_that_is_no_task_is_not_one(name: str) -> None:
    with pytest.raises(CardError):
        find_part("tasks", name)


@pytest.mark.usefixtures("counting")
def test_an_installed_package_brings_a_task_to_every_room() -> None:
    assert task_names() == sorted([*TASKS, "counting"])
    assert find_task("counting").name == "counting"
    assert task_of_outputs(["count"]).name == "counting"
    for room in ROOMS[1:]:
        assert find_part(room, "counting") is not None
    document = make_card(contract=replace(make_contract(), task="counting")).to_json()
    assert ModelCard.from_json(document).contract.task == "counting"


def test_a_model_may_have_more_outputs_than_its_task_needs() -> None:
    task = find_task("detection")
    assert task_of_outputs([*task.outputs, "keypoints"]) is task


def test_outputs_of_no_task() -> None:
    with pytest.raises(TaskError, match="the outputs boxes, scores"):
        task_of_outputs(["scores", "boxes"])


def test_tasks_need_neither_torch_nor_pillow() -> None:
    code = (
        "import sys, tasks\n"
        "for name in tasks.task_names(): tasks.find_task(name)\n"
        "print([m for m in ('torch', 'PIL', 'kserve', 'serving') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
