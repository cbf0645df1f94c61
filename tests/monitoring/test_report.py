"""What is left of each error budget, as a table's rows."""

from __future__ import annotations

import pytest

from monitoring import report


def test_of_a_model_that_nobody_has_asked_no_share_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    labels = {"model_name": "mnist", "objective": "latency"}
    said = {"vision:error_budget_left:ratio": "NaN"}
    monkeypatch.setattr(
        report,
        "ask",
        lambda url, query: [{"metric": labels, "value": [0, said.get(query, "0")]}],
    )
    assert report.budget_rows("http://x") == [("mnist", "all", "latency", "0", "0.000%", "–")]
