"""A rollout beside a registry: what may be rolled out, and what the history says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from artifact import open_revision
from registry.connect import connect
from registry.entry import Action
from registry.folder import FolderStore
from registry.revisions import Registry
from registry.settings import RegistrySettings
from tests.rollout.conftest import Killed, Shell


@pytest.fixture
def registry(tmp_path: Path, cards: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Named by the environment; it has all revisions but ``mnist/3``."""
    url = str(tmp_path / "store")
    monkeypatch.setenv("VISION_REGISTRY", url)
    FolderStore(Path(url)).set_up()
    made = connect(RegistrySettings(registry=url), "ada")
    for model, revision in (("fashion-mnist", "1"), ("mnist", "1"), ("mnist", "2")):
        made.publish(open_revision(cards, model, revision))
    return made


def told(registry: Registry) -> list[tuple[str, str]]:
    """Action and identity of what rollouts wrote."""
    return [
        (entry.action.value, entry.identity)
        for entry in registry.history.entries()
        if entry.action is not Action.PUBLISHED
    ]


def test_promotions_and_rollbacks_stand_in_one_history(shell: Shell, registry: Registry) -> None:
    assert shell("canary", "mnist", "2", "--why", "more data") == 0
    assert shell("promote") == 0
    assert shell("rollback", "--why", "wrong sevens") == 0
    assert told(registry) == [
        ("found", "fashion-mnist/1"),
        ("found", "mnist/1"),
        ("promoted", "mnist/2"),
        ("rolled back", "mnist/1"),
    ]
    (live,) = [t for t in registry.state().live_at("9999") if t.model == "mnist"]
    assert (live.service, live.revision, live.why, live.by) == (
        "vision",
        "1",
        "wrong sevens",
        "tester",
    )
    assert registry.state().resolve("mnist", "stable") == "1"


def test_a_canary_that_was_taken_back_was_never_live(shell: Shell, registry: Registry) -> None:
    assert shell("canary", "mnist", "2") == 0
    assert shell("rollback") == 0
    assert told(registry)[-1] == ("canary rolled back", "mnist/2")
    assert {t.revision for t in registry.state().live if t.model == "mnist"} == {"1"}


def test_what_nobody_could_go_back_to_is_refused(shell: Shell, registry: Registry) -> None:
    assert shell("canary", "mnist", "3") != 0
    assert "`vision registry publish mnist/3` puts it there" in shell.err
    assert told(registry) == []


def test_another_card_than_the_published_one_is_refused(
    shell: Shell, registry: Registry, cards: Path, tmp_path: Path
) -> None:
    other = tmp_path / "cards" / "mnist" / "2"
    other.mkdir(parents=True)
    text = (cards / "mnist" / "2" / "model.json").read_text()
    (other / "model.json").write_text(text + "\n")
    shell.cards = tmp_path / "cards"
    assert shell("canary", "mnist", "2") != 0
    assert "but it was published as sha256:" in shell.err


def test_a_registry_that_was_away_is_brought_up(
    shell: Shell, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VISION_REGISTRY")
    assert shell("canary", "mnist", "2") == 0
    assert shell("promote") == 0
    assert told(registry) == []
    monkeypatch.setenv("VISION_REGISTRY", registry.store.url)
    for _ in range(2):
        assert shell("status") == 0
    assert told(registry) == [
        ("found", "fashion-mnist/1"),
        ("found", "mnist/1"),
        ("promoted", "mnist/2"),
    ]


def test_a_killed_command_leaves_no_gap(shell: Shell, registry: Registry) -> None:
    assert shell("canary", "mnist", "2") == 0
    for die_at in range(1, 12):
        try:
            shell("promote", cluster=shell.mortal(die_at))
            break
        except Killed:
            continue
    shell("promote")
    assert shell("status") == 0
    assert told(registry).count(("promoted", "mnist/2")) == 1


def test_a_setting_that_is_wrong_is_told(
    shell: Shell, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISION_REGISTRY", "gs://bucket")
    assert shell("status") != 0
    assert "neither s3://bucket/prefix nor a folder" in shell.err
