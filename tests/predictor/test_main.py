from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import pytest
import torch

import predictor.__main__ as entry
from predictor.held import Held
from predictor.model import PredictorModel
from tests.conftest import write_small


class FakeServer:
    """Remembers what it was started with, in place of the real one."""

    started: list[PredictorModel] | None = None

    def __init__(self, settings: Any, options: Any, heartbeat: Any, service: str) -> None:
        assert service == "vision-predictor"
        self.settings = settings

    def start(self, models: list[PredictorModel]) -> None:
        FakeServer.started = models


@pytest.fixture(autouse=True)
def threads(monkeypatch: pytest.MonkeyPatch, small_root: Path) -> list[int]:
    found: list[int] = []
    FakeServer.started = None
    monkeypatch.setattr(entry, "VisionServer", FakeServer)
    monkeypatch.setattr(entry, "configure_logs", lambda settings, options: None)
    monkeypatch.setattr(torch, "set_num_threads", found.append)
    monkeypatch.setenv("VISION_MODEL_ROOT", str(small_root))
    for name in ("VISION_WORKERS", "VISION_MAX_INSTANCES", "VISION_LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)
    return found


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["predictor", *arguments])
    return entry.main()


def revisions(models: list[PredictorModel] | None) -> list[str]:
    assert models is not None
    assert all(model.ready for model in models)
    return [model._source.card.identity for model in models]


def test_by_default_it_holds_the_newest_of_every_model(
    monkeypatch: pytest.MonkeyPatch, threads: list[int]
) -> None:
    assert run(monkeypatch) == 0
    models = FakeServer.started or []
    assert [model._source.card.identity for model in models] == ["fashion-mnist/2", "mnist/2"]
    assert all(model.on_demand for model in models)
    assert threads == []  # each is loaded by its first request


def test_arguments_choose_revisions_and_folders(
    monkeypatch: pytest.MonkeyPatch, small_root: Path, threads: list[int]
) -> None:
    monkeypatch.setenv("VISION_WORKERS", "3")
    folder = small_root / "mnist" / "2"
    arguments = ["--model=fashion-mnist=2", f"--model=mnist={folder}"]
    assert run(monkeypatch, *arguments) == 0
    assert revisions(FakeServer.started) == ["fashion-mnist/2", "mnist/2"]
    assert set(threads) == {1}
    shared = {cast(Held, model._source)._pool for model in FakeServer.started or []}
    assert [len(pool._workers) for pool in shared] == [3]


def test_a_folder_alone_is_served_under_the_name_that_kserve_gives(
    monkeypatch: pytest.MonkeyPatch, small_root: Path
) -> None:
    assert run(monkeypatch, f"--model={small_root / 'mnist' / '2'}", "--model_name=flowers") == 0
    (model,) = FakeServer.started or []
    assert (model.name, revisions([model])) == ("flowers", ["mnist/2"])


def test_what_lies_in_a_tree_is_loaded_on_demand_beside_what_is_named(
    monkeypatch: pytest.MonkeyPatch, small_root: Path, tmp_path: Path
) -> None:
    write_small(tmp_path, "flowers", "1", 0)
    assert run(monkeypatch, f"--model={tmp_path}", "--model=mnist=1") == 0
    flowers, mnist = FakeServer.started or []
    assert [flowers.name, flowers.ready, flowers.on_demand] == ["flowers", False, True]
    assert [mnist.name, mnist.ready, mnist.on_demand] == ["mnist", True, False]


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "expected"),
    [
        (["--model=mnist"], {}, 2, "--model=mnist: which revision?"),
        (["--model=mnist=1", "--model=mnist=2"], {}, 2, "--model=mnist is given 2 times"),
        ([], {"VISION_WORKERS": "-1"}, 2, "VISION_WORKERS='-1'"),
        ([], {"VISION_MAX_INSTANCES": "x"}, 2, "VISION_MAX_INSTANCES='x'"),
        (["--model=mnist=9"], {}, 1, "revisions under"),
        (["--model=/nowhere"], {}, 1, "/nowhere holds neither a revision"),
        (["--model=land-cover=1"], {}, 1, "land-cover"),
        (["--model=mnist=/nowhere"], {}, 1, "/nowhere"),
    ],
)
def test_a_wrong_start_is_refused_with_a_plain_message(
    arguments: list[str],
    environment: dict[str, str],
    code: int,
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert run(monkeypatch, *arguments) == code
    shown = capsys.readouterr().err + caplog.text
    assert expected in shown
    assert "Traceback" not in shown
    assert FakeServer.started is None
