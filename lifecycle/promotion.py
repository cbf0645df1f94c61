"""The step ``rolled-out`` on one machine: the registry says what is live.

`vision serve` follows it.
"""

from __future__ import annotations

from lifecycle.errors import NeedError
from lifecycle.found import Found
from lifecycle.place import Place
from lifecycle.run import Run
from registry.entry import Action, Event
from rollout.errors import BusyError, UnreachableError
from rollout.experiments import Experiments, require_apart


def promote(place: Place, run: Run) -> Found:
    """Write the promotion down, once.

    Raises:
        NeedError: an experiment counts on what is live here, or it is not known whether one does.
    """
    try:
        found = Experiments(place.settings.rollout_experiments).of(run.model)
        require_apart(found, place.service, namespace="")
    except (BusyError, UnreachableError) as error:
        raise NeedError(f"the rollout waits: {error}") from None
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
