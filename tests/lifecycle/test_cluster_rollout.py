"""The step ``rolled-out`` on a cluster, with a rollout that only hears what it is told."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from lifecycle import cluster_rollout
from tests.lifecycle.stubs import arrive, place_of


def test_a_rollout_is_told_where_the_gateway_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = "http://kourier.kourier-system"
    place = place_of(tmp_path, lifecycle_service="vision", lifecycle_gateway=gateway)
    run = place.runs.read(arrive(place))
    data = SimpleNamespace(to_bytes=lambda: b"")
    told: list[str] = []
    monkeypatch.setattr(cluster_rollout, "pinned_tests", lambda *_: "mnist-test")
    monkeypatch.setattr(cluster_rollout, "labelled", lambda *_: data)
    monkeypatch.setattr(cluster_rollout, "_cards", lambda *_: tmp_path)
    monkeypatch.setattr(cluster_rollout, "rollout", lambda said: told.extend(said) or 0)
    monkeypatch.setattr(place.datasets, "open", lambda *_: data)
    monkeypatch.setattr(place, "card", lambda _: SimpleNamespace(contract=None))
    cluster_rollout.promote(place, run)
    assert f"--gateway={gateway}" in told
    assert "--service=vision" in told
