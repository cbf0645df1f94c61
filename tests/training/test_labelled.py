"""A labelled set of one's own, asked of a service."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from artifact import Contract, EmbeddingContract, ImageInput, Whole
from client.http import PredictClient, PredictError, Reply
from rollout.errors import NotFoundError
from tasks import Question
from tests.conftest import make_contract
from tests.transformer.detection.programs import box_contract
from training.labelled import evaluate, is_labelled_set

BOX = b'{"predictions": [{"detections": [{"label": "red", "score": 0.9, "box": [1, 1, 9, 9]}]}]}'


class Told(PredictClient):
    """Gives the same answer to every picture."""

    def __init__(self, body: bytes) -> None:
        super().__init__("http://localhost:1")
        self._body = body

    def ask(self, model: str, question: Question) -> Reply:
        assert question.body
        return Reply(self._body, "3")


def written(path: Path, labels: np.ndarray) -> str:
    images = np.zeros((len(labels), 16, 16, 3), np.uint8)
    np.savez_compressed(path / "set.npz", images=images, labels=labels)
    return str(path / "set.npz")


def printed(
    capsys: pytest.CaptureFixture[str], contract: Contract, body: bytes, source: str
) -> list[str]:
    assert evaluate(Told(body), contract, "thing", "", source) == 0
    return capsys.readouterr().out.splitlines()


def test_detection_prints_average_precision(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = np.array([[[1, 1, 9, 9, 0]], [[1, 1, 9, 15, 0]]], np.float32)
    source = written(tmp_path, labels)
    lines = printed(capsys, box_contract(Whole(), "black"), BOX, source)
    # The first picture is right at every threshold, the second one, at 0.57, at two of ten.
    assert lines[0] == "thing/3: 2 pictures over HTTP"
    assert lines[2] == "  AP50: 1.0000"
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["AP", "AP50", "AP75"]


def test_embeddings_of_classes_print_recall(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = make_contract().input_as(ImageInput)
    contract = EmbeddingContract("embedding", spec, ("vector",), dimension=2)
    body = b'{"predictions": [{"embedding": [0.6, 0.8]}]}'
    lines = printed(capsys, contract, body, written(tmp_path, np.array([1, 1, 1])))
    assert lines[1:] == [f"  recall@{count}: 1.0000" for count in (1, 5, 10)]


def test_other_tasks_print_their_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    body = b'{"predictions": [{"label": "7"}]}'
    lines = printed(capsys, make_contract(), body, written(tmp_path, np.array([7, 1, 7])))
    assert lines[1:] == ["  2 of 3 right"]


def test_the_revision_must_be_the_one_that_is_wanted(tmp_path: Path) -> None:
    source = written(tmp_path, np.array([7]))
    with pytest.raises(PredictError, match="revision 3 answered, not 2"):
        evaluate(Told(b"{}"), make_contract(), "thing", "2", source)


def test_what_is_no_labelled_set(tmp_path: Path) -> None:
    assert is_labelled_set("photos.npz")
    assert not is_labelled_set("data")
    assert not is_labelled_set(None)
    (tmp_path / "set.npz").write_bytes(io.BytesIO(b"nothing").read())
    with pytest.raises(NotFoundError):
        evaluate(Told(b"{}"), make_contract(), "thing", "", str(tmp_path / "set.npz"))
