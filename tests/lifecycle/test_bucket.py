"""Store and inbox in a real S3 server."""

from __future__ import annotations

import io
import uuid
from pathlib import Path

import numpy as np
import pytest

from lifecycle.errors import StoppedError
from lifecycle.inbox import Inbox
from lifecycle.watch import Watch
from registry.bucket import BucketStore
from tests.conftest import write_small
from tests.lifecycle.stubs import machine, place_of
from tests.registry.conftest import s3, s3_environment  # noqa: F401


@pytest.mark.usefixtures("s3_environment")
def test_what_arrives_in_a_bucket_is_one_run_however_often_it_comes(tmp_path: Path) -> None:
    name = uuid.uuid4().hex
    store = BucketStore("vision-tests", f"store/{name}")
    store.set_up()
    write_small(tmp_path / "models", "mnist", "1", 1)
    place = place_of(tmp_path, store)
    place.inbox = Inbox(f"s3://vision-tests/inbox/{name}")
    inbox = BucketStore("vision-tests", f"inbox/{name}")
    buffer = io.BytesIO()
    np.savez(buffer, images=np.zeros((1, 2, 2), np.uint8), labels=[1])
    inbox.create("mnist/boots.npz", buffer.getvalue())
    inbox.create("mnist/folder/a/1.png", b"one")
    inbox.create("mnist/folder/b/2.png", b"two")
    inbox.create("mnist/.hidden", b"")
    assert [part.path for part in place.inbox.parts()] == ["mnist/boots.npz", "mnist/folder"]
    watch = Watch(place, machine(place), 0.0)
    for _ in range(2):
        assert not watch.look()
    inbox.create("mnist/again.npz", buffer.getvalue())
    assert not watch.look()
    runs = place.runs.all()
    assert sorted(run.revision for run in runs) == ["2", "3"]
    assert sorted(run.arrival.part for run in runs) == ["mnist/boots.npz", "mnist/folder"]
    fetched = place.inbox.fetch("mnist/folder", tmp_path / "fetched")
    files = sorted(path.relative_to(fetched).as_posix() for path in fetched.rglob("*.png"))
    assert files == ["a/1.png", "b/2.png"]
    with pytest.raises(StoppedError, match="is not there any more"):
        place.inbox.fetch("mnist/gone.npz", tmp_path / "fetched")
