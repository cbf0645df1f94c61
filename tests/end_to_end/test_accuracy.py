"""The official test sets through both processes give the accuracy that the cards say."""

from __future__ import annotations

from pathlib import Path

import pytest

from local.service import LocalService
from tests.end_to_end.conftest import start
from training import evaluate_service


def evaluate(url: str, model: str, revision: str, data: Path) -> int:
    return evaluate_service.main(
        ["--url", url, "--model", model, "--revision", revision, "--data", str(data)]
    )


@pytest.mark.data
@pytest.mark.parametrize("model", ["mnist", "fashion-mnist"])
def test_first_revision(service: LocalService, data: Path, model: str) -> None:
    assert evaluate(service.url, model, "1", data) == 0


@pytest.mark.data
def test_second_revision(tmp_path: Path, data: Path) -> None:
    with start(tmp_path, {"fashion-mnist": "2"}) as service:
        assert evaluate(service.url, "fashion-mnist", "2", data) == 0
