"""The same as with real data, in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.entry import Action
from tests.lifecycle.scenes import bad_part, good_part, shifted, synthetic
from tests.training.synthetic import images


@pytest.mark.slow
def test_four_parts_arrive(tmp_path: Path) -> None:
    shop = synthetic(tmp_path)
    history = shop.place.registry.history
    run = shop.drop("bad.npz", bad_part())
    assert run.why.startswith("worse than mnist/1: the pinned test set:")
    assert (history.entries()[-1].action, shop.place.live("mnist")) == (Action.REFUSED, "1")

    run = shop.drop("late.npz", good_part())
    assert (run.state, shop.place.live("mnist")) == ("rolled-out", "2")
    card = shop.place.card("mnist")
    assert (len(card.training["data_parts"]), len(card.training["data_without"])) == (2, 1)
    assert card.parent == "mnist/1"
    (report,) = shop.place.runs.reports(run).values()
    assert report.startswith("# mnist/2 against mnist/1")
    assert "Accepted." in report
    entries = history.entries()
    assert "the new data's held-out part" in entries[-1].why

    assert shop.drop("again.npz", good_part()).id == run.id
    assert history.entries() == entries

    run = shop.drop("wrong.npz", shifted(images(200, 5)))
    assert "of the labels are wrong" in run.why
    assert [e.action for e in history.entries()[len(entries) :]] == [Action.DATA_REFUSED]
    assert shop.place.live("mnist") == "2"
