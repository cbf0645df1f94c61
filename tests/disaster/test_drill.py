from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from disaster import drill
from disaster.__main__ import main
from disaster.errors import DrillError
from disaster.worlds import World, folders


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """Whose servers answer with what the registry gave them."""

    @contextlib.contextmanager
    def answering(world: World) -> Iterator[str]:
        registry = drill.connect(world.settings, "drill")
        for model in drill.SERVED:
            registry.pull(model, "stable", world.folder / "models")
        yield str(world.folder / "models")

    def ask(url: str, model: str, picture: str) -> bytes:
        return b"".join(sorted(p.read_bytes() for p in (Path(url) / model).rglob("model.json")))

    monkeypatch.setattr(drill, "_answering", answering)
    monkeypatch.setattr(drill, "_ask", ask)
    monkeypatch.setattr(drill, "REQUESTS", 2)
    with folders(tmp_path / "drill") as made:
        yield made


def test_with_the_mirrors_nothing_is_lost(world: World) -> None:
    told: list[str] = []
    found = drill.run("folders", world, told.append)
    assert found.lost == 0
    assert 0 < found.recovery_seconds < 60
    assert len(told) == 5


def test_without_them_it_says_what_is_lost(world: World) -> None:
    settings = world.settings.model_copy(update={"registry_mirror": "", "accounts_mirror": ""})
    # A revision, an alias, and what was billed since the backup.
    lost = 2 + 2 * 2 * len(drill.SERVED)
    assert drill.run("folders", replace(world, settings=settings), lambda _: None).lost == lost


TAKEN = drill.Taken({"mnist": "a"}, {"acc_1": 5}, ["x", "y"], {"Secret/a": {}}, 20, 0)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"answers": {"mnist": "b"}}, "other answers"),
        ({"bills": {"acc_1": 6}}, "other bills"),
        ({"history": ["x", "z"]}, "another one"),
        ({"objects": {}}, "other objects"),
        ({"difference": 1}, "events and windows differ by 1"),
    ],
)
def test_what_came_back_as_another_ends_it(changed: dict[str, Any], message: str) -> None:
    assert drill._compared(TAKEN, TAKEN) == 0
    with pytest.raises(DrillError, match=message):
        drill._compared(TAKEN, replace(TAKEN, **changed))


def test_the_command_ends_with_7_where_something_is_lost(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(drill, "run", lambda name, *_: drill.Outcomes(name, 3, 12.34))
    monkeypatch.setattr("disaster.worlds.WORLDS", {"folders": folders})
    assert main(["drill"], {}) == 7
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].split() == ["folders", "same", "same", "3", "12.3"]
    assert "3 entries, bills and billed requests did not come back" in err
