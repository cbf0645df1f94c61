"""Without a cluster: the revisions that the tests on one need can be made from the shipped ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from artifact import open_revision
from predictor.engines import EngineError
from predictor.loading import load_revision
from tests.conftest import SHIPPED
from tests.on_cluster.conftest import BROKEN, MODEL, RUINED
from tests.on_cluster.test_land_cover import another


def test_the_tests_own_revisions_stand_beside_every_shipped_one(cards: Path) -> None:
    stable = open_revision(cards, MODEL, "1")
    for revision in (RUINED, BROKEN):
        assert open_revision(cards, MODEL, revision).card.contract == stable.card.contract
    shipped = {folder.name for folder in (SHIPPED / MODEL).iterdir()}
    assert {folder.name for folder in (cards / MODEL).iterdir()} == {RUINED, BROKEN, *shipped}


def test_land_cover_once_more_is_the_same_revision_under_another_number(cards: Path) -> None:
    new = another(cards)
    new.check_files()
    assert new.card.weights == open_revision(cards, "land-cover", "1").card.weights


def test_what_is_ruined_is_served_without_torch_and_what_is_broken_is_not(cards: Path) -> None:
    """Images of the predictor are built with torch and without; the tests hold for both."""
    assert load_revision(cards, MODEL, RUINED, "onnxruntime").engine == "onnxruntime"
    with pytest.raises(EngineError):
        load_revision(cards, MODEL, BROKEN, "onnxruntime")
