"""Two writers at once: ``WRITES=250 pytest tests/registry/test_writers.py`` is 1,000 entries."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

from artifact import Revision, open_revision
from registry.entry import Action, Event
from registry.folder import FolderStore
from registry.history import History
from registry.revisions import Registry
from registry.state import State

WRITES = int(os.environ.get("WRITES", "10"))
"""Publications of a writer, and as many promotions."""


def _write(arguments: tuple[str, str, int]) -> None:
    root, writer, count = arguments
    store = FolderStore(Path(root) / "store")
    registry = Registry(store, History(store), writer)
    first = open_revision(Path(root) / "models", "mnist", "1")
    for number in range(count):
        card = replace(first.card, revision=f"{number}{writer}")
        folder = Path(root) / writer / "mnist" / card.revision
        folder.mkdir(parents=True)
        (folder / "model.json").write_text(card.to_json())
        weights = first.folder / "weights.safetensors"
        (folder / weights.name).write_bytes(weights.read_bytes())
        revision = open_revision(Path(root) / writer, "mnist", card.revision)
        _publish_and_promote(registry, revision, writer)


def _publish_and_promote(registry: Registry, revision: Revision, writer: str) -> None:
    registry.publish(revision)
    told = Event(Action.PROMOTED, writer, "mnist", revision.card.revision, "", {"service": writer})
    assert registry.record(told, revision.card.revision) is not None


def test_publications_and_promotions_of_two_writers_are_one_chain(tmp_path: Path) -> None:
    from tests.conftest import write_small  # the writers, which import this module, need no torch

    write_small(tmp_path / "models", "mnist", "1", 1)
    writers = ["a", "b"]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.map(_write, [(str(tmp_path), writer, WRITES) for writer in writers], chunksize=1)
    entries = History(FolderStore(tmp_path / "store")).entries()
    assert Counter((e.action, e.by) for e in entries) == {
        (action, writer): WRITES
        for action in (Action.PUBLISHED, Action.PROMOTED)
        for writer in writers
    }
    for writer in writers:
        mine = [e for e in entries if e.by == writer]
        told = [
            (a, f"{n}{writer}") for n in range(WRITES) for a in (Action.PUBLISHED, Action.PROMOTED)
        ]
        assert [(e.action, e.revision) for e in mine] == told
    state = State.after(entries)
    assert len(state.published) == 2 * WRITES
    now = {t.service: t.revision for t in state.live if not t.until}
    assert now == {writer: f"{WRITES - 1}{writer}" for writer in writers}
