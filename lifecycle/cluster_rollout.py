"""The step ``rolled-out`` on a cluster: what `vision rollout` does, with its gate and its steps."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from pathlib import Path

from artifact import CARD_FILE
from lifecycle.data import labelled, pinned_tests
from lifecycle.errors import NeedError, StoppedError
from lifecycle.found import Found
from lifecycle.place import Place
from lifecycle.run import Run
from registry.datasets import ALL
from rollout.__main__ import INTERRUPTED
from rollout.__main__ import main as rollout
from rollout.errors import BusyError, RefusedError, UnreachableError

NAMESPACE = "VISION_LIFECYCLE_NAMESPACE"
REPORT = "rollout.md"


def promote(place: Place, run: Run) -> Found:
    """Roll the run's revision out, or go on with it; done already, nothing happens.

    Raises:
        StoppedError: the rollout refuses it; what was live is live.
        NeedError: another rollout is under way, or the cluster does not answer.
        RuntimeError: it failed otherwise.
        KeyboardInterrupt: this process is being ended, which the command has taken for itself.
    """
    folder = place.folder(run.id)
    tests = folder / "tests.npz"
    samples = place.datasets.open(pinned_tests(place, run.model), ALL)
    tests.write_bytes(labelled(samples, place.card(run.model).contract).to_bytes())
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        status = rollout(
            [
                "rollout",
                run.model,
                run.revision,
                f"--service={place.service}",
                f"--namespace={os.environ.get(NAMESPACE, 'vision')}",
                f"--cards={_cards(place, run)}",
                f"--gateway={place.settings.lifecycle_gateway}",
                f"--data={tests}",
                f"--report={folder / 'rollout'}",
                f"--by={place.registry.by}",
                f"--why=run {run.id}: {run.why}",
                "--output=json",
            ]
        )
    for report in (folder / "rollout").rglob("report.md"):
        place.runs.keep_report(run, REPORT, report.read_text(encoding="utf-8"))
    if not status:
        return Found(run.why, {})
    if status == INTERRUPTED:
        raise KeyboardInterrupt  # no failure: the next process goes on
    error = _error(said.getvalue())
    if status == RefusedError.status:
        raise StoppedError(f"the rollout refuses {run.model}/{run.revision}: {error}")
    if status in (BusyError.status, UnreachableError.status):
        raise NeedError(f"the rollout waits: {error}")
    raise RuntimeError(f"the rollout ended with status {status}: {error}")


def _cards(place: Place, run: Run) -> Path:
    """Cards of the image's revisions, and whole revisions of the run's model from the registry."""
    root = place.work / "cards"
    for card in place.models.glob(f"*/*/{CARD_FILE}"):
        folder = root / card.parent.relative_to(place.models)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(card, folder / CARD_FILE)
    for revision in (place.live(run.model), run.revision):
        shutil.rmtree(root / run.model / revision, ignore_errors=True)
        place.registry.pull(run.model, revision, root)
    return root


def _error(text: str) -> str:
    """What a command said as JSON, or whatever it said."""
    try:
        return str(json.loads(text)["error"])
    except (ValueError, LookupError, TypeError):
        return text.strip()[-300:] or "it said nothing"
