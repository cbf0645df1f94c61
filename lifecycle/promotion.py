"""The step ``rolled-out`` on one machine: the registry says what is live.

`vision serve` follows it.
"""

from __future__ import annotations

from lifecycle.found import Found
from lifecycle.place import Place
from lifecycle.run import Run
from registry.entry import Action, Event


def promote(place: Place, run: Run) -> Found:
    """Write the promotion down, once."""
    why = f"run {run.id}: {run.why}"
    place.registry.pull(run.model, run.revision, place.models)
    event = Event(
        Action.PROMOTED,
        place.registry.by,
        run.model,
        run.revision,
        why,
        {"service": place.service},
    )
    place.registry.record(event, f"run {run.id}, promoted")
    return Found(run.why, {})
