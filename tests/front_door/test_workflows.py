"""The workflows run what people run: make's own targets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))


def commands(workflow: Path) -> list[str]:
    document: dict[str, Any] = yaml.safe_load(workflow.read_text())
    steps = [step for job in document["jobs"].values() for step in job["steps"]]
    return [line for step in steps for line in step.get("run", "").splitlines()]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_every_make_command_is_a_target(workflow: Path) -> None:
    called = [line.split()[1] for line in commands(workflow) if line.startswith("make ")]
    assert called, "a workflow that runs none of make's targets"
    assert set(called) <= TARGETS


def test_lint_tests_images_and_a_cluster_are_run() -> None:
    called = {line.split()[1] for w in WORKFLOWS for line in commands(w) if line.startswith("make")}
    assert {"lint", "test", "images", "cluster", "deploy", "test-cluster"} <= called


def test_all_supported_versions_of_python_are_tested() -> None:
    document = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    tested = document["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert tested == ["3.10", "3.11", "3.12", "3.13"]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_may_only_read_unless_it_says_so(workflow: Path) -> None:
    assert yaml.safe_load(workflow.read_text())["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(workflow: Path) -> None:
    """A tag can be moved to other code; a commit cannot."""
    for used in re.findall(r"uses: (.+)", workflow.read_text()):
        assert re.fullmatch(r"[\w/.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", used), used
