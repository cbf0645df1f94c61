"""The watching process is killed at any time, by the system: the end is one of two.

``KILLS=20`` (`make test-kills`) kills it that often while a good part and a bad one arrive. Without
it, ``test_machine`` ends a run at every one of its writes, in one process.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from artifact import revisions_of
from lifecycle.step import Outcome, Step
from registry.entry import Action
from tests.conftest import ROOT
from tests.lifecycle.scenes import Scene, bad_part, good_part, synthetic
from training.data import LabelledImages

KILLS = int(os.environ.get("KILLS", "0"))
SECONDS = 3000.0


@pytest.fixture
def shop(tmp_path: Path) -> Scene:
    return synthetic(tmp_path)


def start(shop: Scene) -> subprocess.Popen[bytes]:
    folder = shop.folder
    environment = {
        **os.environ,
        "VISION_REGISTRY": str(folder / "store"),
        "VISION_LIFECYCLE_INBOX": str(folder / "inbox"),
        "VISION_LIFECYCLE_SETTINGS": str(folder / "settings.yaml"),
        "VISION_LIFECYCLE_THREADS": "1",
    }
    where = [f"--models={folder / 'models'}", f"--scratch={folder / 'work'}", "--seconds=0.1"]
    with (folder / "watch.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "lifecycle.watch", "--by=ada", *where],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
        )


def put(shop: Scene, name: str, data: LabelledImages) -> None:
    folder = shop.folder / "inbox" / "mnist"
    folder.mkdir(exist_ok=True)
    draft = folder / f".{name}"
    with draft.open("wb") as file:
        np.savez(file, images=data.images, labels=data.labels, classes=np.array(shop.classes))
    draft.rename(folder / name)


def progress(shop: Scene) -> int:
    """Grows with everything that a run writes."""
    files = [*shop.folder.glob("store/lifecycle/**/*"), *shop.folder.glob("work/**/*.safetensors")]
    return len(files) + sum(path.stat().st_mtime_ns for path in files if path.is_file())


@pytest.mark.slow
@pytest.mark.skipif(not KILLS, reason="KILLS=20 (make test-kills) kills it that often")
@pytest.mark.timeout(3600)
def test_whenever_it_is_killed(shop: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    dice = random.Random(6)
    put(shop, "late.npz", good_part())
    put(shop, "wrong.npz", bad_part())
    kills = 0
    deadline = time.monotonic() + SECONDS
    process = start(shop)
    try:
        while not shop.place.runs.ids() or shop.place.runs.open():
            assert time.monotonic() < deadline, (shop.folder / "watch.log").read_text()[-3000:]
            assert process.poll() is None, (shop.folder / "watch.log").read_text()[-3000:]
            before = progress(shop)
            if kills < KILLS:
                while progress(shop) == before and time.monotonic() < deadline:
                    time.sleep(0.01)
                # At no particular moment after it has written something.
                time.sleep(dice.uniform(0, 0.3))
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += 1
                process = start(shop)
            time.sleep(0.05)
    finally:
        process.kill()
        process.wait()
    with capsys.disabled():
        print(f"\nkilled {kills} times:")
        for run in shop.place.runs.all():
            print(f"  {run.arrival.part}: {run.state} {run.revision}: {run.why}")
    check(shop)


def check(shop: Scene) -> None:
    """Nothing twice, nothing half, and the history is the sum of the runs."""
    place = shop.place
    runs = place.runs.all()
    good = [run for run in runs if Step.ROLLED_OUT in run.results]
    assert len(runs) == 2
    assert good
    assert all(run.is_over and run.ended and not run.failures for run in runs)
    entries = place.registry.history.entries()
    published = [e.revision for e in entries if e.action is Action.PUBLISHED]
    promoted = [e.revision for e in entries if e.action is Action.PROMOTED]
    assert sorted(published) == ["1", *sorted(run.revision for run in good)]
    assert sorted(promoted) == sorted(run.revision for run in good)
    assert place.live("mnist") == promoted[-1]
    assert revisions_of(place.models, "mnist") == sorted(published)
    for revision in published:
        place.registry.verify("mnist", revision)
    added = [e for e in entries if e.action is Action.DATA_ADDED and e.details["data"] == "mnist"]
    taken = [run for run in runs if run.results[Step.CHECKED].outcome is Outcome.DONE]
    assert len(added) == 1 + len(taken)
    trained = [e for e in entries if e.action is Action.TRAINED]
    assert len(trained) == len(taken)
