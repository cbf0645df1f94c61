"""Without a cluster: the revisions that the tests on one need can be made from the shipped ones."""

from __future__ import annotations

from pathlib import Path

from artifact import open_revision
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
