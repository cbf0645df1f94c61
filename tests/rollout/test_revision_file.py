"""The overlay's revision file follows promotions and rollbacks, and deployments are checked."""

from __future__ import annotations

from pathlib import Path

import pytest

from rollout.errors import NotFoundError, RefusedError
from rollout.revision_file import RevisionFile
from tests.rollout.conftest import Shell
from tests.rollout.fake_cluster import FakeCluster

TEXT = """\
# Which revision of each model is served. Promotion writes this file.
- op: replace
  path: /spec/predictor/containers/0/args/0
  value: --model=fashion-mnist=1
- op: replace
  path: /spec/predictor/containers/0/args/1
  value: --model=mnist=1
"""


@pytest.fixture
def overlay(tmp_path: Path) -> Path:
    (tmp_path / "revisions.yaml").write_text(TEXT)
    return tmp_path


def text(overlay: Path) -> str:
    return (overlay / "revisions.yaml").read_text()


def test_only_the_revision_changes(overlay: Path) -> None:
    file = RevisionFile.open(overlay)
    assert file.models == {"fashion-mnist": "1", "mnist": "1"}
    changed = file.with_models({"mnist": "12"})
    assert changed.text == TEXT.replace("--model=mnist=1", "--model=mnist=12")
    assert "+  value: --model=mnist=12" in file.difference(changed)
    assert file.difference(file) == ""


@pytest.mark.parametrize("value", ['"--model=mnist=1"', "'--model=mnist=1'"])
def test_quotes_stay(tmp_path: Path, value: str) -> None:
    (tmp_path / "revisions.yaml").write_text(f"[{{op: replace, path: /a, value: {value}}}]\n")
    changed = RevisionFile.open(tmp_path).with_models({"mnist": "2"})
    assert changed.models == {"mnist": "2"}
    assert changed.text.count(value[0]) == 2


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="cannot be read"):
        RevisionFile.open_all(tmp_path)
    (tmp_path / "revisions.yaml").write_text("kind: Patch\n")
    with pytest.raises(RefusedError, match="not a list of JSON patch operations"):
        _ = RevisionFile.open(tmp_path).models
    (tmp_path / "revisions.yaml").write_text(TEXT)
    with pytest.raises(NotFoundError, match="no --model=land-cover"):
        RevisionFile.open(tmp_path).with_models({"land-cover": "1"})


def test_promotion_and_rollback_write_the_file(shell: Shell, overlay: Path) -> None:
    assert shell("canary", "fashion-mnist", "2") == 0
    assert text(overlay) == TEXT
    assert shell("promote", "--dry-run", "--overlay", str(overlay)) == 0
    assert text(overlay) == TEXT
    assert shell("promote", "--overlay", str(overlay)) == 0, shell.err
    assert text(overlay) == TEXT.replace("fashion-mnist=1", "fashion-mnist=2")
    assert "+  value: --model=fashion-mnist=2" in shell.out
    assert shell("rollback", "--overlay", str(overlay)) == 0, shell.err
    assert text(overlay) == TEXT


def test_a_file_left_behind_is_brought_up_by_promoting_again(shell: Shell, overlay: Path) -> None:
    assert shell("canary", "fashion-mnist", "2") == 0
    assert shell("promote") == 0
    assert shell("deploy-check", "--overlay", str(overlay)) == 3
    assert "deploying would undo that" in shell.err
    assert shell("promote", "--overlay", str(overlay)) == 0, shell.err
    assert text(overlay) == TEXT.replace("fashion-mnist=1", "fashion-mnist=2")
    assert shell("deploy-check", "--overlay", str(overlay)) == 0
    assert shell("promote", "--overlay", str(overlay)) == 9


def test_an_overlay_made_of_several(shell: Shell, tmp_path: Path) -> None:
    for model in ("fashion-mnist", "mnist"):
        (tmp_path / model).mkdir()
        line = f"- {{op: replace, path: /a/0, value: --model={model}=1}}\n"
        (tmp_path / model / "revisions.yaml").write_text(line)
    assert shell("canary", "mnist", "2") == 0
    assert shell("promote", "--overlay", str(tmp_path)) == 0, shell.err
    assert "--model=mnist=2" in text(tmp_path / "mnist")
    assert "--model=fashion-mnist=1" in text(tmp_path / "fashion-mnist")


def test_deploying_under_an_open_canary_is_refused(shell: Shell, overlay: Path) -> None:
    assert shell("deploy-check", "--overlay", str(overlay)) == 0
    assert "deploying undoes nothing" in shell.out
    assert shell("canary", "fashion-mnist", "2") == 0
    assert shell("deploy-check", "--overlay", str(overlay)) == 4
    assert "end it with `promote` or `rollback`" in shell.err


def test_deploying_a_revision_that_never_ran_is_told(shell: Shell, overlay: Path) -> None:
    assert shell("canary", "fashion-mnist", "2") == 0
    assert shell("promote", "--overlay", str(overlay)) == 0
    RevisionFile.open(overlay).with_models({"fashion-mnist": "3"}).write()
    assert shell("deploy-check", "--overlay", str(overlay)) == 0
    assert "replaces fashion-mnist/2 at once, without a canary" in shell.out


def test_a_first_deployment_needs_no_check(shell: Shell, fake: FakeCluster, overlay: Path) -> None:
    fake.store.objects.clear()
    fake.tick = lambda: None  # type: ignore[method-assign]
    assert shell("deploy-check", "--overlay", str(overlay)) == 0, shell.err
