"""A rollout's record, written by the rollout itself, as drawings."""

from __future__ import annotations

import json

import pytest

from console.canary import parse_record
from console.evidence import HEIGHT, quantile_ms, read_evidence
from tests.console.record import calls, ended_record, progress, record


def test_the_gate_the_holds_and_their_intervals_are_shown():
    found = read_evidence(progress())
    assert [s.score for s in found.gate] == ["98.90 %", "99.00 %"]
    assert "1000 labelled images to both: 984 answered alike" in found.gate_text
    assert [(h.percent, h.calls, h.share) for h in found.holds] == [(10, 10, 0.1), (50, 50, 0.5)]
    assert found.holds[0].canary == "97 of 100 right"
    share, score, time = found.charts
    assert [text for text, _ in share.steps] == ["10 %", "50 %"]
    assert share.asked[1][1] == HEIGHT / 2
    assert len(score.marks) == len(time.marks) == 4
    for mark in score.marks:
        assert 0 <= mark.high_y < mark.y < mark.low_y <= HEIGHT


def test_quantiles_are_the_rollouts_own():
    seconds = calls(0, 100).seconds
    assert quantile_ms(seconds.to_json(), 0.95) == pytest.approx(1000 * seconds.quantile(0.95))
    assert quantile_ms({}, 0.95) == 0


def test_what_cannot_be_read_leaves_the_rest_of_the_record():
    operation = {"step": "open", "model": "mnist", "revision": "2", "was": "1", "percent": 10}
    for wrong in ({"gate": "{"}, {"intervals": [{}]}, {"gate": json.dumps({"images": 0})}):
        found = parse_record({"operation": json.dumps({**operation, "progress": wrong})})
        assert found.title == "mnist: revision 1 to 2"
        assert found.evidence.charts == ()


def test_the_last_rollout_is_shown_with_its_evidence_until_another_is_under_way():
    found = parse_record(ended_record())
    assert (found.title, found.ended) == ("fashion-mnist: revision 1 to 2", "refused")
    assert (found.why, found.since) == ("slow", "2026-11-29T09:20:00Z")
    assert found.evidence == read_evidence(progress())
    both = parse_record({**ended_record(), "operation": record()["operation"]})
    assert (both.ended, both.why) == ("", "better on shirts")
    # Its entry has left the history, which keeps the newest.
    assert parse_record({**ended_record(), "history": "[]"}).title == ""
