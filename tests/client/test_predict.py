from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from client import predict
from client.http import PredictError, Reply
from tasks import Question, find_task

ANSWER: dict[str, Any] = {
    "model_name": "fashion-mnist",
    "model_version": "2",
    "predictions": [
        {
            "label": "Ankle boot",
            "class_id": 9,
            "probability": 0.5,
            "top": [
                {"label": "Ankle boot", "probability": 0.5},
                {"label": "Bag", "probability": 0.3333},
                {"label": "Shirt", "probability": 0.00001},
            ],
        }
    ],
}


class Service:
    """Stands in for ``PredictClient``; answers, or fails with ``error``."""

    error: PredictError | None = None
    closed = False
    calls: list[tuple[str, str, Question]]

    def __init__(self, url: str) -> None:
        self.url = url

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        Service.closed = True

    def outputs(self, model: str) -> list[str]:
        task = "segmentation" if model == "land-cover" else "classification"
        return list(find_task(task).outputs) if model != "detector" else ["boxes"]

    def ask(self, model: str, question: Question) -> Reply:
        Service.calls.append((self.url, model, question))
        if Service.error is not None:
            raise Service.error
        if model == "land-cover":
            assert question.accept == "image/png"
            return Reply(b"\x89PNG of " + question.body, "1")
        return Reply(json.dumps(ANSWER).encode(), "2")


@pytest.fixture(autouse=True)
def service(monkeypatch: pytest.MonkeyPatch) -> None:
    Service.error, Service.calls, Service.closed = None, [], False
    monkeypatch.setattr(predict, "PredictClient", Service)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["predict", *arguments])
    return predict.main()


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "x.png"
    path.write_bytes(b"png")
    return path


def test_a_picture_becomes_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], picture: Path
) -> None:
    assert (
        run(monkeypatch, str(picture), "--model", "fashion-mnist", "--port", "9", "--top-k=3") == 0
    )
    assert capsys.readouterr().out.splitlines() == [
        "fashion-mnist, revision 2",
        "  Ankle boot   50.00%  " + "█" * 15,
        "  Bag          33.33%  " + "█" * 10,
        "  Shirt         0.00%",
    ]
    ((url, model, question),) = Service.calls
    assert (url, model) == ("http://localhost:9", "fashion-mnist")
    sent = json.loads(question.body)
    assert base64.b64decode(sent["instances"][0]["base64"]) == b"png"
    assert sent["parameters"] == {"top_k": 3}


def test_a_model_of_an_unknown_task_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], picture: Path
) -> None:
    assert run(monkeypatch, str(picture), "--model", "detector") == 1
    assert "a model with the outputs boxes is of no known task" in capsys.readouterr().err


def test_a_service_elsewhere(monkeypatch: pytest.MonkeyPatch, picture: Path) -> None:
    assert run(monkeypatch, str(picture), "--url", "http://example.test:81") == 0
    assert Service.calls[0][0] == "http://example.test:81"
    assert Service.closed


@pytest.mark.parametrize(
    ("name", "reason"), [("missing.png", "No such file or directory"), (".", "Is a directory")]
)
def test_a_picture_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    name: str,
    reason: str,
) -> None:
    path = tmp_path / name
    assert run(monkeypatch, str(path)) == 1
    assert capsys.readouterr().err == f"predict: {path}: {reason}\n"
    assert Service.calls == []


def test_a_refusal_is_shown_as_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], picture: Path
) -> None:
    Service.error = PredictError("404: model 'x' not found; available: mnist", 404)
    assert run(monkeypatch, str(picture)) == 1
    assert capsys.readouterr().err == "predict: 404: model 'x' not found; available: mnist\n"


def test_no_service_comes_with_a_hint(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], picture: Path
) -> None:
    Service.error = PredictError("cannot reach http://localhost:8080: refused")
    assert run(monkeypatch, str(picture)) == 1
    assert "is `make run` running in another shell?" in capsys.readouterr().err


def test_a_segmentation_models_answer_is_a_picture(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    picture: Path,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(monkeypatch, str(picture), "--model", "land-cover") == 0
    assert capsys.readouterr().out == "land-cover, revision 1\n  wrote x-land-cover.png\n"
    assert (tmp_path / "x-land-cover.png").read_bytes() == b"\x89PNG of png"
