"""The step ``rolled-out`` on a cluster, with a rollout that only hears what it is told."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from lifecycle import cluster_rollout
from lifecycle.place import Place
from tests.lifecycle.stubs import arrive, place_of

GATEWAY = "http://kourier.kourier-system"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    place = place_of(tmp_path, lifecycle_service="vision", lifecycle_gateway=GATEWAY)
    data = SimpleNamespace(to_bytes=lambda: b"")
    monkeypatch.setattr(cluster_rollout, "pinned_tests", lambda *_: "mnist-test")
    monkeypatch.setattr(cluster_rollout, "labelled", lambda *_: data)
    monkeypatch.setattr(cluster_rollout, "_cards", lambda *_: tmp_path)
    monkeypatch.setattr(place.datasets, "open", lambda *_: data)
    monkeypatch.setattr(place, "card", lambda _: SimpleNamespace(contract=None))
    return place


def test_a_rollout_is_told_where_the_gateway_is(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(cluster_rollout, "rollout", lambda said: told.extend(said) or 0)
    cluster_rollout.promote(place, place.runs.read(arrive(place)))
    assert f"--gateway={GATEWAY}" in told
    assert "--service=vision" in told


def test_a_rollout_that_is_ended_has_not_failed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_rollout, "rollout", lambda _: 130)
    with pytest.raises(KeyboardInterrupt):
        cluster_rollout.promote(place, place.runs.read(arrive(place)))
